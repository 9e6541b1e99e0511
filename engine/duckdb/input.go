package duckdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"recount"
	"recount/engine"
)

// defaultMemoryMiB is what a session may use where nobody says otherwise.
const defaultMemoryMiB = 256

// input is the child's side of a session: the files, and a database for each
// split, since a locked one keeps its threads. One of them works at a time.
type input struct {
	openRequest
	spares *spares
	splits map[int]*database
	// db is the database in use.
	db *database
	// marked are the indexes of the files that may hold an event which has a
	// mark in the window.
	marked map[int]bool
	// counted says that the table of marks whose events are there was made, in
	// the database of split 0.
	counted bool
	// alone has what was found out about events alone, by what was asked.
	alone map[string]string
	// reshaping is what is still to be done to the events' fields; nil: nothing.
	reshaping *reshaping
}

// column is one column of the relation besides the declared fields.
type column struct{ name, duck string }

// envelope is what `events` has before the declared fields; `hit` follows them.
// `seq` is no part of it: it says how the archive was written, and a result that
// depended on it would change with another import.
var envelope = []column{
	{"id", "VARCHAR"},
	{"stream", "VARCHAR"},
	{"type", "VARCHAR"},
	{"partition", "VARCHAR"},
	{"position", "VARCHAR"},
	{"time", "TIMESTAMP WITH TIME ZONE"},
	{"ingest_time", "TIMESTAMP WITH TIME ZONE"},
	{"key", "BLOB"},
	{"data", "BLOB"},
	{"headers", "STRUCT(name VARCHAR, value BLOB)[]"},
}

func openInput(ctx context.Context, r openRequest, spares *spares) (*input, error) {
	if r.Limits.MemoryMiB <= 0 {
		r.Limits.MemoryMiB = defaultMemoryMiB
	}
	if r.Limits.Threads <= 0 {
		r.Limits.Threads = runtime.NumCPU()
	}
	in := &input{openRequest: r, spares: spares, splits: map[int]*database{}, alone: map[string]string{}}
	if err := in.use(ctx, 0); err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

// use takes the database of that split.
func (in *input) use(ctx context.Context, split int) error {
	if db, ok := in.splits[split]; ok {
		in.db = db
		return nil
	}
	s := settings{memoryMiB: in.Limits.MemoryMiB, threads: threads(in.Limits.Threads, split), scratch: in.Scratch}
	for _, f := range in.Files {
		s.files = append(s.files, f.Path)
	}
	s.files = append(s.files, in.Marks...)
	if in.Opening != "" {
		s.files = append(s.files, in.Opening)
	}
	db, err := in.spares.take(ctx)
	if err != nil {
		return err
	}
	if err := db.lock(ctx, s); err != nil {
		return err
	}
	in.splits[split], in.db = db, db
	return in.loadMarks(ctx)
}

// useFor takes the database of a variant: shaken threads are those of the first
// split.
func (in *input) useFor(ctx context.Context, v engine.Variant) error {
	if v.Split == 0 && v.Shake.Threads {
		return in.use(ctx, 1)
	}
	return in.use(ctx, v.Split)
}

// reversed says that a variant reads files and events from the end.
func reversed(v engine.Variant) bool { return v.Split%2 == 1 || v.Shake.Files }

// threads are more for each split, so that rows meet in another order.
func threads(base, split int) int {
	if split == 0 {
		return base
	}
	return 2*base + split
}

func (in *input) close() error {
	var err error
	for _, db := range in.splits {
		err = errors.Join(err, db.close())
	}
	clear(in.splits)
	return err
}

// loadMarks reads the marks of the window. A mark whose event is in no file is
// harmless here: nothing is there to be left out.
func (in *input) loadMarks(ctx context.Context) error {
	in.marked = map[int]bool{}
	query := "CREATE TEMP TABLE recount_marks (seq BIGINT, repeat BOOLEAN, bad BOOLEAN)"
	if len(in.Marks) > 0 {
		query = "CREATE TEMP TABLE recount_marks AS SELECT seq, bool_or(kind = 'repeat') AS repeat, bool_or(kind <> 'repeat') AS bad FROM " +
			readParquet(in.Marks) + " WHERE " + in.inRead() + " GROUP BY seq"
	}
	if err := in.db.exec(ctx, query); err != nil {
		return fmt.Errorf("read marks: %w", err)
	}
	if len(in.Marks) == 0 {
		return nil
	}
	touched, err := in.touched(ctx, "recount_marks")
	if err != nil {
		return err
	}
	for _, i := range touched {
		in.marked[i] = true
	}
	return nil
}

// touched returns the indexes of the files whose span of sequence numbers holds
// one of the table's.
func (in *input) touched(ctx context.Context, table string) (indexes []int, err error) {
	if len(in.Files) == 0 {
		return nil, nil
	}
	var spans []string
	for i, f := range in.Files {
		spans = append(spans, fmt.Sprintf("(%d,%d,%d)", i, f.FirstSeq, f.LastSeq))
	}
	rows, err := in.db.conn.QueryContext(ctx, "SELECT i FROM (VALUES "+strings.Join(spans, ",")+") f(i, first_seq, last_seq) SEMI JOIN "+table+
		" m ON m.seq >= f.first_seq AND m.seq <= f.last_seq ORDER BY i")
	if err != nil {
		return nil, fmt.Errorf("find marked files: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var i int
		if err := rows.Scan(&i); err != nil {
			return nil, fmt.Errorf("find marked files: %w", err)
		}
		indexes = append(indexes, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find marked files: %w", err)
	}
	return indexes, nil
}

// span is the event time that is read; a zero edge is open.
func (in *input) span() recount.Window {
	if in.Read.From.IsZero() && in.Read.To.IsZero() && in.Read.By == "" {
		return in.Window
	}
	return in.Read
}

// inRead is the condition on event time under which an event is read.
func (in *input) inRead() string { return within("time", in.span()) }

// within is the condition that a column lies in a window; a zero edge is open,
// and NULL lies in none.
func within(column string, w recount.Window) string {
	var parts []string
	if !w.From.IsZero() {
		parts = append(parts, column+" >= "+instant(w.From))
	}
	if !w.To.IsZero() {
		parts = append(parts, column+" < "+instant(w.To))
	}
	if len(parts) == 0 {
		return column + " IS NOT NULL"
	}
	return strings.Join(parts, " AND ")
}

// beforeUntil is the condition on position under which an event is read; empty:
// there is none.
func (in *input) beforeUntil() string {
	if len(in.Until) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("CASE e.partition")
	for _, partition := range slices.Sorted(maps.Keys(in.Until)) {
		b.WriteString(" WHEN " + literal(partition) + " THEN e.position < " + literal(in.Until[partition]))
	}
	b.WriteString(" ELSE true END")
	return b.String()
}

// isRead joins both conditions.
func (in *input) isRead() string {
	if until := in.beforeUntil(); until != "" {
		return in.inRead() + " AND " + until
	}
	return in.inRead()
}

// overlapping returns the indexes of the files that may hold an event which is
// read.
func (in *input) overlapping() []int {
	var indexes []int
	span := in.span()
	for i, f := range in.Files {
		if f.TimeKnown && f.Rows > 0 && (span.To.IsZero() || f.FirstTime.Before(span.To)) && (span.From.IsZero() || !f.LastTime.Before(span.From)) {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

func (in *input) paths(indexes []int) []string {
	var paths []string
	for _, i := range indexes {
		paths = append(paths, in.Files[i].Path)
	}
	return paths
}

// readParquet names files as a relation. Folders named date=… give no columns:
// the files hold all of theirs.
func readParquet(paths []string) string {
	var list []string
	for _, p := range paths {
		list = append(list, pathLiteral(p))
	}
	return "read_parquet([" + strings.Join(list, ", ") + "], hive_partitioning = false)"
}

// sees says what a relation over events leaves out, and what it adds.
type sees struct {
	dedupe   bool
	reversed bool
	// flagged adds a column that says whether an event is a repeat.
	flagged bool
	// bad keeps the quarantined events.
	bad bool
}

// repeatFlag is the column that sees.flagged adds. No field can have a name with
// a space in it and the prefix of this package.
const repeatFlag = `"recount repeat"`

// window returns a SELECT of columns over the sound events that are read. Files
// without a mark are read as they are; the others lose their marked events.
func (in *input) window(columns string, s sees) string {
	var clean, marked []int
	for _, i := range in.overlapping() {
		if in.marked[i] {
			marked = append(marked, i)
		} else {
			clean = append(clean, i)
		}
	}
	if s.reversed {
		slices.Reverse(clean)
		slices.Reverse(marked)
	}
	var parts []string
	if len(clean) > 0 {
		flag := ""
		if s.flagged {
			flag = ", false AS " + repeatFlag
		}
		parts = append(parts, "SELECT "+columns+flag+" FROM "+readParquet(in.paths(clean))+" AS e WHERE "+in.isRead())
	}
	if len(marked) > 0 {
		flag := ""
		if s.flagged {
			flag = ", e.seq IN (SELECT seq FROM recount_marks WHERE repeat) AS " + repeatFlag
		}
		parts = append(parts, "SELECT "+columns+flag+" FROM "+readParquet(in.paths(marked))+" AS e"+s.gone()+" WHERE "+in.isRead())
	}
	if s.reversed {
		slices.Reverse(parts)
	}
	if len(parts) == 0 {
		return in.nothing()
	}
	return strings.Join(parts, " UNION ALL ")
}

// gone is the join that drops marked events.
func (s sees) gone() string {
	switch {
	case s.bad && s.dedupe:
		return " ANTI JOIN (SELECT seq FROM recount_marks WHERE repeat AND NOT bad) AS m ON e.seq = m.seq"
	case s.bad:
		return ""
	case s.dedupe:
		return " ANTI JOIN recount_marks AS m ON e.seq = m.seq"
	}
	return " ANTI JOIN (SELECT seq FROM recount_marks WHERE bad) AS m ON e.seq = m.seq"
}

// nothing is a relation with all columns and no row.
func (in *input) nothing() string {
	list := []string{"CAST(NULL AS BIGINT) AS seq"}
	for _, c := range envelope {
		list = append(list, "CAST(NULL AS "+c.duck+") AS "+ident(c.name))
	}
	for _, f := range in.Fields {
		list = append(list, "CAST(NULL AS "+declared(f.Type)+") AS "+ident(f.Name))
	}
	list = append(list, "false AS "+repeatFlag)
	return "SELECT " + strings.Join(list, ", ") + " WHERE false"
}

// columns lists seq, the envelope and the fields as read from a file.
func (in *input) columns(field func(recount.Field) string) string {
	list := []string{"e.seq"}
	for _, c := range envelope {
		switch c.name {
		case "stream":
			list = append(list, literal(in.Stream)+" AS stream")
		case engine.TypeColumn:
			list = append(list, field(typeField)+" AS "+ident(c.name))
		default:
			list = append(list, "e."+ident(c.name))
		}
	}
	for _, f := range in.Fields {
		list = append(list, field(f)+" AS "+ident(f.Name))
	}
	return strings.Join(list, ", ")
}

// stored is a field as its file has it; the cast costs nothing where the type is
// the declared one.
func stored(f recount.Field) string {
	return "CAST(e." + ident(f.Name) + " AS " + declared(f.Type) + ")"
}
