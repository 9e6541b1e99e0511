-- A correction made by Recount, as ONE transaction for SQLite 3.38 or newer: all of it, or nothing.
--
-- Plan        5cb1c8cb75ecebf244e01db353c6308bc365b23451c706fcda74945b71bc3c86
-- calculation revenue, window [2024-06-10T12:00:00Z, 2024-06-10T13:00:00Z) (by event)
-- table       revenue: 1 updates, 1 inserts, 1 deletes
-- made for    sqlite live.db
-- made        2024-06-10T13:00:00Z by alice, expires 2024-06-11T13:00:00Z
-- mind        table revenue: trigger "audit" runs for the rows that are written
--
-- run         sqlite3 -bail live.db < fix.sql     (without -bail it shows more errors than the first, and writes nothing all the same)
-- checks      the file's name, the ledger's uuid, expiry, that the plan was not applied before, columns and triggers,
--             each row's before-image under the file's writer lock, free keys, row counts, and what was written by reading it again
-- leaves      ledger and undo rows: recount runs lists the run, recount apply knows that it is done, recount rollback takes it back
-- lost        compared with recount apply: that this file is the plan (anyone can edit it: compare it with a new one); the whole fingerprint of
--             the schema; values that an earlier run overwrote come back in their usual form; times in odd spellings count as changed;
--             who ran it (the ledger says: by hand); a look at the rows after the commit
--
PRAGMA foreign_keys = ON;
BEGIN IMMEDIATE;
PRAGMA defer_foreign_keys = ON; -- ends with the transaction, which tells whether there is one
CREATE TEMP TABLE recount_check (step TEXT PRIMARY KEY, ok INTEGER);
CREATE TEMP TRIGGER recount_refuse BEFORE INSERT ON recount_check WHEN NOT coalesce(new.ok, 0) BEGIN
  SELECT CASE new.step
    WHEN 'open' THEN RAISE(ROLLBACK, 'recount: the transaction could not be begun: another connection writes, or one was open already')
    WHEN 'file' THEN RAISE(ROLLBACK, 'recount: the plan is for another database file')
    WHEN 'ledger' THEN RAISE(ROLLBACK, 'recount: the plan is for another database: its ledger is another one')
    WHEN 'time' THEN RAISE(ROLLBACK, 'recount: the plan has expired: plan again')
    WHEN 'once' THEN RAISE(ROLLBACK, 'recount: this plan was applied before')
    WHEN 'schema 1' THEN RAISE(ROLLBACK, 'recount: the schema of table revenue changed since the plan')
    WHEN 'whole 1' THEN RAISE(ROLLBACK, 'recount: the script is not whole: changes of table revenue are missing or too many')
    WHEN 'unmoved 1' THEN RAISE(ROLLBACK, 'recount: nothing is written: rows of table revenue changed after the plan was made')
    ELSE RAISE(ROLLBACK, 'recount: the database changed other rows than planned, or they do not read back as they were written') END;
END;
INSERT INTO temp.recount_check SELECT 'open', (SELECT defer_foreign_keys FROM pragma_defer_foreign_keys);
CREATE TEMP TABLE recount_run AS SELECT lower(hex(randomblob(6))) AS run, strftime('%Y-%m-%dT%H:%M:%SZ', 'now') AS at, '5cb1c8cb75ecebf244e01db353c6308bc365b23451c706fcda74945b71bc3c86' AS plan;

-- 1. The changes, as the plan has them (recount_text) and in the tables' own types (recount_rows).
-- Table revenue: k are hour, product; b the values before, a those after, of total.
CREATE TEMP TABLE recount_text_1 (seq INTEGER PRIMARY KEY, action TEXT, grp INTEGER, k0 TEXT, k1 TEXT, b0 TEXT, a0 TEXT, stored TEXT);
INSERT INTO temp.recount_text_1 (seq, action, grp, k0, k1, b0, a0) VALUES
(0,'update',0,'2024-06-10T12:00:00Z','apple','9.00','11.50'),
(1,'insert',-1,'2024-06-10T12:00:00Z','o''neil',NULL,'4.00'),
(2,'delete',-1,'2024-06-10T12:00:00Z','pear','2.00',NULL);
-- How times are spelled: zeros for digits, the length up to the zone, what stands before the hour and after all, and what was left out.
CREATE TEMP TABLE recount_shapes (shape TEXT PRIMARY KEY, size INTEGER, gap TEXT, tail TEXT, rest TEXT);
INSERT INTO temp.recount_shapes VALUES ('0000-00-00',10,'','','00:00:00.000000'),('0000-00-00 00:00',16,' ','',':00.000000'),('0000-00-00 00:00:00',19,' ','','.000000'),('0000-00-00 00:00:00Z',19,' ','Z','.000000'),('0000-00-00 00:00:00+00:00',19,' ','+00:00','.000000'),('0000-00-00 00:00:00+00',19,' ','+00','.000000'),('0000-00-00 00:00:00.0',21,' ','','00000'),('0000-00-00 00:00:00.0Z',21,' ','Z','00000'),('0000-00-00 00:00:00.0+00:00',21,' ','+00:00','00000'),('0000-00-00 00:00:00.0+00',21,' ','+00','00000'),('0000-00-00 00:00:00.00',22,' ','','0000'),('0000-00-00 00:00:00.00Z',22,' ','Z','0000'),('0000-00-00 00:00:00.00+00:00',22,' ','+00:00','0000'),('0000-00-00 00:00:00.00+00',22,' ','+00','0000'),('0000-00-00 00:00:00.000',23,' ','','000'),('0000-00-00 00:00:00.000Z',23,' ','Z','000'),('0000-00-00 00:00:00.000+00:00',23,' ','+00:00','000'),('0000-00-00 00:00:00.000+00',23,' ','+00','000'),('0000-00-00 00:00:00.0000',24,' ','','00'),('0000-00-00 00:00:00.0000Z',24,' ','Z','00'),('0000-00-00 00:00:00.0000+00:00',24,' ','+00:00','00'),('0000-00-00 00:00:00.0000+00',24,' ','+00','00'),('0000-00-00 00:00:00.00000',25,' ','','0'),('0000-00-00 00:00:00.00000Z',25,' ','Z','0'),('0000-00-00 00:00:00.00000+00:00',25,' ','+00:00','0'),('0000-00-00 00:00:00.00000+00',25,' ','+00','0'),('0000-00-00 00:00:00.000000',26,' ','',''),('0000-00-00 00:00:00.000000Z',26,' ','Z',''),('0000-00-00 00:00:00.000000+00:00',26,' ','+00:00',''),('0000-00-00 00:00:00.000000+00',26,' ','+00',''),('0000-00-00T00:00',16,'T','',':00.000000'),('0000-00-00T00:00:00',19,'T','','.000000'),('0000-00-00T00:00:00Z',19,'T','Z','.000000'),('0000-00-00T00:00:00+00:00',19,'T','+00:00','.000000'),('0000-00-00T00:00:00.0',21,'T','','00000'),('0000-00-00T00:00:00.0Z',21,'T','Z','00000'),('0000-00-00T00:00:00.0+00:00',21,'T','+00:00','00000'),('0000-00-00T00:00:00.00',22,'T','','0000'),('0000-00-00T00:00:00.00Z',22,'T','Z','0000'),('0000-00-00T00:00:00.00+00:00',22,'T','+00:00','0000'),('0000-00-00T00:00:00.000',23,'T','','000'),('0000-00-00T00:00:00.000Z',23,'T','Z','000'),('0000-00-00T00:00:00.000+00:00',23,'T','+00:00','000'),('0000-00-00T00:00:00.0000',24,'T','','00'),('0000-00-00T00:00:00.0000Z',24,'T','Z','00'),('0000-00-00T00:00:00.0000+00:00',24,'T','+00:00','00'),('0000-00-00T00:00:00.00000',25,'T','','0'),('0000-00-00T00:00:00.00000Z',25,'T','Z','0'),('0000-00-00T00:00:00.00000+00:00',25,'T','+00:00','0'),('0000-00-00T00:00:00.000000',26,'T','',''),('0000-00-00T00:00:00.000000Z',26,'T','Z',''),('0000-00-00T00:00:00.000000+00:00',26,'T','+00:00','');
CREATE TEMP TABLE recount_times_1 AS SELECT 'k0' AS name, replace(replace(replace(replace(replace(replace(replace(replace(replace(t."hour",'1','0'),'2','0'),'3','0'),'4','0'),'5','0'),'6','0'),'7','0'),'8','0'),'9','0') AS shape, count(*) AS n FROM main."revenue" AS t WHERE typeof(t."hour") = 'text' GROUP BY 2
  UNION ALL SELECT 'k0', '0000-00-00 00:00:00', 0
  UNION ALL SELECT 'k0', '0000-00-00 00:00:00.000000', -1;
CREATE TEMP TABLE recount_rows_1 AS SELECT 0 AS seq, t."hour" AS k0, t."product" AS k1, t."total" AS b0, t."total" AS a0 FROM main."revenue" AS t WHERE 0;
INSERT INTO temp.recount_rows_1 SELECT x.seq, CASE WHEN x.k0 GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' OR x.k0 GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*Z' THEN (SELECT substr((CASE length(x.k0) WHEN 10 THEN x.k0 || 'T00:00:00.000000' ELSE substr(x.k0,1,19) || '.' || substr(rtrim(substr(x.k0,21),'Z') || '000000',1,6) END),1,10) || CASE WHEN h.size > 10 THEN h.gap || substr((CASE length(x.k0) WHEN 10 THEN x.k0 || 'T00:00:00.000000' ELSE substr(x.k0,1,19) || '.' || substr(rtrim(substr(x.k0,21),'Z') || '000000',1,6) END),12,h.size - 11) ELSE '' END || h.tail
    FROM temp.recount_times_1 AS m JOIN temp.recount_shapes AS h ON h.shape = m.shape WHERE m.name = 'k0' AND ltrim(substr((CASE length(x.k0) WHEN 10 THEN x.k0 || 'T00:00:00.000000' ELSE substr(x.k0,1,19) || '.' || substr(rtrim(substr(x.k0,21),'Z') || '000000',1,6) END),h.size + 1),'T:0.') = '' ORDER BY m.n DESC, m.shape LIMIT 1) ELSE x.k0 END, x.k1, x.b0, x.a0 FROM temp.recount_text_1 AS x;
CREATE UNIQUE INDEX temp.recount_seq_1 ON recount_rows_1 (seq);

-- 2. The place, the time, and that this plan was not applied before.
CREATE TABLE IF NOT EXISTS recount_ledger (uuid TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recount_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, target TEXT NOT NULL, kind TEXT NOT NULL,
  at TEXT NOT NULL, of_run TEXT NOT NULL, rolled_back TEXT, body TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS recount_runs_plan ON recount_runs (plan) WHERE rolled_back IS NULL;
CREATE TABLE IF NOT EXISTS recount_undo (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, action TEXT NOT NULL, key TEXT NOT NULL, before TEXT, after TEXT, stored TEXT);
CREATE INDEX IF NOT EXISTS recount_undo_run ON recount_undo (run);
CREATE INDEX IF NOT EXISTS recount_undo_key ON recount_undo (key) WHERE stored IS NOT NULL;
INSERT INTO temp.recount_check SELECT 'file', substr('/' || replace(file, '\', '/'), -length('/live.db')) = '/live.db' FROM pragma_database_list WHERE name = 'main';
INSERT INTO main.recount_ledger (uuid) SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))
  WHERE NOT EXISTS (SELECT 1 FROM main.recount_ledger) AND (SELECT count(*) FROM temp.recount_check) = 2;
INSERT INTO temp.recount_check SELECT 'time', julianday('now') < julianday('2024-06-11T13:00:00Z');
INSERT INTO temp.recount_check SELECT 'once', NOT EXISTS (SELECT 1 FROM main.recount_runs WHERE plan = '5cb1c8cb75ecebf244e01db353c6308bc365b23451c706fcda74945b71bc3c86' AND rolled_back IS NULL);
INSERT INTO temp.recount_check SELECT 'schema 1', EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'revenue')
  AND NOT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = 'revenue' COLLATE NOCASE AND 'trigger "' || name || '" runs for the rows that are written' NOT IN ('trigger "audit" runs for the rows that are written'))
  AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo('revenue', 'main') WHERE hidden = 0 AND name NOT IN ('hour', 'product', 'total', 'note'));

-- 3. Every row must still hold its before-image; keys of inserts must be free.
CREATE TEMP TABLE recount_found_1 AS SELECT x.seq AS seq, t."hour" AS k0, t."product" AS k1 FROM main."revenue" AS t CROSS JOIN temp.recount_text_1 AS x JOIN temp.recount_rows_1 AS s ON s.seq = x.seq WHERE coalesce((SELECT rtrim(rtrim(substr(t."hour",1,10) || 'T' || substr(t."hour",12,max(h.size - 11,0)) || h.rest,'0'),'.') || 'Z' FROM temp.recount_shapes AS h WHERE h.shape = replace(replace(replace(replace(replace(replace(replace(replace(replace(t."hour",'1','0'),'2','0'),'3','0'),'4','0'),'5','0'),'6','0'),'7','0'),'8','0'),'9','0')), CAST(t."hour" AS TEXT)) IS x.k0 AND (t."product" IS s.k1 COLLATE BINARY OR typeof(t."product") = 'integer' AND CAST(t."product" AS TEXT) IS x.k1 OR typeof(t."product") = 'blob' AND '\x' || lower(hex(t."product")) IS x.k1);
CREATE INDEX temp.recount_found_seq_1 ON recount_found_1 (seq);
CREATE INDEX temp.recount_found_key_1 ON recount_found_1 (k0, k1);
INSERT INTO temp.recount_check SELECT 'whole 1', (SELECT count(*) FROM temp.recount_rows_1) = 3;
CREATE TEMP TABLE recount_moved_1 AS SELECT c.seq AS seq, coalesce(c.k0, 'NULL') || '/' || coalesce(c.k1, 'NULL') AS key FROM temp.recount_text_1 AS c WHERE CASE c.action
  WHEN 'insert' THEN EXISTS (SELECT 1 FROM temp.recount_found_1 AS f WHERE f.seq = c.seq)
  ELSE (SELECT count(*) FROM temp.recount_found_1 AS f WHERE f.seq = c.seq) <> 1 OR NOT EXISTS (SELECT 1 FROM temp.recount_found_1 AS f JOIN temp.recount_rows_1 AS s ON s.seq = f.seq JOIN temp.recount_text_1 AS x ON x.seq = f.seq JOIN main."revenue" AS t ON t."hour" = f.k0 AND t."hour" IS f.k0 COLLATE BINARY AND t."product" = f.k1 AND t."product" IS f.k1 COLLATE BINARY
    WHERE f.seq = c.seq
    AND t."total" IS s.b0 COLLATE BINARY) END;
SELECT 'recount: changed after the plan was made: ' || key FROM temp.recount_moved_1 ORDER BY seq LIMIT 5;
INSERT INTO temp.recount_check SELECT 'unmoved 1', (SELECT count(*) FROM temp.recount_moved_1) = 0;
UPDATE temp.recount_text_1 SET stored = (SELECT '{' || '"total":' || json_object('class', typeof(t."total"), 'text', CASE typeof(t."total") WHEN 'integer' THEN CAST(t."total" AS TEXT) WHEN 'real' THEN printf('%!.17g', t."total") WHEN 'null' THEN '' ELSE lower(hex(t."total")) END) || '}'
  FROM temp.recount_found_1 AS f JOIN main."revenue" AS t ON t."hour" = f.k0 AND t."hour" IS f.k0 COLLATE BINARY AND t."product" = f.k1 AND t."product" IS f.k1 COLLATE BINARY WHERE f.seq = recount_text_1.seq) WHERE action = 'update';
UPDATE temp.recount_text_1 SET stored = (SELECT '{' || '"hour":' || json_object('class', typeof(t."hour"), 'text', CASE typeof(t."hour") WHEN 'integer' THEN CAST(t."hour" AS TEXT) WHEN 'real' THEN printf('%!.17g', t."hour") WHEN 'null' THEN '' ELSE lower(hex(t."hour")) END) || ',' ||
    '"product":' || json_object('class', typeof(t."product"), 'text', CASE typeof(t."product") WHEN 'integer' THEN CAST(t."product" AS TEXT) WHEN 'real' THEN printf('%!.17g', t."product") WHEN 'null' THEN '' ELSE lower(hex(t."product")) END) || ',' ||
    '"total":' || json_object('class', typeof(t."total"), 'text', CASE typeof(t."total") WHEN 'integer' THEN CAST(t."total" AS TEXT) WHEN 'real' THEN printf('%!.17g', t."total") WHEN 'null' THEN '' ELSE lower(hex(t."total")) END) || ',' ||
    '"note":' || json_object('class', typeof(t."note"), 'text', CASE typeof(t."note") WHEN 'integer' THEN CAST(t."note" AS TEXT) WHEN 'real' THEN printf('%!.17g', t."note") WHEN 'null' THEN '' ELSE lower(hex(t."note")) END) || '}'
  FROM temp.recount_found_1 AS f JOIN main."revenue" AS t ON t."hour" = f.k0 AND t."hour" IS f.k0 COLLATE BINARY AND t."product" = f.k1 AND t."product" IS f.k1 COLLATE BINARY WHERE f.seq = recount_text_1.seq) WHERE action = 'delete';

-- 4. The rows, each under its before-image, exactly as many as planned.
DELETE FROM main."revenue" AS t WHERE (SELECT count(*) FROM temp.recount_check) = 7 AND EXISTS (SELECT 1 FROM temp.recount_found_1 AS f JOIN temp.recount_rows_1 AS s ON s.seq = f.seq JOIN temp.recount_text_1 AS x ON x.seq = f.seq WHERE x.action = 'delete' AND t."hour" = f.k0 AND t."hour" IS f.k0 COLLATE BINARY AND t."product" = f.k1 AND t."product" IS f.k1 COLLATE BINARY
    AND t."total" IS s.b0 COLLATE BINARY);
INSERT INTO temp.recount_check SELECT 'deletes 1', changes() = 1;
UPDATE main."revenue" AS t SET "total" = s.a0 FROM temp.recount_found_1 AS f JOIN temp.recount_rows_1 AS s ON s.seq = f.seq JOIN temp.recount_text_1 AS x ON x.seq = f.seq WHERE (SELECT count(*) FROM temp.recount_check) = 8 AND x.grp = 0 AND t."hour" = f.k0 AND t."hour" IS f.k0 COLLATE BINARY AND t."product" = f.k1 AND t."product" IS f.k1 COLLATE BINARY
    AND t."total" IS s.b0 COLLATE BINARY;
INSERT INTO temp.recount_check SELECT 'updates 1.0', changes() = 1;
INSERT INTO main."revenue" ("hour", "product", "total") SELECT s.k0, s.k1, s.a0 FROM temp.recount_rows_1 AS s JOIN temp.recount_text_1 AS x ON x.seq = s.seq WHERE x.action = 'insert' AND (SELECT count(*) FROM temp.recount_check) = 9 ORDER BY s.seq;
INSERT INTO temp.recount_check SELECT 'inserts 1', changes() = 1;

-- 5. Every row is read back.
CREATE TEMP TABLE recount_again_1 AS SELECT x.seq AS seq, t."hour" AS k0, t."product" AS k1 FROM main."revenue" AS t CROSS JOIN temp.recount_text_1 AS x JOIN temp.recount_rows_1 AS s ON s.seq = x.seq WHERE coalesce((SELECT rtrim(rtrim(substr(t."hour",1,10) || 'T' || substr(t."hour",12,max(h.size - 11,0)) || h.rest,'0'),'.') || 'Z' FROM temp.recount_shapes AS h WHERE h.shape = replace(replace(replace(replace(replace(replace(replace(replace(replace(t."hour",'1','0'),'2','0'),'3','0'),'4','0'),'5','0'),'6','0'),'7','0'),'8','0'),'9','0')), CAST(t."hour" AS TEXT)) IS x.k0 AND (t."product" IS s.k1 COLLATE BINARY OR typeof(t."product") = 'integer' AND CAST(t."product" AS TEXT) IS x.k1 OR typeof(t."product") = 'blob' AND '\x' || lower(hex(t."product")) IS x.k1);
CREATE INDEX temp.recount_again_seq_1 ON recount_again_1 (seq);
CREATE INDEX temp.recount_again_key_1 ON recount_again_1 (k0, k1);
CREATE TEMP TABLE recount_wrong_1 AS SELECT c.seq AS seq, coalesce(c.k0, 'NULL') || '/' || coalesce(c.k1, 'NULL') AS key FROM temp.recount_text_1 AS c WHERE CASE c.action
  WHEN 'delete' THEN EXISTS (SELECT 1 FROM temp.recount_again_1 AS f WHERE f.seq = c.seq)
  ELSE (SELECT count(*) FROM temp.recount_again_1 AS f WHERE f.seq = c.seq) <> 1 OR NOT EXISTS (SELECT 1 FROM temp.recount_again_1 AS f JOIN temp.recount_rows_1 AS s ON s.seq = f.seq JOIN temp.recount_text_1 AS x ON x.seq = f.seq JOIN main."revenue" AS t ON t."hour" = f.k0 AND t."hour" IS f.k0 COLLATE BINARY AND t."product" = f.k1 AND t."product" IS f.k1 COLLATE BINARY
    WHERE f.seq = c.seq
    AND t."total" IS s.a0 COLLATE BINARY) END;
SELECT 'recount: does not read back as it was written: ' || key FROM temp.recount_wrong_1 ORDER BY seq LIMIT 5;
INSERT INTO temp.recount_check SELECT 'read 1', (SELECT count(*) FROM temp.recount_wrong_1) = 0;

-- 6. Ledger and undo rows: recount runs, recount apply and recount rollback know the run by them.
INSERT INTO main.recount_runs (run, plan, target, kind, at, of_run, body)
  SELECT r.run, '5cb1c8cb75ecebf244e01db353c6308bc365b23451c706fcda74945b71bc3c86', 'revenue', 'apply', r.at, '', json_set('{"run":"","plan":"5cb1c8cb75ecebf244e01db353c6308bc365b23451c706fcda74945b71bc3c86","kind":"apply","table":"revenue","at":"0001-01-01T00:00:00Z","by":"","applied":"3","held":"0","extra":"0","excluded":"0","window":{"from":"2024-06-10T12:00:00Z","to":"2024-06-10T13:00:00Z","by":"event"},"overrides":[],"rolled_back":"","of":"","calculation":"revenue","key":[{"name":"hour","type":"timestamp"},{"name":"product","type":"string"}],"columns":[{"name":"total","type":"decimal(18,2)"}],"write":"set","asked":{"from":"2024-06-10T12:00:00Z","to":"2024-06-10T13:00:00Z","by":"event"}}', '$.run', r.run, '$.by', 'by hand', '$.at', r.at) FROM temp.recount_run AS r WHERE (SELECT count(*) FROM temp.recount_check) = 11;
INSERT INTO temp.recount_check SELECT 'run 1', changes() = 1;
INSERT INTO main.recount_undo (run, action, key, before, after, stored)
  SELECT r.run, x.action, '[' || json_quote(x.k0) || ',' || json_quote(x.k1) || ']', CASE WHEN x.action <> 'insert' THEN '[' || json_quote(x.b0) || ']' END, CASE x.action WHEN 'update' THEN '[' || json_quote(x.a0) || ']' WHEN 'insert' THEN '[' || json_quote(x.a0) || ']' END, x.stored
  FROM temp.recount_run AS r CROSS JOIN temp.recount_text_1 AS x WHERE (SELECT count(*) FROM temp.recount_check) = 12 ORDER BY x.seq;
INSERT INTO temp.recount_check SELECT 'undo 1', changes() = 3;

SELECT 'recount: run ' || run || ' wrote 3 rows; take it back with: recount rollback ' || run FROM temp.recount_run WHERE (SELECT count(*) FROM temp.recount_check) = 13;
DROP TABLE temp.recount_text_1;
DROP TABLE temp.recount_rows_1;
DROP TABLE temp.recount_found_1;
DROP TABLE temp.recount_moved_1;
DROP TABLE temp.recount_again_1;
DROP TABLE temp.recount_wrong_1;
DROP TABLE temp.recount_times_1;
DROP TABLE temp.recount_shapes;
DROP TABLE temp.recount_run;
DROP TABLE temp.recount_check;
COMMIT;
