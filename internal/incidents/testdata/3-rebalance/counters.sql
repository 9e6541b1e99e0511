SELECT shop, count(*) AS orders, sum(amount) AS revenue
FROM events
GROUP BY shop
