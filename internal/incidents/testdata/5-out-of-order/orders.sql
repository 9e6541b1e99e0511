SELECT order_id, last(status ORDER BY position) AS status,
       last(version ORDER BY position) AS version
FROM events
GROUP BY order_id
