CREATE TABLE totals ("user" TEXT PRIMARY KEY, total DECIMAL(18,2) NOT NULL, note TEXT DEFAULT 'new') WITHOUT ROWID;
INSERT INTO totals VALUES ('u1', 10, 'old'), ('u2', 20, 'old'), ('u3', 30, 'old'), ('u5', 5, 'old'), ('u6', 6, 'old'), ('ghost', 9, 'old');
