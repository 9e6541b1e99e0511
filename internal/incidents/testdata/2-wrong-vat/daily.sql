SELECT CAST(time AS DATE) AS day, count(*) AS orders, sum(amount) AS revenue,
       sum(round(amount * CASE country WHEN 'DE' THEN 0.190 WHEN 'IT' THEN 0.220 WHEN 'CH' THEN 0.081 ELSE 0.200 END, 2)) AS vat
FROM events
GROUP BY ALL
