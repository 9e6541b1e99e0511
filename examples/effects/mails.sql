-- A receipt for each order, an invoice for large ones.
SELECT 'receipt' AS kind, "user" AS key, id AS event_id, json_object('amount', amount, 'hello', 'you') AS payload FROM events
UNION ALL
SELECT 'invoice', "user", id, json_object('amount', amount) FROM events WHERE amount >= 50
