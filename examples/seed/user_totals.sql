SELECT user_id, sum(value) AS total
FROM events
GROUP BY user_id
