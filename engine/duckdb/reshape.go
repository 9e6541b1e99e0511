package duckdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
)

// Old shapes of events are brought to the present one, and reference data is laid
// beside events, by writing the files that hold such events again: so whatever
// looks at a field later sees the same, and no expression runs twice.

// reshaping is what is to be done to the events of an input.
type reshaping struct {
	fields  []recount.Field // those that the archive's files have
	steps   []step
	lookups []engine.Lookup
	taken   map[string]recount.Type // the fields of lookups
	old     []bool                  // by file: it has events of an old shape
	memory  int                     // MiB
	done    bool
	spares  *spares
}

// database returns one that the files are written again in.
func (re *reshaping) database(ctx context.Context, r *openRequest) (*database, error) {
	s := settings{memoryMiB: r.Limits.MemoryMiB, threads: r.Limits.Threads, scratch: r.Scratch, tries: true}
	if s.memoryMiB <= 0 {
		s.memoryMiB = defaultMemoryMiB
	}
	s.threads = max(s.threads, 1)
	for _, f := range r.Files {
		s.files = append(s.files, f.Path)
	}
	s.files = append(s.files, r.Marks...)
	for _, l := range re.lookups {
		s.files = append(s.files, l.File)
	}
	db, err := re.spares.take(ctx)
	if err != nil {
		return nil, err
	}
	return db, db.lock(ctx, s)
}

// base is a SELECT of a file's columns, under their declared types.
func (re *reshaping) base(stream, path string) string {
	list := []string{"e.seq", "e.fault", literal(stream) + " AS stream"}
	for _, c := range envelope {
		if c.name != "stream" {
			list = append(list, "e."+ident(c.name))
		}
	}
	for _, f := range re.fields {
		list = append(list, stored(f)+" AS "+ident(f.Name))
	}
	if slices.ContainsFunc(re.steps, func(s step) bool { return s.reads }) {
		list = append(list, "TRY(CAST(decode(e.data) AS JSON)) AS "+payloadColumn)
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + readParquet([]string{path}) + " AS e"
}

// brought writes the files again that need it, once.
func (in *input) brought(ctx context.Context) (err error) {
	re := in.reshaping
	if re == nil || re.done {
		return nil
	}
	db, err := re.database(ctx, &in.openRequest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	tables, err := re.tables(ctx, db)
	if err != nil {
		return err
	}
	for i, f := range in.Files {
		if !re.old[i] && len(tables) == 0 {
			continue
		}
		out := filepath.Join(in.Scratch, "reshaped-"+strconv.Itoa(i)+".parquet")
		query := "COPY (" + re.whole(re.base(in.Stream, f.Path), tables) + ") TO " + literal(out) + " (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE " + strconv.Itoa(groupRows) + ")"
		if err := db.exec(ctx, query); err != nil {
			return runError(fmt.Errorf("bring events of %s up to date: %w", in.Stream, err), bound{}, "", in.Limits.MemoryMiB)
		}
		in.Files[i].Path = out
	}
	re.done = true
	return in.refuseUnfound(ctx)
}

// whole is a SELECT of events with the columns of a file, and those of lookups.
func (re *reshaping) whole(source string, tables []lookupTable) string {
	list := []string{"e.seq", "e.fault"}
	for _, c := range envelope {
		if c.name != "stream" {
			list = append(list, "e."+ident(c.name))
		}
	}
	for _, f := range re.fields {
		list = append(list, "e."+ident(f.Name))
	}
	var lacks []string
	var joins strings.Builder
	for i, t := range tables {
		list = append(list, t.taken(i)...)
		joins.WriteString(t.join(i))
		lacks = append(lacks, fmt.Sprintf("CASE WHEN l%d.%s IS NULL THEN %d END", i, foundColumn, i))
	}
	if len(tables) > 0 {
		list = append(list, "list_filter(["+strings.Join(lacks, ", ")+"], lambda l: l IS NOT NULL) AS "+lacksColumn)
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (" + stepped(source, re.steps) + ") AS e" + joins.String()
}

// mostDetailed is how many failures of upcasts are told in the engine's words.
const mostDetailed = 20

// faults says of each event that an upcast failed for why it did, as a SELECT. It
// is an error if there are too many.
func (re *reshaping) faults(ctx context.Context, db *database, r *openRequest) (_ string, err error) {
	rows, err := db.conn.QueryContext(ctx, "SELECT seq, file, id, failed, array_to_string(broken, ',') FROM recount_failed ORDER BY seq")
	if err != nil {
		return "", fmt.Errorf("take upcasts of %s: %w", r.Stream, err)
	}
	type fault struct {
		seq          int64
		file, failed int
		id, broken   string
	}
	var list []fault
	defer rows.Close() //nolint:errcheck // Err told before
	for rows.Next() {
		var f fault
		if err := rows.Scan(&f.seq, &f.file, &f.id, &f.failed, &f.broken); err != nil {
			return "", err
		}
		list = append(list, f)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return "", fmt.Errorf("take upcasts of %s: %w", r.Stream, err)
	}
	values := []string{"(CAST(NULL AS BIGINT), '')"}
	for i, f := range list {
		s := re.steps[f.failed]
		why := "upcast " + s.name + ": " + strings.ReplaceAll(f.broken, ",", ", ") + " cannot be made"
		if i < mostDetailed {
			if cause := re.cause(ctx, db, r, f.file, f.seq, f.failed); cause != "" {
				why += ": " + cause
			}
		}
		if i == 0 && int64(len(list)) > most(r.Faults) {
			return "", &recount.Error{
				Code: recount.CodeUpcast, What: fmt.Sprintf("an upcast fails for %d event%s", len(list), strings.Repeat("s", min(len(list)-1, 1))), Where: r.Stream + ", upcast " + s.name,
				Why:  fmt.Sprintf("more than %d are too many to be put aside; the first is event %s: %s", most(r.Faults), shownID(f.id, f.seq), why),
				Next: "narrow the step's `when` to the events that it is for, or mend its expression",
			}
		}
		values = append(values, fmt.Sprintf("(%d, %s)", f.seq, literal(why)))
	}
	return "SELECT * FROM (VALUES " + strings.Join(values, ", ") + ") AS w(seq, why)", nil
}

func most(faults int64) int64 {
	if faults == 0 {
		return defaultFaults
	}
	return max(faults, 0)
}

func shownID(id string, seq int64) string {
	if id == "" {
		return "number " + strconv.FormatInt(seq, 10) + " of the archive"
	}
	return id
}

// cause runs the expressions of a step over one event without TRY and returns
// what the engine says.
func (re *reshaping) cause(ctx context.Context, db *database, r *openRequest, file int, seq int64, failed int) string {
	s := re.steps[failed]
	source := "(SELECT * FROM (" + stepped(re.base(r.Stream, r.Files[file].Path), re.steps[:failed]) + ") WHERE seq = " + strconv.FormatInt(seq, 10) + ") AS events"
	if s.reads {
		var unread bool
		if err := db.row(ctx, "SELECT data IS NOT NULL AND payload IS NULL FROM "+source, &unread); err == nil && unread {
			return "its payload is no JSON"
		}
	}
	texts := []string{}
	if s.when != nil {
		texts = append(texts, s.when.script.bind("(\n", ")", anyWindow).sql)
	}
	for _, one := range s.sets {
		texts = append(texts, one.value.script.bind("CAST((\n", ") AS "+declared(one.field.Type)+")", anyWindow).sql)
	}
	for _, text := range texts {
		var is bool
		if err := db.row(ctx, "SELECT ("+text+") IS NULL FROM "+source, &is); err != nil {
			return firstLine(faultOf(err).Message)
		}
	}
	return "the value does not fit the field's type"
}
