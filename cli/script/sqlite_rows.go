package script

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"recount"
)

func (q *sqliteScript) stage(p *part) {
	names := p.columnsOfText()
	q.say("--", "Table %s: k are %s; b the values before, a those after, of %s.", p.table(), listed(p.key), listed(p.columns))
	q.line("CREATE TEMP TABLE recount_text_%d (seq INTEGER PRIMARY KEY, action TEXT, grp INTEGER, %s, stored TEXT);", p.n, strings.Join(names, " TEXT, ")+" TEXT")
	q.values(sqlite, fmt.Sprintf("INSERT INTO temp.recount_text_%d (seq, action, grp, %s) VALUES", p.n, strings.Join(names, ", ")), p)
	if p.known() {
		for _, e := range p.entries() {
			at := "at"
			if e.kind == recount.KindDate {
				at = "substr(at, 1, 10)"
			}
			q.line("UPDATE temp.recount_text_%d SET %s = (SELECT run FROM temp.recount_run) WHERE %s = %s;", p.n, e.name, e.name, sqlite.text(recount.RunPlaceholder))
			q.line("UPDATE temp.recount_text_%d SET %s = (SELECT %s FROM temp.recount_run) WHERE %s = %s;", p.n, e.name, at, e.name, sqlite.text(recount.AtPlaceholder))
		}
	}
	if p.timed() {
		q.times(p)
	}
	var typed, casts []string
	add := func(prefix string, columns []column) {
		for i, c := range columns {
			name := fmt.Sprintf("%s%d", prefix, i)
			of := "t." + quoted(c.name)
			if c.kind == recount.KindInt64 || c.kind == recount.KindDouble { // numbers, also where the column converts nothing
				of = "CAST(" + of + " AS NUMERIC)"
			}
			typed, casts = append(typed, of+" AS "+name), append(casts, p.cast(c, name))
		}
	}
	add("k", p.key)
	add("b", p.columns[:p.planned])
	add("a", p.columns)
	q.line("CREATE TEMP TABLE recount_rows_%d AS SELECT 0 AS seq, %s FROM %s AS t WHERE 0;", p.n, strings.Join(typed, ", "), sqliteTable(p))
	q.line("INSERT INTO temp.recount_rows_%d SELECT x.seq, %s FROM temp.recount_text_%d AS x;", p.n, strings.Join(casts, ", "), p.n)
	q.line("CREATE UNIQUE INDEX temp.recount_seq_%d ON recount_rows_%d (seq);", p.n, p.n)
}

// cast is what is stored for a text; the column's affinity does the rest.
func (p *part) cast(c column, name string) string {
	e := "x." + name
	switch c.kind {
	case recount.KindBool:
		return fmt.Sprintf("CASE %s WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE %s END", e, e)
	case recount.KindDouble:
		return fmt.Sprintf("CASE %s WHEN 'Infinity' THEN 9e999 WHEN '-Infinity' THEN -9e999 ELSE %s END", e, e)
	case recount.KindTimestamp, recount.KindDate:
		return p.spelled(e, name)
	case recount.KindString, recount.KindInt64, recount.KindDecimal, recount.KindJSON:
	}
	return e
}

// scanned says whether one key may be stored in several forms, so that rows are
// found by reading the table once and not through its index.
func (p *part) scanned() bool {
	return slices.ContainsFunc(p.key, func(c column) bool {
		return c.kind == recount.KindBool || c.kind == recount.KindTimestamp || c.kind == recount.KindDate
	})
}

// find writes a table of the rows that are there for the changes: seq and the
// key as it is stored.
func (q *sqliteScript) find(name string, p *part) {
	keys, joins := make([]string, len(p.key)), make([]string, len(p.key))
	for i, c := range p.key {
		keys[i] = fmt.Sprintf("t.%s AS k%d", quoted(c.name), i)
		joins[i] = same(c, fmt.Sprintf("k%d", i))
		if !p.scanned() {
			joins[i] = fmt.Sprintf("t.%s = s.k%d AND %s", quoted(c.name), i, joins[i])
		}
	}
	order := fmt.Sprintf("temp.recount_text_%d AS x JOIN temp.recount_rows_%d AS s ON s.seq = x.seq CROSS JOIN %s AS t", p.n, p.n, sqliteTable(p))
	if p.scanned() {
		order = fmt.Sprintf("%s AS t CROSS JOIN temp.recount_text_%d AS x JOIN temp.recount_rows_%d AS s ON s.seq = x.seq", sqliteTable(p), p.n, p.n)
	}
	q.line("CREATE TEMP TABLE recount_%s_%d AS SELECT x.seq AS seq, %s FROM %s WHERE %s;", name, p.n, strings.Join(keys, ", "), order, strings.Join(joins, " AND "))
	q.line("CREATE INDEX temp.recount_%s_seq_%d ON recount_%s_%d (seq);", name, p.n, name, p.n)
	q.line("CREATE INDEX temp.recount_%s_key_%d ON recount_%s_%d (%s);", name, p.n, name, p.n, strings.Join(numbered("k", len(p.key)), ", "))
}

// same is the condition that column c of row t holds the value that is called
// name in rows s and x.
func same(c column, name string) string {
	t := "t." + quoted(c.name)
	switch c.kind {
	case recount.KindBool:
		return fmt.Sprintf("CASE lower(trim(%s)) WHEN '1' THEN 'true' WHEN 't' THEN 'true' WHEN 'yes' THEN 'true' WHEN 'true' THEN 'true' WHEN '0' THEN 'false' WHEN 'f' THEN 'false' WHEN 'no' THEN 'false' WHEN 'false' THEN 'false' ELSE CAST(%s AS TEXT) END IS x.%s", t, t, name)
	case recount.KindTimestamp, recount.KindDate:
		return fmt.Sprintf("%s IS x.%s", canonical(t, c.kind), name)
	case recount.KindString:
		return fmt.Sprintf(`(%s IS s.%s COLLATE BINARY OR typeof(%s) = 'integer' AND CAST(%s AS TEXT) IS x.%s OR typeof(%s) = 'blob' AND '\x' || lower(hex(%s)) IS x.%s)`, t, name, t, t, name, t, t, name)
	case recount.KindJSON:
		return fmt.Sprintf("(%s IS s.%s COLLATE BINARY OR CASE WHEN json_valid(%s) THEN json(%s) END IS x.%s)", t, name, t, t, name)
	case recount.KindInt64, recount.KindDouble, recount.KindDecimal:
	}
	return fmt.Sprintf("%s IS s.%s COLLATE BINARY", t, name)
}

func holds(columns []column, prefix string) string {
	var b strings.Builder
	for i, c := range columns {
		b.WriteString("\n    AND " + same(c, fmt.Sprintf("%s%d", prefix, i)))
	}
	return b.String()
}

// located is the condition that row t is the one that was found as f.
func located(p *part) string {
	parts := make([]string, len(p.key))
	for i, c := range p.key {
		parts[i] = fmt.Sprintf("t.%s = f.k%d AND t.%s IS f.k%d COLLATE BINARY", quoted(c.name), i, quoted(c.name), i)
	}
	return strings.Join(parts, " AND ")
}

// joined is the rows f that were found, with their changes.
func joined(name string, p *part) string {
	return fmt.Sprintf("temp.recount_%s_%d AS f JOIN temp.recount_rows_%d AS s ON s.seq = f.seq JOIN temp.recount_text_%d AS x ON x.seq = f.seq", name, p.n, p.n, p.n)
}

// differing writes a table of the changes whose row is not as it should be:
// found names the rows that were found, there the actions that need one, and
// image the condition that it holds the image.
func (q *sqliteScript) differing(name, found string, p *part, gone string, image string) {
	keys := make([]string, len(p.key))
	for i := range p.key {
		keys[i] = fmt.Sprintf("coalesce(c.k%d, 'NULL')", i)
	}
	q.line("CREATE TEMP TABLE recount_%s_%d AS SELECT c.seq AS seq, %s AS key FROM temp.recount_text_%d AS c WHERE CASE c.action", name, p.n, strings.Join(keys, " || '/' || "), p.n)
	q.line("  WHEN '%s' THEN EXISTS (SELECT 1 FROM temp.recount_%s_%d AS f WHERE f.seq = c.seq)", gone, found, p.n)
	q.line("  ELSE (SELECT count(*) FROM temp.recount_%s_%d AS f WHERE f.seq = c.seq) <> 1 OR NOT EXISTS (SELECT 1 FROM %s JOIN %s AS t ON %s", found, p.n, joined(found, p), sqliteTable(p), located(p))
	q.line("    WHERE f.seq = c.seq%s) END;", image)
}

func (q *sqliteScript) guard(p *part) {
	q.find("found", p)
	q.check(step("whole", p), fmt.Sprintf("(SELECT count(*) FROM temp.recount_rows_%d) = %d", p.n, len(p.writes)))
	q.differing("moved", "found", p, string(recount.ActionInsert), holds(p.columns[:p.planned], "b"))
	q.line("SELECT 'recount: changed after the plan was made: ' || key FROM temp.recount_moved_%d ORDER BY seq LIMIT 5;", p.n)
	q.check(step("unmoved", p), fmt.Sprintf("(SELECT count(*) FROM temp.recount_moved_%d) = 0", p.n))
	q.keep(p, recount.ActionUpdate, p.columns[:p.planned])
	q.keep(p, recount.ActionDelete, p.whole())
}

// keep notes how the rows are stored that an action overwrites, so that a
// rollback brings back the same bytes.
func (q *sqliteScript) keep(p *part, action recount.Action, columns []column) {
	if p.counts[action] == 0 {
		return
	}
	parts := make([]string, len(columns))
	for i, c := range columns {
		name, err := json.Marshal(c.name)
		if err != nil {
			continue // a string always encodes
		}
		t := "t." + quoted(c.name)
		parts[i] = fmt.Sprintf("%s || json_object('class', typeof(%s), 'text', CASE typeof(%s) WHEN 'integer' THEN CAST(%s AS TEXT) WHEN 'real' THEN printf('%%!.17g', %s) WHEN 'null' THEN '' ELSE lower(hex(%s)) END)",
			sqlite.text(string(name)+":"), t, t, t, t, t)
	}
	q.line("UPDATE temp.recount_text_%d SET stored = (SELECT '{' || %s || '}'\n  FROM temp.recount_found_%d AS f JOIN %s AS t ON %s WHERE f.seq = recount_text_%d.seq) WHERE action = '%s';",
		p.n, strings.Join(parts, " || ',' ||\n    "), p.n, sqliteTable(p), located(p), p.n, action)
}

// write deletes first, children before their parents, then updates, and inserts
// parents before their children.
func (q *sqliteScript) write() {
	order := ordered(q.parts)
	backwards := slices.Clone(order)
	slices.Reverse(backwards)
	for _, p := range backwards {
		if n := p.counts[recount.ActionDelete]; n > 0 {
			q.line("DELETE FROM %s AS t WHERE %s AND EXISTS (SELECT 1 FROM %s WHERE x.action = 'delete' AND %s%s);",
				sqliteTable(p), q.all(), joined("found", p), located(p), holds(p.columns[:p.planned], "b"))
			q.check(step("deletes", p), fmt.Sprintf("changes() = %d", n))
		}
	}
	for _, p := range order {
		for g, set := range p.sets {
			names := make([]string, len(set))
			for i, j := range set {
				names[i] = fmt.Sprintf("%s = s.a%d", quoted(p.columns[j].name), j)
			}
			q.line("UPDATE %s AS t SET %s FROM %s WHERE %s AND x.grp = %d AND %s%s;",
				sqliteTable(p), strings.Join(names, ", "), joined("found", p), q.all(), g, located(p), holds(p.columns[:p.planned], "b"))
			q.check(fmt.Sprintf("updates %d.%d", p.n, g), fmt.Sprintf("changes() = %d", p.grouped(g)))
		}
	}
	for _, p := range order {
		if n := p.counts[recount.ActionInsert]; n > 0 {
			var names []string
			for _, c := range slices.Concat(p.key, p.columns) {
				names = append(names, quoted(c.name))
			}
			q.line("INSERT INTO %s (%s) SELECT %s FROM temp.recount_rows_%d AS s JOIN temp.recount_text_%d AS x ON x.seq = s.seq WHERE x.action = 'insert' AND %s ORDER BY s.seq;",
				sqliteTable(p), strings.Join(names, ", "), strings.Join(append(numbered("s.k", len(p.key)), numbered("s.a", len(p.columns))...), ", "), p.n, p.n, q.all())
			q.check(step("inserts", p), fmt.Sprintf("changes() = %d", n))
		}
	}
}

func (q *sqliteScript) readBack(p *part) {
	q.find("again", p)
	image := holds(p.columns[:p.planned], "a")
	if len(p.columns) > p.planned { // an insert fills more columns than an update changes
		image += "\n    AND (x.action <> 'insert' OR 1" + strings.Replace(holds(p.columns, "a"), image, "", 1) + ")"
	}
	q.differing("wrong", "again", p, string(recount.ActionDelete), image)
	q.line("SELECT 'recount: does not read back as it was written: ' || key FROM temp.recount_wrong_%d ORDER BY seq LIMIT 5;", p.n)
	q.check(step("read", p), fmt.Sprintf("(SELECT count(*) FROM temp.recount_wrong_%d) = 0", p.n))
}

// record writes the part's ledger row and its undo rows.
func (q *sqliteScript) record(p *part) error {
	body, err := q.run(p)
	if err != nil {
		return err
	}
	run := runName("r.run", p)
	q.line("INSERT INTO main.recount_runs (run, plan, target, kind, at, of_run, body)")
	q.line("  SELECT %s, %s, %s, %s, r.at, '', json_set(%s, '$.run', %s, '$.by', 'by hand', '$.at', r.at) FROM temp.recount_run AS r WHERE %s;",
		run, sqlite.text(recount.PartID(q.plan.ID, p.n)), sqlite.text(p.table()), sqlite.text(string(p.body.Kind)), sqlite.text(body), run, q.all())
	q.check(step("run", p), "changes() = 1")
	key := p.sqliteList("k", len(p.key))
	q.line("INSERT INTO main.recount_undo (run, action, key, before, after, stored)")
	q.line("  SELECT %s, x.action, %s, CASE WHEN x.action <> 'insert' THEN %s END, CASE x.action WHEN 'update' THEN %s WHEN 'insert' THEN %s END, x.stored",
		run, key, p.sqliteList("b", p.planned), p.sqliteList("a", p.planned), p.sqliteList("a", len(p.columns)))
	q.line("  FROM temp.recount_run AS r CROSS JOIN temp.recount_text_%d AS x WHERE %s ORDER BY x.seq;", p.n, q.all())
	q.check(step("undo", p), fmt.Sprintf("changes() = %d", len(p.writes)))
	return nil
}

// sqliteList is the JSON list of texts in which the ledger keeps an image.
func (p *part) sqliteList(prefix string, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf("json_quote(x.%s%d)", prefix, i)
	}
	if n == 0 {
		return "'[]'"
	}
	list := "'[' || " + strings.Join(parts, " || ',' || ") + " || ']'"
	if p.separators() {
		list = fmt.Sprintf(`replace(replace(%s, char(8232), '\u2028'), char(8233), '\u2029')`, list)
	}
	return list
}
