SELECT country, CAST(time AS DATE) AS day, count(*) AS orders, sum(amount) AS revenue
FROM events
GROUP BY ALL
