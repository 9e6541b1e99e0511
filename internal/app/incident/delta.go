package incident

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/diff"
	"recount/internal/replay"
	"recount/target"
)

// deltas are what the hit events add to rows under the right logic, less what
// they add under one hypothesis: by the key's text, a number for each value
// column.
type deltas struct {
	against replay.Hypothesis
	byKey   map[string][]*big.Rat
}

// additiveParts are the numbers of parts into which the hit events are cut to see
// whether results are additive: halves, and eighths.
var additiveParts = []int{2, 8}

// delta computes the deltas of all touched keys. They are refused where the
// results are not additive, or where what came after the window changes them.
func (r *Incident) delta(ctx context.Context, repeats bool) (*deltas, error) {
	against, err := r.against(repeats)
	if err != nil {
		return nil, err
	}
	if c, ok := r.inexact(); ok {
		return nil, r.notAdditive(whyInexact(c), nextInexact)
	}
	act := r.host.Progress().Begin("is the result additive", int64(2*(len(additiveParts)+1)))
	defer act.End()
	right, err := r.additive(ctx, r.right)
	if err != nil {
		return nil, err
	}
	act.Add(int64(len(additiveParts) + 1))
	wrong, err := r.additive(ctx, against.Variant)
	if err != nil {
		return nil, err
	}
	act.Add(int64(len(additiveParts) + 1))
	d := &deltas{against: against, byKey: minus(right, wrong, len(r.shape.Values))}
	return d, r.foldedOn(ctx, d)
}

// against finds the hypothesis of which the delta is taken.
func (r *Incident) against(repeats bool) (replay.Hypothesis, error) {
	list, _ := replay.Hypotheses(r.calc.Calculation, r.right, true, r.processed)
	var names []string
	for _, h := range list {
		given := !slices.Contains(h.Cause.Parts(), "twice")
		if h.Cause == r.calc.Write.Against || r.calc.Write.Against == "" && given && len(h.Cause.Parts()) == 1 {
			return h, nil
		}
		names = append(names, string(h.Cause))
	}
	return replay.Hypothesis{}, &recount.Error{
		Code: recount.CodeConfig, What: fmt.Sprintf("there is no hypothesis %q", r.calc.Write.Against), Where: "recount.yaml, calculations: " + r.calc.Name + ": target: against",
		Why: "a delta is the right logic less one hypothesis; there are: " + strings.Join(names, ", "), Next: "name one of them, with its parts in that order",
	}
}

// inexact returns the first compared column whose values do not add up exactly.
func (r *Incident) inexact() (recount.Column, bool) {
	i := slices.IndexFunc(r.shape.Values, func(c recount.Column) bool {
		return c.Type.Kind != recount.KindInt64 && c.Type.Kind != recount.KindDecimal
	})
	if i < 0 {
		return recount.Column{}, false
	}
	return r.shape.Values[i], true
}

func whyInexact(c recount.Column) string {
	return fmt.Sprintf("column %s is a %s; only int64 and decimal add up exactly", c.Name, c.Type)
}

// nextInexact is what to do about such a column.
const nextInexact = "compare only columns that add up (target: columns:), or make it a decimal in the logic"

func (r *Incident) notAdditive(why, next string) error {
	return &recount.Error{
		Code: recount.CodeNotAdditive, What: fmt.Sprintf("calculation %s cannot be corrected by deltas", r.calc.Name), Where: "recount.yaml, target: write: delta",
		Why: why, Next: next,
	}
}

// additive returns what the hit events give each key, having seen that their
// parts add up to it.
func (r *Incident) additive(ctx context.Context, v engine.Variant) (map[string][]*big.Rat, error) {
	v.See = engine.SeeHit
	whole, err := r.numbers(ctx, v)
	if err != nil {
		return nil, err
	}
	var parts []map[string][]*big.Rat
	for _, of := range additiveParts {
		sum := map[string][]*big.Rat{}
		for n := range of {
			v.Part = &engine.Part{N: n, Of: of}
			part, err := r.numbers(ctx, v)
			if err != nil {
				return nil, err
			}
			for text, values := range part {
				addTo(sum, text, values)
			}
		}
		parts = append(parts, sum)
	}
	fallen, err := r.fallen(ctx)
	if err != nil {
		return nil, err
	}
	for i, sum := range parts {
		for text, left := range minus(whole, sum, len(r.shape.Values)) {
			if fallen[text] == nil && slices.ContainsFunc(left, func(n *big.Rat) bool { return n.Sign() != 0 }) {
				return nil, r.notAdditive(fmt.Sprintf("for row %s, cut into %d parts, the parts' results do not add up to that of all events", text, additiveParts[i]),
					"use write: set with a paused worker, or a calculation whose columns are sums and counts")
			}
		}
	}
	return whole, nil
}

// numbers runs a variant and returns its rows as numbers; NULL counts as zero.
func (r *Incident) numbers(ctx context.Context, v engine.Variant) (map[string][]*big.Rat, error) {
	out := map[string][]*big.Rat{}
	var odd error
	err := r.eachKey(ctx, v, func(row recount.Row) {
		values := make([]*big.Rat, len(row.Values))
		for i, value := range row.Values {
			n, ok := new(big.Rat), true
			if !value.Null {
				n, ok = n.SetString(value.Text)
			}
			if !ok {
				odd = fmt.Errorf("read column %s of row %s: %q is no number", r.shape.Values[i].Name, recount.KeyText(row.Key), value.Text)
				n = new(big.Rat)
			}
			values[i] = n
		}
		out[recount.KeyText(row.Key)] = values
	})
	if err == nil {
		err = odd
	}
	return out, err
}

func addTo(sum map[string][]*big.Rat, text string, values []*big.Rat) {
	have, ok := sum[text]
	if !ok {
		have = make([]*big.Rat, len(values))
		for i := range have {
			have[i] = new(big.Rat)
		}
		sum[text] = have
	}
	for i, v := range values {
		have[i].Add(have[i], v)
	}
}

// minus is a less b, of width numbers; a row that a side lacks is zero.
func minus(a, b map[string][]*big.Rat, width int) map[string][]*big.Rat {
	out := map[string][]*big.Rat{}
	for _, side := range []map[string][]*big.Rat{a, b} {
		for text := range side {
			if out[text] != nil {
				continue
			}
			values := make([]*big.Rat, width)
			for i := range values {
				values[i] = new(big.Rat)
				if x, ok := a[text]; ok {
					values[i].Add(values[i], x[i])
				}
				if y, ok := b[text]; ok {
					values[i].Sub(values[i], y[i])
				}
			}
			out[text] = values
		}
	}
	return out
}

// foldedOn refuses deltas that what came after the window would change: over all
// that is read, right less wrong must be the same.
func (r *Incident) foldedOn(ctx context.Context, d *deltas) error {
	right, err := r.numbers(ctx, r.right)
	if err != nil {
		return err
	}
	wrong, err := r.numbers(ctx, d.against.Variant)
	if err != nil {
		return err
	}
	all := minus(right, wrong, len(r.shape.Values))
	zero := make([]*big.Rat, len(r.shape.Values))
	for i := range zero {
		zero[i] = new(big.Rat)
	}
	fallen, err := r.fallen(ctx)
	if err != nil {
		return err
	}
	maps.DeleteFunc(all, func(text string, _ []*big.Rat) bool { return fallen[text] != nil })
	for _, text := range slices.Sorted(maps.Keys(all)) {
		at := d.byKey[text]
		if at == nil {
			at = zero
		}
		if !slices.EqualFunc(all[text], at, func(a, b *big.Rat) bool { return a.Cmp(b) == 0 }) {
			return r.notAdditive(fmt.Sprintf("for row %s the hit events change the result by another amount once later events follow them", text),
				"use write: set with a paused worker or a position column")
		}
	}
	return nil
}

// setDeltas turns the changes that the delta's hypothesis explains into deltas,
// and holds the others: a delta is right for no other cause.
func (r *Incident) setDeltas(l *live, d *deltas, changes []recount.Change) error {
	for i := range changes {
		c := &changes[i]
		if !c.Action.Writes() {
			continue
		}
		if c.Action == recount.ActionDelete || !r.explains(d, *c) {
			c.Action = recount.ActionHeld
			continue
		}
		if err := r.setDelta(l, d, c); err != nil {
			return err
		}
	}
	return nil
}

// explains says whether the delta's hypothesis gives what the row holds. One of
// several parts also explains the rows that only some of its parts reached: they
// are known by the causes of those, and the whole delta makes them right.
func (r *Incident) explains(d *deltas, c recount.Change) bool {
	whole := d.against.Cause.Parts()
	for _, part := range c.Cause.Parts() {
		if !slices.Contains(whole, part) {
			return false
		}
	}
	if c.Cause == d.against.Cause {
		return true
	}
	amounts := d.byKey[recount.KeyText(r.resultKey(c.Key))]
	if amounts == nil {
		return false
	}
	for i, amount := range amounts {
		before, after := new(big.Rat), new(big.Rat)
		if c.Before != nil && !c.Before[i].Null {
			if _, ok := before.SetString(c.Before[i].Text); !ok {
				return false
			}
		}
		if _, ok := after.SetString(c.After[i].Text); !ok || before.Add(before, amount).Cmp(after) != 0 {
			return false
		}
	}
	return true
}

func (r *Incident) setDelta(l *live, d *deltas, c *recount.Change) error {
	amounts := d.byKey[recount.KeyText(r.resultKey(c.Key))]
	c.Delta = make([]recount.Value, len(c.After))
	for i := range l.columns {
		c.Delta[i] = recount.Null
		if amounts == nil || amounts[i].Sign() == 0 {
			continue
		}
		text := amounts[i].FloatString(r.shape.Values[i].Type.Scale)
		fitted, err := l.columns[i].Fit(r.shape.Values[i].Type, recount.Text(text))
		if err != nil {
			return &recount.Error{
				Code: recount.CodeDoesNotFit, What: "a delta does not fit its column", Where: l.info.Identity.Place + " " + l.info.Identity.Table,
				Why: err.Error(), Next: "widen the column, or round in the logic if that is what the worker does", Err: err,
			}
		}
		c.Delta[i] = fitted
		before := new(big.Rat)
		if c.Before != nil && !c.Before[i].Null {
			if _, ok := before.SetString(c.Before[i].Text); !ok {
				return fmt.Errorf("read column %s: %q is no number", l.columns[i].Name, c.Before[i].Text)
			}
		}
		after, ok := new(big.Rat).SetString(c.After[i].Text)
		if !ok || before.Add(before, amounts[i]).Cmp(after) != 0 {
			return r.notAdditive(fmt.Sprintf("row %s reads %s; with the delta %s it would not be %s, which is right", recount.KeyText(c.Key), c.Before[i], text, c.After[i]),
				"use write: set with a paused worker or a position column")
		}
	}
	if r.calc.Write.Bump != "" {
		c.Delta[len(l.columns)] = recount.Null
	}
	return nil
}

// resultKey is a table's key under the result's types.
func (r *Incident) resultKey(key []recount.Value) []recount.Value {
	return canonicalKey(planColumns(r.shape.Key, r.shape.Key), texts(key))
}

// These bound how long an apply waits for the archive to hold the events that
// live rows have absorbed since the plan.
const (
	catchUpTries = 20
	catchUpPause = 500 * time.Millisecond
)

// Unexplained says which of the rows, as they are now, the plan's hypothesis does
// not give at any position: what apply asks before it adds a delta. Where the
// rows have absorbed events that are not archived yet, it waits for them a
// little: as long as an archiver is at work, since the rows are locked.
func Unexplained(host Host, p recount.PlanBody) func(context.Context, []recount.Row) ([][]recount.Value, error) {
	return func(ctx context.Context, rows []recount.Row) (left [][]recount.Value, err error) {
		seen := ""
		for try := range catchUpTries {
			if try > 0 {
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(catchUpPause):
				}
			}
			snapshot, unexplained, err := unexplainedNow(ctx, host, p, rows, seen)
			if err != nil || snapshot.ID != seen && len(unexplained) == 0 {
				return nil, err
			}
			if snapshot.ID != seen {
				seen, left = snapshot.ID, unexplained
			}
			if host.Now().Sub(snapshot.Watermark) > archiverAlive {
				return left, nil
			}
		}
		return left, nil
	}
}

// unexplainedNow looks once, unless the archive is still at the snapshot seen.
func unexplainedNow(ctx context.Context, host Host, p recount.PlanBody, rows []recount.Row, seen string) (_ recount.Snapshot, left [][]recount.Value, err error) {
	hits, err := PlannedHits(host, p)
	if err != nil {
		return recount.Snapshot{}, nil, err
	}
	r, err := Prepare(ctx, host, p.Calculation, hits)
	if err != nil {
		return recount.Snapshot{}, nil, err
	}
	if r.snapshot.ID == seen {
		return r.snapshot, nil, nil
	}
	r.taken = p.Taken
	l, err := r.openLive(ctx)
	if err != nil {
		return recount.Snapshot{}, nil, err
	}
	defer joined(&err, l.target.Close)
	if err := r.start(ctx); err != nil {
		return recount.Snapshot{}, nil, err
	}
	defer joined(&err, r.close)
	if err := r.readProcessed(ctx); err != nil {
		return recount.Snapshot{}, nil, err
	}
	against, err := r.against(true)
	if err != nil {
		return recount.Snapshot{}, nil, err
	}
	left, err = r.unexplained(ctx, l, against, rows)
	return r.snapshot, left, err
}

// unexplained returns the keys of the rows that the hypothesis does not give at
// one position, or that could be right. The rows are locked, so that reading
// them again, with their position column, gives the same.
func (r *Incident) unexplained(ctx context.Context, l *live, against replay.Hypothesis, rows []recount.Row) ([][]recount.Value, error) {
	standing := map[string]*running{}
	keys := make([][]recount.Value, len(rows))
	for i, row := range rows {
		keys[i] = row.Key
	}
	query := target.Scan{Key: names(l.key), Columns: append(names(l.columns), names(l.carried)...), Window: r.window, Keys: keys}
	err := l.target.Scan(ctx, query, func(row recount.Row) error {
		key := r.resultKey(row.Key)
		seen := make([]recount.Value, len(l.columns))
		for i := range seen {
			seen[i] = diff.Under(r.comparedAs(l).Values[i].Type, row.Values[i])
		}
		text := recount.KeyText(key)
		standing[text] = &running{key: key, touched: true, live: &diff.LiveRow{Text: text, Key: key, Row: row, Seen: seen}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		key := r.resultKey(row.Key)
		if standing[recount.KeyText(key)] == nil {
			standing[recount.KeyText(key)] = &running{key: key, touched: true}
		}
	}
	if err := r.stand(ctx, l, standing, []replay.Hypothesis{against}); err != nil {
		return nil, err
	}
	var left [][]recount.Value
	for _, row := range rows {
		verdict := diff.Settle(standing[recount.KeyText(r.resultKey(row.Key))].row)
		if verdict.Correct || verdict.Hold != "" || verdict.Cause != against.Cause {
			left = append(left, row.Key)
		}
	}
	return left, nil
}
