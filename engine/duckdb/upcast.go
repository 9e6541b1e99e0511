package duckdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
)

// payloadColumn is what upcasts see besides the columns of `events`, where no
// field has its name: the payload's text as JSON, NULL where it is none.
const payloadColumn = "payload"

// defaultFaults is how many events upcasts may fail for where nobody says.
const defaultFaults = 1000

// step is an upcast whose texts have been checked.
type step struct {
	name string
	when *checked // nil: for all events
	sets []set
	// reads says that a text names payloadColumn.
	reads bool
}

// set replaces a field.
type set struct {
	field recount.Field
	value *checked
}

// typeField is the event's type as a field: what upcasts may replace besides the
// declared ones.
var typeField = recount.Field{Name: engine.TypeColumn, Type: recount.Type{Kind: recount.KindString}}

// upcasts checks the steps of an input.
func (w *worker) upcasts(ctx context.Context, list []engine.Upcast, fields []recount.Field) (steps []step, err error) {
	settable := append(slices.Clone(fields), typeField)
	for _, u := range list {
		s := step{name: u.Name}
		if strings.TrimSpace(u.When) != "" {
			if s.when, err = w.check(ctx, checkRequest{Text: u.When, Path: "upcast " + u.Name + ", when", Condition: true, Alone: true, Fields: fields}); err != nil {
				return nil, err
			}
			s.reads = s.when.uses(payloadColumn)
		}
		for _, name := range slices.Sorted(maps.Keys(u.Set)) {
			i := slices.IndexFunc(settable, func(f recount.Field) bool { return f.Name == name })
			path := "upcast " + u.Name + ", set " + name
			if i < 0 {
				return nil, noField(name, path, fields)
			}
			c, err := w.check(ctx, checkRequest{Text: u.Set[name], Path: path, Condition: true, Value: true, Fields: fields})
			if err != nil {
				return nil, err
			}
			if err := fitting(c.value, settable[i], path); err != nil {
				return nil, err
			}
			s.reads = s.reads || c.uses(payloadColumn)
			s.sets = append(s.sets, set{field: settable[i], value: c})
		}
		steps = append(steps, s)
	}
	if slices.ContainsFunc(fields, func(f recount.Field) bool { return strings.EqualFold(f.Name, payloadColumn) }) {
		for i := range steps {
			steps[i].reads = false // it is a field
		}
	}
	return steps, nil
}

func noField(name, path string, fields []recount.Field) error {
	var known []string
	for _, f := range fields {
		known = append(known, f.Name)
	}
	next := "declare it under fields:, with its type"
	if near := recount.Nearest(name, known); near != "" {
		next = "did you mean " + near + "?"
	}
	return &recount.Error{Code: recount.CodeNoColumn, What: "the upcast sets a field that is not declared", Where: path, Why: "the fields are " + strings.Join(known, ", "), Next: next}
}

// fitting refuses an expression whose values could be changed on their way into
// the field: rounded, cut, or read as something else.
func fitting(t recount.Type, f recount.Field, path string) error {
	ok := t.Kind == f.Type.Kind
	switch f.Type.Kind { //nolint:exhaustive // every other kind takes its own alone
	case recount.KindInt64:
		ok = ok || t.Kind == recount.KindDecimal && t.Scale == 0
	case recount.KindDouble:
		ok = ok || t.Kind == recount.KindInt64
	case recount.KindDecimal:
		ok = ok && t.Scale <= f.Type.Scale || t.Kind == recount.KindInt64
	case recount.KindJSON:
		ok = ok || t.Kind == recount.KindString
	}
	if ok {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeSQL, What: fmt.Sprintf("the expression gives %s, and the field %s is %s", t, f.Name, f.Type), Where: path,
		Why: "what happens to a value on its way from one type into the other has to stand in the expression", Next: "write CAST(… AS " + declared(f.Type) + "), or ->> instead of -> for a text of JSON",
	}
}

// The columns that a step adds while it is computed.
func whenColumn(step int) string { return `"recount when ` + strconv.Itoa(step) + `"` }

func triedColumn(step, set int) string {
	return fmt.Sprintf(`"recount tried %d %d"`, step, set)
}
func setColumn(step, set int) string { return fmt.Sprintf(`"recount set %d %d"`, step, set) }

// stepped puts the steps round a SELECT of events. Each adds three kinds of
// columns: whether it is for the event, NULL where that fails; what its
// expressions give, in a struct, so that NULL tells a failure from a NULL that
// was meant; and the same where it fits.
func stepped(source string, steps []step) string {
	for i, s := range steps {
		when := "{'v': true}"
		if s.when != nil {
			when = "TRY({'v': coalesce((" + s.when.script.bind("\n", "), false)", anyWindow).sql + "})"
		}
		if s.reads {
			when = "CASE WHEN data IS NULL OR " + payloadColumn + " IS NOT NULL THEN " + when + " END"
		}
		source = "SELECT *, " + when + " AS " + whenColumn(i) + " FROM (" + source + ") AS events"
		tried, fits, replaced := []string{}, []string{}, []string{}
		for j, one := range s.sets {
			value := one.value.script.bind("TRY({'v': CAST((\n", ") AS "+declared(one.field.Type)+")})", anyWindow).sql
			tried = append(tried, "CASE WHEN "+whenColumn(i)+".v THEN "+value+" END AS "+triedColumn(i, j))
			fits = append(fits, "CASE WHEN "+within9999(triedColumn(i, j)+".v", one.field.Type)+" THEN "+triedColumn(i, j)+" END AS "+setColumn(i, j))
			replaced = append(replaced, "CASE WHEN "+whenColumn(i)+".v THEN "+setColumn(i, j)+".v ELSE "+ident(one.field.Name)+" END AS "+ident(one.field.Name))
		}
		if len(tried) > 0 {
			source = "SELECT *, " + strings.Join(tried, ", ") + " FROM (" + source + ") AS events"
			source = "SELECT *, " + strings.Join(fits, ", ") + " FROM (" + source + ")"
			source = "SELECT * REPLACE (" + strings.Join(replaced, ", ") + ") FROM (" + source + ")"
		}
	}
	return source
}

// within9999 is the condition that a value is one of its type's, which a
// timestamp of DuckDB's need not be.
func within9999(value string, t recount.Type) string {
	switch t.Kind { //nolint:exhaustive // every other kind holds what DuckDB's does
	case recount.KindTimestamp, recount.KindDate:
		return "(" + value + " IS NULL OR isfinite(" + value + ") AND year(" + value + ") BETWEEN 1 AND 9999)"
	}
	return "true"
}

// judged are the columns that say what the steps did: `applied`, whether one was
// for the event; `mended`, the fields that have a value by one; `failed`, the
// first step that could not be taken, and `broken`, the fields that lack a value.
func judged(steps []step) string {
	var applied []string
	var failed strings.Builder
	failed.WriteString("CASE")
	last := map[string]string{} // by field, what its last step did
	for i, s := range steps {
		when := whenColumn(i)
		applied = append(applied, "coalesce("+when+".v, true)")
		fmt.Fprintf(&failed, " WHEN %s IS NULL THEN %d", when, i)
		for j, one := range s.sets {
			fmt.Fprintf(&failed, " WHEN %s.v AND %s IS NULL THEN %d", when, setColumn(i, j), i)
			last[one.field.Name] = fmt.Sprintf(" WHEN %s IS NULL THEN false WHEN %s.v THEN %s IS NOT NULL", when, when, setColumn(i, j)) + last[one.field.Name]
		}
	}
	var mended, broken []string
	for _, name := range slices.Sorted(maps.Keys(last)) {
		mended = append(mended, "CASE WHEN CASE"+last[name]+" END THEN "+literal(name)+" END")
		broken = append(broken, "CASE WHEN NOT CASE"+last[name]+" END THEN "+literal(name)+" END")
	}
	list := func(parts []string) string {
		return "list_filter(CAST([" + strings.Join(parts, ", ") + "] AS VARCHAR[]), lambda f: f IS NOT NULL)"
	}
	return strings.Join(applied, " OR ") + " AS applied, " + list(mended) + " AS mended, " + failed.String() + " END AS failed, " + list(broken) + " AS broken"
}

// reshape takes the upcasts of an input as far as its marks go: what they mend is
// sound, and what they fail for is quarantined. The request gets the file of the
// marks that are left. Nil: nothing has to be done to the events.
func (w *worker) reshape(ctx context.Context, r *openRequest) (_ *reshaping, err error) {
	if len(r.Upcasts) == 0 && len(r.Lookups) == 0 {
		return nil, nil //nolint:nilnil // events stay as they are
	}
	re := &reshaping{lookups: r.Lookups, taken: map[string]recount.Type{}, old: make([]bool, len(r.Files)), spares: &w.spares, memory: r.Limits.MemoryMiB}
	for _, f := range r.Fields {
		if !slices.ContainsFunc(r.Lookups, func(l engine.Lookup) bool { _, ok := l.Take[f.Name]; return ok }) {
			re.fields = append(re.fields, f)
		}
	}
	if err := re.fits(r); err != nil {
		return nil, err
	}
	if re.steps, err = w.upcasts(ctx, r.Upcasts, re.fields); err != nil || len(re.steps) == 0 {
		return re, err
	}
	db, err := re.database(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	for _, query := range []string{
		"CREATE TEMP TABLE recount_given AS SELECT seq, kind, coalesce(id, '') AS id, time, broken, coalesce(why, '') AS why FROM " + marksOf(r.Marks),
		"CREATE TEMP TABLE recount_mended (seq BIGINT, mended VARCHAR[])",
		"CREATE TEMP TABLE recount_failed (seq BIGINT, file INTEGER, id VARCHAR, time TIMESTAMP WITH TIME ZONE, failed INTEGER, broken VARCHAR[])",
	} {
		if err := db.exec(ctx, query); err != nil {
			return nil, fmt.Errorf("take upcasts of %s: %w", r.Stream, err)
		}
	}
	for i, f := range r.Files {
		if re.old[i], err = re.judge(ctx, db, r, f, i); err != nil {
			return nil, fmt.Errorf("take upcasts of %s: %w", r.Stream, err)
		}
	}
	return re, re.mark(ctx, db, r)
}

// marksOf is the relation of the marks of some files.
func marksOf(marks []string) string {
	if len(marks) == 0 {
		return "(SELECT CAST(NULL AS BIGINT) AS seq, '' AS kind, '' AS id, CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS time, '' AS broken, '' AS why WHERE false)"
	}
	return readParquet(marks)
}

// judge finds out what the steps do to the events of a file, and whether any is
// of an old shape.
func (re *reshaping) judge(ctx context.Context, db *database, r *openRequest, f openFile, number int) (old bool, err error) {
	query := "CREATE OR REPLACE TEMP TABLE recount_judged AS SELECT * FROM (SELECT seq, id, time, " + judged(re.steps) + " FROM (" + stepped(re.base(r.Stream, f.Path), re.steps) + ")) WHERE applied"
	if err := db.exec(ctx, query); err != nil {
		return false, runError(err, bound{}, "", r.Limits.MemoryMiB)
	}
	for _, query := range []string{
		"INSERT INTO recount_mended SELECT seq, mended FROM recount_judged SEMI JOIN (SELECT seq FROM recount_given WHERE kind = 'fault') AS g USING (seq)",
		fmt.Sprintf("INSERT INTO recount_failed SELECT seq, %d, coalesce(id, ''), time, failed, broken FROM recount_judged WHERE failed IS NOT NULL", number),
	} {
		if err := db.exec(ctx, query); err != nil {
			return false, err
		}
	}
	err = db.row(ctx, "SELECT count(*) > 0 FROM recount_judged", &old)
	return old, err
}

// mendable is the condition that a mark of kind fault is about fields alone.
const mendable = `g.kind = 'fault' AND g.time IS NOT NULL AND g.broken IS NOT NULL AND g.broken <> '' AND list_bool_and(list_transform(string_split(g.why, '; '), lambda w: starts_with(w, 'field "')))`

// mark writes the marks that are left.
func (re *reshaping) mark(ctx context.Context, db *database, r *openRequest) error {
	for _, query := range []string{
		"DELETE FROM recount_given AS g USING recount_mended AS m WHERE g.seq = m.seq AND " + mendable + " AND list_has_all(m.mended, string_split(g.broken, ','))",
		// What is quarantined already needs no second reason.
		"DELETE FROM recount_failed WHERE time IS NULL OR seq IN (SELECT seq FROM recount_given WHERE kind <> 'repeat')",
	} {
		if err := db.exec(ctx, query); err != nil {
			return fmt.Errorf("take upcasts of %s: %w", r.Stream, err)
		}
	}
	faults, err := re.faults(ctx, db, r)
	if err != nil {
		return err
	}
	left := filepath.Join(r.Scratch, "upcast-marks.parquet")
	query := "COPY (SELECT seq, kind, id, time, broken, why FROM recount_given UNION ALL " +
		"SELECT f.seq, 'fault', f.id, f.time, nullif(array_to_string(f.broken, ','), ''), w.why FROM recount_failed AS f JOIN (" + faults + ") AS w ON w.seq = f.seq ORDER BY seq) TO " +
		literal(left) + " (FORMAT parquet, COMPRESSION zstd)"
	if err := db.exec(ctx, query); err != nil {
		return fmt.Errorf("take upcasts of %s: %w", r.Stream, err)
	}
	r.Marks = []string{left}
	return nil
}
