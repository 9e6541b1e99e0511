package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"recount"
)

// Upcast is one step from an old shape of events to the present one: SQL over an
// event. The engine checks the SQL.
type Upcast struct {
	Name string
	When string            // a condition; empty: for all events
	Set  map[string]string // expressions by the declared field that they replace
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

var upcastBlock = Block{
	Path: "sources.NAME.upcast", Doc: "One step. Its SQL sees one event: envelope, declared fields, and payload, its data as JSON.", Keys: []Key{
		{Name: "name", Type: "text", Doc: "What plans and messages call the step.", Required: true},
		{Name: "when", Type: "text", Doc: "An SQL condition: the events that the step is for.", Default: "all events"},
		{Name: "set", Type: "mapping", Doc: "SQL expressions by the declared field that gets their value. Each sees the fields as they were before the step.", Required: true},
	},
}

// upcasts reads the steps in their order.
func upcasts(v value, fields []recount.Field) (list []Upcast) {
	var names []string
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
