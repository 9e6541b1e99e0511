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
// everything begin with the states of a checkpoint. The previous fold by itself has
// states of its own, of which there is none (see previously).
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
	if !r.calc.Folds() {
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

// exclude leaves out rows of events that a fold did not survive while hypotheses
// were tried.
func (r *Incident) exclude(ctx context.Context, pairs []diff.Pair) error {
	fallen, err := r.fallen(ctx)
	if err != nil {
		return err
	}
	for i := range pairs {
		if key, out := fallen[pairs[i].Text]; out {
			pairs[i].Key = key // there may be no row that names it
			pairs[i].Excluded, pairs[i].Cause, pairs[i].Event = true, "", ""
		}
	}
	return nil
}

// fallen are the keys of the rows whose fold did not survive an event in a run so
// far.
func (r *Incident) fallen(ctx context.Context) (map[string][]recount.Value, error) {
	if !r.calc.Folds() {
		return nil, nil
	}
	return replay.Fallen(ctx, r.session, r.logics())
}

// hitAlone lets a variant see nothing but hit events: no state of a fold that stood
// before them either, which would make a row of every key.
func hitAlone(v engine.Variant) engine.Variant {
	v.See = engine.SeeHit
	if v.Logic.Fold() {
		v.Logic.Opening = nil
	}
	return v
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

// What folds that take turns are called in messages. No version has such a name.
const (
	previousTurn = "the previous logic"
	rightTurn    = "the right logic"
)

// previously makes of the previous fold what wrote the live rows: it processed the
// hit events, and the right logic all others, each going on from the states of the
// other. Where these cannot be handed over, or where it is said so, it processed all
// events that are read.
func (r *Incident) previously(ctx context.Context) error {
	if r.calc.Previous == nil || !r.calc.Previous.Fold() {
		return nil
	}
	if r.wrote == nil {
		r.wrote = r.calc.Previous
	}
	r.calc.Previous, r.over = r.wrote, ""
	switch {
	case r.allHit():
		return nil
	case r.calc.Over == recount.OverAll:
		r.over = "previous was run for all events of its keys (over: all)"
		return nil
	case r.apart != "":
		r.over = "previous was run for all events of its keys, as the state of a key cannot be handed over: " + r.apart
		return nil
	}
	mixed, err := r.mixed(ctx)
	if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeHandover && r.calc.Over == recount.OverUnsaid {
		r.over = "previous was run for all events of its keys, as the state of a key cannot be handed over: " + e.Why
		return nil
	}
	if err != nil {
		return err
	}
	r.calc.Previous = &mixed
	r.over = "previous was run for hit events alone, and the right logic for all others, each from the states of the other"
	return nil
}

// allHit says that nothing but hit events is read.
func (r *Incident) allHit() bool {
	w := r.hits.Window
	return r.right.See == engine.SeeHit || w.By == recount.ByEvent && !r.read.From.IsZero() && w.From.Equal(r.read.From) && w.To.Equal(r.read.To)
}

// mixed joins the previous fold, for hit events, and the right one, for all others.
func (r *Incident) mixed(ctx context.Context) (recount.Logic, error) {
	list := []recount.Version{{Name: previousTurn, Logic: *r.wrote, Hit: true}}
	switch len(r.used) {
	case 0:
		list = append(list, recount.Version{Name: rightTurn, Logic: r.calc.Logic})
	case 1:
		list = append(list, recount.Version{Name: rightTurn, Logic: r.used[0].Logic})
	default:
		list = append(list, r.used...)
	}
	mixed := recount.Continued(list)
	columns, err := r.engine.Check(ctx, mixed, r.eventFields())
	if err != nil {
		return mixed, err
	}
	if _, err := r.shapeOf(columns, r.wrote.Path); err != nil {
		return mixed, &recount.Error{
			Code: recount.CodeHandover, What: "the state of a key cannot be handed over", Where: r.wrote.Path, Why: "the previous logic and the right one do not return the same columns",
			Next: "let them return the same columns under the same types, or write over: all under previous", Err: err,
		}
	}
	return mixed, nil
}

// standsAlone says whether the previous logic is to be run again for all events, since
// the states of the other were not taken and nothing in the configuration asks for
// that.
func (r *Incident) standsAlone(err error) bool {
	e, ok := errors.AsType[*recount.Error](err)
	if !ok || e.Code != recount.CodeHandover || r.wrote == nil || r.calc.Previous == r.wrote || r.calc.Over != recount.OverUnsaid {
		return false
	}
	r.apart = sentence(e.Why)
	return true
}

// turnNotes says which folds took turns.
func (r *Incident) turnNotes() (notes []string) {
	if r.over != "" {
		notes = append(notes, r.over)
	}
	if r.versioned != nil && len(r.used) > 1 {
		var names []string
		for _, v := range r.used {
			names = append(names, v.Name)
		}
		notes = append(notes, fmt.Sprintf("each of the versions %s went on from the states that the one before it left", strings.Join(names, ", ")))
	}
	return notes
}
