package duckdb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount"
)

// checked is a text that passed the check.
type checked struct {
	script  script
	columns []recount.Column
	// sorted says that a part of it depends on an order that may have ties.
	sorted bool
	// correlated says that a part of it names columns of what stands round it.
	correlated bool
	// value is the type of an expression.
	value recount.Type
	// uses says whether it can mean a column of that name.
	uses func(name string) bool
}

// Texts are parsed, bound and run inside these, so that a text which closes a
// parenthesis of ours does not have the shape that is looked for.
const (
	queryPrefix     = "SELECT * FROM (\n"
	querySuffix     = ") AS recount_rows"
	conditionPrefix = "SELECT 1 FROM events WHERE (\n"
	conditionSuffix = ")"
)

// check refuses what may not run. What it let pass is remembered: a run checks
// again, and never relies on the caller having done so.
func (w *worker) check(ctx context.Context, r checkRequest) (*checked, error) {
	key, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if c, ok := w.checked[string(key)]; ok {
		return c, nil
	}
	c, err := w.checkNew(ctx, r)
	if err != nil {
		return nil, err
	}
	w.checked[string(key)] = c
	return c, nil
}

func (w *worker) checkNew(ctx context.Context, r checkRequest) (*checked, error) {
	c := &checked{script: cut(r.Text)}
	if err := c.script.whole(r); err != nil {
		return nil, err
	}
	if h := c.script.holes; r.alone() && len(h) > 0 {
		return nil, refused(bound{script: c.script}, r, []finding{{
			offset: h[0].start, what: "it names the window, and what an event says does not depend on when it is looked at", instead: "leave $from and $to out",
		}})
	}
	// Any window will do to parse and bind. The text is parsed alone, so that it
	// is whole by itself and messages quote what was written; then inside what
	// it will be run in.
	b := c.script.bind(alone(r), "", anyWindow)
	if _, err := w.parse(ctx, b, r); err != nil {
		return nil, err
	}
	if b = c.script.bind(queryPrefix, querySuffix, anyWindow); r.Condition {
		b = c.script.bind(conditionPrefix, conditionSuffix, anyWindow)
	}
	outer, err := w.parse(ctx, b, r)
	if err != nil {
		return nil, errNotWhole(b, r)
	}
	root, ok := inner(outer, r.Condition)
	if !ok {
		return nil, errNotWhole(b, r)
	}
	walk := &walker{source: b.sql, fields: map[string]bool{}, names: map[string]bool{}, aliases: map[string]bool{}, rowwise: r.Condition}
	for _, f := range r.Fields {
		walk.fields[strings.ToLower(f.Name)] = true
	}
	walk.fields[payloadColumn] = walk.fields[payloadColumn] || r.alone()
	top := scope{relations: map[string]bool{"events": true, "opening": len(r.Opening) > 0}, direct: r.Condition}
	if r.Condition {
		walk.expressions(map[string]any(root), top)
	} else {
		walk.node(root, top)
	}
	if err := w.misspelt(ctx, walk.strangers, b, r); err != nil {
		return nil, err
	}
	if len(walk.findings) > 0 {
		return nil, refused(b, r, walk.findings)
	}
	c.sorted, c.uses = walk.sorted, walk.uses()
	if c.columns, err = w.describe(ctx, c.script, r); err != nil {
		return nil, err
	}
	if r.Value {
		c.value = c.columns[0].Type
	}
	if walk.nested {
		if c.correlated, err = w.correlated(ctx, c.script); err != nil {
			return nil, err
		}
	}
	doubles, err := w.doubles(ctx, walk, outer)
	if err != nil {
		return nil, err
	}
	if len(doubles) > 0 {
		return nil, refused(b, r, doubles)
	}
	return c, nil
}

var anyWindow = recount.Window{From: time.Unix(0, 0), To: time.Unix(1, 0)}

// alone is what stands before a text that is parsed by itself.
func alone(r checkRequest) string {
	if r.Condition {
		return "SELECT 1 FROM events WHERE\n"
	}
	return ""
}

// whole refuses texts of which something is known before they are parsed.
func (s script) whole(r checkRequest) error {
	b := bound{script: s}
	switch {
	case strings.ContainsRune(s.text, 0):
		return refused(b, r, []finding{{offset: -1, what: "the text holds a NUL", instead: "remove it"}})
	case strings.TrimSpace(s.text) == "":
		return &recount.Error{
			Code: recount.CodeSQL, What: "the SQL is empty", Where: r.Path, Why: "there is no " + form(r) + " in it", Next: "write one",
		}
	case s.second > 0:
		return refused(b, r, []finding{{offset: s.second, what: "there is more than one statement", instead: "write one " + form(r)}})
	}
	return nil
}

func errNotWhole(b bound, r checkRequest) error {
	return refused(b, r, []finding{{offset: -1, what: "the text is not one whole " + form(r), instead: "write one " + form(r)}})
}

// alone says that the text sees one event and nothing of what it is replayed for.
func (r checkRequest) alone() bool { return r.Value || r.Alone }

func form(r checkRequest) string {
	if r.Value {
		return "expression"
	}
	if r.Condition {
		return "condition"
	}
	return "SELECT"
}

// misspelt reports a function that there is not, with the nearest names: that is
// a mistake and no danger.
func (w *worker) misspelt(ctx context.Context, strangers []finding, b bound, r checkRequest) error {
	for _, f := range strangers {
		name := literal(f.what)
		var there int
		if err := w.checks.row(ctx, "SELECT count(*) FROM duckdb_functions() WHERE lower(function_name) = "+name, &there); err != nil {
			return fmt.Errorf("look up function: %w", err)
		}
		if there > 0 {
			continue
		}
		missing := fault{Message: "there is no function " + f.what, Position: strconv.Itoa(f.offset)}
		var names []string
		for known, family := range familyOf {
			if family == pure || family == exact || family == adding || family == ordered {
				names = append(names, known)
			}
		}
		slices.Sort(names)
		missing.Candidates = recount.Nearest(f.what, names)
		return sqlError(missing, b, r.Path)
	}
	return nil
}

// parsed is what json_serialize_sql returns.
type parsed struct {
	Error    bool   `json:"error"`
	Type     string `json:"error_type"`
	Message  string `json:"error_message"`
	Position string `json:"position"`
	// Statements has {"node": …} for each.
	Statements []map[string]any `json:"statements"`
}

// parse returns the tree of the whole bound text.
func (w *worker) parse(ctx context.Context, b bound, r checkRequest) (tree, error) {
	var out string
	err := w.checks.conn.QueryRowContext(ctx,
		"SELECT CAST(json_serialize_sql(CAST(? AS VARCHAR), skip_null := true, skip_default := true) AS VARCHAR)", b.sql).Scan(&out)
	if err != nil {
		return nil, runError(err, b, r.Path, checksMemoryMiB)
	}
	var p parsed
	dec := json.NewDecoder(strings.NewReader(strings.TrimPrefix(out, "[")))
	dec.UseNumber() // a float64 would lose digits of constants
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("parse SQL: %w", err)
	}
	switch {
	case p.Error && p.Type == "not implemented":
		return nil, refused(b, r, []finding{{offset: -1, what: "this is no plain SELECT", instead: "write one SELECT over `events`"}})
	case p.Error:
		return nil, sqlError(fault{Type: "Parser", Message: p.Message, Position: p.Position}, b, r.Path)
	case len(p.Statements) != 1:
		return nil, errNotWhole(b, r)
	}
	node, _ := p.Statements[0]["node"].(map[string]any)
	return node, nil
}

// inner returns the part of the tree that the user wrote, if all round it is
// what was put round it.
func inner(outer tree, condition bool) (tree, bool) {
	allowed := []string{"type", "cte_map", "select_list", "from_table", "aggregate_handling"}
	if condition {
		allowed = append(allowed, "where_clause")
	}
	for key := range outer {
		if !slices.Contains(allowed, key) {
			return nil, false
		}
	}
	from := child(outer, "from_table")
	if text(outer, "type") != "SELECT_NODE" || len(child(outer, "cte_map")) > 0 || len(children(outer, "select_list")) != 1 ||
		text(outer, "aggregate_handling") != "STANDARD_HANDLING" {
		return nil, false
	}
	if condition {
		where := child(outer, "where_clause")
		return where, where != nil && text(from, "type") == "BASE_TABLE" && text(from, "table_name") == "events"
	}
	node := child(child(from, "subquery"), "node")
	return node, node != nil && text(from, "type") == "SUBQUERY" && text(from, "alias") == "recount_rows" && from["sample"] == nil
}

// refused puts findings into one error, the first in the text first.
func refused(b bound, r checkRequest, findings []finding) error {
	slices.SortStableFunc(findings, func(x, y finding) int { return cmp.Compare(x.offset, y.offset) })
	e := &recount.Error{Code: recount.CodeSQLRefused, What: "the SQL is refused", Where: r.Path}
	if r.Condition {
		e.What = "the " + form(r) + " is refused"
	}
	var whys, nexts []string
	for i, f := range findings {
		place := ""
		if f.offset >= 0 {
			place = b.place(f.offset)
		}
		if i == 0 && place != "" {
			e.Where = strings.TrimPrefix(r.Path+":"+place, ":")
		}
		if place != "" && len(findings) > 1 {
			f.what = place + " " + f.what
		}
		if !slices.Contains(whys, f.what) {
			whys = append(whys, f.what)
		}
		if !slices.Contains(nexts, f.instead) {
			nexts = append(nexts, f.instead)
		}
	}
	e.Why, e.Next = strings.Join(whys, "; "), strings.Join(nexts, "; ")
	return e
}

// describe binds the text against an empty relation and returns its columns;
// those of a condition are none, but it must be a bool.
func (w *worker) describe(ctx context.Context, text script, r checkRequest) (columns []recount.Column, err error) {
	if err := w.checks.exec(ctx, emptyEvents(r)); err != nil {
		return nil, fmt.Errorf("check SQL: %w", err)
	}
	if len(r.Opening) > 0 {
		if err := w.checks.exec(ctx, "CREATE OR REPLACE TEMP VIEW opening AS "+emptyRelation(r.Opening)); err != nil {
			return nil, fmt.Errorf("check SQL: %w", err)
		}
	}
	b := text.bind("DESCRIBE "+queryPrefix, querySuffix, anyWindow)
	if r.Condition {
		b = text.bind("DESCRIBE SELECT (\n", ") AS condition FROM events", anyWindow)
	}
	rows, err := w.checks.conn.QueryContext(ctx, b.sql)
	if err != nil {
		return nil, runError(err, b, r.Path, checksMemoryMiB)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var foreign []string
	for rows.Next() {
		var name, kind string
		var rest [4]any
		if err := rows.Scan(&name, &kind, &rest[0], &rest[1], &rest[2], &rest[3]); err != nil {
			return nil, fmt.Errorf("check SQL: %w", err)
		}
		t, ok := resultType(kind)
		if !ok {
			foreign = append(foreign, name+" "+kind)
		}
		columns = append(columns, recount.Column{Name: name, Type: t, Nullable: true})
	}
	if err := rows.Err(); err != nil {
		return nil, runError(err, b, r.Path, checksMemoryMiB)
	}
	if r.Value && len(foreign) == 0 {
		return columns, nil
	}
	if r.Condition && !r.Value {
		if len(foreign) > 0 || len(columns) != 1 || columns[0].Type.Kind != recount.KindBool {
			return nil, &recount.Error{
				Code: recount.CodeSQL, What: "the condition is neither true nor false", Where: r.Path, Why: clip(text.text) + " is no bool",
				Next: "compare it with something, such as partition = '3'",
			}
		}
		return nil, nil
	}
	if r.Value {
		return nil, &recount.Error{
			Code: recount.CodeSQL, What: "the expression has a type that no field can have", Where: r.Path, Why: strings.Join(foreign, ", "), Next: "cast it to the field's type",
		}
	}
	if len(foreign) > 0 {
		return nil, &recount.Error{
			Code: recount.CodeSQL, What: "a column of the result has a type that no table's column can be compared with", Where: r.Path,
			Why: strings.Join(foreign, ", "), Next: "leave the column out, or cast it: CAST(x AS VARCHAR), a number, a timestamp, a date or a bool",
		}
	}
	return columns, nil
}

// correlated says whether the plan of a query that has been bound runs a part of
// it for each row of another.
func (w *worker) correlated(ctx context.Context, text script) (found bool, err error) {
	rows, err := w.checks.conn.QueryContext(ctx, text.bind("EXPLAIN (FORMAT json) "+queryPrefix, querySuffix, anyWindow).sql)
	if err != nil {
		return false, fmt.Errorf("check SQL: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var stage, plan string
		if err := rows.Scan(&stage, &plan); err != nil {
			return false, fmt.Errorf("check SQL: %w", err)
		}
		found = found || strings.Contains(plan, "DEPENDENT_JOIN") || strings.Contains(plan, "DELIM")
	}
	return found, rows.Err()
}

// doubles finds the sums that add doubles: those whose argument does not bind in
// a function that takes every other number.
func (w *worker) doubles(ctx context.Context, walk *walker, outer tree) ([]finding, error) {
	typed := walk.typed
	if len(typed) == 0 {
		return nil, nil
	}
	if ok, err := w.binds(ctx, outer, typed); err != nil || ok {
		return nil, err
	}
	var found []finding
	for _, e := range typed {
		ok, err := w.binds(ctx, outer, []tree{e})
		if err != nil {
			return nil, err
		}
		if ok {
			continue
		}
		name, arg := text(e, "function_name"), walk.arguments(e)
		plainArg, distinct := strings.CutPrefix(arg, "DISTINCT ")
		by := "position"
		if distinct {
			by = plainArg // DISTINCT sorts by its argument alone
		}
		found = append(found, finding{
			offset: location(e),
			what:   fmt.Sprintf("%s(%s) adds doubles, and doubles added in another order give another sum", name, arg),
			instead: fmt.Sprintf("write %s(%s ORDER BY %s), or use a decimal: declare the field as decimal(18,2), or CAST(%s AS DECIMAL(18,2))",
				name, arg, by, plainArg),
		})
	}
	if len(found) == 0 {
		// Each binds alone and all together do not: refused, since unknown.
		found = append(found, finding{
			offset: location(typed[0]), what: "it cannot be told whether the sums add doubles",
			instead: "write sum(x ORDER BY position), or cast to decimal",
		})
	}
	return found, nil
}

// binds says whether the query binds when the arguments of these aggregates are
// put into exactName.
func (w *worker) binds(ctx context.Context, outer tree, wrapped []tree) (bool, error) {
	for _, e := range wrapped {
		args := children(e, "children")
		if len(args) == 0 {
			return false, nil
		}
		kept := args[0]
		args[0] = map[string]any{
			"class": "FUNCTION", "type": "FUNCTION", "function_name": exactName, "children": []any{kept},
			"order_bys": map[string]any{"type": "ORDER_MODIFIER"},
		}
		defer func() { args[0] = kept }()
	}
	whole, err := json.Marshal(map[string]any{"error": false, "statements": []any{map[string]any{"node": outer}}})
	if err != nil {
		return false, fmt.Errorf("check sums: %w", err)
	}
	var sql string
	if err := w.checks.conn.QueryRowContext(ctx, "SELECT json_deserialize_sql(CAST(? AS JSON))", string(whole)).Scan(&sql); err != nil {
		return false, ctx.Err() // what cannot be told is refused
	}
	rows, err := w.checks.conn.QueryContext(ctx, "DESCRIBE "+sql)
	if err != nil {
		return false, ctx.Err()
	}
	defer func() { _ = rows.Close() }()
	return rows.Err() == nil, ctx.Err()
}

// emptyEvents makes the relation that texts are bound against.
func emptyEvents(r checkRequest) string {
	var list []string
	for _, c := range envelope {
		list = append(list, "CAST(NULL AS "+c.duck+") AS "+ident(c.name))
	}
	named := map[string]bool{}
	for _, f := range r.Fields {
		named[strings.ToLower(f.Name)] = true
		list = append(list, "CAST(NULL AS "+declared(f.Type)+") AS "+ident(f.Name))
	}
	if !r.alone() {
		list = append(list, "true AS hit")
	} else if !named[payloadColumn] {
		list = append(list, "CAST(NULL AS JSON) AS "+payloadColumn)
	}
	return "CREATE OR REPLACE TEMP VIEW events AS SELECT " + strings.Join(list, ", ") + " WHERE false"
}
