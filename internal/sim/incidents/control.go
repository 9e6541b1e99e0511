package main

import (
	"maps"
	"slices"
	"strings"

	"recount"
)

// checkControl holds the plan's control against the truth: rows beside the
// incident are wrong only if somebody else edited them.
func (g *game) checkControl(p *recount.Plan, want map[string]verdict) {
	control := p.Body.Control
	if control == nil {
		return
	}
	right := g.rightRows()
	var wrong int64
	first := ""
	for _, key := range slices.Sorted(maps.Keys(g.besides(right, control, want))) {
		if right[key].text(g.b) != g.rows[key].text(g.b) {
			if wrong++; first == "" {
				first = key
			}
		}
	}
	settled := g.b.running() && g.b.cut != cutPaused
	found := control.Wrong + control.Known
	if found == wrong || settled && found < wrong { // what only a row itself tells is not always known
		return
	}
	g.fail(&g.tally.WrongVerdicts, -1, "batch %d: the control finds %d wrong rows (%s), the oracle %d of %d (%s)",
		g.b.number, found, control.First, wrong, control.Rows, first)
}

// besides are the keys of the rows that the control looks at.
func (g *game) besides(right table, control *recount.Control, want map[string]verdict) map[string]bool {
	keys := map[string]bool{}
	if !g.b.bucketed() {
		for key, v := range want {
			if v.beside {
				keys[key] = true
			}
		}
		return keys
	}
	bad := map[string]bool{}
	for _, h := range g.b.histories {
		o := oracle{b: g.b}
		maps.Copy(bad, o.contributed(g.archived(h), func(e *entry) bool { return e.bad || e.dies }))
	}
	for _, t := range []table{right, g.rows} {
		for key := range t {
			_, at, _ := strings.Cut(key, "@")
			for _, span := range control.Spans {
				if at >= span.From.UTC().Format(sqlTime) && at < span.To.UTC().Format(sqlTime) && !bad[key] {
					keys[key] = true
				}
			}
		}
	}
	return keys
}
