package script

import (
	"fmt"
	"slices"
	"strings"

	"recount"
)

// postgresSame is the condition that row t has the key of row s. Equality finds
// it through the index; texts are compared again byte by byte.
func postgresSame(p *part) string {
	parts := make([]string, len(p.key))
	for i, c := range p.key {
		name, e := "t."+quoted(c.name), fmt.Sprintf("s.k%d", i)
		exact := fmt.Sprintf(`%s::text COLLATE "C" = %s::text COLLATE "C"`, name, e)
		switch c.kind {
		case recount.KindJSON:
			parts[i] = exact
		case recount.KindString:
			parts[i] = fmt.Sprintf("%s = %s AND %s", name, e, exact)
		case recount.KindInt64, recount.KindDouble, recount.KindDecimal, recount.KindBool, recount.KindTimestamp, recount.KindDate:
			parts[i] = name + " = " + e
		}
	}
	return strings.Join(parts, " AND ")
}

// postgresHolds is the condition that row t holds the image of row s; prefix is
// b or a.
func postgresHolds(columns []column, prefix string) string {
	var b strings.Builder
	for i, c := range columns {
		name, e := "t."+quoted(c.name), fmt.Sprintf("s.%s%d", prefix, i)
		switch c.kind {
		case recount.KindJSON:
			name, e = name+"::jsonb", e+"::jsonb"
		case recount.KindString, recount.KindDecimal:
			name, e = name+`::text COLLATE "C"`, e+`::text COLLATE "C"`
		case recount.KindInt64, recount.KindDouble, recount.KindBool, recount.KindTimestamp, recount.KindDate:
		}
		fmt.Fprintf(&b, " AND %s IS NOT DISTINCT FROM %s", name, e)
	}
	return b.String()
}

// postgresFirst counts the rows of a condition and names the first five.
func (p *part) postgresFirst(where string) string {
	keys := make([]string, len(p.key))
	for i := range p.key {
		keys[i] = fmt.Sprintf("coalesce(x.k%d, 'NULL')", i)
	}
	return fmt.Sprintf(`  SELECT count(*), string_agg(m.k, ', ' ORDER BY m.place) FILTER (WHERE m.place <= 5) INTO bad, keys FROM (
    SELECT concat_ws('/', %s) AS k, row_number() OVER (ORDER BY s.seq) AS place FROM pg_temp.recount_rows_%d AS s JOIN pg_temp.recount_text_%d AS x ON x.seq = s.seq
    WHERE %s) AS m;
`, strings.Join(keys, ", "), p.n, p.n, where)
}

// postgresGuard locks the rows and compares them with their before-images.
func (s *script) postgresGuard(p *part) string {
	table := postgresTable(p.table())
	var b strings.Builder
	b.WriteString("DECLARE bad bigint; keys text;\nBEGIN\n")
	fmt.Fprintf(&b, "  IF (SELECT count(*) FROM pg_temp.recount_rows_%d) <> %d THEN\n    RAISE EXCEPTION 'recount: the script is not whole: %% changes are missing or too many', %d;\n  END IF;\n", p.n, len(p.writes), len(p.writes))
	b.WriteString(p.postgresFirst(p.postgresInexact()))
	fmt.Fprintf(&b, "  IF bad > 0 THEN\n    RAISE EXCEPTION 'recount: %% changes of table %% do not fit the types of its columns: %%', bad, %s, keys;\n  END IF;\n", postgres.text(p.table()))
	if p.counts[recount.ActionInsert] > 0 {
		b.WriteString(p.postgresKeep(table))
	}
	order := make([]string, len(p.key))
	for i, c := range p.key {
		order[i] = "t." + quoted(c.name)
		if c.kind == recount.KindJSON {
			order[i] += "::text"
		}
	}
	fmt.Fprintf(&b, "  PERFORM 1 FROM pg_temp.recount_rows_%d AS s JOIN %s AS t ON %s ORDER BY %s FOR UPDATE OF t;\n", p.n, table, postgresSame(p), strings.Join(order, ", "))
	b.WriteString(p.postgresFirst(fmt.Sprintf(`CASE s.action WHEN 'insert' THEN EXISTS (SELECT 1 FROM %s AS t WHERE %s)
      ELSE NOT EXISTS (SELECT 1 FROM %s AS t WHERE %s%s) END`, table, postgresSame(p), table, postgresSame(p), postgresHolds(p.columns[:p.planned], "b"))))
	fmt.Fprintf(&b, "  IF bad > 0 THEN\n    RAISE EXCEPTION 'recount: nothing is written: %% of %d rows of table %% changed after the plan was made: %%', bad, %s, keys;\n  END IF;\n", len(p.writes), postgres.text(p.table()))
	b.WriteString(p.postgresStored(table))
	b.WriteString("END")
	return b.String()
}

// postgresInexact is the condition that a value changed when it was cast to its
// column's type: digits were rounded off, or the type is another one than the
// plan's.
func (p *part) postgresInexact() string {
	var parts []string
	add := func(name string, kind recount.Kind) {
		switch kind {
		case recount.KindDouble:
			parts = append(parts, fmt.Sprintf("s.%s::text::numeric IS DISTINCT FROM x.%s::numeric", name, name))
		case recount.KindTimestamp:
			parts = append(parts, fmt.Sprintf("s.%s IS DISTINCT FROM x.%s::timestamptz", name, name))
		case recount.KindJSON:
		case recount.KindString, recount.KindInt64, recount.KindDecimal, recount.KindBool, recount.KindDate:
			parts = append(parts, fmt.Sprintf(`s.%s::text COLLATE "C" IS DISTINCT FROM x.%s COLLATE "C"`, name, name))
		}
	}
	for i, c := range p.key {
		add(fmt.Sprintf("k%d", i), c.kind)
	}
	for i, c := range p.columns {
		if i < p.planned {
			add(fmt.Sprintf("b%d", i), c.kind)
		}
		add(fmt.Sprintf("a%d", i), c.kind)
	}
	return strings.Join(parts, " OR ")
}

// postgresKeep keeps other writers from taking a key between check and insert,
// where no constraint does.
func (p *part) postgresKeep(table string) string {
	names := make([]string, len(p.key))
	for i, c := range p.key {
		names[i] = postgres.text(c.name)
	}
	return fmt.Sprintf(`  IF NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (SELECT array_agg(a.attname::text) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, n)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.n <= i.indnkeyatts) <@ ARRAY[%s]) THEN
    LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE;
  END IF;
`, postgres.text(table), strings.Join(names, ", "), table)
}

// postgresStored keeps what the plan's texts do not say of the rows that are
// overwritten: whole deleted rows, and forms that share one text.
func (p *part) postgresStored(table string) string {
	var b strings.Builder
	var loose []string
	for i, c := range p.columns[:p.planned] {
		if c.kind == recount.KindDouble || c.kind == recount.KindJSON {
			loose = append(loose, fmt.Sprintf("(%s, t.%s::text, x.b%d)", postgres.text(c.name), quoted(c.name), i))
		}
	}
	if len(loose) > 0 && p.counts[recount.ActionUpdate] > 0 {
		fmt.Fprintf(&b, `  UPDATE pg_temp.recount_text_%d AS x SET stored = (SELECT json_object_agg(v.name, v.now)::text FROM (VALUES %s) AS v(name, now, planned) WHERE v.now IS DISTINCT FROM v.planned)
    FROM pg_temp.recount_rows_%d AS s JOIN %s AS t ON %s WHERE x.seq = s.seq AND s.action = 'update';
`, p.n, strings.Join(loose, ", "), p.n, table, postgresSame(p))
	}
	if p.counts[recount.ActionDelete] > 0 {
		update := fmt.Sprintf("UPDATE pg_temp.recount_text_%d AS x SET stored = json_object(ARRAY[%%s], ARRAY[%%s])::text FROM pg_temp.recount_rows_%d AS s JOIN %s AS t ON %s WHERE x.seq = s.seq AND s.action = 'delete'",
			p.n, p.n, strings.ReplaceAll(table, "%", "%%"), strings.ReplaceAll(postgresSame(p), "%", "%%"))
		fmt.Fprintf(&b, `  EXECUTE (SELECT format(%s, string_agg(quote_literal(attname), ', ' ORDER BY attnum), string_agg(format('t.%%I::text', attname), ', ' ORDER BY attnum))
    FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
`, postgres.text(update), postgres.text(table))
	}
	return b.String()
}

// postgresWrites deletes first, children before their parents, then updates,
// and inserts parents before their children.
func (s *script) postgresWrites() {
	order := ordered(s.parts)
	backwards := slices.Clone(order)
	slices.Reverse(backwards)
	for _, p := range backwards {
		if n := p.counts[recount.ActionDelete]; n > 0 {
			s.postgresWrite(p, "deletes", n, fmt.Sprintf("DELETE FROM %s AS t USING pg_temp.recount_rows_%d AS s WHERE s.action = 'delete' AND %s%s",
				postgresTable(p.table()), p.n, postgresSame(p), postgresHolds(p.columns[:p.planned], "b")))
		}
	}
	for _, p := range order {
		for g, set := range p.sets {
			names := make([]string, len(set))
			for i, j := range set {
				names[i] = fmt.Sprintf("%s = s.a%d", quoted(p.columns[j].name), j)
			}
			s.postgresWrite(p, "updates", p.grouped(g), fmt.Sprintf("UPDATE %s AS t SET %s FROM pg_temp.recount_rows_%d AS s WHERE s.grp = %d AND %s%s",
				postgresTable(p.table()), strings.Join(names, ", "), p.n, g, postgresSame(p), postgresHolds(p.columns[:p.planned], "b")))
		}
	}
	for _, p := range order {
		if n := p.counts[recount.ActionInsert]; n > 0 {
			var names []string
			for _, c := range slices.Concat(p.key, p.columns) {
				names = append(names, quoted(c.name))
			}
			s.postgresWrite(p, "inserts", n, fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pg_temp.recount_rows_%d AS s WHERE s.action = 'insert' ORDER BY s.seq",
				postgresTable(p.table()), strings.Join(names, ", "), strings.Join(append(numbered("s.k", len(p.key)), numbered("s.a", len(p.columns))...), ", "), p.n))
		}
	}
}

func (s *script) postgresWrite(p *part, what string, n int, statement string) {
	s.block(fmt.Sprintf(`DECLARE n bigint;
BEGIN
  %s;
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n <> %d THEN
    RAISE EXCEPTION 'recount: %d %s of table %% were planned, the database made %%', %s, n;
  END IF;
END`, statement, n, n, what, postgres.text(p.table())))
}

func (s *script) postgresReadBack(p *part) string {
	table := postgresTable(p.table())
	var b strings.Builder
	b.WriteString("DECLARE bad bigint; keys text;\nBEGIN\n")
	b.WriteString(p.postgresFirst(fmt.Sprintf(`CASE s.action WHEN 'delete' THEN EXISTS (SELECT 1 FROM %s AS t WHERE %s)
      WHEN 'insert' THEN NOT EXISTS (SELECT 1 FROM %s AS t WHERE %s%s)
      ELSE NOT EXISTS (SELECT 1 FROM %s AS t WHERE %s%s) END`, table, postgresSame(p), table, postgresSame(p), postgresHolds(p.columns, "a"),
		table, postgresSame(p), postgresHolds(p.columns[:p.planned], "a"))))
	fmt.Fprintf(&b, "  IF bad > 0 THEN\n    RAISE EXCEPTION 'recount: %% rows of table %% do not read back as they were written: %%', bad, %s, keys;\n  END IF;\nEND", postgres.text(p.table()))
	return b.String()
}

// postgresRecord writes the part's ledger row and its undo rows.
func (s *script) postgresRecord(p *part) error {
	body, err := s.run(p)
	if err != nil {
		return err
	}
	s.line("INSERT INTO recount.recount_runs (run, plan, target, kind, at, of_run, body)")
	s.line("  SELECT %s, %s, t.name, %s, r.at, '', (%s::jsonb || jsonb_build_object('run', %s, 'by', r.by, 'at', to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')))::text",
		runName("r.run", p), postgres.text(recount.PartID(s.plan.ID, p.n)), postgres.text(string(p.body.Kind)), postgres.text(body), runName("r.run", p))
	s.line("  FROM pg_temp.recount_run AS r, pg_temp.recount_tables AS t WHERE t.part = %d;", p.n)
	key, before := p.postgresList("k", len(p.key)), p.postgresList("b", p.planned)
	after, whole := p.postgresList("a", p.planned), p.postgresList("a", len(p.columns))
	s.line("INSERT INTO recount.recount_undo (run, action, key, before, after, stored)")
	s.line("  SELECT %s, x.action, %s, CASE WHEN x.action <> 'insert' THEN %s END, CASE x.action WHEN 'update' THEN %s WHEN 'insert' THEN %s END, x.stored", runName("r.run", p), key, before, after, whole)
	s.line("  FROM pg_temp.recount_run AS r, pg_temp.recount_text_%d AS x ORDER BY x.seq;", p.n)
	return nil
}

// postgresList is the JSON list of texts in which the ledger keeps an image.
func (p *part) postgresList(prefix string, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf("coalesce(to_json(x.%s%d)::text, 'null')", prefix, i)
	}
	if n == 0 {
		return "'[]'"
	}
	list := "'[' || " + strings.Join(parts, " || ',' || ") + " || ']'"
	if p.separators() {
		list = fmt.Sprintf(`replace(replace(%s, E'\u2028', E'\\u2028'), E'\u2029', E'\\u2029')`, list)
	}
	return list
}
