SELECT customer, count(*) AS orders, sum(amount) AS spent
FROM events
GROUP BY customer
