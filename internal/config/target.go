package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"recount"
	"recount/adapter"
)

func (l *loader) target(c *Calculation, v value) {
	found := v.block(targetBlock, true)
	if found == nil {
		return
	}
	if spec, block, ok := l.pickAdapter(adapter.Target, v, targetBlock, found); ok {
		c.Target.Adapter, c.Target.Config = spec.Name, l.adapterBlock(spec, block.value, nil)
		if overlay, ok := found["apply"]; ok {
			c.Target.Apply = &Apply{Config: l.adapterBlock(spec, block.value, &overlay.value)}
		}
	}
	if e, ok := found["table"]; ok {
		c.Target.Table, _ = e.word()
	}
	if e, ok := found["columns"]; ok {
		c.Columns = columns(c, e.value)
	}
	if e, ok := found["where"]; ok {
		c.Where, _ = e.word()
	}
	c.Extra = recount.ExtraReport
	if e, ok := found["extra"]; ok {
		word, _ := e.oneOf(recount.CodeConfig, string(recount.ExtraReport), string(recount.ExtraExplained), string(recount.ExtraDelete))
		c.Extra = recount.Extra(word)
		if c.Extra == recount.ExtraDelete && c.Where == "" {
			e.problem("delete needs where: it says which live rows the calculation owns")
		}
	}
	l.write(c, v, found)
}

// columns reads which table column a result column goes to, and checks that
// compare names only those.
func columns(c *Calculation, v value) map[string]string {
	mapped, taken := map[string]string{}, map[string]string{}
	for _, e := range v.entries() {
		column, ok := e.word()
		if !ok {
			continue
		}
		if first, twice := taken[column]; twice {
			e.problem("the table column is taken by %q already", clip(first))
			continue
		}
		taken[column] = e.key
		mapped[e.key] = column
	}
	if m, ok := v.node.(*ast.MappingNode); ok && len(m.Values) == 0 {
		v.problem("it names no column")
	}
	known := slices.Sorted(maps.Keys(mapped))
	for _, name := range slices.Sorted(maps.Keys(c.Compare)) {
		if _, ok := mapped[name]; !ok && len(known) > 0 {
			v.problem("compare names %q, which is not mapped here; mapped: %s", clip(name), strings.Join(known, ", "))
		}
	}
	return mapped
}
