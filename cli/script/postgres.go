package script

import (
	"fmt"
	"strconv"
	"strings"

	"recount"
)

// postgresLedger makes the ledger's tables: what the target makes at its first
// apply. A test holds the two together.
const postgresLedger = `CREATE SCHEMA IF NOT EXISTS recount;
CREATE TABLE IF NOT EXISTS recount.recount_ledger (uuid text NOT NULL);
CREATE TABLE IF NOT EXISTS recount.recount_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL UNIQUE, plan text NOT NULL, target text NOT NULL, kind text NOT NULL,
  at timestamptz NOT NULL, of_run text NOT NULL, rolled_back text, body text NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS recount_runs_plan ON recount.recount_runs (plan) WHERE rolled_back IS NULL;
CREATE TABLE IF NOT EXISTS recount.recount_undo (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL, action text NOT NULL, key text NOT NULL, before text, after text, stored text);
CREATE INDEX IF NOT EXISTS recount_undo_run ON recount.recount_undo (run, id);
CREATE INDEX IF NOT EXISTS recount_undo_key ON recount.recount_undo USING hash (key) WHERE stored IS NOT NULL;
`

// postgresSettings are those under which Recount reads and writes, so that
// texts mean what they meant when the plan was made.
const postgresSettings = `SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '10s';
SET LOCAL statement_timeout = '15min';
SET LOCAL idle_in_transaction_session_timeout = '15min';`

func (s *script) postgres() error {
	s.postgresHead()
	s.line("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;")
	s.line(postgresSettings)
	s.postgresPath()
	s.line("")
	s.line("-- 1. The changes, as the plan has them (recount_text) and in the tables' own types (recount_rows).")
	for _, p := range s.parts {
		s.postgresStage(p)
	}
	s.line("\n-- 2. The place, the time, the locks of an apply; and that this plan was not applied before.")
	s.block(s.postgresPlace())
	s.line("\n-- 3. The ledger's tables, where they are missing.")
	s.block(postgresMake)
	s.line("\n-- 4. Every row is locked and must still hold its before-image; keys of inserts must be free.")
	for _, p := range s.parts {
		s.block(s.postgresGuard(p))
	}
	s.line("\n-- 5. The rows, each under its before-image, exactly as many as planned.")
	s.postgresWrites()
	s.line("\n-- 6. Every row is read back.")
	for _, p := range s.parts {
		s.block(s.postgresReadBack(p))
	}
	s.line("\n-- 7. Ledger and undo rows: recount runs, recount apply and recount rollback know the run by them.")
	for _, p := range s.parts {
		if err := s.postgresRecord(p); err != nil {
			return err
		}
	}
	s.line("\nSELECT 'recount: run ' || run || ' wrote %d rows; take it back with: recount rollback ' || run AS done FROM pg_temp.recount_run;", s.total)
	s.line("COMMIT;")
	return s.out.Flush()
}

// postgresHead says what the script is, does and does not do.
func (s *script) postgresHead() {
	s.say("--", "A correction made by Recount, as ONE transaction for PostgreSQL 15 or newer: all of it, or nothing.")
	s.say("--", "")
	s.about("--")
	s.say("--", "")
	s.say("--", "run         psql -v ON_ERROR_STOP=1 -f fix.sql DATABASE     (any other client will do; send it whole, as UTF-8)")
	s.say("--", "checks      database and server, the ledger's uuid, expiry, that the plan was not applied before, columns and their values, triggers and rules,")
	s.say("--", "            each row's before-image under a row lock, free keys, row counts, and what was written by reading it again")
	s.say("--", "leaves      ledger and undo rows: recount runs lists the run, recount apply knows that it is done, recount rollback takes it back")
	s.say("--", "lost        compared with recount apply: that this file is the plan (anyone can edit it: compare it with a new one); the whole fingerprint of")
	s.say("--", "            the schema (defaults, checks and policies may have changed); values that an earlier run overwrote come back in their usual form;")
	s.say("--", "            a look at the rows after the commit; an answer if the connection breaks at COMMIT (run the script again: it then says \"applied before\")")
	s.say("--", "")
}

func (s *script) postgresPath() {
	s.block("BEGIN\n  PERFORM set_config('search_path', concat_ws(', ', 'pg_catalog', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(current_schemas(false)) s), 'pg_temp'), true);\nEND")
	s.line("CREATE TEMP TABLE recount_run ON COMMIT DROP AS SELECT left(encode(sha256(convert_to(%s || clock_timestamp()::text, 'UTF8')), 'hex'), 12) AS run,", postgres.text(s.plan.ID))
	s.line("  clock_timestamp() AS at, current_user::text AS by;")
}

// block writes an anonymous block.
func (s *script) block(body string) {
	s.line("DO %s;", dollars("\n"+strings.Trim(body, "\n")+"\n"))
}

// postgresTable is the table's name as SQL. One with a point begins with its
// schema's.
func postgresTable(name string) string {
	inQuotes := false
	for i := range len(name) {
		switch {
		case name[i] == '"':
			inQuotes = !inQuotes
		case name[i] == '.' && !inQuotes:
			return quoted(unquoted(name[:i])) + "." + quoted(unquoted(name[i+1:]))
		}
	}
	return quoted(unquoted(name))
}

func unquoted(name string) string {
	const quotes = 2
	if len(name) >= quotes && name[0] == '"' && name[len(name)-1] == '"' {
		return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	return name
}

// rowsAtOnce bounds one statement's list of changes.
const rowsAtOnce = 500

// columnsOfText are the names of a stage of texts besides seq, action and grp.
func (p *part) columnsOfText() []string {
	out := append(numbered("k", len(p.key)), numbered("b", p.planned)...)
	return append(out, numbered("a", len(p.columns))...)
}

func (s *script) postgresStage(p *part) {
	names := p.columnsOfText()
	s.say("--", "Table %s: k are %s; b the values before, a those after, of %s.", p.table(), listed(p.key), listed(p.columns))
	s.line("CREATE TEMP TABLE recount_text_%d (seq bigint, action text, grp int, %s, stored text) ON COMMIT DROP;", p.n, strings.Join(names, " text, ")+" text")
	s.values(postgres, fmt.Sprintf("INSERT INTO pg_temp.recount_text_%d (seq, action, grp, %s) VALUES", p.n, strings.Join(names, ", ")), p)
	if p.known() {
		for _, e := range p.entries() {
			s.line("UPDATE pg_temp.recount_text_%d SET %s = (SELECT run FROM pg_temp.recount_run) WHERE %s = %s;", p.n, e.name, e.name, postgres.text(recount.RunPlaceholder))
			form := `YYYY-MM-DD"T"HH24:MI:SS"Z"`
			if e.kind == recount.KindDate {
				form = "YYYY-MM-DD"
			}
			s.line("UPDATE pg_temp.recount_text_%d SET %s = (SELECT to_char(at AT TIME ZONE 'UTC', '%s') FROM pg_temp.recount_run) WHERE %s = %s;", p.n, e.name, form, e.name, postgres.text(recount.AtPlaceholder))
		}
	}
	var typed []string
	for i, c := range p.key {
		typed = append(typed, fmt.Sprintf("t.%s AS k%d", quoted(c.name), i))
	}
	for i, c := range p.columns[:p.planned] {
		typed = append(typed, fmt.Sprintf("t.%s AS b%d", quoted(c.name), i))
	}
	for i, c := range p.columns {
		typed = append(typed, fmt.Sprintf("t.%s AS a%d", quoted(c.name), i))
	}
	s.line("CREATE TEMP TABLE recount_rows_%d ON COMMIT DROP AS SELECT 0::bigint AS seq, ''::text AS action, 0 AS grp, %s FROM %s AS t WITH NO DATA;",
		p.n, strings.Join(typed, ", "), postgresTable(p.table()))
	s.block(fmt.Sprintf(`DECLARE casts text;
BEGIN
  SELECT string_agg(format('x.%%I::%%s', attname, format_type(atttypid, -1)), ', ' ORDER BY attnum) INTO casts
    FROM pg_attribute WHERE attrelid = 'pg_temp.recount_rows_%d'::regclass AND attnum > 0;
  EXECUTE 'INSERT INTO pg_temp.recount_rows_%d SELECT ' || casts || ' FROM pg_temp.recount_text_%d AS x';
END`, p.n, p.n, p.n))
	s.line("ANALYZE pg_temp.recount_text_%d;", p.n)
	s.line("ANALYZE pg_temp.recount_rows_%d;", p.n)
}

func listed(columns []column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	if len(names) == 0 {
		return "no column"
	}
	return strings.Join(names, ", ")
}

// values writes the part's changes as rows of texts.
func (s *script) values(d dialect, insert string, p *part) {
	last := len(p.writes) - 1
	for i, c := range p.writes {
		if i%rowsAtOnce == 0 {
			s.line("%s", insert)
		}
		row := []string{strconv.Itoa(i), "'" + string(c.Action) + "'", strconv.Itoa(p.group[i])}
		for _, v := range c.Key {
			row = append(row, d.value(v))
		}
		row = append(row, d.image(c.Before, p.planned)...)
		row = append(row, d.image(c.After, len(p.columns))...)
		end := ","
		if i == last || i%rowsAtOnce == rowsAtOnce-1 {
			end = ";"
		}
		s.line("%s", "("+strings.Join(row, ",")+")"+end)
	}
}

// image spells n values; those that an image does not have are NULL.
func (d dialect) image(values []recount.Value, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "NULL"
		if i < len(values) {
			out[i] = d.value(values[i])
		}
	}
	return out
}
