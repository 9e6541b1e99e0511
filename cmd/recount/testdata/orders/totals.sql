SELECT "user",
       sum(value) AS total
FROM events
GROUP BY "user"
