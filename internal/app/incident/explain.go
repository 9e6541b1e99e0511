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
	"recount/internal/replay"
)

// Explanation says why one row is as the plan has it.
type Explanation struct {
	Plan        string
	Calculation string
	Window      recount.Window
	Change      recount.Change // Action is empty for a row that is right
	Right       bool
	Key         []recount.PlanColumn
	Columns     []recount.PlanColumn
	Steps       []ExplainStep // all of them, in order of time
	// Result is the row that these events alone give under the right logic.
	Result []recount.Value
	// Against names the other logic that the events were replayed under: the row's
	// cause, or previous, where that is given and the cause is none that can be
	// replayed. Empty: there is none. Under is the row that it gives.
	Against string
	Under   []recount.Value
	// Alone says that the listed events alone were replayed and gave exactly the
	// planned row: nothing else contributes.
	Alone bool
	// Elsewhere says that the logic is not here, so that Steps lists events
	// without the row after each; empty where it is. Result then is the row that
	// was made elsewhere.
	Elsewhere string
}

// ExplainStep is one event of a row.
type ExplainStep struct {
	Seq       int64
	ID        string
	Time      time.Time
	Partition string
	Position  string
	Fields    []NamedValue
	// Counted says that the right logic uses the event; Note says why not, or
	// what the cause did with it.
	Counted bool
	Note    string
	// Skipped says that what stands below was not replayed, since the history is
	// long.
	Skipped bool
	// Values is the row after this event under the right logic, nil before there
	// is one; Under is the same under Against. State and UnderState are what folds
	// remember after it; nil: nothing, or the logic is no fold.
	Values     []recount.Value
	Under      []recount.Value
	State      *string
	UnderState *string
}

// Part says that the two logics are of two minds after this step.
func (s ExplainStep) Part() bool { return !slices.Equal(s.Values, s.Under) }

// NamedValue is a value with its column's name.
type NamedValue struct {
	Name  string
	Value recount.Value
}

// Bounds of an explanation: how many events are looked at, how many of a fold whose
// rows name their events, so that one run tells the row after each, and after how
// many the row is shown.
const (
	mostExplained = 2000
	mostOfFold    = 10_000
	mostStepped   = 40
)

// ExplainRequest asks for one row of a plan.
type ExplainRequest struct {
	File string   // where the plan was read
	Key  []string // the row's key as a person types it
	All  bool     // replay every step of a long history
}

// Explain replays the events of one row of the plan alone, step by step, under
// the right logic and under the row's cause, or under the previous logic where no
// cause can be replayed.
func Explain(ctx context.Context, host Host, p *recount.Plan, req ExplainRequest) (out Explanation, err error) {
	hits, err := PlannedHits(host, p.Body)
	if err != nil {
		return out, err
	}
	r, err := Prepare(ctx, host, p.Body.Calculation, hits)
	if err != nil {
		return out, err
	}
	r.whole = true // each event of the row is looked at
	if r.taken = p.Body.Taken; r.taken != nil {
		r.until = r.taken.Positions
	}
	if r.calc.Logic.Digest != p.Body.Logic && !r.calc.Logic.Brought() {
		return out, &recount.Error{
			Code: recount.CodeLogicFile, What: "the logic is not the one of the plan", Where: r.calc.Logic.Path,
			Why: "it was edited since, so its steps would not be the plan's", Next: "plan again, then explain the new plan",
		}
	}
	if err := r.sameInputs(p.Body); err != nil {
		return out, err
	}
	out = Explanation{Plan: p.ID, Calculation: p.Body.Calculation, Window: p.Body.Window, Key: p.Body.Key, Columns: p.Body.Columns}
	if out.Change, out.Right, err = findRow(p, req.Key, req.File); err != nil {
		return out, err
	}
	if err := r.start(ctx); err != nil {
		return out, err
	}
	defer joined(&err, r.close)
	e := &explaining{Incident: r, out: &out, every: req.All}
	if r.calc.Logic.Brought() {
		return out, e.elsewhere(ctx, p)
	}
	if err := e.find(ctx); err != nil {
		return out, err
	}
	return out, e.steps(ctx)
}

// findRow finds the row that KEY names: a value, or COL=VALUE for each column.
func findRow(p *recount.Plan, args []string, file string) (recount.Change, bool, error) {
	key, err := parseKey(p.Body.Key, args)
	if err != nil {
		return recount.Change{}, false, err
	}
	text := recount.KeyText(key)
	for _, c := range p.Changes {
		if recount.KeyText(c.Key) == text {
			return c, false, nil
		}
	}
	return recount.Change{Key: key}, true, nil
}

func parseKey(columns []recount.PlanColumn, args []string) ([]recount.Value, error) {
	usage := func(why string) error {
		var want []string
		for _, c := range columns {
			want = append(want, c.Name+"=VALUE")
		}
		return &recount.Error{
			Code: recount.CodeUsage, What: "the key names no row", Where: strings.Join(args, " "), Why: why,
			Next: "write " + strings.Join(want, " ") + "; put -- before a key that begins with a dash",
		}
	}
	if len(args) == 1 && len(columns) == 1 {
		value, _ := strings.CutPrefix(args[0], columns[0].Name+"=")
		return canonicalKey(columns, []string{value}), nil
	}
	if len(args) != len(columns) {
		return nil, usage(fmt.Sprintf("a row is named by %d columns, %d were given", len(columns), len(args)))
	}
	values := make([]string, len(columns))
	seen := map[string]bool{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		i := slices.IndexFunc(columns, func(c recount.PlanColumn) bool { return c.Name == name })
		if !ok || i < 0 || seen[name] {
			return nil, usage(fmt.Sprintf("%q is no COL=VALUE of the key", arg))
		}
		values[i], seen[name] = value, true
	}
	return canonicalKey(columns, values), nil
}

func canonicalKey(columns []recount.PlanColumn, values []string) []recount.Value {
	key := make([]recount.Value, len(values))
	for i, v := range values {
		key[i] = recount.Text(v)
		if t, err := recount.ParseType(columns[i].Type); err == nil {
			if text, err := recount.Canonical(t, v); err == nil {
				key[i].Text = text
			}
		}
	}
	return key
}

// explaining gathers the events of one row.
type explaining struct {
	*Incident
	out    *Explanation
	key    string // the row's key under the result's types
	events []engine.ReplayEvent
	under  *replay.Hypothesis
	every  bool            // step through all of them
	mute   map[string]bool // folds, by digest, that do not give their state
	// right and against are what the two logics have after each event, where one
	// run told.
	courses [2]*course
}

// find lists the events that touch the row, whatever their marks.
func (e *explaining) find(ctx context.Context) error {
	e.key = recount.KeyText(e.rowKey())
	query, _ := e.query()
	events, err := e.candidates(ctx, query)
	if err != nil {
		return err
	}
	if e.keyed(query) {
		e.events = e.ofBucket(events)
		return nil
	}
	e.events, err = e.touching(ctx, events)
	return err
}

// keyed says that the right logic is a fold whose key the query names whole: then
// each event that it finds is the row's, but for those of other buckets.
func (e *explaining) keyed(query engine.Query) bool {
	named := func(field string) bool { _, ok := query.Fields[field]; return ok }
	return e.calc.Logic.Fold() && !slices.ContainsFunc(e.calc.Logic.By, func(field string) bool { return !named(field) })
}

// rowKey is the row's key under the result's types.
func (e *explaining) rowKey() []recount.Value {
	return canonicalKey(planColumns(e.shape.Key, e.shape.Key), texts(e.out.Change.Key))
}

// query asks for the events whose fields are those that the key names; false
// where it names none.
func (e *explaining) query() (engine.Query, bool) {
	key := e.rowKey()
	query := engine.Query{Repeats: true, Quarantined: true, Fields: map[string]recount.Value{}}
	for i, c := range e.shape.Key {
		field := slices.IndexFunc(e.eventFields(), func(f recount.Field) bool { return f.Name == c.Name && f.Type.Kind == c.Type.Kind })
		if field >= 0 {
			query.Fields[c.Name] = key[i]
		}
	}
	return query, len(query.Fields) > 0
}

// candidates lists the events that may touch the row.
func (e *explaining) candidates(ctx context.Context, query engine.Query) ([]engine.ReplayEvent, error) {
	most := mostExplained
	if e.keyed(query) {
		most = mostOfFold
	}
	query.Limit = most
	events, err := e.session.Events(ctx, query)
	if refused, ok := errors.AsType[*recount.Error](err); ok && refused.Code == recount.CodeLimit {
		return nil, e.tooMany(most)
	}
	return events, err
}

func texts(values []recount.Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.Text
	}
	return out
}

func (e *explaining) tooMany(most int) error {
	if most == mostOfFold {
		return &recount.Error{
			Code: recount.CodeLimit, What: "the row is made of too many events", Where: fmt.Sprintf("calculation %s, %s", e.calc.Name, e.window),
			Why:  fmt.Sprintf("it has over %d, which nobody could read", most),
			Next: "recount archive cat shows them; plan a shorter window to have fewer explained",
		}
	}
	return &recount.Error{
		Code: recount.CodeLimit, What: "too many events may touch the row", Where: fmt.Sprintf("calculation %s, %s", e.calc.Name, e.window),
		Why:  fmt.Sprintf("over %d events have to be tried, since the row's key names too few fields of an event", most),
		Next: fmt.Sprintf("declare the key columns as fields: of source %s under the same names, or plan a shorter window", e.source.Name),
	}
}

// touching keeps the events that make a row of this key when replayed: halves
// that make none are dropped.
func (e *explaining) touching(ctx context.Context, events []engine.ReplayEvent) ([]engine.ReplayEvent, error) {
	if len(events) == 0 {
		return nil, nil
	}
	got, others, err := e.run(ctx, e.right, events)
	if err != nil {
		return nil, err
	}
	quarantined := slices.ContainsFunc(events, func(ev engine.ReplayEvent) bool {
		return ev.Mark == recount.MarkFault || ev.Mark == recount.MarkConflict
	})
	switch {
	case got.row == nil && !quarantined:
		return nil, nil
	case !others || len(events) == 1:
		return events, nil
	}
	half := len(events) / 2
	left, err := e.touching(ctx, events[:half])
	if err != nil {
		return nil, err
	}
	right, err := e.touching(ctx, events[half:])
	return append(slices.Clone(left), right...), err
}

// upTo returns the first n events that a replay counts.
func (e *explaining) upTo(n int, repeats bool) []engine.ReplayEvent {
	var out []engine.ReplayEvent
	for _, ev := range e.events[:n] {
		if ev.Mark == "" || ev.Mark == recount.MarkRepeat && (repeats || !e.right.Dedupe) {
			out = append(out, ev)
		}
	}
	return out
}

func (e *explaining) fields(ev engine.ReplayEvent) []NamedValue {
	var out []NamedValue
	for i, f := range e.eventFields() {
		if i < len(ev.Fields) {
			out = append(out, NamedValue{f.Name, ev.Fields[i]})
		}
	}
	return out
}

// repeats says whether the cause counts repeats again.
func (e *explaining) repeats() bool {
	return e.under != nil && (e.under.Variant.Twice || !e.under.Variant.Dedupe)
}

// note says what is special about an event.
func (e *explaining) note(ev engine.ReplayEvent, step ExplainStep, i int) string {
	switch ev.Mark {
	case recount.MarkFault:
		return "quarantined: " + ev.Fault
	case recount.MarkConflict:
		return "quarantined: the same id came with another payload"
	case recount.MarkRepeat:
		if e.repeats() {
			return "sent again: counted twice by the worker, once here"
		}
		return "sent again: counted once"
	}
	if e.under == nil || step.Skipped || i > 0 && e.out.Steps[i-1].Skipped || step.Under == nil && step.Values == nil {
		return ""
	}
	if e.under.Cause == recount.CauseRepeatedEvent && eventName(ev) == e.out.Change.Event {
		return "processed twice by the worker, once here"
	}
	before := func(of func(ExplainStep) []recount.Value) []recount.Value {
		if i == 0 {
			return nil
		}
		return of(e.out.Steps[i-1])
	}
	underSame := slices.Equal(step.Under, before(func(s ExplainStep) []recount.Value { return s.Under }))
	rightSame := slices.Equal(step.Values, before(func(s ExplainStep) []recount.Value { return s.Values }))
	if underSame && !rightSame && len(e.under.Variant.Missed) > 0 {
		return "never processed by the worker"
	}
	return ""
}

// alone says whether the listed events alone give the row that the whole window
// gives: the proof that nothing else contributes.
func (e *explaining) alone(ctx context.Context) (same bool, err error) {
	rows, err := e.session.Run(ctx, e.right)
	if err != nil {
		return false, err
	}
	defer joined(&err, rows.Close)
	var whole []recount.Value
	for {
		row, ok := rows.Next()
		if !ok {
			break
		}
		if recount.KeyText(row.Key) == e.key {
			whole = slices.Clone(row.Values)
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	if e.out.Right && whole == nil && len(e.events) == 0 {
		return false, e.noRow()
	}
	return slices.Equal(whole, e.out.Result), nil
}
