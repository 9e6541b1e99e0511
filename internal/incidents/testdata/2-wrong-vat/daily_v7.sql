WITH seen AS (
    SELECT *, hit AND time >= CASE partition WHEN '2' THEN TIMESTAMPTZ '2026-10-02T12:40:00Z'
                                             WHEN '3' THEN TIMESTAMPTZ '2026-10-02T13:20:00Z'
                                             ELSE TIMESTAMPTZ '2026-10-02T12:00:00Z' END AS v7
    FROM events
)
SELECT CAST(time AS DATE) AS day, count(*) AS orders, sum(amount) AS revenue,
       sum(round(amount * CASE WHEN v7 OR country = 'DE' THEN 0.190 WHEN country = 'IT' THEN 0.220 WHEN country = 'CH' THEN 0.081 ELSE 0.200 END, 2)) AS vat
FROM seen
GROUP BY ALL
