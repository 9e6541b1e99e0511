package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
)

// A calculation is run over many sets of events at once: each set is a case, and
// the query stands in a lateral join whose `events` are those of the case. Where
// DuckDB cannot plan that, the query is run case by case.

// The columns of cases. They have names that no query can mean.
const (
	caseColumn  = `"recount case"`
	untilColumn = `"recount until"`
)

// cases is one set of runs of a query.
type cases struct {
	v     variant
	shape recount.Shape // the columns of the result
	// table has a row for each case: caseColumn and untilColumn.
	table string
	// events returns the SELECT of a case's events, given its two columns or
	// their values.
	events func(number, until string) string
	// opening does the same for `opening`; nil: the logic has none.
	opening func(number string) string
	// into is the table that the rows are added to: both columns of the case, then
	// those of typedRows. rest stands behind the SELECT of them, of alias r.
	into, rest string
}

// mostSingle is how many cases are run one by one.
const mostSingle = 5000

// runCases adds the rows of all cases to a table.
func (in *input) runCases(ctx context.Context, c cases) error {
	planned, err := in.runLateral(ctx, c)
	if err != nil || planned {
		return err
	}
	return in.runSingly(ctx, c)
}

// runLateral runs all cases at once, if DuckDB can plan that.
func (in *input) runLateral(ctx context.Context, c cases) (planned bool, err error) {
	b := c.bind(in.Window, "SELECT r.* FROM (SELECT c."+caseColumn+", c."+untilColumn+", r.* FROM "+c.table+" AS c, LATERAL (",
		"c."+caseColumn, "c."+untilColumn, ") AS r) AS r"+c.rest)
	// A part that names columns of what stands round it, inside a join that does
	// so too, is more than DuckDB 1.5 gets right: it mistakes one column for
	// another.
	if c.v.logic.correlated || !in.plans(ctx, b.sql) {
		return false, ctx.Err()
	}
	insert := "INSERT INTO " + c.into + " "
	b.prefix, b.sql = insert+b.prefix, insert+b.sql
	if err := in.db.exec(ctx, b.sql); err != nil {
		return true, runError(err, b, c.v.Logic.Path, in.Limits.MemoryMiB)
	}
	return true, nil
}

// bind puts the query between what makes its relations and what names a case.
func (c cases) bind(window recount.Window, prefix, number, until, suffix string) bound {
	start, _, _ := typedRows(c.shape)
	with := "WITH events AS (" + c.events(number, until) + ")"
	if c.opening != nil {
		with += ", opening AS (" + c.opening(number) + ")"
	}
	return c.v.logic.script.bind(prefix+with+" "+start, querySuffix+suffix, window)
}

// plans says whether DuckDB can plan the statement.
func (in *input) plans(ctx context.Context, statement string) bool {
	rows, err := in.db.conn.QueryContext(ctx, "EXPLAIN "+statement)
	if err != nil {
		return false
	}
	defer func() { _ = rows.Close() }()
	return rows.Err() == nil
}

// runSingly runs case by case.
func (in *input) runSingly(ctx context.Context, c cases) (err error) {
	var n int64
	if err := in.db.row(ctx, "SELECT count(*) FROM "+c.table, &n); err != nil {
		return fmt.Errorf("count cases: %w", err)
	}
	if n > mostSingle {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: "the SQL cannot be followed event by event", Where: c.v.Logic.Path,
			Why:  fmt.Sprintf("the engine cannot plan it over many sets of events at once, and running it %d times, one by one, takes too long", n),
			Next: "write it without correlated or recursive parts, or choose a shorter window", Err: recount.ErrUnsupported,
		}
	}
	var list string
	if err := in.db.row(ctx, "SELECT CAST(to_json(coalesce(list(["+caseColumn+", "+untilColumn+"]), [])) AS VARCHAR) FROM "+c.table, &list); err != nil {
		return fmt.Errorf("list cases: %w", err)
	}
	var pairs [][2]int64
	if err := json.Unmarshal([]byte(list), &pairs); err != nil {
		return fmt.Errorf("list cases: %w", err)
	}
	for _, p := range pairs {
		number, until := strconv.FormatInt(p[0], 10), strconv.FormatInt(p[1], 10)
		b := c.bind(in.Window, "INSERT INTO "+c.into+" SELECT r.* FROM (SELECT "+number+" AS "+caseColumn+", "+until+" AS "+untilColumn+", r.* FROM (",
			number, until, ") AS r) AS r"+c.rest)
		if err := in.db.exec(ctx, b.sql); err != nil {
			return runError(err, b, c.v.Logic.Path, in.Limits.MemoryMiB)
		}
	}
	return nil
}

// makeTyped makes an empty table of a case's columns and those of a result.
func (in *input) makeTyped(ctx context.Context, table string, shape recount.Shape) error {
	columns := []string{caseColumn + " BIGINT", untilColumn + " BIGINT"}
	for i, c := range shape.Key {
		columns = append(columns, fmt.Sprintf("k%d %s", i, plainType(c.Type)))
	}
	for i, c := range shape.Values {
		columns = append(columns, fmt.Sprintf("v%d %s", i, plainType(c.Type)))
	}
	return in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE "+table+" ("+strings.Join(columns, ", ")+")")
}

// eachBatch is how many events are run alone at a time: a query over all of them
// at once could not be held in memory.
const eachBatch = 500_000

// eachInto runs a variant's logic over each event that it sees alone, and adds
// the rows to a table. Rows that the logic makes of no event at all, too, are no
// event's.
func (in *input) eachInto(ctx context.Context, v variant, shape recount.Shape, into, rest string) error {
	query, err := in.seen(ctx, v, true)
	if err != nil {
		return err
	}
	// The relation is read again by each batch, which bounds it by seq.
	if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP VIEW recount_seen AS "+query); err != nil {
		return fmt.Errorf("read events of %s: %w", in.Stream, err)
	}
	c := cases{v: v, shape: shape, into: into, table: "recount_cases"}
	if len(v.Logic.Opening) > 0 {
		c.opening = func(string) string { return emptyRelation(v.Logic.Opening) }
	}
	if c.rest, err = in.withoutVoid(ctx, c, rest); err != nil {
		return err
	}
	first, last := in.seqs()
	checked := false
	for from := first; from <= last; from += eachBatch {
		batch := fmt.Sprintf("%s >= %d AND %s < %d", seqColumn, from, seqColumn, from+eachBatch)
		c.events = func(number, _ string) string {
			return "SELECT " + in.all("b") + " FROM recount_seen AS b WHERE b." + seqColumn + " = " + number + " AND " + batch
		}
		err := in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE recount_cases AS SELECT DISTINCT "+seqColumn+" AS "+caseColumn+
			", CAST(0 AS BIGINT) AS "+untilColumn+" FROM recount_seen WHERE "+batch)
		if err != nil {
			return fmt.Errorf("read events of %s: %w", in.Stream, err)
		}
		if err := in.runCases(ctx, c); err != nil {
			return err
		}
		if !checked {
			if err := in.spotCheck(ctx, c); err != nil {
				return err
			}
			checked = true
		}
	}
	return nil
}

// spotCases is how many cases are run once more, one by one.
const spotCases = 3

// spotCheck holds some cases that were run at once against runs of one each: a
// query that DuckDB gets wrong must not go unseen.
func (in *input) spotCheck(ctx context.Context, c cases) error {
	one := c
	one.table, one.into = "recount_few", "recount_spot"
	err := in.db.exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE recount_few AS SELECT * FROM %s ORDER BY hash(%s) LIMIT %d", c.table, caseColumn, spotCases))
	if err = errors.Join(err, in.makeTyped(ctx, one.into, c.shape)); err != nil {
		return fmt.Errorf("check cases: %w", err)
	}
	if err := in.runSingly(ctx, one); err != nil {
		return err
	}
	var differ bool
	many := "(FROM " + c.into + " SEMI JOIN recount_few USING (" + caseColumn + "))"
	err = in.db.row(ctx, "SELECT EXISTS (FROM "+many+" EXCEPT ALL FROM recount_spot) OR EXISTS (FROM recount_spot EXCEPT ALL FROM "+many+")", &differ)
	if err != nil {
		return fmt.Errorf("check cases: %w", err)
	}
	if differ {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: "the SQL cannot be followed event by event", Where: c.v.Logic.Path,
			Why:  "run over many sets of events at once it gives other rows than run over one of them",
			Next: "write it in a plainer form: joins and aggregates over `events`", Err: recount.ErrUnsupported,
		}
	}
	return nil
}

// withoutVoid adds to rest what leaves out the rows that the logic makes of no
// event at all. Most make none.
func (in *input) withoutVoid(ctx context.Context, c cases, rest string) (string, error) {
	if err := in.makeTyped(ctx, "recount_void", c.shape); err != nil {
		return "", fmt.Errorf("run without events: %w", err)
	}
	none := c
	none.into, none.rest = "recount_void", ""
	none.events = func(string, string) string { return "SELECT " + in.all("b") + " FROM recount_seen AS b WHERE false" }
	b := none.bind(in.Window, "INSERT INTO recount_void SELECT 0, 0, r.* FROM (", "0", "0", ") AS r")
	if err := in.db.exec(ctx, b.sql); err != nil {
		return "", runError(err, b, c.v.Logic.Path, in.Limits.MemoryMiB)
	}
	var n int64
	if err := in.db.row(ctx, "SELECT count(*) FROM recount_void", &n); err != nil || n == 0 {
		return rest, err
	}
	_, _, all := typedRows(c.shape)
	for i, name := range all {
		all[i] = "r." + name + " IS NOT DISTINCT FROM void." + name
	}
	return " ANTI JOIN recount_void AS void ON " + strings.Join(all, " AND ") + rest, nil
}

// seqs is the span of sequence numbers of the files.
func (in *input) seqs() (first, last int64) {
	for i, f := range in.Files {
		if i == 0 {
			first, last = f.FirstSeq, f.LastSeq
		}
		first, last = min(first, f.FirstSeq), max(last, f.LastSeq)
	}
	if len(in.Files) == 0 {
		return 0, -1
	}
	return first, last
}

// all lists the columns that SQL sees, of a relation that has them.
func (in *input) all(alias string) string { return in.publicOf(alias, alias+".hit") }

// keyTexts are the canonical texts of a result's key columns.
func keyTexts(alias string, key []recount.Column) (list []string) {
	for i, c := range key {
		list = append(list, "CAST("+sortText(alias+".k"+strconv.Itoa(i), c.Type)+" AS VARCHAR)")
	}
	return list
}

// touches makes the table of the keys of which each event, alone, makes a row,
// under a logic without any hypothesis, and returns its name. It has seq and the
// texts of the key, c0 and so on; repeats are in it.
func (in *input) touches(ctx context.Context, v variant) (string, error) {
	plain := v
	plain.Variant = engine.Variant{Logic: v.Logic, Key: v.Key, Split: v.Split, Shake: v.Shake}
	plain.wheres = nil
	key, err := json.Marshal(plain.Variant)
	if err != nil {
		return "", err
	}
	if table, ok := in.alone[string(key)]; ok {
		return table, nil
	}
	// Any column tells that an event makes a row.
	shape := recount.Shape{Key: v.shape.Key}
	for _, c := range v.logic.columns {
		if !slices.ContainsFunc(v.shape.Key, func(k recount.Column) bool { return k.Name == c.Name }) {
			shape.Values = append(shape.Values, c)
		}
	}
	if err := in.ownFunctions(shape); err != nil {
		return "", err
	}
	if err := in.makeTyped(ctx, "recount_alone", shape); err != nil {
		return "", fmt.Errorf("run events alone: %w", err)
	}
	if err := in.eachInto(ctx, plain, shape, "recount_alone", ""); err != nil {
		return "", err
	}
	table := "recount_touches_" + strconv.Itoa(len(in.alone))
	texts := keyTexts("a", shape.Key)
	for i := range texts {
		texts[i] += " AS c" + strconv.Itoa(i)
	}
	err = in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE "+table+" AS SELECT DISTINCT a."+caseColumn+" AS seq, "+strings.Join(texts, ", ")+" FROM recount_alone AS a")
	if err = errors.Join(err, in.db.exec(ctx, "DROP TABLE recount_alone")); err != nil {
		return "", fmt.Errorf("run events alone: %w", err)
	}
	in.alone[string(key)] = table
	return table, nil
}

// each writes what each event contributes to a file.
func (w *worker) each(ctx context.Context, r runRequest) (runAnswer, error) {
	in := w.input
	v, err := w.variant(ctx, r.Variant, r.Edges)
	if err != nil {
		return runAnswer{}, err
	}
	if err := in.useFor(ctx, v.Variant); err != nil {
		return runAnswer{}, err
	}
	if err := in.ownFunctions(v.shape); err != nil {
		return runAnswer{}, err
	}
	wanted, err := in.wanted(ctx, v.shape, v.Variant)
	if err != nil {
		return runAnswer{}, err
	}
	if err := in.makeTyped(ctx, "recount_each", v.shape); err != nil {
		return runAnswer{}, fmt.Errorf("run events alone: %w", err)
	}
	if err := in.eachInto(ctx, v, v.shape, "recount_each", wanted); err != nil {
		return runAnswer{}, err
	}
	_, _, all := typedRows(v.shape)
	sorted := append([]string{"m.partition", "m.position"}, keyTexts("r", v.shape.Key)...)
	sorted = append(sorted, "m.seq") // copies of one event share its position
	for i := range all {
		all[i] = "r." + all[i]
	}
	meta, err := in.meta(ctx, v)
	if err != nil {
		return runAnswer{}, err
	}
	query := "COPY (SELECT r." + caseColumn + " AS seq, m.partition, m.position, coalesce(m.id, '') AS id, m.hit, " + strings.Join(all, ", ") +
		" FROM recount_each AS r JOIN (" + meta + ") AS m ON m.seq = r." + caseColumn + " ORDER BY " + strings.Join(sorted, ", ") + ") TO " + literal(r.Out) +
		" (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE " + strconv.Itoa(groupRows) + ")"
	if err := in.db.exec(ctx, query); err != nil {
		return runAnswer{}, runError(err, bound{}, v.Logic.Path, in.Limits.MemoryMiB)
	}
	return runAnswer{Shape: renamed(v.shape, v.Variant)}, in.db.exec(ctx, "DROP TABLE recount_each")
}

// meta returns a SELECT that names the events which a variant chooses from.
func (in *input) meta(ctx context.Context, v variant) (string, error) {
	twice := v.Twice && v.Dedupe && v.Only == nil
	source, hit, err := in.source(ctx, v, twice)
	if err != nil {
		return "", err
	}
	query := "SELECT e.seq, e.partition, e.position, e.id, greatest(e.time, coalesce(e.ingest_time, e.time)) AS came, " + hit + " AS hit"
	if !twice {
		return query + " FROM (" + source + ") AS e", nil
	}
	return "SELECT * FROM (" + query + ", e." + repeatFlag + " FROM (" + source + ") AS e) WHERE hit OR NOT " + repeatFlag, nil
}
