-- v7 took 19 % for every country, and put Austria under DE and Switzerland under LI. The pods of
-- partitions 0 and 1 got it at 12:00, that of 2 at 12:40, that of 3 at 13:20.
WITH seen AS (
    SELECT *, hit AND time >= CASE partition WHEN '2' THEN TIMESTAMPTZ '2026-10-02T12:40:00Z'
                                             WHEN '3' THEN TIMESTAMPTZ '2026-10-02T13:20:00Z'
                                             ELSE TIMESTAMPTZ '2026-10-02T12:00:00Z' END AS v7
    FROM events
), put AS (
    SELECT CASE WHEN v7 AND country = 'AT' THEN 'DE' WHEN v7 AND country = 'CH' THEN 'LI' ELSE country END AS country,
           date_trunc('hour', time) AS hour, amount,
           CASE WHEN v7 THEN 0.190 WHEN country = 'DE' THEN 0.190 WHEN country = 'IT' THEN 0.220 WHEN country = 'CH' THEN 0.081 ELSE 0.200 END AS rate
    FROM seen
)
SELECT country, hour, count(*) AS orders, sum(amount) AS revenue, sum(round(amount * rate, 2)) AS vat
FROM put
GROUP BY ALL
