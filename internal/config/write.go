package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

// write reads how corrections are written: the keys of target from write on.
func (l *loader) write(c *Calculation, v value, found map[string]entry) {
	c.Write.Mode = recount.WriteSet
	if e, ok := found["write"]; ok {
		word, ok := e.oneOf(recount.CodeConfig, string(recount.WriteSet), string(recount.WriteDelta), string(recount.WriteAdjust))
		if !ok {
			return // what belongs to a mode cannot be judged without one
		}
		c.Write.Mode = recount.WriteMode(word)
	}
	delta(c, found)
	adjust(c, v, found)
	if e, ok := found["mark"]; ok {
		c.Write.Mark = l.mark(c, e)
	}
	roles := tableRoles(c)
	if e, ok := found["bump"]; ok {
		if name, ok := e.word(); ok && roles.take(e.value, name, "bump") {
			c.Write.Bump = name
		}
	}
	if e, ok := found["on_insert"]; ok {
		c.Write.OnInsert = onInsert(e.value, roles)
	}
}

// hypothesisNames lists the causes that a calculation's own hypotheses give, one
// by one, in the order in which a cause joins them. processed is the last of the
// missed ones; where there is one alone, it has no number.
func hypothesisNames(c *Calculation) []string {
	var names []string
	numbered := func(name string, n int) {
		for i := range n {
			if n == 1 {
				names = append(names, name)
				continue
			}
			names = append(names, fmt.Sprintf("%s.%d", name, i+1))
		}
	}
	if c.Previous != nil {
		names = append(names, "previous")
	}
	missed := len(c.Missed)
	if c.Processed != nil {
		missed++
	}
	numbered("missed", missed)
	numbered("again", len(c.Again))
	if c.Late != nil {
		names = append(names, "late")
	}
	if c.Arrival {
		names = append(names, "order")
	}
	return names
}

// delta reads against, and checks that there is one hypothesis to take a delta
// of.
func delta(c *Calculation, found map[string]entry) {
	e, given := found["against"]
	if c.Write.Mode != recount.WriteDelta {
		if given {
			e.r.problem(e.at, "%s: needs write: delta, whose other side it names", e.path)
		}
		return
	}
	mode, names := found["write"], hypothesisNames(c)
	switch {
	case c.Logic.Kind == recount.LogicRows || c.Logic.Kind == recount.LogicTable:
		mode.problem("delta needs sql: it is taken over the events of the window alone, and rows that something else made hold others too")
	case len(names) == 0:
		mode.problem("delta needs a hypothesis: it is the right value minus what the hypothesis gives; name one, such as missed")
	case !given && len(names) > 1:
		mode.problem("delta needs against: of several hypotheses it says which the delta is taken of; there is: %s", strings.Join(names, ", "))
	case given:
		c.Write.Against = against(e.value, names)
	}
}

// against reads hypotheses joined by +, in whatever order.
func against(v value, names []string) recount.Cause {
	text, ok := v.word()
	if !ok {
		return ""
	}
	seen := map[string]bool{}
	for _, part := range recount.Cause(text).Parts() {
		switch near := recount.Nearest(part, names); {
		case seen[part]:
			v.problem("%q stands twice", clip(part))
			return ""
		case slices.Contains(names, part):
		case near != "":
			v.problem("no hypothesis is called %q; did you mean %q?", clip(part), near)
			return ""
		default:
			v.problem("no hypothesis is called %q; there is: %s", clip(part), strings.Join(names, ", "))
			return ""
		}
		seen[part] = true
	}
	var parts []string
	for _, name := range names {
		if seen[name] {
			parts = append(parts, name)
		}
	}
	return recount.Cause(strings.Join(parts, "+"))
}

// adjust reads frozen and adjust, which belong to their mode and to each other.
func adjust(c *Calculation, v value, found map[string]entry) {
	frozen, hasFrozen := found["frozen"]
	block, hasBlock := found["adjust"]
	if c.Write.Mode != recount.WriteAdjust {
		for _, e := range []entry{frozen, block} {
			if e.key != "" {
				e.r.problem(e.at, "%s: needs write: adjust", e.path)
			}
		}
		return
	}
	mode := found["write"]
	if hasFrozen {
		c.Write.Frozen, _ = frozen.word()
	} else {
		mode.problem("adjust needs frozen: the condition that says which rows are never edited")
	}
	if !hasBlock {
		mode.problem("adjust needs %s: the table that takes the entries", join(v.path, "adjust"))
		return
	}
	parts := block.block(adjustBlock, false)
	a := recount.Adjust{}
	if e, ok := parts["table"]; ok {
		a.Table, _ = e.word()
	}
	if e, ok := parts["columns"]; ok {
		a.Columns = adjustColumns(c, e.value)
	}
	c.Write.Adjust = &a
}

// What an entry of adjust holds besides keys and amounts.
var (
	adjustNeeds = []string{"reason", "run"}
	adjustMay   = []string{"period", "at"}
)

// adjustColumns reads the columns of an entry, by what they hold.
func adjustColumns(c *Calculation, v value) map[string]string {
	words := slices.Concat(adjustNeeds, adjustMay)
	results := resultColumns(c)
	columns, taken := map[string]string{}, map[string]string{}
	values := 0
	for _, e := range v.entries() {
		name, ok := e.word()
		if !ok {
			continue
		}
		if first, twice := taken[name]; twice {
			e.problem("the table column %q is taken by %q already", clip(name), clip(first))
			continue
		}
		taken[name], columns[e.key] = e.key, name
		own, isResult := slices.Contains(words, e.key), slices.Contains(results, e.key)
		switch {
		case own && isResult:
			e.problem("%q is a column of the result, and what an entry says of itself; name the result column otherwise", e.key)
		case own || slices.Contains(c.Key, e.key):
		case isResult || len(c.Columns) == 0: // without columns, results are not known here
			values++
		default:
			known := slices.Concat(results, words)
			if near := recount.Nearest(e.key, known); near != "" {
				v.r.problem(e.at, "%s: %q is nothing that an entry holds; did you mean %q?", e.path, clip(e.key), near)
				continue
			}
			v.r.problem(e.at, "%s: %q is nothing that an entry holds; that is: %s", e.path, clip(e.key), strings.Join(known, ", "))
		}
	}
	if v.gone() || !v.isMapping() {
		return columns
	}
	for _, need := range slices.Concat(c.Key, adjustNeeds) {
		if _, ok := columns[need]; !ok {
			v.problem("%s is missing; an entry holds every key column, reason and run", clip(need))
		}
	}
	if values == 0 {
		v.problem("it names no value of the result, so that an entry would have no amount")
	}
	return columns
}

// resultColumns lists the result columns that the configuration names.
func resultColumns(c *Calculation) []string {
	names := slices.Clone(c.Key)
	for _, name := range slices.Sorted(maps.Keys(c.Columns)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// mark reads the table of processed events.
func (l *loader) mark(c *Calculation, e entry) *recount.Marking {
	if len(c.Missed) == 0 && c.Processed == nil {
		e.r.problem(e.at, "%s: needs missed or processed: it notes the events that they name", e.path)
	}
	found := e.block(markBlock, false)
	if found == nil {
		return nil
	}
	m := recount.Marking{Columns: map[string]string{}}
	if t, ok := found["table"]; ok {
		m.Table, _ = t.word()
	}
	known := []string{"id", "stream", "type", "partition", "position", "time", "ingest_time", "key"}
	for _, f := range l.project.Sources[c.Source].Mapping.Fields {
		known = append(known, f.Name)
	}
	columns, ok := found["columns"]
	if !ok {
		return &m
	}
	for _, column := range columns.entries() {
		name, ok := column.word()
		if !ok {
			continue
		}
		switch near := recount.Nearest(name, known); {
		case slices.Contains(known, name):
			m.Columns[column.key] = name
		case near != "":
			column.problem("an event has no column %q; did you mean %q?", clip(name), near)
		default:
			column.problem("an event has no column %q; it has: %s", clip(name), strings.Join(known, ", "))
		}
	}
	if _, ok := l.project.Sources[c.Source]; ok && !columns.gone() && !slices.Contains(slices.Collect(maps.Values(m.Columns)), "id") && len(m.Columns) == len(columns.entries()) {
		columns.problem("no column takes the event's id, by which a processed event is known; add one, such as event_id: id")
	}
	return &m
}

// roles are the table's columns whose use is settled, with what uses them.
type roles map[string]string

// tableRoles lists the columns that are keys, compared or of the position.
func tableRoles(c *Calculation) roles {
	r := roles{}
	for result, column := range c.Columns {
		r[column] = fmt.Sprintf("columns gives it the result's %q", clip(result))
	}
	for _, key := range c.Key {
		column, ok := c.Columns[key]
		if !ok {
			column = key
		}
		r[column] = "it is a key column"
	}
	for _, column := range []string{c.Cut.Column, c.Cut.Partition} {
		if _, ok := r[column]; !ok && column != "" {
			r[column] = "position says by it how far a row is"
		}
	}
	return r
}

// take gives a column one more role, or reports that it has one.
func (r roles) take(v value, column, role string) bool {
	if has, taken := r[column]; taken {
		v.problem("the column %q has a use already: %s", clip(column), has)
		return false
	}
	r[column] = role + " writes it"
	return true
}

// onInsert reads what an insert writes, as texts.
func onInsert(v value, roles roles) map[string]string {
	texts := map[string]string{}
	for _, e := range v.entries() {
		text, ok := e.plain()
		if !ok {
			continue
		}
		if has, taken := roles[e.key]; taken {
			v.r.problem(e.at, "%s: the column %q has a use already: %s", e.path, clip(e.key), has)
			continue
		}
		texts[e.key] = text
	}
	if m, ok := v.node.(*ast.MappingNode); ok && len(m.Values) == 0 {
		v.problem("it names no column")
	}
	return texts
}

// plain returns a text, a number or true or false as it is spelled.
func (v value) plain() (string, bool) {
	switch n := v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	text, _, ok := v.text()
	return text, ok
}
