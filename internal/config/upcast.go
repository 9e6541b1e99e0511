package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

// What events look like to logic: their shape after upcasts, and the types of them
// that logic knows.

// Upcast is one step from an old shape of events to the present one: SQL over an
// event. The engine checks the SQL.
type Upcast struct {
	Name string
	When string            // a condition; empty: for all events
	Set  map[string]string // expressions by the declared field that they replace, or typeColumn
	Line int
}

// Digest is the digest of what the step does.
func (u Upcast) Digest() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "when %d %s\n", len(u.When), u.When)
	for _, field := range slices.Sorted(maps.Keys(u.Set)) {
		fmt.Fprintf(sum, "set %d %s %d %s\n", len(field), field, len(u.Set[field]), u.Set[field])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// typeColumn is the part of the envelope that a step may replace.
const typeColumn = "type"

var upcastBlock = Block{
	Path: "sources.NAME.upcast", Doc: "One step. Its SQL sees one event: envelope, declared fields, and payload, its data as JSON.", Keys: []Key{
		{Name: "name", Type: "text", Doc: "What plans and messages call the step.", Required: true},
		{Name: "when", Type: "text", Doc: "An SQL condition: the events that the step is for.", Default: "all events"},
		{Name: "set", Type: "mapping", Doc: "SQL expressions by the declared field that gets their value, or by type, the event's type. Each sees the fields as they were before the step.", Required: true},
	},
}

// upcasts reads the steps in their order.
func upcasts(v value, fields []recount.Field) (list []Upcast) {
	names := []string{typeColumn}
	for _, f := range fields {
		names = append(names, f.Name)
	}
	for _, item := range v.items() {
		found := item.block(upcastBlock, false)
		if found == nil {
			continue
		}
		u := Upcast{Set: map[string]string{}, Line: item.at().line}
		if e, ok := found["name"]; ok {
			u.Name, ok = e.word()
			if ok && !plainName(u.Name) {
				e.problem("use letters, digits, _ - and ., beginning with a letter or digit, at most 100")
			}
			if slices.ContainsFunc(list, func(o Upcast) bool { return o.Name == u.Name }) {
				e.problem("another step is called %q", clip(u.Name))
			}
		}
		if e, ok := found["when"]; ok {
			u.When, _ = e.word()
		}
		if e, ok := found["set"]; ok {
			for _, one := range e.entries() {
				if !slices.Contains(names, one.key) {
					v.r.problem(one.at, "%s: %s", one.path, noField(one.key, names))
					continue
				}
				u.Set[one.key], _ = one.word()
			}
			if len(e.entries()) == 0 && e.isMapping() {
				e.problem("it sets no field")
			}
		}
		list = append(list, u)
	}
	return list
}

func noField(name string, known []string) string {
	if near := recount.Nearest(name, known); near != "" {
		return fmt.Sprintf("%q is no declared field; did you mean %q?", clip(name), near)
	}
	return fmt.Sprintf("%q is no declared field: declare it under fields, with its type", clip(name))
}

// Types are the types of events that a calculation's logic knows, as they are
// after upcasts. Any other is refused, unless it is ignored.
type Types struct {
	// Known are the versions by type; nil: whatever its version.
	Known map[string][]string
	// Ignored are types that the logic passes over; a * at the end stands for any
	// rest, and alone for events without a type too.
	Ignored []string
	// Field is a declared field, Header a header, that says an event's version; both
	// empty: nothing does.
	Field, Header string
}

// Knows says whether the logic knows events of a type and version.
func (t Types) Knows(kind, version recount.Value) bool {
	versions, known := t.Known[kind.Text]
	if !known || kind.Null {
		return false
	}
	return versions == nil || !version.Null && slices.Contains(versions, version.Text)
}

// Ignores says whether the logic passes over events of a type.
func (t Types) Ignores(kind recount.Value) bool {
	return slices.ContainsFunc(t.Ignored, func(pattern string) bool {
		if rest, open := strings.CutSuffix(pattern, "*"); open {
			return rest == "" || !kind.Null && strings.HasPrefix(kind.Text, rest)
		}
		return !kind.Null && kind.Text == pattern
	})
}

// Versioned says whether events have versions.
func (t Types) Versioned() bool { return t.Field != "" || t.Header != "" }

var typesBlock = Block{
	Path: "calculations.NAME.types", Doc: "Types with their versions, where a field or a header of an event says one. Without versions the value is the list of the types.", Keys: []Key{
		{Name: "version", Type: "text or {header}", Doc: "The declared field, string or int64, that says an event's version; or {header: NAME}.", Required: true},
		{Name: "known", Type: "mapping", Doc: "By type, the list of the versions that the logic knows, or any.", Required: true},
	},
}

var typeVersionBlock = Block{
	Path: "calculations.NAME.types.version", Doc: "A version that stands in a header.", Keys: []Key{
		{Name: "header", Type: "text", Doc: "The header's name; of several of one name the last counts.", Required: true},
	},
}

// types reads which types of events the logic knows and which it passes over.
func (l *loader) types(c *Calculation, found map[string]entry) {
	e, ok := found["types"]
	if i, alone := found["ignores"]; alone && !ok {
		i.problem("it stands beside types, which names what the logic knows")
		return
	}
	if !ok {
		return
	}
	t := &Types{Known: map[string][]string{}}
	if e.isMapping() {
		l.versionedTypes(c, t, e.value)
	} else {
		for _, name := range texts(e.value) {
			t.Known[name] = nil
		}
	}
	for name := range t.Known {
		if strings.Contains(name, "*") {
			e.problem("%q has a *: types are named one by one; ignores takes a * at the end", clip(name))
		}
	}
	if i, ok := found["ignores"]; ok {
		t.Ignored = texts(i.value)
		for _, pattern := range t.Ignored {
			if strings.Contains(strings.TrimSuffix(pattern, "*"), "*") {
				i.problem("%q has a * that is not its end", clip(pattern))
			}
			if _, known := t.Known[pattern]; known {
				i.problem("%q stands under types, too", clip(pattern))
			}
		}
	}
	c.Types = t
}

func (l *loader) versionedTypes(c *Calculation, t *Types, v value) {
	found := v.block(typesBlock, false)
	if e, ok := found["version"]; ok && e.isMapping() {
		if header, ok := e.block(typeVersionBlock, false)["header"]; ok {
			t.Header, _ = header.word()
		}
	} else if ok {
		t.Field = l.versionField(c, e.value)
	}
	known, ok := found["known"]
	if !ok {
		return
	}
	for _, e := range known.entries() {
		if any, ok := e.node.(*ast.StringNode); ok && any.Value == "any" {
			t.Known[e.key] = nil
			continue
		}
		versions := []string{}
		for _, item := range e.items() {
			if text, ok := item.plain(); ok {
				versions = append(versions, text)
			}
		}
		if _, list := e.node.(*ast.SequenceNode); list && len(versions) == 0 {
			e.problem("it names no version; any stands for all")
		}
		t.Known[e.key] = versions
	}
}

// versionField reads the name of a declared field that can say a version.
func (l *loader) versionField(c *Calculation, v value) string {
	name, ok := v.word()
	source := l.project.Sources[c.Source]
	if !ok || source.Name == "" {
		return name
	}
	names := make([]string, 0, len(source.Mapping.Fields))
	for _, f := range source.Mapping.Fields {
		if f.Name != name {
			names = append(names, f.Name)
			continue
		}
		if f.Type.Kind != recount.KindString && f.Type.Kind != recount.KindInt64 {
			v.problem("%s is %s; a version is string or int64", name, f.Type)
		}
		return name
	}
	hint := fmt.Sprintf("declare it under fields of source %s, or write {header: %s}", source.Name, clip(name))
	if near := recount.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	v.problem("%q is no declared field; %s", clip(name), hint)
	return name
}
