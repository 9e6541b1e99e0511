package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"recount"
)

// Bounds on the file: it is read whole, and aliases may multiply what stands in
// it. A file of a thousand calculations stays far below each.
const (
	maxBytes = 1 << 20
	maxDepth = 50
	maxNodes = 200_000
)

// reader walks the tree of one file and collects its problems.
type reader struct {
	dir      string
	getenv   func(string) (string, bool)
	problems Problems
	anchors  map[string]ast.Node
	nodes    int
}

func (r *reader) problem(at pos, format string, args ...any) {
	r.problemAs(recount.CodeConfig, nextMend, at, format, args...)
}

// mostProblems bounds the work for a file that is wrong throughout.
const mostProblems = 1000

func (r *reader) problemAs(code recount.Code, next string, at pos, format string, args ...any) {
	if len(r.problems) == mostProblems {
		return
	}
	r.problems = append(r.problems, Problem{
		Code: code, Line: at.line, Column: at.column, Text: hide(fmt.Sprintf(format, args...)), Next: next,
	})
}

// parse returns the file's one document, or false after a problem.
func (r *reader) parse(source []byte) (root value, ok bool) {
	// The parser has met most inputs, but not all: a panic of it is the file's
	// mistake to a person, never a crash.
	defer func() {
		if recover() != nil {
			r.problem(pos{}, "the file is no YAML that can be read")
			root, ok = value{}, false
		}
	}()
	if len(source) > maxBytes {
		r.problem(pos{}, "the file has %d bytes; at most %d are read", len(source), maxBytes)
		return value{}, false
	}
	if !utf8.Valid(source) {
		r.problem(pos{}, "the file is not UTF-8")
		return value{}, false
	}
	tokens := lexer.Tokenize(string(source))
	if at, deep := tooDeep(tokens); deep {
		r.problem(at, "the file nests deeper than %d levels", maxDepth)
		return value{}, false
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			r.problem(at(syntax.Token), "the YAML cannot be read: %s", syntax.Message)
			return value{}, false
		}
		r.problem(pos{}, "the YAML cannot be read: %v", err)
		return value{}, false
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		r.problem(pos{}, "the file is empty; it needs version, archive, sources and calculations")
		return value{}, false
	case 1:
		ast.Walk(anchors(r.anchors), bodies[0])
		return value{r: r, node: bodies[0]}.follow(), true
	}
	r.problem(at(bodies[1].GetToken()), "the file holds a second document; only one is read")
	return value{}, false
}

// anchors collects what aliases may stand for.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		a[anchor.Name.GetToken().Value] = anchor.Value
	}
	return a
}

// tooDeep looks for nesting that would make the parser's recursion deep, before
// it runs.
func tooDeep(tokens token.Tokens) (pos, bool) {
	flow, inLine, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			inLine, line = 0, t.Position.Line
		}
		switch t.Type { //nolint:exhaustive // only tokens that open or close a level count
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			inLine++
		}
		if flow > maxDepth || inLine > maxDepth {
			return at(t), true
		}
	}
	return pos{}, false
}

func at(t *token.Token) pos {
	if t == nil || t.Position == nil {
		return pos{}
	}
	return pos{line: t.Position.Line, column: t.Position.Column}
}

// value is one node with the path of keys that leads to it.
type value struct {
	r     *reader
	node  ast.Node
	path  string
	depth int
	key   pos // of the key before it; zero in a list
}

func (v value) at() pos {
	if v.node == nil {
		return pos{}
	}
	if m, ok := v.node.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return at(m.Values[0].Key.GetToken())
	}
	return at(v.node.GetToken())
}

func (v value) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if v.path != "" {
		text = v.path + ": " + text
	}
	v.r.problem(v.at(), "%s", text)
}

// child is a node below v. Every step down is counted: an alias can make a small
// file a huge tree.
func (v value) child(key string, node ast.Node) value {
	c := value{r: v.r, node: node, path: join(v.path, key), depth: v.depth + 1}
	v.r.nodes++
	if v.r.nodes > maxNodes || c.depth > maxDepth {
		if v.r.nodes <= maxNodes+1 || c.depth == maxDepth+1 {
			c.problem("aliases make the file too large")
		}
		v.r.nodes = max(v.r.nodes, maxNodes+1)
		c.node = nil
		return c
	}
	return c.follow()
}

// follow goes through anchors and aliases to what they stand for.
func (v value) follow() value {
	for range maxDepth {
		switch n := v.node.(type) {
		case *ast.AnchorNode:
			v.node = n.Value
		case *ast.AliasNode:
			target, ok := v.r.anchors[n.Value.GetToken().Value]
			if !ok {
				v.problem("there is no anchor &%s above", n.Value.GetToken().Value)
				v.node = nil
				return v
			}
			v.node = target
		case *ast.TagNode:
			v.problem("tags such as %s are not used here", n.Start.Value)
			v.node = nil
			return v
		default:
			return v
		}
	}
	v.problem("an alias leads to itself")
	v.node = nil
	return v
}

// gone says that a problem of this value was reported already.
func (v value) gone() bool { return v.node == nil }

// entry is one key of a mapping.
type entry struct {
	key string
	at  pos
	value
}

// entries lists a mapping's keys in the file's order, or reports that v is none.
// A merge key (<<) brings keys that the mapping does not have itself.
func (v value) entries() []entry {
	var pairs []*ast.MappingValueNode
	switch n := v.node.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		v.problem("a mapping of keys is needed, not %s", kindOf(n))
		return nil
	}
	var list, merged []entry
	seen := map[string]pos{}
	for _, pair := range pairs {
		if pair.Key.IsMergeKey() {
			merged = append(merged, v.child("<<", pair.Value).entries()...)
			continue
		}
		key, where := keyText(pair.Key), at(pair.Key.GetToken())
		if first, twice := seen[key]; twice {
			v.r.problem(where, "%s: the key stands twice, first in line %d", join(v.path, key), first.line)
			continue
		}
		seen[key] = where
		child := v.child(key, pair.Value)
		child.key = where
		list = append(list, entry{key: key, at: where, value: child})
	}
	for _, e := range merged {
		if _, own := seen[e.key]; !own {
			seen[e.key] = e.at
			list = append(list, e)
		}
	}
	return list
}

func keyText(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	if t := key.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

// join clips keys, so that a hostile key is not copied into every path below it.
func join(path, key string) string {
	key = clip(key)
	if path == "" || strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}

func clip(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// block reads a mapping whose keys are known. Unknown ones and those that are
// missing are reported; open lets unknown ones through, for the caller to judge.
// It returns nil where v is no mapping.
func (v value) block(b Block, open bool) map[string]entry {
	if v.gone() || !v.isMapping() {
		v.entries() // reports
		return nil
	}
	found := map[string]entry{}
	meant := map[string]bool{} // missing keys whose misspelling was reported
	for _, e := range v.entries() {
		if !slices.Contains(b.names(), e.key) {
			meant[recount.Nearest(e.key, b.names())] = true
			if !open {
				v.r.problem(e.at, "%s", unknownKey(v.path, e.key, b.names()))
				continue
			}
		}
		found[e.key] = e
	}
	for _, k := range b.Keys {
		if k.Required && !meant[k.Name] {
			v.require(b, found, k.Name)
		}
	}
	return found
}

// require reports a key of b that was not found, nor misspelled.
func (v value) require(b Block, found map[string]entry, name string) {
	for key := range found {
		if !slices.Contains(b.names(), key) && recount.Nearest(key, b.names()) == name {
			return
		}
	}
	where := v.key
	if where == (pos{}) {
		where = v.at()
	}
	for _, k := range b.Keys {
		if _, ok := found[name]; k.Name == name && !ok {
			v.r.problem(where, "%s is missing: %s", join(v.path, k.Name), lowerFirst(k.Doc))
		}
	}
}

func lowerFirst(s string) string {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

func unknownKey(path, key string, known []string) string {
	in := ""
	if path != "" {
		in = " in " + path
	}
	key = clip(key)
	if near := recount.Nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key %q%s; did you mean %q?", key, in, near)
	}
	return fmt.Sprintf("unknown key %q%s; known there: %s", key, in, strings.Join(known, ", "))
}

// find returns one key of a mapping that was read before: it reports nothing.
func (v value) find(key string) (value, bool) {
	if v.gone() || !v.isMapping() {
		return value{}, false
	}
	before := v.r.problems
	defer func() { v.r.problems = before }()
	for _, e := range v.entries() {
		if e.key == key {
			return e.value, true
		}
	}
	return value{}, false
}

// items lists a sequence, or reports that v is none.
func (v value) items() []value {
	if v.gone() {
		return nil
	}
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.problem("a list is needed, not %s", kindOf(v.node))
		return nil
	}
	list := make([]value, 0, len(seq.Values))
	for i, n := range seq.Values {
		list = append(list, v.child("["+strconv.Itoa(i+1)+"]", n))
	}
	return list
}

func (v value) isMapping() bool {
	switch v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}
