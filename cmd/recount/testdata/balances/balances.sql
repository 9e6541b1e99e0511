SELECT account, sum(amount) AS balance FROM events GROUP BY account
