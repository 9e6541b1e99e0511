package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

// Lookup is a table of reference data: what was valid for a key since when.
type Lookup struct {
	Name string
	// File is a file of rows, Source a stream whose events are the changes; one of
	// them is set.
	File   string
	Source string
	Key    []string
	// Time is the column that says since when a row is valid; of a source "time"
	// is the events' own.
	Time string
	// Fields are the types of a file's columns; of a Parquet file those that are
	// not named have their own.
	Fields []recount.Field
	Line   int
}

// LookupUse says which fields the events of a calculation get from a lookup.
type LookupUse struct {
	Lookup Lookup
	On     []string          // fields of the event, as many as Lookup.Key
	Take   map[string]string // the lookup's columns by the event's field
	// Missing lets events without a row have NULL.
	Missing bool
	Line    int
}

var lookupBlock = Block{
	Path: "lookups.NAME", Doc: "A table of reference data. A row holds from its time until the next one of its key.", Keys: []Key{
		{Name: "file", Type: "text", Doc: "A file of rows: .csv, .jsonl (these also .gz or .zst) or .parquet."},
		{Name: "source", Type: "text", Doc: "Instead of a file, a source whose archived events are the changes."},
		{Name: "key", Type: "list of texts", Doc: "The columns that name what a row is about; of a source, declared fields.", Required: true},
		{Name: "time", Type: "text", Doc: "The column that says since when a row is valid.", Default: "of a source, the events' time"},
		{Name: "fields", Type: "mapping", Doc: "The types of a file's columns by name. A Parquet file has its own."},
	},
}

var lookupUseBlock = Block{
	Path: "calculations.NAME.lookups.NAME", Doc: "What the events of the calculation get from a lookup: the row of their key that was valid at their time.", Keys: []Key{
		{Name: "on", Type: "list of texts", Doc: "The event's fields that are the lookup's key.", Required: true},
		{Name: "take", Type: "mapping", Doc: "The lookup's columns by the name of the field that the event gets.", Required: true},
		{Name: "missing", Type: "text", Doc: "refuse or null: what happens where no row was valid.", Default: "refuse"},
	},
}

func (l *loader) lookup(e entry) {
	found := e.block(lookupBlock, false)
	if found == nil {
		return
	}
	t := Lookup{Name: e.key, Line: e.at.line}
	if v, ok := found["key"]; ok {
		t.Key = texts(v.value)
	}
	if v, ok := found["time"]; ok {
		t.Time, _ = v.word()
	}
	if v, ok := found["fields"]; ok {
		t.Fields = columnTypes(v.value)
	}
	file, hasFile := found["file"]
	source, hasSource := found["source"]
	switch {
	case hasFile && hasSource:
		source.r.problem(source.at, "%s: file stands there too; the rows come from one of them", source.path)
	case hasFile:
		l.lookupFile(&t, e, file)
	case hasSource:
		t.Source = l.sourceName(source.value)
		l.lookupSource(&t, e, source, found)
	default:
		l.r.problem(e.at, "%s: file is missing: the rows; or source, the stream whose events are the changes", e.path)
	}
	l.project.Lookups[t.Name] = t
}

func (l *loader) lookupFile(t *Lookup, e, file entry) {
	text, shown, ok := file.text()
	if !ok {
		return
	}
	t.File = text
	if !rowsFile(text) {
		file.problem("%q: the rows of a file are read by its ending, which is .parquet, .csv or .jsonl (these also .gz or .zst)", clip(shown))
		return
	}
	if _, err := os.Stat(Path(l.project.Dir, text)); err != nil {
		why := cause(err)
		if errors.Is(err, fs.ErrNotExist) {
			why = errors.New("there is no such file")
		}
		file.problem("%s: %v", clip(shown), why)
	}
	if t.Time == "" {
		l.r.problem(e.at, "%s: time is missing: the column that says since when a row is valid", e.path)
	}
	if strings.HasSuffix(text, ".parquet") {
		return
	}
	for _, name := range append(slices.Clone(t.Key), t.Time) {
		if _, ok := fieldOf(t.Fields, name); !ok && name != "" {
			l.r.problem(e.at, "%s: fields has no type for %q", e.path, clip(name))
		}
	}
	if f, ok := fieldOf(t.Fields, t.Time); ok && f.Type.Kind != recount.KindTimestamp && f.Type.Kind != recount.KindDate {
		l.r.problem(e.at, "%s: %q is declared %s; since when a row is valid is said by a timestamp or a date", e.path, clip(t.Time), f.Type)
	}
}

func (l *loader) lookupSource(t *Lookup, e, source entry, found map[string]entry) {
	if v, ok := found["fields"]; ok {
		v.r.problem(v.at, "%s: the fields of a source are declared there", v.path)
	}
	if t.Time == "" {
		t.Time = "time"
	}
	s, ok := l.project.Sources[t.Source]
	if !ok {
		return
	}
	t.Fields = s.Mapping.Fields
	for _, name := range t.Key {
		if _, ok := fieldOf(t.Fields, name); !ok {
			l.r.problem(e.at, "%s: %q of key is no field of source %s", e.path, clip(name), t.Source)
		}
	}
	if f, ok := fieldOf(t.Fields, t.Time); t.Time != "time" && (!ok || f.Type.Kind != recount.KindTimestamp) {
		l.r.problem(source.at, "%s: time: %q is no field of type timestamp of source %s", e.path, clip(t.Time), t.Source)
	}
}

func fieldOf(fields []recount.Field, name string) (recount.Field, bool) {
	i := slices.IndexFunc(fields, func(f recount.Field) bool { return f.Name == name })
	if i < 0 {
		return recount.Field{}, false
	}
	return fields[i], true
}

// lookupUses reads what the events of a calculation get from lookups.
func (l *loader) lookupUses(c *Calculation, v entry) {
	if c.Logic.Brought() || c.Shadow != nil {
		v.r.problem(v.at, "%s: needs logic that is replayed here; rows that something else made are not", v.path)
		return
	}
	source, known := l.project.Sources[c.Source]
	named := map[string]bool{}
	for _, f := range source.Mapping.Fields {
		named[strings.ToLower(f.Name)] = true
	}
	for _, e := range v.entries() {
		table, ok := l.project.Lookups[e.key]
		if !ok {
			hint := ""
			if near := recount.Nearest(e.key, slices.Sorted(maps.Keys(l.project.Lookups))); near != "" {
				hint = "; did you mean " + near + "?"
			}
			v.r.problem(e.at, "%s: there is no lookup %q under lookups%s", e.path, clip(e.key), hint)
			continue
		}
		found := e.block(lookupUseBlock, false)
		if found == nil {
			continue
		}
		u := LookupUse{Lookup: table, Take: map[string]string{}, Line: e.at.line}
		if on, ok := found["on"]; ok {
			u.On = texts(on.value)
			if known {
				onFields(on, u, source)
			}
		}
		if take, ok := found["take"]; ok {
			takes(take, u, named)
		}
		if missing, ok := found["missing"]; ok {
			u.Missing = missingNull(missing)
		}
		c.Lookups = append(c.Lookups, u)
	}
}

// onFields holds the event's fields against the lookup's key.
func onFields(on entry, u LookupUse, source Source) {
	if len(u.On) != len(u.Lookup.Key) {
		on.problem("the lookup's key has %d columns, %s; these are %d fields", len(u.Lookup.Key), strings.Join(u.Lookup.Key, ", "), len(u.On))
		return
	}
	for i, name := range u.On {
		f, ok := fieldOf(source.Mapping.Fields, name)
		if !ok {
			on.problem("%q is no field of source %s", clip(name), source.Name)
			continue
		}
		if k, ok := fieldOf(u.Lookup.Fields, u.Lookup.Key[i]); ok && k.Type.Kind != f.Type.Kind {
			on.problem("%q is %s, and %q of the lookup is %s: they are never equal", clip(name), f.Type, clip(k.Name), k.Type)
		}
	}
}

func takes(take entry, u LookupUse, named map[string]bool) {
	for _, e := range take.entries() {
		column, ok := e.word()
		if !ok {
			continue
		}
		switch problem := badFieldName(e.key); {
		case problem != "":
			e.r.problem(e.at, "%s: %s", e.path, problem)
		case named[strings.ToLower(e.key)]:
			e.r.problem(e.at, "%s: the event has a field of that name already", e.path)
		}
		named[strings.ToLower(e.key)] = true
		if _, ok := fieldOf(u.Lookup.Fields, column); !ok && (u.Lookup.Source != "" || u.Lookup.File != "" && !strings.HasSuffix(u.Lookup.File, ".parquet")) {
			e.problem("the lookup %s has no column %q with a type", u.Lookup.Name, clip(column))
		}
		u.Take[e.key] = column
	}
	if len(u.Take) == 0 && take.isMapping() {
		take.problem("it takes no column")
	}
}

// missingNull reads refuse or null, which YAML has a value of its own for.
func missingNull(v entry) bool {
	if _, null := v.node.(*ast.NullNode); null {
		return true
	}
	word, _ := v.oneOf(recount.CodeConfig, "refuse", "null")
	return word == "null"
}
