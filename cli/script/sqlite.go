package script

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"recount"
)

// sqliteLedger makes the ledger's tables: what the target makes at its first
// apply. A test holds the two together.
const sqliteLedger = `CREATE TABLE IF NOT EXISTS recount_ledger (uuid TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recount_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, target TEXT NOT NULL, kind TEXT NOT NULL,
  at TEXT NOT NULL, of_run TEXT NOT NULL, rolled_back TEXT, body TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS recount_runs_plan ON recount_runs (plan) WHERE rolled_back IS NULL;
CREATE TABLE IF NOT EXISTS recount_undo (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, action TEXT NOT NULL, key TEXT NOT NULL, before TEXT, after TEXT, stored TEXT);
CREATE INDEX IF NOT EXISTS recount_undo_run ON recount_undo (run);
CREATE INDEX IF NOT EXISTS recount_undo_key ON recount_undo (key) WHERE stored IS NOT NULL;
`

// sqliteScript writes for SQLite, which has no blocks and no variables. Every
// check adds a row to recount_check; one that fails ends the transaction by a
// trigger. Some shells go on after an error, so every write also asks whether
// all checks before it have left their row: what fails halfway, or outside of a
// transaction, writes nothing.
type sqliteScript struct {
	*script
	checks []check
	shaped bool // the table of spellings was written
}

// check is a step and what is said where it fails.
type check struct{ step, text string }

func (s *script) sqlite() error {
	q := &sqliteScript{script: s, checks: s.sqliteChecks()}
	q.head()
	q.begin()
	q.line("\n-- 1. The changes, as the plan has them (recount_text) and in the tables' own types (recount_rows).")
	for _, p := range s.parts {
		q.stage(p)
	}
	q.line("\n-- 2. The place, the time, and that this plan was not applied before.")
	q.place()
	q.line("\n-- 3. Every row must still hold its before-image; keys of inserts must be free.")
	for _, p := range s.parts {
		q.guard(p)
	}
	q.line("\n-- 4. The rows, each under its before-image, exactly as many as planned.")
	q.write()
	q.line("\n-- 5. Every row is read back.")
	for _, p := range s.parts {
		q.readBack(p)
	}
	q.line("\n-- 6. Ledger and undo rows: recount runs, recount apply and recount rollback know the run by them.")
	for _, p := range s.parts {
		if err := q.record(p); err != nil {
			return err
		}
	}
	q.line("\nSELECT 'recount: run ' || run || ' wrote %d rows; take it back with: recount rollback ' || run FROM temp.recount_run WHERE %s;", s.total, q.all())
	q.drop()
	q.line("COMMIT;")
	return s.out.Flush()
}

func (q *sqliteScript) head() {
	say := func(format string, args ...any) { q.say("--", format, args...) }
	say("A correction made by Recount, as ONE transaction for SQLite 3.38 or newer: all of it, or nothing.")
	say("")
	q.about("--")
	say("")
	say("run         sqlite3 -bail %s < fix.sql     (without -bail it shows more errors than the first, and writes nothing all the same)", shellWord(q.plan.Body.Target.Place))
	say("checks      the file's name, the ledger's uuid, expiry, that the plan was not applied before, columns and triggers,")
	say("            each row's before-image under the file's writer lock, free keys, row counts, and what was written by reading it again")
	say("leaves      ledger and undo rows: recount runs lists the run, recount apply knows that it is done, recount rollback takes it back")
	say("lost        compared with recount apply: that this file is the plan (anyone can edit it: compare it with a new one); the whole fingerprint of")
	say("            the schema; values that an earlier run overwrote come back in their usual form; times in odd spellings count as changed;")
	say("            who ran it (the ledger says: by hand); a look at the rows after the commit")
	say("")
}

// sqliteChecks lists the steps in their order.
func (s *script) sqliteChecks() []check {
	list := []check{
		{"open", "recount: the transaction could not be begun: another connection writes, or one was open already"},
		{"file", "recount: the plan is for another database file"},
		{"ledger", "recount: the plan is for another database: its ledger is another one"},
		{"time", "recount: the plan has expired: plan again"},
		{"once", "recount: this plan was applied before"},
	}
	for _, p := range s.parts {
		list = append(list, check{step("schema", p), "recount: the schema of table " + p.table() + " changed since the plan"})
	}
	for _, p := range s.parts {
		list = append(list,
			check{step("whole", p), "recount: the script is not whole: changes of table " + p.table() + " are missing or too many"},
			check{step("unmoved", p), "recount: nothing is written: rows of table " + p.table() + " changed after the plan was made"})
	}
	return list
}

func step(name string, p *part) string { return fmt.Sprintf("%s %d", name, p.n) }

func (q *sqliteScript) begin() {
	q.line("PRAGMA foreign_keys = ON;")
	q.line("BEGIN IMMEDIATE;")
	q.line("PRAGMA defer_foreign_keys = ON; -- ends with the transaction, which tells whether there is one")
	q.line("CREATE TEMP TABLE recount_check (step TEXT PRIMARY KEY, ok INTEGER);")
	q.line("CREATE TEMP TRIGGER recount_refuse BEFORE INSERT ON recount_check WHEN NOT coalesce(new.ok, 0) BEGIN")
	q.line("  SELECT CASE new.step")
	for _, c := range q.checks {
		q.line("    WHEN %s THEN RAISE(ROLLBACK, %s)", sqlite.text(c.step), raised(c.text))
	}
	q.line("    ELSE RAISE(ROLLBACK, 'recount: the database changed other rows than planned, or they do not read back as they were written') END;")
	q.line("END;")
	q.line("INSERT INTO temp.recount_check SELECT 'open', (SELECT defer_foreign_keys FROM pragma_defer_foreign_keys);")
	q.line("CREATE TEMP TABLE recount_run AS SELECT lower(hex(randomblob(6))) AS run, strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ', 'now') AS at, %s AS plan;", sqlite.text(q.plan.ID))
	q.checks = q.checks[:1]
}

// raised is the text of an error: one literal, since RAISE takes no expression.
func raised(text string) string { return "'" + strings.ReplaceAll(printable(text), "'", "''") + "'" }

// check writes a check: ok is an expression, or a SELECT's columns and what
// follows.
func (q *sqliteScript) check(step, ok string) {
	q.line("INSERT INTO temp.recount_check SELECT %s, %s;", sqlite.text(step), ok)
	q.checks = append(q.checks, check{step: step})
}

// all is the condition that every check so far was passed.
func (q *sqliteScript) all() string {
	return fmt.Sprintf("(SELECT count(*) FROM temp.recount_check) = %d", len(q.checks))
}

func (q *sqliteScript) place() {
	target := q.plan.Body.Target
	q.line("%s", strings.TrimSpace(sqliteLedger))
	file := "/" + path.Base(strings.ReplaceAll(target.Place, `\`, "/"))
	q.check("file", fmt.Sprintf(`substr('/' || replace(file, '\', '/'), -length(%s)) = %s FROM pragma_database_list WHERE name = 'main'`, sqlite.text(file), sqlite.text(file)))
	if target.Ledger != "" {
		q.check("ledger", "(SELECT uuid FROM main.recount_ledger) = "+sqlite.text(target.Ledger))
	}
	q.line("INSERT INTO main.recount_ledger (uuid) SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))")
	q.line("  WHERE NOT EXISTS (SELECT 1 FROM main.recount_ledger) AND %s;", q.all())
	q.check("time", fmt.Sprintf("julianday('now') < julianday(%s)", sqlite.text(recount.FormatTimestamp(q.plan.Header.Expires))))
	q.check("once", fmt.Sprintf("NOT EXISTS (SELECT 1 FROM main.recount_runs WHERE plan = %s AND rolled_back IS NULL)", sqlite.text(q.plan.ID)))
	for _, p := range q.parts {
		q.schema(p)
	}
}

// schema checks that the table is one, that no trigger is new and, where rows
// are deleted, that all its columns are known: they are kept for a rollback.
func (q *sqliteScript) schema(p *part) {
	table := sqlite.text(p.table())
	ok := fmt.Sprintf("EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = %s)", table)
	hazards := make([]string, len(p.body.Hazards))
	for i, h := range p.body.Hazards {
		hazards[i] = sqlite.text(h)
	}
	ok += fmt.Sprintf("\n  AND NOT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = %s COLLATE NOCASE AND 'trigger \"' || name || '\" runs for the rows that are written' NOT IN (%s))",
		table, strings.Join(hazards, ", "))
	if p.counts[recount.ActionDelete] > 0 {
		var names []string
		for _, c := range p.whole() {
			names = append(names, sqlite.text(c.name))
		}
		ok += fmt.Sprintf("\n  AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(%s, 'main') WHERE hidden = 0 AND name NOT IN (%s))", table, strings.Join(names, ", "))
	}
	q.check(step("schema", p), ok)
}

// whole lists all columns of a row, as far as the plan names them.
func (p *part) whole() []column {
	out := slices.Concat(p.key, p.columns)
	for _, name := range p.body.Ignored {
		out = append(out, column{name: name})
	}
	return out
}

func sqliteTable(p *part) string { return "main." + quoted(p.table()) }

// drop takes the temporary tables away, so that one connection can run several
// scripts.
func (q *sqliteScript) drop() {
	for _, p := range q.parts {
		for _, name := range []string{"text", "rows", "found", "moved", "again", "wrong"} {
			q.line("DROP TABLE temp.recount_%s_%d;", name, p.n)
		}
		if p.timed() {
			q.line("DROP TABLE temp.recount_times_%d;", p.n)
		}
	}
	if slices.ContainsFunc(q.parts, (*part).timed) {
		q.line("DROP TABLE temp.recount_shapes;")
	}
	q.line("DROP TABLE temp.recount_run;")
	q.line("DROP TABLE temp.recount_check;")
}
