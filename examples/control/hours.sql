SELECT date_trunc('hour', time) AS hour, shop, sum(value)::DECIMAL(18,2) AS total
FROM events
GROUP BY 1, 2
