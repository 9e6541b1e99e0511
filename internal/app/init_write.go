package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/internal/guess"
)

// fieldName is the name under which SQL sees a column: its own, unless that has
// to be quoted or is the envelope's.
func fieldName(column string) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, column)
	if !guess.Plain(name) || recount.ReservedColumn(name) {
		name = "event_" + name
	}
	return name
}

// plainYAML quotes what YAML could misread.
func plainYAML(s string) string {
	if guess.Plain(s) && !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
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

// write makes the texts of recount.yaml and of the SQL.
func (i *initializing) write() {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by recount init from %s. Every key: docs/reference/config.md", filepath.Base(i.events.Path))
	line("version: 1")
	line("archive: archive")
	line("")
	line("sources:")
	line("  events:")
	line("    files: {paths: [%s]}", strconv.Quote(i.events.Path))
	line("    event:")
	if i.id != "" {
		line("      id: %s", plainYAML(i.id))
	}
	if i.time.Unit != "" {
		line("      time: {path: %s, unit: %s}", plainYAML(i.time.Name), i.time.Unit)
	} else {
		line("      time: %s", plainYAML(i.time.Name))
	}
	if i.zone != "" {
		line("    timezone: %s", plainYAML(i.zone))
	}
	line("    fields:")
	for _, c := range i.columns {
		if c.Name == i.id || c.Name == i.time.Name {
			continue
		}
		if name := fieldName(c.Name); name == c.Name {
			line("      %s: %s", name, yamlType(c.Type))
		} else {
			line("      %s: {type: %s, path: %s}", name, yamlType(c.Type), strconv.Quote(c.Name))
		}
	}
	if i.results.Path != "" && i.sum != "" {
		i.writeCalculation(line)
	}
	i.text = b.String()
}

func yamlType(t recount.Type) string {
	if t.Kind == recount.KindDecimal {
		return strconv.Quote(t.String())
	}
	return t.String()
}

// writeCalculation writes a sum per key, which is where most results begin; the
// person makes the SQL what the worker does.
func (i *initializing) writeCalculation(line func(string, ...any)) {
	value := i.valueColumn()
	var keys, names []string
	bucketed := false
	for _, k := range i.key {
		names = append(names, fieldName(k))
		switch c := i.liveColumn(k); c.Type.Kind { //nolint:exhaustive // all other columns stand for themselves
		case recount.KindTimestamp:
			bucketed = true
			keys = append(keys, "time_bucket(INTERVAL '1 hour', time) AS "+fieldName(k))
		case recount.KindDate:
			bucketed = true
			keys = append(keys, "time::DATE AS "+fieldName(k))
		default:
			keys = append(keys, fieldName(k))
		}
	}
	i.sql = fmt.Sprintf("-- What %s should hold. Make it what your worker does; it reads one row per event.\nSELECT %s, sum(%s) AS %s\nFROM events\nGROUP BY %s\n",
		i.name(), strings.Join(keys, ", "), fieldName(i.sum), fieldName(value), strings.Join(names, ", "))
	line("")
	line("calculations:")
	line("  %s:", i.name())
	line("    source: events")
	line("    sql: %s", i.sqlFile())
	line("    key: [%s]", strings.Join(names, ", "))
	line("    memory: window")
	if bucketed {
		line("    bucket: %s", i.bucket())
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
	columns := []string{fieldName(value) + ": " + plainYAML(value)}
	for _, k := range i.key {
		if fieldName(k) != k {
			columns = append(columns, fieldName(k)+": "+plainYAML(k))
		}
	}
	line("      columns: {%s}", strings.Join(columns, ", "))
}

func (i *initializing) bucket() string {
	for _, k := range i.key {
		if i.liveColumn(k).Type.Kind == recount.KindDate {
			return "24h"
		}
	}
	return "1h"
}

func (i *initializing) liveColumn(name string) guess.Column {
	at := slices.IndexFunc(i.live, func(c guess.Column) bool { return c.Name == name })
	if at < 0 {
		return guess.Column{Name: name}
	}
	return i.live[at]
}

// valueColumn is the result's column that the sum goes to.
func (i *initializing) valueColumn() string {
	if slices.Contains(i.results.Columns, i.sum) && !slices.Contains(i.key, i.sum) {
		return i.sum
	}
	for _, c := range i.live {
		if c.Numeric() && !slices.Contains(i.key, c.Name) {
			return c.Name
		}
	}
	return i.sum
}
