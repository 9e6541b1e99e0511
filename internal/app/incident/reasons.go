package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/archive/cover"
	"recount/internal/diff"
	"recount/internal/replay"
)

// Bounds of looking for reasons: wrong rows that are replayed, rows that are
// followed event by event, and partitions that are left out one by one.
const (
	mostAccounted  = 50_000
	mostFollowed   = 2000
	mostPartitions = 8
)

// latenesses are after how long the worker may have left out late events. The
// longest that explains as much as any is taken: it leaves out the fewest events,
// and so is the least at odds with rows that are right.
var latenesses = []time.Duration{
	24 * time.Hour, 6 * time.Hour, time.Hour, 30 * time.Minute, 15 * time.Minute, 10 * time.Minute, 5 * time.Minute, time.Minute, 0,
}

// attempt is one account of what the control's rows may hold.
type attempt struct {
	reason string // one of recount.Reason…
	// Of late, the lateness; of window, the cause that reaches further, or the
	// partition that was missing.
	late      time.Duration
	cause     recount.Cause
	partition string
	// with are the attempts that this one joins.
	with []attempt
	// apply changes the right logic's variant; nil: rows are followed event by
	// event instead.
	apply func(*engine.Variant)
}

// kind tells attempts apart that exclude each other.
func (a attempt) kind() string { return a.reason + " " + string(a.cause) + a.partition }

// accounting looks for what would make a red control green.
type accounting struct {
	*Incident
	shape    recount.Shape
	rules    []recount.Rule
	attempts []attempt
	tries    []diff.Try  // one for each attempt
	pairs    []diff.Pair // of all spans
	inside   bool        // the rows are the window's own
	once     int64       // right rows that hold repeats once
	made     []ownValue  // of keys that no event makes, those that events make rows of too
}

// ownValue is a value of a key column.
type ownValue struct {
	column int
	text   string
}

// account says why rows of the control are wrong: rows that a given hypothesis
// gives which holds at all times are no longer counted as wrong; for the others
// accounts are tried by replay over the same spans.
func (r *Incident) account(ctx context.Context, l *live, c *recount.Control, spans []redSpan) error {
	if len(spans) == 0 {
		return nil
	}
	a := &accounting{Incident: r, shape: r.comparedAs(l), rules: r.rules(), inside: spans[0].inside}
	a.attempts = a.single()
	a.tries = make([]diff.Try, len(a.attempts))
	for i, t := range a.attempts {
		a.tries[i] = diff.Try{Kind: t.kind()}
	}
	act := r.host.Progress().Begin("what would make the control green", int64(len(spans)))
	defer act.End()
	for i := range spans {
		if err := a.inSession(ctx, spans[i].input, func(s engine.Session) error { return a.span(ctx, s, &spans[i], c) }); err != nil {
			return err
		}
		act.Add(1)
	}
	if c.Wrong == 0 {
		c.First = ""
	}
	if len(a.pairs) == 0 {
		return nil
	}
	c.First = r.showPair(a.pairs[0])
	reasons, left := diff.Rank(a.tries)
	if len(left) > 0 {
		if err := a.furtherSpans(ctx, spans, reasons); err != nil {
			return err
		}
		reasons, left = diff.Rank(a.tries)
	}
	c.Tried, c.Left = int64(len(a.pairs)), int64(len(left))
	a.say(l, c, reasons, left)
	return nil
}

// single are the accounts that are tried alone, the simplest first. The first is
// the right logic itself, which rounding is measured against.
func (a *accounting) single() []attempt {
	list := []attempt{{reason: recount.ReasonRounding, apply: func(*engine.Variant) {}}}
	if a.calc.Logic.Brought() {
		return list // rows that something else made cannot be made again
	}
	if a.calc.Dedupe {
		list = append(list, attempt{reason: recount.ReasonRepeats, apply: func(v *engine.Variant) { v.Twice = true }})
	}
	if a.bucketed() && a.source.Mapping.IngestTime != "" {
		for _, d := range latenesses {
			list = append(list, attempt{reason: recount.ReasonLate, late: d, apply: func(v *engine.Variant) { v.Late = &d }})
		}
	}
	if a.source.Mapping.Order != "" {
		list = append(list, attempt{reason: recount.ReasonOrder, apply: func(v *engine.Variant) { v.Arrival = true }})
	}
	given, _ := replay.Hypotheses(a.calc.Calculation, a.right, false, a.processed)
	for _, h := range given {
		switch part := h.Cause.Parts()[0]; {
		case len(h.Cause.Parts()) > 1, part == "late", part == "order", h.Variant.Logic.Brought():
		default:
			list = append(list, attempt{reason: recount.ReasonWindow, cause: h.Cause, apply: func(v *engine.Variant) {
				if part == "previous" {
					v.Logic = h.Variant.Logic
				}
				v.Missed, v.Again = append(v.Missed, h.Variant.Missed...), append(v.Again, h.Variant.Again...)
			}})
		}
	}
	return list
}

// partitions leave out one partition each.
func (a *accounting) partitions() (list []attempt) {
	names := sortedNames(cover.Reach(a.snapshot))
	if len(names) < 2 || len(names) > mostPartitions || a.calc.Logic.Brought() {
		return nil
	}
	for _, name := range names {
		missed := recount.EventList{Where: `"partition" = '` + strings.ReplaceAll(name, "'", "''") + "'"}
		list = append(list, attempt{reason: recount.ReasonWindow, partition: name, apply: func(v *engine.Variant) { v.Missed = append(v.Missed, missed) }})
	}
	return list
}

// span tries all accounts on one span.
func (a *accounting) span(ctx context.Context, session engine.Session, span *redSpan, c *recount.Control) error {
	known, err := a.standing(ctx, session, span)
	if err != nil {
		return err
	}
	c.Known += known
	c.Wrong -= known
	span.pairs = span.pairs[:min(len(span.pairs), mostAccounted-len(a.pairs))]
	if len(span.pairs) == 0 {
		return nil
	}
	a.pairs = append(a.pairs, span.pairs...)
	if err := a.ownValues(ctx, session, *span); err != nil {
		return err
	}
	return a.replays(ctx, session, *span, 0)
}

// ownValues finds which values of the keys of rows that no event makes are also
// those of rows that events make: by them nobody's rows can be told apart.
func (a *accounting) ownValues(ctx context.Context, session engine.Session, span redSpan) error {
	looked := map[ownValue]bool{}
	for _, p := range span.pairs {
		for c, v := range p.Key {
			if p.Right == nil && p.Live != nil {
				looked[ownValue{c, v.Text}] = true
			}
		}
	}
	if len(looked) == 0 {
		return nil
	}
	rows, err := session.Run(ctx, a.right)
	if err != nil {
		return err
	}
	for {
		row, ok := rows.Next()
		if !ok {
			return errors.Join(rows.Err(), rows.Close())
		}
		for c, v := range row.Key {
			if one := (ownValue{c, v.Text}); looked[one] {
				delete(looked, one)
				a.made = append(a.made, one)
			}
		}
	}
}

// standing takes out of a span's wrong rows those that a given hypothesis gives
// which holds at all times, not in the window alone.
func (a *accounting) standing(ctx context.Context, session engine.Session, span *redSpan) (known int64, err error) {
	always := recount.Calculation{Late: a.calc.Late, Arrival: a.calc.Arrival}
	list, _ := replay.Hypotheses(always, a.right, false, nil)
	for _, h := range list {
		near, err := a.near(ctx, session, *span, h.Variant)
		if err != nil {
			return 0, fmt.Errorf("try %s beside the window: %w", h.Cause, err)
		}
		left := span.pairs[:0:0]
		for i, p := range span.pairs {
			if near[i].Exact() {
				known++
				continue
			}
			left = append(left, p)
		}
		span.pairs = left
	}
	return known, nil
}

// near replays a variant over a span and says how near its rows come to the live
// ones.
func (a *accounting) near(ctx context.Context, session engine.Session, span redSpan, v engine.Variant) (near []diff.Nearness, err error) {
	v.Keys = keysOf(span.pairs)
	rows, err := session.Run(ctx, v)
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	return diff.Nearest(a.shape, a.rules, span.pairs, diff.As(a.within(rows, span.window), a.shape))
}

// keysOf are the keys of pairs, nil where they are too many to be named.
func keysOf(pairs []diff.Pair) (keys [][]recount.Value) {
	if len(pairs) > mostKeys {
		return nil
	}
	for _, p := range pairs {
		keys = append(keys, p.Key)
	}
	return keys
}

// replays tries the attempts from first on that are replayed.
func (a *accounting) replays(ctx context.Context, session engine.Session, span redSpan, first int) error {
	counts, err := session.Count(ctx, a.calc.Dedupe)
	if err != nil {
		return err
	}
	noLate, err := a.noLate(ctx, session, first)
	if err != nil {
		return err
	}
	for i := first; i < len(a.attempts); i++ {
		t := a.attempts[i]
		near := make([]diff.Nearness, len(span.pairs))
		useless := t.apply == nil || t.reason == recount.ReasonRepeats && counts.Duplicates == 0 || t.reason == recount.ReasonLate && noLate
		if !useless {
			v := a.right
			t.apply(&v)
			tried, err := a.near(ctx, session, span, v)
			if err != nil && !cannotReplay(ctx, err) {
				return fmt.Errorf("try %s beside the window: %w", t.reason, err)
			}
			copy(near, tried)
		}
		a.tries[i].Near = append(a.tries[i].Near, near...)
		if all := len(a.pairs) < mostAccounted; all && t.reason == recount.ReasonRepeats && slices.ContainsFunc(near, diff.Nearness.Exact) {
			if err := a.heldOnce(ctx, session, span); err != nil {
				return err
			}
		}
	}
	return nil
}

// heldOnce counts the right rows that hold repeats once: they speak against a
// worker that counts repeats.
func (a *accounting) heldOnce(ctx context.Context, session engine.Session, span redSpan) (err error) {
	wrong := map[string]bool{}
	for _, p := range span.pairs {
		wrong[p.Text] = true
	}
	right, err := session.Run(ctx, a.right)
	if err != nil {
		return err
	}
	defer joined(&err, right.Close)
	twice := a.right
	twice.Twice = true
	counted, err := session.Run(ctx, twice)
	if err != nil {
		return err
	}
	defer joined(&err, counted.Close)
	for {
		row, have := right.Next()
		other, both := counted.Next()
		if !have || !both || recount.KeyText(row.Key) != recount.KeyText(other.Key) { // repeats add no key
			return errors.Join(right.Err(), counted.Err())
		}
		if !slices.Equal(row.Values, other.Values) && !wrong[recount.KeyText(row.Key)] {
			a.once++
		}
	}
}

// noLate says that leaving out late events changes nothing: then no lateness has
// to be tried.
func (a *accounting) noLate(ctx context.Context, session engine.Session, first int) (same bool, err error) {
	late := func(t attempt) bool { return t.reason == recount.ReasonLate }
	if !slices.ContainsFunc(a.attempts[first:], late) {
		return false, nil
	}
	rows, err := session.Run(ctx, a.right)
	if err != nil {
		return false, err
	}
	defer joined(&err, rows.Close)
	v := a.right
	v.Late = &latenesses[len(latenesses)-1]
	return session.Same(ctx, v, rows)
}

// cannotReplay says that an account is none here: its logic does not run over
// events of this span, or its rows cannot be followed. The right logic did, so
// nothing else is known by that.
func cannotReplay(ctx context.Context, err error) bool {
	var e *recount.Error
	return ctx.Err() == nil && errors.As(err, &e)
}

// furtherSpans tries what only counts for rows that nothing simpler explains:
// two accounts at once, and rows that stand at an earlier event.
func (a *accounting) furtherSpans(ctx context.Context, spans []redSpan, reasons []diff.Reason) error {
	first := len(a.attempts)
	a.join(reasons)
	more := append([]attempt{{reason: recount.ReasonCut}}, a.partitions()...)
	for _, t := range append(more, attempt{reason: recount.ReasonEarlier}) {
		a.attempts = append(a.attempts, t)
		a.tries = append(a.tries, diff.Try{Kind: t.kind(), Joined: true})
	}
	for _, span := range spans {
		if len(span.pairs) == 0 {
			continue
		}
		err := a.inSession(ctx, span.input, func(s engine.Session) error { return a.replays(ctx, s, span, first) })
		if err != nil {
			return err
		}
		if err := a.followed(ctx, span); err != nil {
			return err
		}
	}
	return nil
}

// inSession opens a session for what is done in it.
func (a *accounting) inSession(ctx context.Context, input engine.Input, do func(engine.Session) error) (err error) {
	session, err := a.open(ctx, input, cover.Select(a.snapshot, input.Read))
	if err != nil {
		return err
	}
	defer joined(&err, session.Close)
	return do(session)
}

// followed looks for wrong rows that stand at an earlier event: in the newest
// buckets, or in rows that go on, the worker had not finished them. It fills in
// what replays has left empty for these two accounts.
func (a *accounting) followed(ctx context.Context, span redSpan) error {
	var behind map[string]bool
	input := span.input
	input.Hits = recount.Hits{Window: recount.Window{By: recount.ByPosition}} // none: states from the first event on
	err := a.inSession(ctx, input, func(s engine.Session) (err error) {
		behind, err = a.behind(ctx, s, span)
		return err
	})
	if err != nil && !cannotReplay(ctx, err) {
		return fmt.Errorf("follow rows beside the window: %w", err)
	}
	exact := make(diff.Nearness, len(a.shape.Values))
	for i, t := range a.attempts {
		near := a.tries[i].Near[len(a.tries[i].Near)-len(span.pairs):]
		for j, p := range span.pairs {
			newest := a.newest(p)
			switch {
			case t.reason == recount.ReasonCut && newest && (behind[p.Text] || p.Live == nil && a.bucketed()),
				t.reason == recount.ReasonEarlier && !newest && behind[p.Text]:
				near[j] = exact
			}
		}
	}
	return nil
}

// newest says that a row is one of those that the worker may not have finished:
// of the three newest buckets that have events, after the window; of rows that
// go on, any.
func (a *accounting) newest(p diff.Pair) bool {
	if !a.bucketed() {
		return true
	}
	at, err := a.bucketTime(p.Key)
	_, last, ok := reach(a.snapshot)
	if err != nil || !ok || !a.inside && at.Before(a.window.To) {
		return false
	}
	start := a.calc.Bucket.Floor(last)
	const others = 2
	for range others {
		start = a.calc.Bucket.Floor(start.Add(-time.Nanosecond))
	}
	return !at.Before(start)
}

// behind finds the rows whose live values the right logic gives after some of
// their events, but not after all, by their key's text.
func (a *accounting) behind(ctx context.Context, session engine.Session, span redSpan) (found map[string]bool, err error) {
	seen := map[string][]recount.Value{}
	var keys [][]recount.Value
	for _, p := range span.pairs {
		if p.Live != nil && len(keys) < mostFollowed {
			keys, seen[p.Text] = append(keys, p.Key), p.Seen
		}
	}
	if len(keys) == 0 || a.calc.Logic.Brought() {
		return nil, nil
	}
	states, err := session.States(ctx, a.right, engine.StatesQuery{Keys: keys, Most: mostStates, Unhit: mostStates})
	if err != nil {
		return nil, err
	}
	defer joined(&err, states.Close)
	found = map[string]bool{}
	for {
		s, ok := states.Next()
		if !ok {
			return found, states.Err()
		}
		if text := recount.KeyText(s.Key); !s.Newest && diff.Same(a.shape, a.rules, s.Values, seen[text]) {
			found[text] = true
		}
	}
}

// join adds attempts that join two accounts of which at least one was found to be
// a reason.
func (a *accounting) join(reasons []diff.Reason) {
	var singles []attempt
	found := map[string]bool{}
	for _, r := range reasons {
		if t := a.attempts[r.Try]; r.Try > 0 && t.apply != nil {
			singles, found[t.kind()] = append(singles, t), true
		}
	}
	for _, t := range a.attempts[1:] {
		other := t.reason == recount.ReasonRepeats || t.reason == recount.ReasonOrder || t.cause != ""
		if other && !found[t.kind()] {
			singles = append(singles, t)
		}
	}
	const most = 6
	before := len(a.attempts)
	for i, t := range singles {
		for _, u := range singles[i+1:] {
			if !found[t.kind()] && !found[u.kind()] || len(a.attempts)-before == most {
				continue
			}
			a.attempts = append(a.attempts, attempt{with: []attempt{t, u}, apply: func(v *engine.Variant) {
				t.apply(v)
				u.apply(v)
			}})
			a.tries = append(a.tries, diff.Try{Kind: t.kind() + "+" + u.kind(), Joined: true})
		}
	}
}
