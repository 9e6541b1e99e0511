package duckdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
)

// The columns of ours of a table of reference data, and of events beside it.
const (
	foundColumn = `"recount found"`
	lacksColumn = `"recount lacks"`
)

// lookupTable is reference data, ready to be laid beside events.
type lookupTable struct {
	engine.Lookup
	table string
}

// tables reads the reference data. Two rows of one key and time are refused: which
// of them was valid, nothing says.
func (re *reshaping) tables(ctx context.Context, db *database) (tables []lookupTable, err error) {
	for i, l := range re.lookups {
		t := lookupTable{Lookup: l, table: "recount_lookup_" + strconv.Itoa(i)}
		columns := []string{"CAST(" + ident(l.Time) + " AS TIMESTAMP WITH TIME ZONE) AS \"recount since\"", "true AS " + foundColumn}
		for k, name := range l.Key {
			f, _ := re.field(l.On[k])
			columns = append(columns, fmt.Sprintf("CAST(%s AS %s) AS \"recount key %d\"", ident(name), declared(f.Type), k))
		}
		for n, name := range slices.Sorted(maps.Keys(l.Take)) {
			columns = append(columns, fmt.Sprintf("CAST(%s AS %s) AS \"recount take %d\"", ident(l.Take[name]), declared(re.taken[name]), n))
		}
		query := "CREATE TEMP TABLE " + t.table + " AS SELECT " + strings.Join(columns, ", ") + " FROM " + readParquet([]string{l.File})
		if err := db.exec(ctx, query); err != nil {
			return nil, runError(fmt.Errorf("read lookup %s: %w", l.Name, err), bound{}, "lookup "+l.Name, re.memory)
		}
		if err := t.refuseTies(ctx, db); err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func (re *reshaping) field(name string) (f recount.Field, ok bool) {
	i := slices.IndexFunc(re.fields, func(f recount.Field) bool { return f.Name == name })
	if i < 0 {
		return f, false
	}
	return re.fields[i], true
}

// fits refuses lookups that do not fit the input's fields.
func (re *reshaping) fits(r *openRequest) error {
	for _, l := range re.lookups {
		if len(l.Key) == 0 || len(l.Key) != len(l.On) {
			return fmt.Errorf("look up %s: %d key columns and %d fields", l.Name, len(l.Key), len(l.On))
		}
		for _, name := range l.On {
			if _, ok := re.field(name); !ok {
				return fmt.Errorf("look up %s: %q is no declared field", l.Name, name)
			}
		}
		for name := range l.Take {
			i := slices.IndexFunc(r.Fields, func(f recount.Field) bool { return f.Name == name })
			if i < 0 {
				return fmt.Errorf("look up %s: %q is no field of the events", l.Name, name)
			}
			re.taken[name] = r.Fields[i].Type
		}
	}
	return nil
}

func (t lookupTable) keys() (list []string) {
	for k := range t.Key {
		list = append(list, fmt.Sprintf("\"recount key %d\"", k))
	}
	return list
}

func (t lookupTable) refuseTies(ctx context.Context, db *database) (err error) {
	by := strings.Join(append(t.keys(), `"recount since"`), ", ")
	var shown []string
	for _, k := range t.keys() {
		shown = append(shown, "coalesce(CAST("+k+" AS VARCHAR), 'NULL')")
	}
	rows, err := db.conn.QueryContext(ctx, "SELECT concat_ws(', ', "+strings.Join(shown, ", ")+`), epoch_us("recount since"), count(*) OVER () FROM `+t.table+
		" GROUP BY "+by+" HAVING count(*) > 1 OR \"recount since\" IS NULL ORDER BY ALL LIMIT 1")
	if err != nil {
		return fmt.Errorf("read lookup %s: %w", t.Name, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return rows.Err()
	}
	var key string
	var at *int64
	var n int64
	if err := rows.Scan(&key, &at, &n); err != nil {
		return fmt.Errorf("read lookup %s: %w", t.Name, err)
	}
	why := fmt.Sprintf("key %s has several rows of one time, and nothing says which of them is valid", key)
	if at == nil {
		why = fmt.Sprintf("a row of key %s has no %s, so nothing says since when it is valid", key, t.Time)
	}
	return &recount.Error{
		Code: recount.CodeLookup, What: fmt.Sprintf("the reference data %s is ambiguous for %d keys and times", t.Name, n), Where: "lookup " + t.Name, Why: why,
		Next: "give each key one row a time, then run the command again",
	}
}

// taken are the columns that an event gets, in the order of Take's names.
func (t lookupTable) taken(n int) (list []string) {
	for i, name := range slices.Sorted(maps.Keys(t.Take)) {
		list = append(list, fmt.Sprintf("l%d.\"recount take %d\" AS %s", n, i, ident(name)))
	}
	return list
}

// join finds for each event the newest row at or before its time.
func (t lookupTable) join(n int) string {
	var on []string
	for k, name := range t.On {
		on = append(on, fmt.Sprintf("e.%s = l%d.\"recount key %d\"", ident(name), n, k))
	}
	return fmt.Sprintf(" ASOF LEFT JOIN %s AS l%d ON %s AND e.time >= l%d.\"recount since\"", t.table, n, strings.Join(on, " AND "), n)
}

// mostUnfound is how many events without a row are shown.
const mostUnfound = 3

// refuseUnfound refuses events of which the reference data says nothing, where
// that is not allowed.
func (in *input) refuseUnfound(ctx context.Context) error {
	if len(in.overlapping()) == 0 {
		return nil
	}
	if err := in.use(ctx, 0); err != nil {
		return err
	}
	for i, l := range in.reshaping.lookups {
		if l.Missing {
			continue
		}
		var shown []string
		for _, name := range l.On {
			shown = append(shown, "coalesce(CAST(e."+ident(name)+" AS VARCHAR), 'NULL')")
		}
		lacking := "(SELECT e.seq, e.time, e.id, concat_ws(', ', " + strings.Join(shown, ", ") + ") AS k FROM (" + in.window("e.*", sees{dedupe: true}) +
			") AS e WHERE list_contains(e." + lacksColumn + ", " + strconv.Itoa(i) + "))"
		var n, keys int64
		if err := in.db.row(ctx, "SELECT count(*), count(DISTINCT k) FROM "+lacking, &n, &keys); err != nil {
			return fmt.Errorf("look up %s: %w", l.Name, err)
		}
		if n == 0 {
			continue
		}
		var samples string
		err := in.db.row(ctx, fmt.Sprintf("SELECT string_agg(coalesce(id, 'without id') || ' (' || k || ') of ' || %s, '; ' ORDER BY time, seq) FROM (SELECT * FROM %s ORDER BY time, seq LIMIT %d)",
			sortText("time", recount.Type{Kind: recount.KindTimestamp}), lacking, mostUnfound), &samples)
		if err != nil {
			return fmt.Errorf("look up %s: %w", l.Name, err)
		}
		return &recount.Error{
			Code: recount.CodeLookup, What: fmt.Sprintf("%d events of %d keys have no row in the reference data %s", n, keys, l.Name), Where: "lookup " + l.Name + ", stream " + in.Stream,
			Why:  "no row of their key was valid at their time, such as for event " + samples,
			Next: "add what was valid then, or let such events have NULL with missing: null",
		}
	}
	return nil
}
