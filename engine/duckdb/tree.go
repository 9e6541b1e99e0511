package duckdb

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// finding is one reason to refuse a query.
type finding struct {
	offset  int    // of the text that was parsed; negative: unknown
	what    string // what stands there and why it cannot run
	instead string // what to write
}

// tree is a parsed query, as json_serialize_sql gives it.
type tree map[string]any

// walker looks at every part of a parsed query. What it does not know, it
// refuses.
type walker struct {
	source   string          // the text that was parsed
	fields   map[string]bool // names of the relation's columns
	findings []finding
	// strangers are functions that the list does not have; what is the name.
	strangers []finding
	// typed are the aggregates that are exact unless they add doubles.
	typed []tree
	// sorted says that a part of the query depends on an order that may have
	// ties.
	sorted bool
	// nested says that a part of the query may name columns of what stands round
	// it.
	nested bool
	// names are all that a column can be meant by, aliases those of relations;
	// whole says that all columns of a relation are meant at once.
	names, aliases map[string]bool
	whole          bool
	// rowwise allows neither aggregates nor windows nor subqueries.
	rowwise bool
	depth   int
}

// scope is what a part of the query can name.
type scope struct {
	relations map[string]bool // `events` and the names of WITH
	direct    bool            // the nearest FROM holds `events` itself
}

const maxDepth = 2000

func (w *walker) refuse(at tree, instead, format string, args ...any) {
	w.findings = append(w.findings, finding{offset: nearest(at), what: fmt.Sprintf(format, args...), instead: instead})
}

func location(t tree) int {
	n, _ := t["query_location"].(json.Number)
	at, err := strconv.Atoi(n.String())
	if err != nil {
		return -1
	}
	return at
}

// nearest returns the location of t, or else the first of its parts.
func nearest(t tree) int {
	if at := location(t); at >= 0 || t == nil {
		return at
	}
	best := -1
	for _, part := range t {
		at := -1
		switch part := part.(type) {
		case map[string]any:
			at = nearest(part)
		case []any:
			for _, e := range part {
				if m, ok := e.(map[string]any); ok && at < 0 {
					at = nearest(m)
				}
			}
		}
		if at >= 0 && (best < 0 || at < best) {
			best = at
		}
	}
	return best
}

func text(t tree, key string) string { s, _ := t[key].(string); return s }
func flag(t tree, key string) bool   { b, _ := t[key].(bool); return b }

func child(t tree, key string) tree {
	m, _ := t[key].(map[string]any)
	return m
}

func children(t tree, key string) []any { l, _ := t[key].([]any); return l }

// orders returns the terms of an ORDER_MODIFIER.
func orders(t tree) []any { return children(t, "orders") }

var nodeKeys = map[string][]string{
	"SELECT_NODE": {
		"type", "modifiers", "cte_map", "select_list", "from_table", "where_clause", "group_expressions", "group_sets",
		"aggregate_handling", "having", "sample", "qualify",
	},
	"SET_OPERATION_NODE": {"type", "modifiers", "cte_map", "setop_type", "left", "right", "setop_all", "children"},
	"RECURSIVE_CTE_NODE": {"type", "modifiers", "cte_map", "cte_name", "union_all", "left", "right", "aliases", "key_targets"},
}

// node walks a SELECT, a set operation or a recursive WITH.
func (w *walker) node(n tree, s scope) {
	kind := text(n, "type")
	known, ok := nodeKeys[kind]
	if !ok {
		w.refuse(n, "write it as a SELECT", "the query holds a part of kind %s, which the check does not know", kind)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(n)) {
		if !slices.Contains(known, key) {
			w.refuse(n, "write it as a plain SELECT", "the query uses %s, which the check does not know", key)
		}
	}
	s = w.with(n, s)
	w.modifiers(n, s)
	switch kind {
	case "SELECT_NODE":
		w.selection(n, s)
	case "SET_OPERATION_NODE":
		for _, side := range []string{"left", "right"} {
			if c := child(n, side); c != nil {
				w.node(c, s)
			}
		}
		for _, c := range children(n, "children") {
			if c, ok := c.(map[string]any); ok {
				w.node(c, s)
			}
		}
	case "RECURSIVE_CTE_NODE":
		if len(children(n, "key_targets")) > 0 {
			w.refuse(n, "aggregate in an outer SELECT", "USING KEY keeps whichever row comes last")
		}
		w.node(child(n, "left"), s)
		w.node(child(n, "right"), s)
	}
}

// with walks the queries of WITH and returns the scope that has their names. A
// name is visible to the queries after its own, and to itself if it is
// recursive; letting all see it refuses less, but what is then not found, the
// binder refuses.
func (w *walker) with(n tree, s scope) scope {
	entries := children(child(n, "cte_map"), "map")
	if len(entries) == 0 {
		return s
	}
	s.relations = maps.Clone(s.relations)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		name := strings.ToLower(text(entry, "key"))
		query := child(child(child(entry, "value"), "query"), "node")
		if text(query, "type") == "RECURSIVE_CTE_NODE" {
			s.relations[name] = true
		}
		w.node(query, s)
		s.relations[name] = true
	}
	return s
}

func (w *walker) selection(n tree, s scope) {
	if n["sample"] != nil {
		w.refuse(child(n, "from_table"), "use WHERE with a condition, such as hash(id) % 100 = 0", "a sample takes other rows at each run")
	}
	s.direct = false
	if from := child(n, "from_table"); from != nil {
		s.direct = holdsEvents(from)
		w.table(from, s)
	}
	for _, key := range []string{"select_list", "where_clause", "group_expressions", "having", "qualify"} {
		w.expressions(n[key], s)
	}
}

// modifiers walks DISTINCT, ORDER BY and LIMIT of one node.
func (w *walker) modifiers(n tree, s scope) {
	all := children(n, "modifiers")
	sorted := slices.ContainsFunc(all, func(m any) bool {
		t, _ := m.(map[string]any)
		return text(t, "type") == "ORDER_MODIFIER" && len(orders(t)) > 0
	})
	for _, m := range all {
		t, _ := m.(map[string]any)
		switch kind := text(t, "type"); kind {
		case "ORDER_MODIFIER":
		case "DISTINCT_MODIFIER":
			if len(children(t, "distinct_on_targets")) == 0 {
				break
			}
			w.sorted = true
			if !sorted {
				w.refuse(t, "add ORDER BY with columns that name one row, such as ORDER BY time, position", "DISTINCT ON without ORDER BY keeps any row")
			}
		case "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER":
			w.sorted = true
			if !sorted {
				w.refuse(t, "add ORDER BY with columns that name one row, or leave LIMIT out", "LIMIT without ORDER BY keeps any rows")
			}
		default:
			w.refuse(n, "write it as a plain SELECT", "the query uses %s, which the check does not know", kind)
		}
		w.expressions(t, s)
	}
}

// holdsEvents says whether a FROM names `events` itself.
func holdsEvents(t tree) bool {
	switch text(t, "type") {
	case "BASE_TABLE":
		return strings.EqualFold(text(t, "table_name"), "events")
	case "JOIN":
		return holdsEvents(child(t, "left")) || holdsEvents(child(t, "right"))
	}
	return false
}

// tableFunctions may stand in FROM: what they make, their arguments decide.
var tableFunctions = []string{"range", "generate_series", "unnest", "generate_subscripts"}

// table walks one entry of FROM.
func (w *walker) table(t tree, s scope) {
	w.named(t)
	if t["sample"] != nil {
		w.refuse(t, "use WHERE with a condition, such as hash(id) % 100 = 0", "a sample takes other rows at each run")
	}
	switch kind := text(t, "type"); kind {
	case "EMPTY":
	case "BASE_TABLE":
		w.relation(t, s)
	case "SUBQUERY":
		w.node(child(child(t, "subquery"), "node"), s)
	case "EXPRESSION_LIST":
		w.expressions(t["values"], s)
	case "TABLE_FUNCTION":
		function := child(t, "function")
		name := strings.ToLower(text(function, "function_name"))
		if !slices.Contains(tableFunctions, name) || text(function, "schema") != "" && text(function, "schema") != "main" {
			w.refuse(t, "read `events`; range, generate_series and unnest are allowed", "the table function %s is not allowed", name)
			return
		}
		w.expressions(function["children"], s)
	case "JOIN":
		switch text(t, "ref_type") {
		case "POSITIONAL":
			w.refuse(t, "join on a column", "POSITIONAL JOIN joins rows by an order that relations do not have")
		case "ASOF":
			w.sorted = true
		}
		for _, side := range []tree{child(t, "left"), child(t, "right")} {
			w.nested = w.nested || text(side, "type") == "SUBQUERY"
			w.table(side, s)
		}
		for _, key := range []string{"condition", "duplicate_eliminated_columns"} {
			w.expressions(t[key], s)
		}
	case "PIVOT":
		w.refuse(t, "use sum(x) FILTER (WHERE …), one for each column", "PIVOT is not allowed")
	case "SHOW_REF":
		w.refuse(t, "write a SELECT over `events`", "DESCRIBE, SHOW and SUMMARIZE show the engine, not the events")
	default:
		w.refuse(t, "read `events`", "FROM holds a part of kind %s, which the check does not know", kind)
	}
}

// named takes down what an entry of FROM calls itself and its columns.
func (w *walker) named(t tree) {
	for _, key := range []string{"alias", "table_name"} {
		if name := strings.ToLower(text(t, key)); name != "" {
			w.aliases[name] = true
		}
	}
	for _, name := range children(t, "using_columns") {
		if s, ok := name.(string); ok {
			w.names[strings.ToLower(s)] = true
		}
	}
	w.whole = w.whole || len(children(t, "column_name_alias")) > 0 || text(t, "ref_type") == "NATURAL"
}

func inEnvelope(name string) bool {
	return name == "hit" || slices.ContainsFunc(envelope, func(c column) bool { return c.name == name })
}

// uses returns whether the query can mean a column of that name.
func (w *walker) uses() func(name string) bool {
	whole, names := w.whole, w.names
	for alias := range w.aliases {
		whole = whole || names[alias] // a relation's name is a value, of all columns
	}
	return func(name string) bool { return whole || names[strings.ToLower(name)] }
}

func (w *walker) relation(t tree, s scope) {
	name := text(t, "table_name")
	schema := strings.Trim(text(t, "catalog_name")+"."+text(t, "schema_name"), ".")
	switch {
	case schema != "":
		w.refuse(t, "read `events`, which has all archived events of the window", "the table %s.%s is not there: SQL sees `events` alone", schema, name)
	case t["at_clause"] != nil:
		w.refuse(t, "leave AT out", "AT asks for another version of a table")
	case !s.relations[strings.ToLower(name)]:
		w.refuse(t, "read `events`, which has all archived events of the window", "the table %s is not there: SQL sees `events` alone", name)
	}
}
