package incident

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/diff"
	"recount/internal/plan"
)

// mostMinutes bounds the steps of a plan's plot.
const mostMinutes = 60

// Overrides are the checks that a flag switches off; each is recorded.
type Overrides struct {
	AllowEmpty         bool // a window without a used event
	AcceptTwoWay       bool // most rows wrong and no hypothesis given
	WithoutQuarantined bool // quarantined events whose row is unknown
	NoControl          bool // a red control window (at apply)
	WorkerWillReload   bool // the worker keeps its own state (at apply)
}

// makePlan replays, compares, explains and puts the plan together.
func (r *Incident) makePlan(ctx context.Context, l *live, overrides Overrides) (*recount.Plan, error) {
	counts, idle, err := r.usable(ctx, l, overrides)
	if err != nil {
		return nil, err
	}
	found, err := r.found(ctx, l, counts, overrides.AllowEmpty)
	if err != nil {
		return nil, err
	}
	if len(found.unknown) > 0 && !overrides.WithoutQuarantined {
		return nil, r.refuseUnknown(ctx, found.unknown)
	}
	if found.fatal, err = r.fatal(ctx, found.Rows); err != nil {
		return nil, err
	}
	if r.calc.Folds() { // which may not have survived all of them
		if counts, err = r.count(ctx); err != nil {
			return nil, err
		}
	}
	p := &recount.Plan{Body: r.body(l, counts, found)}
	p.Body.Tried, p.Body.Cut, found.idle = found.tried, found.cut, idle
	changes, err := r.written(ctx, l, p, found, counts.Duplicates > 0)
	if err != nil {
		return nil, err
	}
	if err := r.writtenBeside(ctx, l, p, found, changes); err != nil {
		return nil, err
	}
	p.Body.Rows.Right = found.Right
	plan.Add(p, changes)
	if err := r.refuseTwoWay(p.Body, overrides.AcceptTwoWay); err != nil {
		return nil, err
	}
	if p.Body.Minutes, err = r.minutes(ctx, found.Pairs); err != nil {
		return nil, err
	}
	if err := r.control(ctx, l, p, found.Beside); err != nil {
		return nil, err
	}
	if p.Body.Effects, err = r.countEffects(ctx); err != nil {
		return nil, err
	}
	r.explainedCounts(p)
	r.notes(p, found, overrides)
	if l.note != "" {
		p.Body.Notes = append(p.Body.Notes, l.note)
	}
	return p, nil
}

// usable refuses a window without events and lists that say what cannot be, and
// reads what must be known before rows are compared.
func (r *Incident) usable(ctx context.Context, l *live, overrides Overrides) (counts recount.EventCounts, idle []string, err error) {
	if counts, err = r.count(ctx); err != nil {
		return counts, nil, err
	}
	if err := r.refuseEmpty(counts, overrides.AllowEmpty); err != nil {
		return counts, nil, err
	}
	if err := r.checkFilled(l); err != nil {
		return counts, nil, err
	}
	if err := r.readProcessed(ctx); err != nil {
		return counts, nil, err
	}
	if idle, err = r.checkLists(ctx); err != nil {
		return counts, nil, err
	}
	if l.early == nil {
		l.frozen, err = r.readFrozen(ctx, l)
	}
	return counts, idle, err
}

// count counts the events of the session. Where rows hold the window's events and
// no others, those that lie between them are not used; and without a bucket that
// was over, none of them came late.
func (r *Incident) count(ctx context.Context) (recount.EventCounts, error) {
	counts, err := r.session.Count(ctx, r.calc.Dedupe)
	counts.Ignored = r.ignored
	if r.right.See == engine.SeeHit {
		counts.Outside += counts.Used - counts.Hit
		counts.Used, counts.Late = counts.Hit, 0
	}
	return counts, err
}

// written makes the changes of the live table, by delta where it is written so,
// and refuses those of rows that are others'.
func (r *Incident) written(ctx context.Context, l *live, p *recount.Plan, found comparison, repeats bool) ([]recount.Change, error) {
	changes, err := r.changes(found.Pairs, l)
	if err != nil {
		return nil, err
	}
	if r.calc.Write.Mode == recount.WriteDelta {
		d, err := r.delta(ctx, repeats)
		if err != nil {
			return nil, err
		}
		p.Body.Against = d.against.Cause
		if err := r.setDeltas(l, d, changes); err != nil {
			return nil, err
		}
	}
	if err := r.checkAlike(ctx, l, changes); err != nil {
		return nil, err
	}
	return changes, r.checkOwned(ctx, l, changes)
}

// writtenBeside adds the tables that are written beside the results: entries for
// frozen rows, whose changes become held, and marks of missed events.
func (r *Incident) writtenBeside(ctx context.Context, l *live, p *recount.Plan, found comparison, changes []recount.Change) error {
	entries, err := r.adjustments(l.frozen, p.Body, l, found.Pairs, changes)
	if err != nil {
		return err
	}
	mark, err := r.marks(ctx, p.Body, changes)
	if err != nil {
		return err
	}
	for _, more := range []*recount.PlanPart{entries, mark} {
		if more != nil {
			p.With = append(p.With, *more)
		}
	}
	return nil
}

// found compares the window's rows and looks for the cause of each difference.
func (r *Incident) found(ctx context.Context, l *live, counts recount.EventCounts, allowEmpty bool) (found comparison, err error) {
	touched, err := r.touchedKeys(ctx)
	if err != nil {
		return found, err
	}
	if r.taken != nil && r.taken.Kind != recount.CutPaused {
		return r.settle(ctx, l, touched, counts.Duplicates > 0)
	}
	found, err = r.compare(ctx, l, comparing{session: r.session, window: r.compared, touched: touched, prove: true})
	if err != nil {
		return found, err
	}
	if err := r.refuseNoRows(found.Rows, allowEmpty); err != nil {
		return found, err
	}
	if found.held, err = r.held(ctx, r.compared); err != nil {
		return found, err
	}
	found.touched = touched
	r.wrong = found.Pairs
	r.unadjusted(l.frozen, l, found.Pairs)
	if found.tried, found.cut, err = r.explain(ctx, l, found.Pairs, counts.Duplicates > 0); err != nil {
		return found, err
	}
	if err := r.exclude(ctx, found.Pairs); err != nil {
		return found, err
	}
	return found, r.single(ctx, l, &found)
}

// body fills in all that is known before the rows are explained.
func (r *Incident) body(l *live, counts recount.EventCounts, found comparison) recount.PlanBody {
	b := recount.PlanBody{
		Kind: recount.PlanApply, Calculation: r.calc.Name, Window: r.window, Asked: r.typed(), Bucket: r.calc.Bucket.String(), Zone: r.zone().String(),
		Stream: r.source.Name, Snapshot: r.snapshot.ID, Watermark: r.snapshot.Watermark, Logic: r.logicDigest(), As: r.calc.As, Unproved: r.unproved(),
		Missed: r.calc.Missed, Unexplained: r.calc.Unexplained, Extra: r.calc.Extra, Where: r.calc.Where,
		Target: l.info.Identity, Fingerprint: l.info.Fingerprint, Hazards: append([]string{}, l.info.Hazards...), LastRun: l.info.LastRun,
		Key: planColumns(l.key, r.shape.Key), Columns: planColumns(l.columns, r.shape.Values), Events: counts, Digest: found.Digest,
		Given: r.calc.Hypotheses(), MaxChanges: r.calc.MaxChanges, Overrides: []string{}, Notes: []string{}, Rules: []string{},
	}
	if p := r.calc.Previous; p != nil {
		if r.wrote != nil {
			p = r.wrote
		}
		b.Previous = r.digestOf(*p)
	}
	r.bodyOfInputs(&b)
	r.bodyOfHits(&b, found)
	r.bodyOfWrite(&b, l)
	for i, rule := range r.rules() {
		b.Rules = append(b.Rules, l.columns[i].Name+": "+rule.String())
	}
	return b
}

// bodyOfHits fills in which events the plan is about and how far rows are known.
func (r *Incident) bodyOfHits(b *recount.PlanBody, found comparison) {
	b.Positions, b.IDs, b.Memory, b.Taken = r.hits.Positions, r.hits.IDs, r.calc.Memory.String(), r.taken
	b.Touched = -1
	if found.touched != nil {
		b.Touched = int64(len(found.touched))
	}
	b.Again = r.calc.Again
	if r.calc.Late != nil {
		b.Late = r.calc.Late.String()
	}
	if r.calc.Arrival {
		b.Order = "arrival"
	}
	for _, why := range slices.Sorted(maps.Keys(found.holds)) {
		b.Notes = append(b.Notes, fmt.Sprintf("%d held: %s%s", found.holds[why].rows, why, found.holds[why].first))
	}
}

// bodyOfWrite fills in how the plan writes.
func (r *Incident) bodyOfWrite(b *recount.PlanBody, l *live) {
	b.Write, b.WorkerState, b.References = r.calc.Write.Mode, r.calc.WorkerState, l.info.References
	if bump := r.calc.Write.Bump; bump != "" {
		b.Bump = bump
		b.Columns = append(b.Columns, recount.PlanColumn{Name: bump, Type: string(recount.KindInt64)})
	}
	for _, column := range slices.Sorted(maps.Keys(r.calc.Write.OnInsert)) {
		filled := recount.Filled{Column: column, Text: r.calc.Write.OnInsert[column]}
		if c, ok := l.info.Column(column); ok {
			filled.Type = c.Type.String()
		}
		b.Filled = append(b.Filled, filled)
	}
	named := slices.Concat(names(l.key), names(l.columns), names(l.carried), slices.Collect(maps.Keys(r.calc.Write.OnInsert)))
	for _, c := range l.info.Columns {
		if !slices.Contains(named, c.Name) && !c.Generated {
			b.Ignored = append(b.Ignored, c.Name)
		}
	}
}

// refuseTwoWay refuses a plan that would change most rows without a reason: most
// likely the window does not fit the table.
func (r *Incident) refuseTwoWay(b recount.PlanBody, accept bool) error {
	wrong := b.Rows.Writes() + b.Rows.Extra
	if !r.calc.Bucket.None() || b.Given || accept || r.running() || 2*wrong <= b.Rows.Checked {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeTwoWay, What: "most rows are wrong and nothing says why", Where: fmt.Sprintf("calculation %s, %s", b.Calculation, b.Window),
		Why: fmt.Sprintf("%d of %d rows differ, the rows are not bucketed and no hypothesis is given: most likely the rows hold more than this window's events",
			wrong, b.Rows.Checked),
		Next: "choose the window that the rows cover, or name previous: or missed: in recount.yaml; if the rows really hold just this window, add --accept-two-way",
	}
}

// explainedCounts counts how many rows the hypotheses explain.
func (r *Incident) explainedCounts(p *recount.Plan) {
	if !p.Body.Given {
		return
	}
	for _, c := range p.Changes {
		unknown := c.Cause == recount.CauseUnknown || c.Cause.Single()
		switch {
		case (c.Action.Writes() || c.Adjusted) && !unknown:
			p.Body.Explained++
		case unknown:
			p.Body.Unexplain++
		}
	}
}

// minutes counts events and wrong rows per step of the window.
func (r *Incident) minutes(ctx context.Context, pairs []diff.Pair) ([]recount.MinuteCount, error) {
	if r.calc.Memory.Kind != recount.MemoryWindow {
		return nil, nil // what is read reaches far beyond the window
	}
	steps, err := r.session.Minutes(ctx, r.calc.Dedupe, mostMinutes)
	if err != nil {
		return nil, err
	}
	if !r.bucketed() {
		return r.touched(ctx, pairs, steps)
	}
	for i := range steps {
		steps[i].Wrong = 0
	}
	for _, p := range pairs {
		at, err := r.bucketTime(p.Key)
		if err != nil || len(steps) == 0 {
			continue
		}
		end := r.calc.Bucket.Next(at)
		for i := range steps { // a row is wrong for its whole bucket
			if !steps[i].From.Before(at) && steps[i].From.Before(end) {
				steps[i].Wrong++
			}
		}
	}
	return steps, nil
}

// mostTouched bounds the wrong rows that are looked for in each step.
const mostTouched = 50_000

// touched counts, for rows that have no time of their own, in how many wrong
// rows the events of each step have a part. That can be told where the key is
// made of declared fields.
func (r *Incident) touched(ctx context.Context, pairs []diff.Pair, steps []recount.MinuteCount) ([]recount.MinuteCount, error) {
	var fields []string
	for _, c := range r.shape.Key {
		i := slices.IndexFunc(r.eventFields(), func(f recount.Field) bool { return f.Name == c.Name && f.Type.Kind == c.Type.Kind })
		plain := []recount.Kind{recount.KindString, recount.KindInt64, recount.KindDate, recount.KindBool}
		if i < 0 || !slices.Contains(plain, c.Type.Kind) {
			return steps, nil
		}
		fields = append(fields, c.Name)
	}
	if len(pairs) > mostTouched {
		return steps, nil
	}
	var keys [][]recount.Value
	for _, p := range pairs {
		if p.Right != nil { // an extra row has no event
			keys = append(keys, p.Key)
		}
	}
	if len(keys) == 0 {
		return steps, nil
	}
	counts, err := r.session.Touched(ctx, r.calc.Dedupe, mostMinutes, fields, keys)
	for i, n := range counts {
		steps[i].Wrong = n
	}
	return steps, err
}

// unsandboxed says whether code of others ran without isolation.
func (r *Incident) unsandboxed() bool {
	return r.host.Unsandboxed() && r.calc.Folds()
}

// notes says what a reader must know beside the numbers.
func (r *Incident) notes(p *recount.Plan, found comparison, overrides Overrides) {
	b, unknown := &p.Body, len(found.unknown)
	add := func(format string, args ...any) { b.Notes = append(b.Notes, fmt.Sprintf(format, args...)) }
	if b.Window != r.asked {
		add("widened from %s to whole buckets of %s in %s", r.asked, b.Bucket, b.Zone)
	}
	b.Notes = append(b.Notes, r.broughtNotes(found.held)...)
	b.Notes = append(b.Notes, r.turnNotes()...)
	if found.fatal != nil {
		add("%s", found.fatal)
	}
	if r.unfinished {
		add("rows of buckets that were not over at the watermark are left out: from %s on", recount.FormatTimestamp(r.compared.To))
	}
	if r.calc.Bucket.None() && r.calc.Memory.Kind == recount.MemoryWindow && !r.calc.Logic.Brought() {
		add("assumes that rows hold nothing outside %s", r.hits)
	}
	if b.Rows.Extra > 0 && r.extras() != r.calc.Extra {
		add("extra rows are reported and not deleted, for all `extra: delete`: events that the window does not name may make them")
	}
	for _, list := range found.idle {
		add("%s in recount.yaml holds no event of the window", list)
	}
	if r.source.Mapping.ID == "" {
		add("events have no id, so repeats cannot be seen")
	}
	if r.unsandboxed() {
		add("the worker ran without isolation: the network, the machine's files and its clock were in its reach")
	}
	b.Notes = append(b.Notes, found.singles...)
	if b.Cut > 0 {
		add("%d combinations of hypotheses were not tried", b.Cut)
	}
	for _, o := range []struct {
		used bool
		name string
	}{
		{overrides.AllowEmpty && b.Events.Used == 0, "--allow-empty"},
		{overrides.AcceptTwoWay, "--accept-two-way"},
		{overrides.WithoutQuarantined && unknown > 0, "--without-quarantined"},
		{r.unsandboxed(), "--unsandboxed"},
	} {
		if o.used {
			b.Overrides = append(b.Overrides, o.name)
		}
	}
	if unknown > 0 {
		add("%d quarantined events whose rows are unknown were left out", unknown)
	}
	slices.Sort(b.Overrides)
	if len(b.Ignored) > 0 {
		add("neither compared nor filled: %s", strings.Join(b.Ignored, ", "))
	}
}
