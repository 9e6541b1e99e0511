package duckdb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
)

// run runs a variant's logic and writes its rows, in key order, to a file.
func (w *worker) run(ctx context.Context, r runRequest) (runAnswer, error) {
	in := w.input
	v, err := w.variant(ctx, r.Variant, r.Edges)
	if err != nil {
		return runAnswer{}, err
	}
	shape := v.shape
	if err := in.useFor(ctx, v.Variant); err != nil {
		return runAnswer{}, err
	}
	if err := in.makeEvents(ctx, v); err != nil {
		return runAnswer{}, err
	}
	if err := in.ownFunctions(shape); err != nil {
		return runAnswer{}, err
	}
	wanted, err := in.wanted(ctx, shape, v.Variant)
	if err != nil {
		return runAnswer{}, err
	}
	if r.Same != "" {
		same, err := in.same(ctx, v.logic.script, shape, wanted, v.Variant, r.Same)
		return runAnswer{Shape: renamed(shape, v.Variant), Same: same}, err
	}
	b := copyRows(v.logic.script, shape, wanted, in.Window, r.Out)
	if err := in.db.exec(ctx, b.sql); err != nil {
		return runAnswer{}, runError(err, b, v.Logic.Path, in.Limits.MemoryMiB)
	}
	return runAnswer{Shape: renamed(shape, v.Variant)}, nil
}

// ownFunctions adds our functions where a key needs them.
func (in *input) ownFunctions(shape recount.Shape) error {
	for _, c := range shape.Key {
		if c.Type.Kind == recount.KindDouble || c.Type.Kind == recount.KindJSON {
			return in.db.addFunctions()
		}
	}
	return nil
}

// shapeOf finds the key and value columns in the result. The names in it are the
// logic's own.
func shapeOf(columns []recount.Column, v engine.Variant) (recount.Shape, error) {
	var s recount.Shape
	var missing []string
	find := func(names []string) (found []recount.Column) {
		for _, name := range names {
			i := slices.IndexFunc(columns, func(c recount.Column) bool { return c.Name == name })
			if i < 0 {
				i = slices.IndexFunc(columns, func(c recount.Column) bool { return strings.EqualFold(c.Name, name) })
			}
			if i < 0 {
				missing = append(missing, name)
				continue
			}
			found = append(found, columns[i])
		}
		return found
	}
	s.Key, s.Values = find(v.Key), find(v.Columns)
	if len(missing) > 0 {
		var has []string
		for _, c := range columns {
			has = append(has, c.Name)
		}
		return s, &recount.Error{
			Code: recount.CodeNoColumn, What: "the result lacks a column", Where: v.Logic.Path,
			Why:  fmt.Sprintf("the calculation names %s; the SQL returns %s", strings.Join(missing, ", "), strings.Join(has, ", ")),
			Next: "return the column from the SQL, or take it out of `key` or `columns`",
		}
	}
	return s, nil
}

// renamed gives the columns the names that the caller uses.
func renamed(s recount.Shape, v engine.Variant) recount.Shape {
	for i := range s.Key {
		s.Key[i].Name = v.Key[i]
	}
	for i := range s.Values {
		s.Values[i].Name = v.Columns[i]
	}
	return s
}

// groupRows bounds what the writer and the reader of rows hold in memory.
const groupRows = 32768

// typedRows is the logic's rows as they travel: the start of a SELECT, and what
// names its columns.
func typedRows(shape recount.Shape) (start string, keys, all []string) {
	var list []string
	for i, c := range shape.Key {
		keys = append(keys, "k"+strconv.Itoa(i))
		list = append(list, plain("recount_rows."+ident(c.Name), c.Type)+" AS "+keys[i])
	}
	all = slices.Clone(keys)
	for i, c := range shape.Values {
		all = append(all, "v"+strconv.Itoa(i))
		list = append(list, plain("recount_rows."+ident(c.Name), c.Type)+" AS v"+strconv.Itoa(i))
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (\n", keys, all
}

// copyRows is the statement that writes the rows. DuckDB keeps the order of an
// ORDER BY in COPY; the reader checks it all the same.
func copyRows(s script, shape recount.Shape, wanted string, window recount.Window, out string) bound {
	start, keys, _ := typedRows(shape)
	var sorted strings.Builder
	for i, c := range shape.Key {
		sep := ", "
		if i == 0 {
			sep = " ORDER BY "
		}
		sorted.WriteString(sep + sortText(keys[i], c.Type) + " ASC NULLS FIRST")
	}
	return s.bind("COPY (SELECT * FROM ("+start, querySuffix+") AS recount_typed"+wanted+sorted.String()+") TO "+literal(out)+
		" (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE "+strconv.Itoa(groupRows)+")", window)
}

// same says whether the logic's rows are those of a file, by two sums of 64-bit
// hashes and their number. Rows that are equal but for their spelling, such as
// 0 and -0, may count as others: then the rows themselves are compared.
func (in *input) same(ctx context.Context, s script, shape recount.Shape, wanted string, v engine.Variant, file string) (bool, error) {
	start, _, all := typedRows(shape)
	forward := strings.Join(all, ", ")
	slices.Reverse(all)
	digest := fmt.Sprintf("SELECT count(*) AS n, sum(CAST(hash(%s) AS HUGEINT)) AS a, sum(CAST(hash('recount', %s) AS HUGEINT)) AS b FROM ", forward, strings.Join(all, ", "))
	b := s.bind("SELECT (SELECT (n, a, b) FROM ("+digest+readParquet([]string{file})+")) IS NOT DISTINCT FROM (SELECT (n, a, b) FROM ("+digest+"("+start,
		querySuffix+") AS recount_typed"+wanted+"))", in.Window)
	var same bool
	if err := in.db.row(ctx, b.sql, &same); err != nil {
		return false, runError(err, b, v.Logic.Path, in.Limits.MemoryMiB)
	}
	return same, nil
}

// wanted is the clause that leaves out rows nobody asked for. Keys of kinds
// whose text DuckDB may spell otherwise are not looked for: all rows are made.
func (in *input) wanted(ctx context.Context, shape recount.Shape, v engine.Variant) (string, error) {
	if v.Keys == nil || len(shape.Key) == 0 {
		return "", nil
	}
	var same []string
	for i, c := range shape.Key {
		if !spelledAlike(c.Type.Kind) {
			return "", nil
		}
		same = append(same, fmt.Sprintf("CAST(k%d AS VARCHAR) = recount_keys.c%d", i, i))
	}
	if err := in.bringKeys(ctx, len(shape.Key), v.Keys); err != nil {
		return "", fmt.Errorf("choose rows of %s: %w", in.Stream, err)
	}
	return " SEMI JOIN recount_keys ON " + strings.Join(same, " AND "), nil
}

// spelledAlike says whether DuckDB's text of a kind is the canonical one.
func spelledAlike(k recount.Kind) bool {
	return k == recount.KindString || k == recount.KindInt64 || k == recount.KindDate || k == recount.KindBool
}

// only returns a SELECT of the named events, whatever their marks. The broken
// fields of those are replaced.
func (in *input) only(ctx context.Context, v engine.Variant) (string, error) {
	if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE recount_only AS SELECT unnest("+seqList(v.Only)+") AS seq"); err != nil {
		return "", fmt.Errorf("choose events of %s: %w", in.Stream, err)
	}
	touched, err := in.touched(ctx, "recount_only")
	if err != nil {
		return "", err
	}
	if len(touched) == 0 {
		return in.nothing(), nil
	}
	if reversed(v) {
		slices.Reverse(touched)
	}
	from := readParquet(in.paths(touched)) + " AS e SEMI JOIN recount_only AS o ON e.seq = o.seq"
	if len(in.Marks) == 0 || v.Probe == 0 {
		return "SELECT " + in.columns(stored) + " FROM " + from, nil
	}
	probed := func(f recount.Field) string {
		return "CASE WHEN list_contains(b.broken, " + literal(f.Name) + ") THEN " + probe(f.Type, v.Probe) + " ELSE " + stored(f) + " END"
	}
	return "SELECT " + in.columns(probed) + " FROM (SELECT * FROM " + from + ") AS e LEFT JOIN (SELECT seq, flatten(list(string_split(broken, ','))) AS broken FROM " +
		readParquet(in.Marks) + " SEMI JOIN recount_only USING (seq) WHERE broken IS NOT NULL GROUP BY seq) AS b ON e.seq = b.seq", nil
}

func seqList(seqs []int64) string {
	var b strings.Builder
	b.WriteString("CAST([")
	for i, s := range seqs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(s, 10))
	}
	b.WriteString("] AS BIGINT[])")
	return b.String()
}
