package config

import (
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

func (l *loader) calculation(e entry) {
	found := e.block(calculationBlock, false)
	if found == nil {
		return
	}
	c := Calculation{Line: e.at.line}
	c.Name, c.Dedupe, c.MaxChanges = e.key, true, DefaultMaxChanges
	if v, ok := found["source"]; ok {
		c.Source = l.sourceName(v.value)
	}
	if v, ok := found["key"]; ok {
		c.Key = texts(v.value)
	}
	c.Memory = recount.Memory{Kind: recount.MemoryWindow}
	if v, ok := found["memory"]; ok {
		c.Memory = memory(v.value)
	}
	if v, ok := found["versions"]; ok {
		c.Logic = l.versions(&c, v, found)
	} else {
		c.Logic, _ = l.logicOf(&c, e.value, found)
		l.by(&c, &c.Logic, found)
	}
	opening := openingOf(&c, found)
	if v, ok := found["timezone"]; ok {
		c.Bucket.Zone = zone(v.value)
	}
	if v, ok := found["bucket"]; ok {
		c.Bucket.Size, c.BucketNone = bucket(v.value)
	}
	if !c.Bucket.None() && c.Bucket.Zone == nil {
		c.Bucket.Zone = time.UTC
	}
	if v, ok := found["dedupe"]; ok {
		c.Dedupe, _ = v.boolean()
	}
	if v, ok := found["compare"]; ok {
		c.Compare = compare(v.value)
	}
	if v, ok := found["limits"]; ok {
		if most, ok := v.block(limitsBlock, false)["changes"]; ok {
			c.MaxChanges, _ = most.integer(1, math.MaxInt64)
		}
	}
	if v, ok := found["versions"]; ok {
		edgesOnGrid(&c, v)
	}
	if v, ok := found["lookups"]; ok {
		l.lookupUses(&c, v)
	}
	l.types(&c, found)
	l.hypotheses(&c, found)
	if c.Previous != nil && c.Previous.Kind == recount.LogicSQL {
		c.Previous.Opening = opening
	}
	if v, ok := found["effects"]; ok {
		l.effects(&c, v.value)
	}
	cut(&c, found)
	c.WorkerState = recount.StateRow
	if v, ok := found["worker_state"]; ok {
		word, _ := v.oneOf(recount.CodeConfig, string(recount.StateRow), string(recount.StateOwn))
		c.WorkerState = recount.WorkerState(word)
	}
	if v, ok := found["target"]; ok {
		l.target(&c, v.value)
	}
	l.project.Calculations[c.Name] = c
}

// sourceName reads the name of a source that the file has. Sources are read
// before calculations; one with a mistake counts as there.
func (l *loader) sourceName(v value) string {
	text, shown, ok := v.text()
	if !ok {
		return ""
	}
	known := slices.Sorted(maps.Keys(l.project.Sources))
	if _, ok := l.project.Sources[text]; ok || len(known) == 0 && len(l.r.problems) > 0 {
		return text
	}
	if near := recount.Nearest(shown, known); near != "" {
		v.problem("there is no source %q; did you mean %q?", clip(shown), near)
		return ""
	}
	v.problem("there is no source %q; there is: %s", clip(shown), strings.Join(known, ", "))
	return ""
}

func texts(v value) []string {
	var list []string
	for _, item := range v.items() {
		text, ok := item.word()
		if !ok {
			continue
		}
		if slices.Contains(list, text) {
			item.problem("it stands twice")
			continue
		}
		list = append(list, text)
	}
	if seq, ok := v.node.(*ast.SequenceNode); ok && len(seq.Values) == 0 {
		v.problem("the list is empty")
	}
	return list
}

// bucket reads a grid that midnights fall on.
func bucket(v value) (size time.Duration, none bool) {
	const day = 24 * time.Hour
	if text, ok := v.node.(*ast.StringNode); ok && text.Value == "none" {
		return 0, true
	}
	size, ok := v.duration()
	if !ok {
		return 0, false
	}
	if size < time.Second || day%size != 0 && size%day != 0 {
		v.problem("a bucket divides a day, as 15m and 1h do, or is whole days, as 24h is; or none")
		return 0, false
	}
	return size, false
}

var plainDecimal = regexp.MustCompile(`^[0-9]{1,38}(\.[0-9]{1,38})?$`)

func compare(v value) map[string]recount.Rule {
	rules := map[string]recount.Rule{}
	for _, e := range v.entries() {
		if !e.isMapping() {
			if _, ok := e.oneOf(recount.CodeConfig, "exact"); ok {
				rules[e.key] = recount.Rule{}
			}
			continue
		}
		abs, ok := e.block(compareBlock, false)["abs"]
		if !ok {
			continue
		}
		if text, ok := abs.decimal(); ok {
			rules[e.key] = recount.Rule{Abs: text}
		}
	}
	return rules
}

// decimal returns a number as it is spelled, so that no digit is lost.
func (v value) decimal() (text string, ok bool) {
	shown := ""
	switch n := v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		text = n.GetToken().Value
		shown = text
	default:
		if text, shown, ok = v.text(); !ok {
			return "", false
		}
	}
	if n, ok := new(big.Rat).SetString(text); !plainDecimal.MatchString(text) || !ok || n.Sign() == 0 {
		v.problem("%q is no decimal above zero, such as 0.01", clip(shown))
		return "", false
	}
	return text, true
}
