package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount"
	"recount/internal/app"
)

// applied applies a plan, holds every row against the run that never went wrong,
// and rolls back.
func (g *game) applied(ctx context.Context, p *recount.Plan) error {
	want := g.judged()
	receipt, err := g.app.Apply(ctx, app.ApplyRequest{File: "fix.plan", Confirm: "totals", Overrides: app.Overrides{NoControl: true}})
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	before, texts := g.rows, g.texts
	if g.rows, g.texts, err = g.live.read(ctx); err != nil {
		return err
	}
	g.checkWrites(before, texts, want)
	g.tally.Corrected += int(receipt.Applied)
	if err := g.nothingLeft(ctx); err != nil {
		return err
	}
	if receipt.Applied == 0 {
		return nil
	}
	if _, err := g.app.Rollback(ctx, app.RollbackRequest{Run: receipt.Run, Confirm: "totals"}); err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	_, back, err := g.live.read(ctx)
	if err != nil {
		return err
	}
	g.checkBack(texts, back)
	return nil
}

// checkWrites holds every row against what it was and what is right.
func (g *game) checkWrites(before table, texts map[string]string, want map[string]verdict) {
	b := g.b
	right := table{}
	for _, h := range b.histories {
		var seen []*entry
		for _, e := range g.archived(h) {
			if g.absorbed(h, e) && (b.memory != memoryWindow || b.reads(e)) {
				seen = append(seen, e)
			}
		}
		maps.Copy(right, b.right(seen))
	}
	keys := maps.Clone(g.texts)
	maps.Copy(keys, texts)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if g.texts[key] == texts[key] {
			continue
		}
		was, is, truth := before[key].text(b), g.rows[key].text(b), right[key].text(b)
		rule := b.unexplained == "correct" || !b.hypotheses()
		switch {
		case was == truth:
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s was right and was written: it was %s, now it is %s", key, texts[key], g.texts[key])
		case is != truth:
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s was made %s, right is %s (it was %s)", key, is, truth, was)
		case g.foreign[key] && !rule && !want[key].action.Writes():
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s was edited by somebody else, and was overwritten: it was %s, now it is %s", key, was, is)
		case was != "-" && is != "-" && !g.sameBeside(texts[key], g.texts[key]):
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s: another column was written: it was %s, now it is %s", key, texts[key], g.texts[key])
		}
	}
}

// sameBeside says whether the columns that are not compared are as they were.
func (g *game) sameBeside(was, is string) bool {
	return was[strings.LastIndex(was, "{"):] == is[strings.LastIndex(is, "{"):]
}

// nothingLeft plans once more: what was corrected must be right now.
func (g *game) nothingLeft(ctx context.Context) error {
	again, err := g.app.Diff(ctx, g.request(""))
	if err != nil {
		return fmt.Errorf("diff after the apply: %w", err)
	}
	for _, c := range again.Plan.Changes {
		if c.Action.Writes() {
			key := keyOf(c.Key)
			g.fail(&g.tally.WrongVerdicts, historyOf(key), "row %s: after the apply the plan still says %s", key, c.Action)
		}
	}
	g.compare(again.Plan, g.judged())
	return nil
}

// checkBack holds every byte against what it was before the apply.
func (g *game) checkBack(was, is map[string]string) {
	keys := maps.Clone(was)
	maps.Copy(keys, is)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if was[key] != is[key] {
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s: after the rollback it is %s, before the apply it was %s", key, is[key], was[key])
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
