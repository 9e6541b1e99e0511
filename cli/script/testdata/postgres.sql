-- A correction made by Recount, as ONE transaction for PostgreSQL 15 or newer: all of it, or nothing.
--
-- Plan        5f77ad52125e5473e71c282117658a6fe893e7251549f0e0436310343489fef8
-- calculation revenue, window [2024-06-10T12:00:00Z, 2024-06-10T13:00:00Z) (by event)
-- table       shop.revenue: 1 updates, 1 inserts, 1 deletes
-- made for    postgres db.example:5432/shop, system 7412202588048533345, database 16384
-- made        2024-06-10T13:00:00Z by alice, expires 2024-06-11T13:00:00Z
-- mind        table shop.revenue: trigger "audit" runs for the rows that are written
--
-- run         psql -v ON_ERROR_STOP=1 -f fix.sql DATABASE     (any other client will do; send it whole, as UTF-8)
-- checks      database and server, the ledger's uuid, expiry, that the plan was not applied before, columns and their values, triggers and rules,
--             each row's before-image under a row lock, free keys, row counts, and what was written by reading it again
-- leaves      ledger and undo rows: recount runs lists the run, recount apply knows that it is done, recount rollback takes it back
-- lost        compared with recount apply: that this file is the plan (anyone can edit it: compare it with a new one); the whole fingerprint of
--             the schema (defaults, checks and policies may have changed); values that an earlier run overwrote come back in their usual form;
--             a look at the rows after the commit; an answer if the connection breaks at COMMIT (run the script again: it then says "applied before")
--
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '10s';
SET LOCAL statement_timeout = '15min';
SET LOCAL idle_in_transaction_session_timeout = '15min';
DO $recount$
BEGIN
  PERFORM set_config('search_path', concat_ws(', ', 'pg_catalog', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(current_schemas(false)) s), 'pg_temp'), true);
END
$recount$;
CREATE TEMP TABLE recount_run ON COMMIT DROP AS SELECT left(encode(sha256(convert_to('5f77ad52125e5473e71c282117658a6fe893e7251549f0e0436310343489fef8' || clock_timestamp()::text, 'UTF8')), 'hex'), 12) AS run,
  clock_timestamp() AS at, current_user::text AS by;

-- 1. The changes, as the plan has them (recount_text) and in the tables' own types (recount_rows).
-- Table shop.revenue: k are hour, product; b the values before, a those after, of total.
CREATE TEMP TABLE recount_text_1 (seq bigint, action text, grp int, k0 text, k1 text, b0 text, a0 text, stored text) ON COMMIT DROP;
INSERT INTO pg_temp.recount_text_1 (seq, action, grp, k0, k1, b0, a0) VALUES
(0,'update',0,'2024-06-10T12:00:00Z','apple','9.00','11.50'),
(1,'insert',-1,'2024-06-10T12:00:00Z','o''neil',NULL,'4.00'),
(2,'delete',-1,'2024-06-10T12:00:00Z','pear','2.00',NULL);
CREATE TEMP TABLE recount_rows_1 ON COMMIT DROP AS SELECT 0::bigint AS seq, ''::text AS action, 0 AS grp, t."hour" AS k0, t."product" AS k1, t."total" AS b0, t."total" AS a0 FROM "shop"."revenue" AS t WITH NO DATA;
DO $recount$
DECLARE casts text;
BEGIN
  SELECT string_agg(format('x.%I::%s', attname, format_type(atttypid, -1)), ', ' ORDER BY attnum) INTO casts
    FROM pg_attribute WHERE attrelid = 'pg_temp.recount_rows_1'::regclass AND attnum > 0;
  EXECUTE 'INSERT INTO pg_temp.recount_rows_1 SELECT ' || casts || ' FROM pg_temp.recount_text_1 AS x';
END
$recount$;
ANALYZE pg_temp.recount_text_1;
ANALYZE pg_temp.recount_rows_1;

-- 2. The place, the time, the locks of an apply; and that this plan was not applied before.
DO $recount$
DECLARE here text; had text; one record; news text;
BEGIN
  here := 'system ' || (SELECT system_identifier FROM pg_control_system()) || ', ' || 'database ' || (SELECT oid FROM pg_database WHERE datname = current_database());
  IF here IS DISTINCT FROM 'system 7412202588048533345, database 16384' THEN
    RAISE EXCEPTION 'recount: the plan is for another database: for %, this is %', 'system 7412202588048533345, database 16384', here;
  END IF;
  IF now() >= '2024-06-11T13:00:00Z'::timestamptz THEN
    RAISE EXCEPTION 'recount: the plan has expired: plan again';
  END IF;
  CREATE TEMP TABLE recount_tables ON COMMIT DROP AS SELECT v.part, c.oid AS oid, c.relkind::text AS kind, n.nspname || '.' || c.relname AS name, v.hazards
    FROM (VALUES (1, '"shop"."revenue"'::regclass::oid, ARRAY['trigger "audit" runs for the rows that are written']::text[])) AS v(part, oid, hazards) JOIN pg_class c ON c.oid = v.oid JOIN pg_namespace n ON n.oid = c.relnamespace;
  FOR one IN SELECT * FROM pg_temp.recount_tables ORDER BY part > 1, name LOOP
    IF one.kind NOT IN ('r', 'p') THEN
      RAISE EXCEPTION 'recount: % is no table that stores rows', one.name;
    END IF;
    SELECT string_agg(h, '; ') INTO news FROM (
      SELECT format('trigger "%s" runs for the rows that are written', tgname) FROM pg_trigger WHERE tgrelid = one.oid AND NOT tgisinternal AND tgenabled <> 'D'
      UNION ALL SELECT format('rule "%s" rewrites the statements that write', rulename) FROM pg_rewrite WHERE ev_class = one.oid AND rulename <> '_RETURN' AND ev_enabled <> 'D') AS now(h)
      WHERE h <> ALL (one.hazards);
    IF news IS NOT NULL THEN
      RAISE EXCEPTION 'recount: the schema of % changed since the plan: %', one.name, news;
    END IF;
    SET LOCAL lock_timeout = '1s';
    PERFORM pg_advisory_xact_lock(hashtextextended('recount table ' || one.name, 0));
    SET LOCAL lock_timeout = '10s';
  END LOOP;
  PERFORM pg_advisory_xact_lock(hashtextextended('recount ledger', 0));
  IF to_regclass('recount.recount_runs') IS NOT NULL THEN
    EXECUTE 'SELECT run FROM recount.recount_runs WHERE rolled_back IS NULL AND plan = $1' INTO had USING '5f77ad52125e5473e71c282117658a6fe893e7251549f0e0436310343489fef8';
    IF had IS NOT NULL THEN
      RAISE EXCEPTION 'recount: this plan was applied before, by run %', had;
    END IF;
  END IF;
END
$recount$;

-- 3. The ledger's tables, where they are missing.
DO $recount$
BEGIN
  IF to_regclass('recount.recount_ledger') IS NULL OR to_regclass('recount.recount_runs') IS NULL OR to_regclass('recount.recount_undo') IS NULL THEN
CREATE SCHEMA IF NOT EXISTS recount;
CREATE TABLE IF NOT EXISTS recount.recount_ledger (uuid text NOT NULL);
CREATE TABLE IF NOT EXISTS recount.recount_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL UNIQUE, plan text NOT NULL, target text NOT NULL, kind text NOT NULL,
  at timestamptz NOT NULL, of_run text NOT NULL, rolled_back text, body text NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS recount_runs_plan ON recount.recount_runs (plan) WHERE rolled_back IS NULL;
CREATE TABLE IF NOT EXISTS recount.recount_undo (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL, action text NOT NULL, key text NOT NULL, before text, after text, stored text);
CREATE INDEX IF NOT EXISTS recount_undo_run ON recount.recount_undo (run, id);
CREATE INDEX IF NOT EXISTS recount_undo_key ON recount.recount_undo USING hash (key) WHERE stored IS NOT NULL;
  END IF;
  INSERT INTO recount.recount_ledger (uuid) SELECT gen_random_uuid()::text WHERE NOT EXISTS (SELECT 1 FROM recount.recount_ledger);
END
$recount$;

-- 4. Every row is locked and must still hold its before-image; keys of inserts must be free.
DO $recount$
DECLARE bad bigint; keys text;
BEGIN
  IF (SELECT count(*) FROM pg_temp.recount_rows_1) <> 3 THEN
    RAISE EXCEPTION 'recount: the script is not whole: % changes are missing or too many', 3;
  END IF;
  SELECT count(*), string_agg(m.k, ', ' ORDER BY m.place) FILTER (WHERE m.place <= 5) INTO bad, keys FROM (
    SELECT concat_ws('/', coalesce(x.k0, 'NULL'), coalesce(x.k1, 'NULL')) AS k, row_number() OVER (ORDER BY s.seq) AS place FROM pg_temp.recount_rows_1 AS s JOIN pg_temp.recount_text_1 AS x ON x.seq = s.seq
    WHERE s.k0 IS DISTINCT FROM x.k0::timestamptz OR s.k1::text COLLATE "C" IS DISTINCT FROM x.k1 COLLATE "C" OR s.b0::text COLLATE "C" IS DISTINCT FROM x.b0 COLLATE "C" OR s.a0::text COLLATE "C" IS DISTINCT FROM x.a0 COLLATE "C") AS m;
  IF bad > 0 THEN
    RAISE EXCEPTION 'recount: % changes of table % do not fit the types of its columns: %', bad, 'shop.revenue', keys;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = '"shop"."revenue"'::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (SELECT array_agg(a.attname::text) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, n)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.n <= i.indnkeyatts) <@ ARRAY['hour', 'product']) THEN
    LOCK TABLE "shop"."revenue" IN SHARE ROW EXCLUSIVE MODE;
  END IF;
  PERFORM 1 FROM pg_temp.recount_rows_1 AS s JOIN "shop"."revenue" AS t ON t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C" ORDER BY t."hour", t."product" FOR UPDATE OF t;
  SELECT count(*), string_agg(m.k, ', ' ORDER BY m.place) FILTER (WHERE m.place <= 5) INTO bad, keys FROM (
    SELECT concat_ws('/', coalesce(x.k0, 'NULL'), coalesce(x.k1, 'NULL')) AS k, row_number() OVER (ORDER BY s.seq) AS place FROM pg_temp.recount_rows_1 AS s JOIN pg_temp.recount_text_1 AS x ON x.seq = s.seq
    WHERE CASE s.action WHEN 'insert' THEN EXISTS (SELECT 1 FROM "shop"."revenue" AS t WHERE t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C")
      ELSE NOT EXISTS (SELECT 1 FROM "shop"."revenue" AS t WHERE t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C" AND t."total"::text COLLATE "C" IS NOT DISTINCT FROM s.b0::text COLLATE "C") END) AS m;
  IF bad > 0 THEN
    RAISE EXCEPTION 'recount: nothing is written: % of 3 rows of table % changed after the plan was made: %', bad, 'shop.revenue', keys;
  END IF;
  EXECUTE (SELECT format('UPDATE pg_temp.recount_text_1 AS x SET stored = json_object(ARRAY[%s], ARRAY[%s])::text FROM pg_temp.recount_rows_1 AS s JOIN "shop"."revenue" AS t ON t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C" WHERE x.seq = s.seq AND s.action = ''delete''', string_agg(quote_literal(attname), ', ' ORDER BY attnum), string_agg(format('t.%I::text', attname), ', ' ORDER BY attnum))
    FROM pg_attribute WHERE attrelid = '"shop"."revenue"'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
END
$recount$;

-- 5. The rows, each under its before-image, exactly as many as planned.
DO $recount$
DECLARE n bigint;
BEGIN
  DELETE FROM "shop"."revenue" AS t USING pg_temp.recount_rows_1 AS s WHERE s.action = 'delete' AND t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C" AND t."total"::text COLLATE "C" IS NOT DISTINCT FROM s.b0::text COLLATE "C";
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n <> 1 THEN
    RAISE EXCEPTION 'recount: 1 deletes of table % were planned, the database made %', 'shop.revenue', n;
  END IF;
END
$recount$;
DO $recount$
DECLARE n bigint;
BEGIN
  UPDATE "shop"."revenue" AS t SET "total" = s.a0 FROM pg_temp.recount_rows_1 AS s WHERE s.grp = 0 AND t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C" AND t."total"::text COLLATE "C" IS NOT DISTINCT FROM s.b0::text COLLATE "C";
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n <> 1 THEN
    RAISE EXCEPTION 'recount: 1 updates of table % were planned, the database made %', 'shop.revenue', n;
  END IF;
END
$recount$;
DO $recount$
DECLARE n bigint;
BEGIN
  INSERT INTO "shop"."revenue" ("hour", "product", "total") OVERRIDING SYSTEM VALUE SELECT s.k0, s.k1, s.a0 FROM pg_temp.recount_rows_1 AS s WHERE s.action = 'insert' ORDER BY s.seq;
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n <> 1 THEN
    RAISE EXCEPTION 'recount: 1 inserts of table % were planned, the database made %', 'shop.revenue', n;
  END IF;
END
$recount$;

-- 6. Every row is read back.
DO $recount$
DECLARE bad bigint; keys text;
BEGIN
  SELECT count(*), string_agg(m.k, ', ' ORDER BY m.place) FILTER (WHERE m.place <= 5) INTO bad, keys FROM (
    SELECT concat_ws('/', coalesce(x.k0, 'NULL'), coalesce(x.k1, 'NULL')) AS k, row_number() OVER (ORDER BY s.seq) AS place FROM pg_temp.recount_rows_1 AS s JOIN pg_temp.recount_text_1 AS x ON x.seq = s.seq
    WHERE CASE s.action WHEN 'delete' THEN EXISTS (SELECT 1 FROM "shop"."revenue" AS t WHERE t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C")
      WHEN 'insert' THEN NOT EXISTS (SELECT 1 FROM "shop"."revenue" AS t WHERE t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C" AND t."total"::text COLLATE "C" IS NOT DISTINCT FROM s.a0::text COLLATE "C")
      ELSE NOT EXISTS (SELECT 1 FROM "shop"."revenue" AS t WHERE t."hour" = s.k0 AND t."product" = s.k1 AND t."product"::text COLLATE "C" = s.k1::text COLLATE "C" AND t."total"::text COLLATE "C" IS NOT DISTINCT FROM s.a0::text COLLATE "C") END) AS m;
  IF bad > 0 THEN
    RAISE EXCEPTION 'recount: % rows of table % do not read back as they were written: %', bad, 'shop.revenue', keys;
  END IF;
END
$recount$;

-- 7. Ledger and undo rows: recount runs, recount apply and recount rollback know the run by them.
INSERT INTO recount.recount_runs (run, plan, target, kind, at, of_run, body)
  SELECT r.run, '5f77ad52125e5473e71c282117658a6fe893e7251549f0e0436310343489fef8', t.name, 'apply', r.at, '', ('{"run":"","plan":"5f77ad52125e5473e71c282117658a6fe893e7251549f0e0436310343489fef8","kind":"apply","table":"shop.revenue","at":"0001-01-01T00:00:00Z","by":"","applied":"3","held":"0","extra":"0","excluded":"0","window":{"from":"2024-06-10T12:00:00Z","to":"2024-06-10T13:00:00Z","by":"event"},"overrides":[],"rolled_back":"","of":"","calculation":"revenue","key":[{"name":"hour","type":"timestamp"},{"name":"product","type":"string"}],"columns":[{"name":"total","type":"decimal(18,2)"}],"write":"set","asked":{"from":"2024-06-10T12:00:00Z","to":"2024-06-10T13:00:00Z","by":"event"}}'::jsonb || jsonb_build_object('run', r.run, 'by', r.by, 'at', to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text
  FROM pg_temp.recount_run AS r, pg_temp.recount_tables AS t WHERE t.part = 1;
INSERT INTO recount.recount_undo (run, action, key, before, after, stored)
  SELECT r.run, x.action, '[' || coalesce(to_json(x.k0)::text, 'null') || ',' || coalesce(to_json(x.k1)::text, 'null') || ']', CASE WHEN x.action <> 'insert' THEN '[' || coalesce(to_json(x.b0)::text, 'null') || ']' END, CASE x.action WHEN 'update' THEN '[' || coalesce(to_json(x.a0)::text, 'null') || ']' WHEN 'insert' THEN '[' || coalesce(to_json(x.a0)::text, 'null') || ']' END, x.stored
  FROM pg_temp.recount_run AS r, pg_temp.recount_text_1 AS x ORDER BY x.seq;

SELECT 'recount: run ' || run || ' wrote 3 rows; take it back with: recount rollback ' || run AS done FROM pg_temp.recount_run;
COMMIT;
