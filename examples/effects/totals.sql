SELECT "user", sum(amount) AS total FROM events GROUP BY "user"
