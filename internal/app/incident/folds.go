package incident

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/diff"
	"recount/internal/replay"
)

// fitFolds gives folds what their calculation says of their states: rows that
// remember their bucket alone are folded by bucket, and those that remember
// everything begin with the states of a checkpoint. The previous fold has states
// of its own, of which there is none.
func (r *Incident) fitFolds() {
	logics := []*recount.Logic{&r.calc.Logic}
	if r.calc.Previous != nil {
		previous := *r.calc.Previous
		r.calc.Previous = &previous
		logics = append(logics, r.calc.Previous)
	}
	r.calc.Logic.Versions = slices.Clone(r.calc.Logic.Versions)
	for i := range r.calc.Logic.Versions {
		logics = append(logics, &r.calc.Logic.Versions[i].Logic)
	}
	for _, l := range logics {
		if !l.Fold() {
			continue
		}
		if r.calc.Memory.Kind == recount.MemoryWindow {
			l.Bucket = r.calc.Bucket
		}
		if l == r.calc.Previous || r.calc.Memory.Kind != recount.MemoryUnbounded {
			continue
		}
		for _, name := range l.By {
			if i := slices.IndexFunc(r.source.Mapping.Fields, func(f recount.Field) bool { return f.Name == name }); i >= 0 {
				l.Opening = append(l.Opening, r.source.Mapping.Fields[i])
			}
		}
		l.Opening = append(l.Opening, recount.Field{Name: recount.StateColumn, Type: recount.Type{Kind: recount.KindString}})
	}
}

// nextKind says how a column of the previous logic gets the right type.
func nextKind(logic recount.Logic, name string, want recount.Type) string {
	if logic.Fold() {
		return fmt.Sprintf("let the previous fold return %s as %s", name, want)
	}
	return fmt.Sprintf("cast it in the previous logic, such as %s::%s", name, want)
}

// survived runs the previous fold once, as the right logic was run: events that a
// fold does not survive are known only then, and their rows are left out whatever
// explains them.
func (r *Incident) survived(ctx context.Context, session engine.Session) error {
	if r.calc.Previous == nil || !r.calc.Previous.Fold() {
		return nil
	}
	v := r.right
	v.Logic = *r.calc.Previous
	rows, err := session.Run(ctx, v)
	if err != nil {
		return err
	}
	return rows.Close()
}

// Fatal says which keys are left out because their fold did not survive an event.
type Fatal struct {
	Keys int64
	// Event is the first such event in order of the archive: its id, or its number
	// there. Key are the fields of its key, Why is what the worker had to say.
	Event string
	Key   []NamedValue
	Why   string
}

func (f *Fatal) String() string {
	if f.Keys == 1 {
		return "1 key is left out, as the worker does not survive an event of it: " + f.first()
	}
	return fmt.Sprintf("%d keys are left out, as the worker does not survive an event of each; first %s", f.Keys, f.first())
}

func (f *Fatal) first() string {
	var key []string
	for _, v := range f.Key {
		key = append(key, v.Name+" "+v.Value.String())
	}
	return fmt.Sprintf("event %s of %s: %s", f.Event, strings.Join(key, ", "), f.Why)
}

// fatal finds the events that folds of the session did not survive so far; nil
// where there is none. Where no key survived its first event, so that not one of
// rows is made, it is an error.
func (r *Incident) fatal(ctx context.Context, rows int64) (*Fatal, error) {
	if !r.folds() {
		return nil, nil
	}
	marks, err := r.session.Quarantined(ctx)
	if err != nil {
		return nil, err
	}
	var f Fatal
	keys, all := map[string]bool{}, rows == 0
	for _, m := range marks {
		if m.Key == nil {
			continue
		}
		if len(keys) == 0 {
			f.Event, f.Key, f.Why = fatalEvent(m), r.foldKey(m.Key), sentence(m.Why)
		}
		keys[recount.KeyText(m.Key)] = true
		all = all && m.First
	}
	if f.Keys = int64(len(keys)); f.Keys == 0 {
		return nil, nil
	}
	if all {
		return nil, &recount.Error{
			Code: recount.CodePoison, What: "the worker survives no event", Where: shown(r.calc.Logic), Why: "it ended at the first event of every key, such as " + f.first(),
			Next: "mend the worker, then run the command again",
		}
	}
	return &f, nil
}

func fatalEvent(m recount.Mark) string {
	if m.ID == "" {
		return "number " + strconv.FormatInt(m.Seq, 10)
	}
	return m.ID
}

// foldKey names the values of a fold's key.
func (r *Incident) foldKey(key []recount.Value) (named []NamedValue) {
	by := r.calc.Logic.By
	if r.calc.Previous != nil && len(by) != len(key) {
		by = r.calc.Previous.By
	}
	for i, v := range key {
		if i < len(by) {
			named = append(named, NamedValue{by[i], v})
		}
	}
	return named
}

// sentence is what a worker said in one line: the first, and the last of what it
// wrote besides, which names an exception in most languages.
func sentence(why string) string {
	lines := strings.Split(strings.TrimSpace(why), "\n")
	if len(lines) == 1 {
		return lines[0]
	}
	return lines[0] + " " + strings.TrimSpace(lines[len(lines)-1])
}

// folds says that the right logic or the previous one is a fold.
func (r *Incident) folds() bool {
	return r.calc.Logic.Folds() || r.calc.Previous != nil && r.calc.Previous.Fold()
}

// exclude leaves out rows of events that a fold did not survive while hypotheses
// were tried.
func (r *Incident) exclude(ctx context.Context, pairs []diff.Pair) error {
	fallen, err := r.fallen(ctx)
	if err != nil {
		return err
	}
	for i := range pairs {
		if _, out := fallen[pairs[i].Text]; out {
			pairs[i].Excluded, pairs[i].Cause, pairs[i].Event = true, "", ""
		}
	}
	return nil
}

// fallen are the keys of the rows whose fold did not survive an event in a run so
// far.
func (r *Incident) fallen(ctx context.Context) (map[string][]recount.Value, error) {
	if !r.folds() {
		return nil, nil
	}
	return replay.Fallen(ctx, r.session, r.logics())
}

// opened is the variant that makes the rows of a checkpoint; those of a fold are
// the states of its own keys.
func (r *Incident) opened() engine.Variant {
	v := r.right
	v.See, v.Columns = engine.SeeAll, nil
	if v.Logic.Fold() {
		v.Key = v.Logic.By
	}
	for _, f := range v.Logic.Opening {
		if !slices.Contains(v.Key, f.Name) {
			v.Columns = append(v.Columns, f.Name)
		}
	}
	return v
}

// resume is the folder in which the states of a fold over a long history are kept
// until the checkpoint is whole: a command that was killed goes on from there.
// Empty where the project's folder cannot be written.
func (r *Incident) resume() string {
	if !r.calc.Logic.Fold() {
		return ""
	}
	dir := filepath.Join(r.host.Dir(), ".recount", "resume-"+r.calc.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return ""
	}
	return dir
}

// mostSingle bounds the events that are folded to look for single events: each hit
// event of a row is left out, then repeated, among all of the row's.
const mostSingle = 500_000

// suspect is a row that nothing explains, and what was found of it.
type suspect struct {
	pair  *diff.Pair
	cause recount.Cause // of the first event that fits
	event string
	fits  int
}

// single looks, for rows of folds that no hypothesis explains, for one hit event
// that explains the row if it alone was missed, or repeated. The row gets that
// cause if there is exactly one. It was not given, so that nothing is written for
// its sake.
func (r *Incident) single(ctx context.Context, l *live, found *comparison) error {
	if !r.calc.Logic.Fold() {
		return nil
	}
	q, suspects := engine.SinglesQuery{Most: mostSingle}, map[string]*suspect{}
	for i := range found.Pairs {
		if p := &found.Pairs[i]; p.Cause == "" && !p.Excluded && p.Hold == "" && p.Key != nil {
			q.Keys = append(q.Keys, p.Key)
			suspects[p.Text] = &suspect{pair: p}
		}
	}
	if len(q.Keys) == 0 {
		return nil
	}
	act := r.host.Progress().Begin("is it a single event", 0)
	defer act.End()
	singles, err := r.session.Singles(ctx, r.right, q)
	if errors.Is(err, recount.ErrUnsupported) {
		return nil // rows do not name their events
	}
	if e, ok := errors.AsType[*recount.Error](err); ok && replay.LogicFault(e.Code) && ctx.Err() == nil {
		found.singles = append(found.singles, "single events were not sought: without some of them "+e.What)
		return nil
	}
	if err != nil {
		return fmt.Errorf("try single events: %w", err)
	}
	if len(singles.List) > 0 {
		found.tried = append(found.tried, recount.CauseMissedEvent, recount.CauseRepeatedEvent)
	}
	r.weigh(r.comparedAs(l), singles.List, suspects)
	found.singles = append(found.singles, concluded(suspects)...)
	if singles.Left > 0 {
		found.singles = append(found.singles, fmt.Sprintf("unexplained rows of which no event was left out by itself, since all together would fold more than %d events: %d", mostSingle, singles.Left))
	}
	return nil
}

// weigh finds which single events fit their rows.
func (r *Incident) weigh(shape recount.Shape, singles []engine.Single, suspects map[string]*suspect) {
	rules := r.rules()
	for _, one := range singles {
		s := suspects[recount.KeyText(one.Key)]
		if s == nil || one.Failed || !s.pair.Fits(shape, rules, one.Values) {
			continue
		}
		if s.fits++; s.fits > 1 {
			continue
		}
		s.cause, s.event = recount.CauseMissedEvent, nameOf(one.ID, one.Partition, one.Position)
		if one.Again {
			s.cause = recount.CauseRepeatedEvent
		}
	}
}

// concluded gives rows that one event alone explains their cause, and says of how
// many there are several.
func concluded(suspects map[string]*suspect) (notes []string) {
	several := 0
	for _, s := range suspects {
		switch s.fits {
		case 0:
		case 1:
			s.pair.Cause, s.pair.Event = s.cause, s.event
		default:
			several++
		}
	}
	if several > 0 {
		notes = append(notes, fmt.Sprintf("rows that any of several single events would explain, so that their cause stays unknown: %d", several))
	}
	return notes
}

// singled lets a variant miss events, or see them twice.
func singled(v *engine.Variant, cause recount.Cause, events []engine.ReplayEvent) {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var parts []string
	for _, e := range events {
		parts = append(parts, `("partition" = `+quote(e.Partition)+` AND "position" = `+quote(e.Position)+`)`)
	}
	list := recount.EventList{Where: strings.Join(parts, " OR ")}
	if cause == recount.CauseRepeatedEvent {
		v.Again = append(slices.Clone(v.Again), recount.Again{EventList: list, Times: 2})
		return
	}
	v.Missed = append(slices.Clone(v.Missed), list)
}

// eventName names an event to a person.
func eventName(e engine.ReplayEvent) string {
	return nameOf(e.ID, e.Partition, e.Position)
}

func nameOf(id, partition, position string) string {
	if id != "" {
		return id
	}
	return partition + ":" + recount.ShortPosition(position)
}

// mostKeys bounds the rows that an engine is asked for by name; beyond it all
// rows are made.
const mostKeys = 50_000

// trying tries hypotheses one after the other. What a run of a fold costs is mostly
// its process, so that hypotheses which follow one another are run together where
// they have one logic and as many parts: those with more are seldom needed.
type trying struct {
	*Incident
	shape recount.Shape
	pairs []diff.Pair
	// together are the rows of hypotheses that were run together, of which so many
	// are not looked at yet.
	together engine.Several
	rest     int
}

// next tries the first of the hypotheses that are left, and says how many rows still
// have no cause.
func (t *trying) next(ctx context.Context, hypotheses []replay.Hypothesis) (left int, err error) {
	h := hypotheses[0]
	h.Variant.Keys = t.keys()
	if t.rest == 0 {
		if err := t.begin(ctx, hypotheses, h.Variant.Keys); err != nil {
			return 0, err
		}
	}
	var rows engine.Rows
	switch {
	case t.rest > 0:
		rows = t.together.Next()
		t.rest--
	case h.Cause == causePrevious:
		// A logic that is tried alone is proved deterministic, as the right one is:
		// the causes are part of the plan.
		rows, err = replay.Prove(ctx, t.session, h.Variant)
	default:
		rows, err = t.session.Run(ctx, h.Variant)
	}
	if err != nil {
		return 0, err
	}
	defer joined(&err, rows.Close)
	return diff.Explain(t.shape, t.rules(), t.pairs, h.Cause, diff.As(t.within(rows, t.compared), t.shape))
}

// keys are those of the rows without a cause; nil where they are too many to name.
func (t *trying) keys() (keys [][]recount.Value) {
	for _, p := range t.pairs {
		if p.Cause == "" && !p.Excluded && p.Hold == "" {
			keys = append(keys, p.Key)
		}
	}
	if len(keys) > mostKeys {
		return nil
	}
	return keys
}

// begin runs the hypotheses together that can be, if they are more than one.
func (t *trying) begin(ctx context.Context, hypotheses []replay.Hypothesis, keys [][]recount.Value) error {
	if err := t.close(); err != nil {
		return err
	}
	var list []engine.Variant
	first := hypotheses[0]
	for _, h := range hypotheses {
		v := h.Variant
		if h.Cause == causePrevious || !v.Logic.Fold() || v.Logic.Digest != first.Variant.Logic.Digest || parts(h) != parts(first) {
			break
		}
		v.Keys = keys
		list = append(list, v)
	}
	if len(list) < 2 || keys == nil {
		return nil
	}
	several, err := t.session.Several(ctx, list)
	if errors.Is(err, recount.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	t.together, t.rest = several, len(list)
	return nil
}

// parts is how many things a hypothesis says.
func parts(h replay.Hypothesis) int { return 1 + strings.Count(string(h.Cause), "+") }

// close ends what was run together.
func (t *trying) close() error {
	if t.together == nil {
		return nil
	}
	err := t.together.Close()
	t.together, t.rest = nil, 0
	return err
}
