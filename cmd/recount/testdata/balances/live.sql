CREATE TABLE balances (account TEXT PRIMARY KEY, balance DECIMAL(18,2) NOT NULL, last_offset INTEGER, seen INTEGER, last_id TEXT, version INTEGER NOT NULL DEFAULT 1) WITHOUT ROWID;
INSERT INTO balances VALUES
  ('a', 1365, 10, 6, 'p0-10', 7),
  ('b', 2730, 11, 6, 'p0-11', 7),
  ('c', 1285, 10, 4, 'p1-10', 5),
  ('d', 2570, 11, 4, 'p1-11', 5);
