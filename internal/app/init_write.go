package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount"
	"recount/internal/guess"
	"recount/source"
)

// sourceName is the name of the source that init writes.
const sourceName = "events"

// fieldName is the name under which SQL sees a column: its own, unless that has
// to be quoted or is the envelope's.
func fieldName(column string) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, column)
	if !guess.Bare(name) || recount.ReservedColumn(name) {
		name = "event_" + name
	}
	return name
}

// plainYAML quotes what YAML could misread.
func plainYAML(s string) string {
	if guess.Bare(s) && !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}

// name is the calculation's name: the results file's, without its ending.
func (i *initializing) name() string {
	name := i.table
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(i.results.Path), filepath.Ext(i.results.Path))
	}
	return strings.ToLower(fieldName(name))
}

func (i *initializing) sqlFile() string { return i.name() + ".sql" }

// declare names the fields: what is not of the envelope, and what the results'
// key needs of it.
func (i *initializing) declare() {
	for _, c := range i.columns {
		used := slices.ContainsFunc(i.key, func(p guess.KeyPart) bool { return p.Event == c.Name && c.Name == i.Key })
		if i.Has(c.Name) && !used {
			continue
		}
		name := fieldName(c.Word())
		for n := 2; slices.ContainsFunc(i.fields, func(f recount.Field) bool { return strings.EqualFold(f.Name, name) }); n++ {
			name = fieldName(c.Word()) + "_" + strconv.Itoa(n)
		}
		i.fields = append(i.fields, recount.Field{Name: name, Type: c.Type, Path: c.Name})
	}
}

// inSQL is a column's name in the relation events.
func (i *initializing) inSQL(column string) string {
	for _, f := range i.fields {
		if f.Path == column {
			return f.Name
		}
	}
	switch column {
	case i.ID:
		return "id"
	case i.Time.Name:
		return "time"
	case i.Type:
		return "type"
	case i.Partition:
		return "partition"
	}
	return fieldName(column)
}

// write makes the texts of recount.yaml and of the SQL.
func (i *initializing) write() {
	i.declare()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by recount init from %s. Every key: docs/reference/config.md", filepath.Base(i.events.Path))
	line("version: 1")
	line("archive: archive")
	line("")
	line("sources:")
	line("  %s:", sourceName)
	paths := make([]string, len(i.paths))
	for n, p := range i.paths {
		paths[n] = strconv.Quote(p)
	}
	format := ""
	if !i.events.Ending {
		format = ", format: " + i.events.Format
	}
	line("    files: {paths: [%s]%s}", strings.Join(paths, ", "), format)
	i.writeEnvelope(line)
	if i.zone != "" {
		line("    timezone: %s", plainYAML(i.zone))
	}
	if len(i.fields) > 0 {
		line("    fields:")
	}
	for _, f := range i.fields {
		if f.Name == f.Path {
			line("      %s: %s", f.Name, yamlType(f.Type))
		} else {
			line("      %s: {type: %s, path: %s}", f.Name, yamlType(f.Type), strconv.Quote(f.Path))
		}
	}
	if i.results.Path != "" && len(i.values) > 0 {
		i.writeCalculation(line)
	}
	i.text = b.String()
}

func (i *initializing) writeEnvelope(line func(string, ...any)) {
	line("    event:")
	timed := func(key string, c guess.Column) {
		if c.Unit != "" {
			line("      %s: {path: %s, unit: %s}", key, plainYAML(c.Name), c.Unit)
		} else {
			line("      %s: %s", key, plainYAML(c.Name))
		}
	}
	if i.ID != "" {
		line("      id: %s", plainYAML(i.ID))
	}
	timed("time", i.Time)
	for _, part := range []struct{ key, path string }{{"key", i.Key}, {"type", i.Type}, {"partition", i.Partition}, {"position", i.Position}, {"payload", i.Payload}} {
		if part.path != "" {
			line("      %s: %s", part.key, plainYAML(part.path))
		}
	}
	if i.Ingest.Name != "" {
		timed("ingest_time", i.Ingest)
	}
}

func yamlType(t recount.Type) string {
	if t.Kind == recount.KindDecimal {
		return strconv.Quote(t.String())
	}
	return t.String()
}

// writeCalculation writes an aggregate for each column; the person makes the SQL
// what the worker does.
func (i *initializing) writeCalculation(line func(string, ...any)) {
	var selected, names, columns []string
	bucket := time.Duration(0)
	for _, p := range i.key {
		name := fieldName(p.Column)
		names = append(names, name)
		if name != p.Column {
			columns = append(columns, name+": "+plainYAML(p.Column))
		}
		expression := i.inSQL(p.Event)
		switch {
		case p.Date:
			expression, bucket = "time::DATE", p.Bucket
		case p.Bucket > 0:
			expression, bucket = fmt.Sprintf("time_bucket(INTERVAL '%s', time)", interval(p.Bucket)), max(bucket, p.Bucket)
		}
		selected = append(selected, aliased(expression, name))
	}
	var tried strings.Builder
	for _, v := range i.values {
		selected = append(selected, aliased(v.of.SQL(i.inSQL), fieldName(v.column)))
		columns = append(columns, fieldName(v.column)+": "+plainYAML(v.column))
	}
	for _, fit := range i.fits() {
		tried.WriteString("-- " + fit + "\n")
	}
	i.sql = fmt.Sprintf("-- What %s should hold. Make it what your worker does; it reads one row per event.\n%sSELECT %s\nFROM events\n%sGROUP BY %s\n",
		i.name(), tried.String(), strings.Join(selected, ", "), i.where(), strings.Join(names, ", "))
	line("")
	line("calculations:")
	line("  %s:", i.name())
	line("    source: %s", sourceName)
	line("    sql: %s", i.sqlFile())
	line("    key: [%s]", strings.Join(names, ", "))
	line("    memory: window")
	if bucket > 0 {
		line("    bucket: %s", short(bucket))
	} else {
		line("    bucket: none             # or 1h, 24h…, where a row covers a span of time")
	}
	line("    target:")
	if i.sqlite != "" {
		line("      sqlite: {path: %s}", strconv.Quote(i.sqlite))
		line("      table: %s", plainYAML(i.table))
	} else {
		line("      files: {path: %s}", strconv.Quote(i.results.Path))
	}
	line("      columns: {%s}", strings.Join(columns, ", "))
}

// where leaves out tombstones, which would make a row without a key.
func (i *initializing) where() string {
	if i.events.Tombstones == 0 {
		return ""
	}
	for _, p := range i.key {
		if p.Bucket == 0 {
			return "WHERE " + i.inSQL(p.Event) + " IS NOT NULL -- tombstones have no payload\n"
		}
	}
	return ""
}

func aliased(expression, name string) string {
	if expression == name {
		return name
	}
	return expression + " AS " + name
}

func interval(d time.Duration) string {
	if d%time.Hour == 0 {
		return strings.TrimSuffix(fmt.Sprintf("%d hours", d/time.Hour), map[bool]string{true: "s"}[d == time.Hour])
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// fits says how well each aggregate gives the rows.
func (i *initializing) fits() []string {
	var out []string
	for _, v := range i.values {
		if v.fit.Rows > 0 {
			out = append(out, fmt.Sprintf("%s = %s is right in %d of %d rows", fieldName(v.column), v.of.SQL(i.inSQL), v.fit.Right, v.fit.Rows))
		}
	}
	return out
}

// notes says what was left out, and where a guess stands on little.
func (i *initializing) notes() []string {
	notes := slices.Clone(i.events.Notes)
	if i.events.Shape != guess.Plain {
		notes = append(notes, "the events are an export of "+string(i.events.Shape))
	}
	if i.events.Tombstones > 0 {
		notes = append(notes, fmt.Sprintf("%d records have no payload (tombstones), so that the broker's time is taken for the event's, and its position for the id", i.events.Tombstones))
	}
	if i.results.Path != "" && len(i.fits()) == 0 {
		notes = append(notes, "no simple aggregate of these events gives the table's rows: make the SQL what your worker does")
	}
	var left []string
	for _, c := range i.live {
		if !i.isKey(c.Name) && !slices.ContainsFunc(i.values, func(v value) bool { return v.column == c.Name }) {
			left = append(left, c.Name)
		}
	}
	if len(left) > 0 {
		notes = append(notes, "columns of the table that are neither compared nor written: "+strings.Join(left, ", "))
	}
	if i.events.Cut {
		notes = append(notes, fmt.Sprintf("only the first %d events were looked at", len(i.events.Rows)))
	}
	return notes
}

// next lists the commands that come next; the window is that of the events.
func (i *initializing) next() []string {
	next := []string{"recount archive run --once"}
	if len(i.values) == 0 {
		return next
	}
	zone, err := time.LoadLocation(i.zone)
	if err != nil {
		return next
	}
	first, last := guess.Span(i.events, i.Time, zone)
	if first.IsZero() {
		return next
	}
	from, to := first.UTC().Truncate(time.Minute), last.UTC().Truncate(time.Minute).Add(time.Minute)
	return append(next, fmt.Sprintf("recount plan %s --from %s --to %s --out fix.plan", i.name(), from.Format(time.RFC3339), to.Format(time.RFC3339)))
}

var errEnough = errors.New("enough events were read")

// firstEvents reads three events as the archive will, and shows them.
func (a *App) firstEvents(ctx context.Context, name string) (shown []string, err error) {
	src, err := a.Project.Source(name)
	if err != nil {
		return nil, err
	}
	s, err := a.openSource(ctx, src)
	if err != nil {
		return nil, err
	}
	defer joined(&err, s.Close)
	const most = 3
	_, err = s.Read(ctx, source.Cursor{}, func(b source.Batch) error {
		for _, e := range b.Events {
			if shown = append(shown, showEvent(e, src.Mapping.Fields)); len(shown) == most {
				return errEnough
			}
		}
		return nil
	})
	var said *recount.Error
	if errors.Is(err, errEnough) || errors.As(err, &said) { // doctor says what a file lacks
		err = nil
	}
	return shown, err
}

func showEvent(e recount.Event, fields []recount.Field) string {
	if e.Fault != "" {
		return "cannot be used: " + e.Fault
	}
	parts := []string{"time=" + recount.FormatTimestamp(e.Time)}
	if e.ID != "" {
		parts = slices.Insert(parts, 0, "id="+e.ID)
	}
	if e.Key != nil {
		parts = append(parts, "key="+string(e.Key))
	}
	if e.Type != "" {
		parts = append(parts, "type="+e.Type)
	}
	for n, v := range e.Fields {
		text := v.Text
		if v.Null {
			text = "NULL"
		}
		parts = append(parts, fields[n].Name+"="+text)
	}
	return strings.Join(parts, "  ")
}
