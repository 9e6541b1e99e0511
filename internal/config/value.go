package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

// raw returns a text as it stands, its reference not yet resolved.
func (v value) raw() (string, bool) {
	switch n := v.node.(type) {
	case nil:
		return "", false
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		v.problem("a text is needed, not %s; write it in quotes", kindOf(n))
	default:
		v.problem("a text is needed, not %s", kindOf(n))
	}
	return "", false
}

// text returns a text with its reference resolved. shown is what messages may
// quote: the reference, where there is one.
func (v value) text() (text, shown string, ok bool) {
	raw, ok := v.raw()
	if !ok {
		return "", "", false
	}
	text, err := resolve(raw, v.r.dir, v.r.getenv)
	if err != nil {
		v.r.problemAs(recount.CodeSecret, nextReference, v.at(), "%s: %v", v.path, err)
		return "", "", false
	}
	return text, raw, true
}

// word returns a text that must not be empty.
func (v value) word() (string, bool) {
	text, _, ok := v.text()
	if ok && text == "" {
		v.problem("the text is empty")
		return "", false
	}
	return text, ok
}

// oneOf returns a text that is one of words.
func (v value) oneOf(code recount.Code, words ...string) (string, bool) {
	text, shown, ok := v.text()
	if !ok {
		return "", false
	}
	if slices.Contains(words, text) {
		return text, true
	}
	if near := recount.Nearest(shown, words); near != "" {
		v.r.problemAs(code, nextMend, v.at(), "%s: unknown value %q; did you mean %q?", v.path, shown, near)
		return "", false
	}
	v.r.problemAs(code, nextMend, v.at(), "%s: unknown value %q; it can be %s", v.path, shown, strings.Join(words, ", "))
	return "", false
}

// duration returns a span such as 15m that is not negative.
func (v value) duration() (time.Duration, bool) {
	text, shown, ok := v.text()
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		v.problem("%q is no duration such as 90s, 15m, 1h or 24h", shown)
		return 0, false
	}
	return d, true
}

// integer returns a whole number between low and high.
func (v value) integer(low, high int64) (int64, bool) {
	n, isInt := v.node.(*ast.IntegerNode)
	if !isInt {
		if !v.gone() {
			v.problem("a whole number is needed, not %s", kindOf(v.node))
		}
		return 0, false
	}
	got, err := strconv.ParseInt(fmt.Sprint(n.Value), 10, 64)
	if err != nil || got < low || got > high {
		v.problem("%s is not between %d and %d", clip(n.GetToken().Value), low, high)
		return 0, false
	}
	return got, true
}

func (v value) boolean() (is, ok bool) {
	b, isBool := v.node.(*ast.BoolNode)
	if !isBool {
		if !v.gone() {
			v.problem("true or false is needed, not %s", kindOf(v.node))
		}
		return false, false
	}
	return b.Value, true
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}
