package main

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"recount"
	"recount/internal/app"
)

// most rounds of live traffic that a game has events for.
const mostRounds = 3

// flows says whether rows go on to absorb events.
func (g *game) flows() bool {
	return g.b.running() && g.b.cut != cutPaused && g.round < mostRounds
}

// traffic lets the log grow and the workers go on: they read rows, add to them
// and write them back.
func (g *game) traffic(ctx context.Context) error {
	b := g.b
	from := planned + g.round*round
	stood := g.rightRows()
	g.round++
	if err := b.publish(g.dir, from, planned+g.round*round); err != nil {
		return err
	}
	if err := g.archive(ctx); err != nil {
		return err
	}
	rows, _, err := g.live.read(ctx)
	if err != nil {
		return err
	}
	for key, r := range rows {
		if stood[key] != nil { // the worker knows which event of the row is the newest
			r.lastOrd = stood[key].lastOrd
		}
	}
	changed := table{}
	for _, h := range b.histories {
		for _, e := range h.log {
			if !g.absorbedBy(h, e, g.round) || g.absorbedBy(h, e, g.round-1) {
				continue
			}
			b.work(rows, []*entry{e}, fault{}) // the worker is mended by now
			changed[e.who] = rows[e.who]
		}
	}
	maps.DeleteFunc(changed, func(_ string, r *row) bool { return r == nil })
	return g.live.put(ctx, changed)
}

// meddle lets somebody else write nonsense into a few rows.
func (g *game) meddle(ctx context.Context) error {
	rows, _, err := g.live.read(ctx)
	if err != nil {
		return err
	}
	keys := slices.Sorted(maps.Keys(rows))
	changed := table{}
	for range 1 + g.rng.IntN(2) {
		key := keys[g.rng.IntN(len(keys))]
		if historyOf(key) == fillerNumber {
			continue
		}
		r := rows[key]
		r.total, r.n = big.NewRat(70_000_000_11+g.rng.Int64N(1000)*100, 100), r.n+500
		changed[key] = r
		g.foreign[key] = true
	}
	return g.live.put(ctx, changed)
}

// tries is how often a plan is made anew because rows moved.
const tries = 4

// correct plans and applies, under live traffic and edits: a plan whose rows
// moved must be refused whole, and is made anew.
func (g *game) correct(ctx context.Context) error {
	for try := range tries {
		p, err := g.plan(ctx)
		if err != nil {
			return err
		}
		want := g.judged()
		if g.flows() && g.round == 0 && g.rng.IntN(2) == 0 {
			if err := g.traffic(ctx); err != nil {
				return err
			}
		}
		if try == 0 && g.b.write != "adjust" && g.rng.IntN(4) == 0 {
			if err := g.meddle(ctx); err != nil {
				return err
			}
		}
		done, err := g.apply(ctx, p, want)
		if done || err != nil {
			return err
		}
	}
	g.tally.Refused++
	return nil
}

// apply applies a plan. Rows that moved must refuse it, unless it adds deltas to
// rows that it still explains.
func (g *game) apply(ctx context.Context, p *recount.Plan, want map[string]verdict) (done bool, err error) {
	seen := g.rows
	before, texts, err := g.live.read(ctx)
	if err != nil {
		return false, err
	}
	moved := g.movedRows(p, seen, before)
	tables, err := g.app.ApplyTable(ctx, planFile)
	if err != nil {
		return false, err
	}
	receipt, err := g.app.Apply(ctx, app.ApplyRequest{File: planFile, Confirm: tables, Overrides: app.Overrides{NoControl: true}})
	stale := codeOf(err) == recount.CodeStale
	if err != nil && !stale {
		return false, fmt.Errorf("apply: %w", err)
	}
	if g.rows, g.texts, err = g.live.read(ctx); err != nil {
		return false, err
	}
	if stale {
		if len(moved) == 0 {
			g.fail(&g.tally.WrongVerdicts, -1, "batch %d: the plan was refused as stale, though no planned row moved", g.b.number)
		}
		g.checkBytes(texts, g.texts, "a plan that was refused as stale")
		return false, nil
	}
	for key, edited := range moved {
		if g.b.write != "delta" || edited {
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s moved after the plan, and the plan was applied", key)
		}
	}
	g.checkWrites(before, texts, want)
	g.tally.Corrected += int(receipt.Applied)
	if err := g.nothingLeft(ctx, texts); err != nil {
		return true, err
	}
	return true, g.back(ctx, receipt, before, texts)
}

// movedRows are the planned rows that no longer read as they did; true where
// somebody edited them.
func (g *game) movedRows(p *recount.Plan, seen, now table) map[string]bool {
	moved := map[string]bool{}
	for _, c := range p.Changes {
		key := keyOf(c.Key)
		if c.Action.Writes() && seen[key].text(g.b) != now[key].text(g.b) {
			moved[key] = now[key] != nil && now[key].n >= 500 && (seen[key] == nil || seen[key].n < now[key].n-400)
		}
	}
	return moved
}

// back rolls a run back, after more traffic or not.
func (g *game) back(ctx context.Context, receipt recount.Receipt, before table, texts map[string]string) error {
	after, afterTexts := g.rows, g.texts
	if g.flows() && g.rng.IntN(2) == 0 {
		if err := g.traffic(ctx); err != nil {
			return err
		}
		if err := g.goneOn(ctx, after, before); err != nil {
			return err
		}
	}
	if receipt.Applied == 0 {
		return nil
	}
	now, nowTexts, err := g.live.read(ctx)
	if err != nil {
		return err
	}
	tables, err := g.app.RollbackTable(ctx, receipt.Run)
	if err != nil {
		return err
	}
	if _, err := g.app.Rollback(ctx, app.RollbackRequest{Run: receipt.Run, Confirm: tables}); err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	rows, back, err := g.live.read(ctx)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(union(nowTexts, back))) {
		want, is := nowTexts[key], back[key]
		if strings.Contains(key, entryMark) {
			continue // an entry is taken back by another one: the sums beside rows tell
		}
		if g.b.write == "adjust" && rows[key].text(g.b) != before[key].text(g.b) {
			want, is = before[key].text(g.b), rows[key].text(g.b)
		}
		written := texts[key] != afterTexts[key]
		switch {
		case written && g.b.write == "delta":
			want, is = taken(now[key], after[key], before[key]).text(g.b), rows[key].text(g.b)
		case written && now[key].text(g.b) == after[key].text(g.b):
			want = texts[key]
		}
		if want != is {
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s: after the rollback it is %q, it should be %q (before the apply %q)", key, is, want, texts[key])
		}
	}
	return nil
}

// taken is a row less what an apply added to it; none where that leaves the row
// that the apply inserted.
func taken(now, after, before *row) *row {
	if now == nil || after == nil {
		return now
	}
	if before == nil {
		if now.n == after.n && now.total.Cmp(after.total) == 0 {
			return nil
		}
		before = &row{total: new(big.Rat)}
	}
	r := now.clone()
	r.n -= after.n - before.n
	r.total.Sub(r.total, new(big.Rat).Sub(after.total, before.total))
	return r
}

// goneOn holds the rows that were right, or were made right, against the run that
// never went wrong, after the workers went on with them.
func (g *game) goneOn(ctx context.Context, after, before table) error {
	was := g.round
	g.round--
	then := g.rightRows()
	g.round = was
	right := g.rightRows()
	now, _, err := g.live.read(ctx)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		wasRight := then[key] != nil && after[key].text(g.b) == then[key].text(g.b)
		if wasRight && now[key].text(g.b) != right[key].text(g.b) {
			g.fail(&g.tally.WrongWrites, historyOf(key), "row %s was right (%s, before the apply %s) and, once the worker went on, is %s; right is %s",
				key, after[key].text(g.b), before[key].text(g.b), now[key].text(g.b), right[key].text(g.b))
		}
	}
	return nil
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
