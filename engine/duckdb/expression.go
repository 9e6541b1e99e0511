package duckdb

import (
	"maps"
	"slices"
	"strings"
)

// expressions walks all expressions below v, which may lie in lists and in plain
// objects such as the parts of CASE.
func (w *walker) expressions(v any, s scope) {
	w.depth++
	defer func() { w.depth-- }()
	if w.depth > maxDepth {
		if w.depth == maxDepth+1 {
			w.refuse(nil, "write it shorter", "the query is nested too deep")
		}
		return
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			w.expressions(e, s)
		}
	case map[string]any:
		if _, ok := v["class"]; ok {
			w.expression(v, s)
			return
		}
		w.parts(v, s)
	}
}

// parts walks the members of an object in a fixed order, so that findings have
// one too.
func (w *walker) parts(t tree, s scope) {
	for _, key := range slices.Sorted(maps.Keys(t)) {
		switch key {
		case "value", "cast_type": // a constant and a type hold no expression
		default:
			w.expressions(t[key], s)
		}
	}
}

func (w *walker) expression(e tree, s scope) {
	switch class := text(e, "class"); class {
	case "STAR":
		if w.rowwise {
			w.refuse(e, "name the columns", "a condition that looks at all columns at once would look at others in another version")
			return
		}
		w.whole = true
		w.parts(e, s)
	case "POSITIONAL_REFERENCE":
		w.whole = true
		w.parts(e, s)
	case "BETWEEN", "CASE", "CAST", "COMPARISON", "CONJUNCTION", "CONSTANT", "OPERATOR":
		w.parts(e, s)
	case "COLUMN_REF":
		w.column(e, s)
	case "LAMBDA":
		w.lambda(e, s)
	case "COLLATE":
		w.refuse(e, "compare lower(x), or the text as it is", "COLLATE makes different texts equal, so that any of them may come out")
	case "DEFAULT":
		w.refuse(e, "write the value", "DEFAULT has no meaning here")
	case "PARAMETER":
		w.refuse(e, "use $from and $to, the edges of the window", "the parameter $%s has no value", text(e, "identifier"))
	case "SUBQUERY":
		if w.rowwise {
			w.refuse(e, "compare columns of the event", "a condition looks at one event and holds no subquery")
			return
		}
		w.nested = true
		w.expressions(e["child"], s)
		w.node(child(child(e, "subquery"), "node"), s)
	case "FUNCTION":
		w.function(e, s)
	case "WINDOW":
		w.window(e, s)
	default:
		w.refuse(e, "write it otherwise", "the query holds an expression of class %s, which the check does not know", class)
	}
}

// column refuses the names that DuckDB reads as a clock where no column has
// them. A column may have such a name if it is certain that it is meant.
func (w *walker) column(e tree, s scope) {
	names := children(e, "column_names")
	for i, n := range names {
		// What stands before a point is a relation, or a column with parts.
		s, _ := n.(string)
		if s = strings.ToLower(s); i == len(names)-1 || !w.aliases[s] || w.fields[s] || inEnvelope(s) {
			w.names[s] = true
		}
	}
	if len(names) != 1 {
		return
	}
	name, _ := names[0].(string)
	lower := strings.ToLower(name)
	if w.rowwise && lower == "events" && !w.fields[lower] {
		w.refuse(e, "name the columns", "a condition that looks at all columns at once would look at others in another version")
		return
	}
	if f, ok := clockNames[lower]; ok && (!w.fields[lower] || !s.direct) {
		w.ambient(e, f, lower, "name the table before a column of that name, such as e."+lower+"; otherwise leave it out")
	}
}

// lambda walks the body and what stands before the arrow: the names of parameters,
// or, since JSON has the same arrow, any expression.
func (w *walker) lambda(e tree, s scope) {
	w.expressions(e["lhs"], s)
	w.expressions(e["expr"], s)
}

func (w *walker) ambient(e tree, f family, name, instead string) {
	switch f { //nolint:exhaustive // only calls that reach outside come here
	case clock:
		w.refuse(e, "use the event's own time, or $from and $to", "%s is the machine's clock, which differs at each run", name)
	case chance:
		w.refuse(e, "use what the event holds; hash(id) spreads evenly", "%s gives another value at each call", name)
	default:
		w.refuse(e, instead, "%s shows or changes the engine, not the events", name)
	}
}

// function walks a call that is no window.
func (w *walker) function(e tree, s scope) {
	name := strings.ToLower(text(e, "function_name"))
	if schema := text(e, "schema"); schema != "" && schema != "main" || text(e, "catalog") != "" {
		w.refuse(e, "write "+name+"(…)", "the call %s.%s is not allowed: functions have no prefix", schema, name)
	}
	if flag(e, "export_state") {
		w.refuse(e, "leave EXPORT_STATE out", "EXPORT_STATE shows the engine's own state")
	}
	given := len(orders(child(e, "order_bys"))) > 0
	w.sorted = w.sorted || given
	w.call(e, name, given, false)
	w.expressions(e["children"], s)
	w.expressions(e["filter"], s)
	w.expressions(map[string]any(child(e, "order_bys")), s)
}

// call judges the function itself. given says that its rows come in an order.
func (w *walker) call(e tree, name string, given, window bool) {
	f := familyOf[name]
	if w.rowwise && (f == exact || f == adding || f == floating || f == ordered || f == estimate || f == macro) {
		w.refuse(e, "compare columns of the event", "a condition looks at one event and holds no aggregate such as %s", name)
		return
	}
	switch f {
	case pure:
		if name == "age" && len(children(e, "children")) < 2 {
			w.refuse(e, "write age(a, b)", "age of one time counts from the machine's clock")
		}
	case exact:
	case adding:
		if !given {
			w.typed = append(w.typed, e)
		}
	case floating:
		if !given {
			w.refuse(e, "write "+name+"("+w.arguments(e)+" ORDER BY position)", "%s computes in doubles, and doubles in another order give another sum", name)
		}
	case ordered:
		if !given {
			w.refuse(e, w.unordered(e, name, window), "%s without an order gives any of several results", name)
		}
	case listing:
		w.listing(e, name)
	case clock, chance, ambient:
		w.ambient(e, f, name, "leave it out")
	case estimate:
		w.refuse(e, "use the exact form: count(DISTINCT x), quantile_cont(x, 0.5)", "%s estimates, and estimates otherwise in another order", name)
	case macro:
		w.refuse(e, "use an aggregate that takes one, such as list(x ORDER BY position) or sum(x ORDER BY position)", "%s takes no order of its rows", name)
	case unknown:
		w.strangers = append(w.strangers, finding{offset: location(e), what: name})
		w.refuse(e, "use another function", "the function %s is not in the list of those that are known to be repeatable", name)
	}
}

func (w *walker) unordered(e tree, name string, window bool) string {
	if window {
		return "write " + name + "(" + w.arguments(e) + ") OVER (… ORDER BY time, position)"
	}
	return "write " + name + "(" + w.arguments(e) + " ORDER BY time, position)"
}

// arguments is what stands between the parentheses of a call, as it was written.
func (w *walker) arguments(e tree) string {
	at := location(e)
	if at < 0 || at >= len(w.source) {
		return "x"
	}
	l := lexer{text: w.source[at:]}
	depth, start := 0, 0
	for l.at < len(l.text) {
		switch l.text[l.at] {
		case '(':
			if depth == 0 {
				start = l.at + 1
			}
			depth++
		case ')':
			if depth--; depth == 0 {
				return strings.Join(strings.Fields(l.text[start:l.at]), " ")
			}
		}
		l.step()
	}
	return "x"
}

// listing judges list_aggregate(list, 'name'): the list has an order of its own.
func (w *walker) listing(e tree, name string) {
	args := children(e, "children")
	if len(args) > 1 {
		a, _ := args[1].(map[string]any)
		if s, ok := child(a, "value")["value"].(string); ok && text(a, "class") == "CONSTANT" {
			switch familyOf[strings.ToLower(s)] { //nolint:exhaustive // every other family is refused, below
			case exact, adding, floating, ordered:
				return
			}
		}
	}
	w.refuse(e, "write list_sum(l), list_max(l) or the like", "%s needs the name of an allowed aggregate as a constant", name)
}

// window walks a call with OVER.
func (w *walker) window(e tree, s scope) {
	if w.rowwise {
		w.refuse(e, "compare columns of the event", "a condition looks at one event and holds no window")
		return
	}
	name := strings.ToLower(text(e, "function_name"))
	if text(e, "catalog") != "" || text(e, "schema") != "" && text(e, "schema") != "main" {
		w.refuse(e, "write "+name+"(…)", "the call %s.%s is not allowed: functions have no prefix", text(e, "schema"), name)
	}
	sorted := len(children(e, "orders")) > 0 || len(children(e, "arg_orders")) > 0
	w.sorted = w.sorted || sorted
	frame := text(e, "start") + " " + text(e, "end")
	if !sorted && (strings.Contains(frame, "ROWS") || strings.Contains(frame, "GROUPS") || strings.Contains(frame, "EXPR")) {
		w.refuse(e, "add ORDER BY time, position to the window", "a window of rows without ORDER BY holds any rows")
	} else {
		w.call(e, name, sorted, true)
	}
	w.parts(e, s)
}
