package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount"
)

// planFile is the plan's file.
const planFile = "fix.plan"

// rightRows is the table of the run that never went wrong, with every row where
// the live one stands.
func (g *game) rightRows() table {
	right := table{}
	for _, h := range g.b.histories {
		var seen []*entry
		for _, e := range g.archived(h) {
			if g.absorbed(h, e) && (g.b.memory != memoryWindow || g.b.reads(e)) {
				seen = append(seen, e)
			}
		}
		maps.Copy(right, g.b.right(seen))
	}
	return right
}

// checkWrites holds every row against what it was and what is right.
func (g *game) checkWrites(before table, texts map[string]string, want map[string]verdict) {
	b := g.b
	right := g.rightRows()
	for _, key := range slices.Sorted(maps.Keys(union(g.texts, texts))) {
		was, is, truth := before[key].text(b), g.rows[key].text(b), right[key].text(b)
		if g.texts[key] == texts[key] && was == is || strings.Contains(key, entryMark) {
			continue
		}
		rule := b.unexplained == "correct" || !b.hypotheses()
		switch {
		case was == truth:
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s was right and was written: it was %s, now it is %s", key, texts[key], g.texts[key])
		case is != truth:
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s was made %s, right is %s (it was %s)", key, is, truth, was)
		case g.foreign[key] && !rule && !want[key].action.Writes():
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s was edited by somebody else, and was overwritten: it was %s, now it is %s", key, was, is)
		case g.texts[key] != texts[key] && before[key] != nil && before[key].frozen:
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s is frozen, and was edited: it was %s, now it is %s", key, texts[key], g.texts[key])
		case was != "-" && is != "-" && !g.sameBeside(texts[key], g.texts[key]):
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s: another column was written: it was %s, now it is %s", key, texts[key], g.texts[key])
		}
	}
}

// sameBeside says whether the columns that are not compared are as they were.
func (g *game) sameBeside(was, is string) bool {
	return was[strings.LastIndex(was, "{"):] == is[strings.LastIndex(is, "{"):]
}

// nothingLeft plans once more: what was corrected must be right now. texts is the
// table before the apply.
func (g *game) nothingLeft(ctx context.Context, texts map[string]string) error {
	again, err := g.app.Diff(ctx, g.request(""))
	if err != nil {
		return fmt.Errorf("diff after the apply: %w", err)
	}
	for _, c := range again.Plan.Changes {
		if key := keyOf(c.Key); c.Action.Writes() && texts[key] != g.texts[key] {
			g.fail(&g.tally.WrongVerdicts, historyOf(key), "row %s: after the apply the plan still says %s", key, c.Action)
		}
	}
	g.compare(again.Plan, g.judged())
	return nil
}

// checkBytes holds every byte against what it was.
func (g *game) checkBytes(was, is map[string]string, after string) {
	for _, key := range slices.Sorted(maps.Keys(union(was, is))) {
		if was[key] != is[key] {
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s: after %s it is %s, before it was %s", key, after, is[key], was[key])
		}
	}
}

// codeOf is the code of an error of the product.
func codeOf(err error) recount.Code {
	if e, ok := errors.AsType[*recount.Error](err); ok {
		return e.Code
	}
	return ""
}
