package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/app/effects"
	"recount/internal/config"
	"recount/internal/replay"
)

// Effected is what a worker would have sent in a window and, where a log of what was
// really sent is archived, how that differs. Nothing is sent.
type Effected struct {
	Calculation string
	Window      recount.Window
	Asked       recount.Window
	Snapshot    string
	Watermark   time.Time
	Events      recount.EventCounts
	Effects     int64 // that should have been sent
	// Excluded are the keys whose fold did not survive an event: what it would have
	// sent for them is not known, and not listed.
	Excluded    [][]recount.Value
	Digest      string
	Kinds       []EffectKind      // in order of the kind
	Log         *EffectLog        // nil: none is archived
	Differences []EffectDifferent // in order of kind and key
	Causes      []recount.CauseCount
	Out         string // the file of all effects; empty: none
	OutDiffer   string // the file of the differences; empty: none
	TookMS      int64
}

// EffectLog is what was read of the log.
type EffectLog struct {
	Source   string
	Snapshot string
	Window   recount.Window // of its events
	Within   time.Duration
	Events   recount.EventCounts
	Edge     int64 // near the window's edges, or of events outside of it: not judged
	Nameless int64 // without a kind or a key
	Unknown  int64 // of quarantined events
}

// EffectKind counts the effects of one kind.
type EffectKind struct {
	Kind string
	// Effects should have been sent, Right were.
	Effects, Right                 int64
	Never, Wrongly, Twice, Unasked int64
}

// Differ counts what was not sent as it should have been.
func (k EffectKind) Differ() int64 { return k.Never + k.Wrongly + k.Twice + k.Unasked }

// EffectDifferent is one difference.
type EffectDifferent = effects.Difference

// Differ counts what was not sent as it should have been.
func (e Effected) Differ() int64 { return int64(len(e.Differences)) }

// HasEffects says whether anything can be known of what the worker sends.
func (r *Incident) HasEffects() bool {
	return r.calc.Logic.Fold() || r.calc.Effects != nil && r.calc.Effects.SQL != nil
}

// Effects lists what the worker would have sent in the window: it is proved
// deterministic, then each gets every effect, in order of kind and key. Where a log
// of effects is archived, both are compared. It opens no target unless a hypothesis
// needs one.
func (r *Incident) Effects(ctx context.Context, overrides Overrides, each func(recount.Effect) error) (out Effected, err error) {
	if !r.HasEffects() {
		return out, r.noEffects()
	}
	if err := r.begun(ctx); err != nil {
		return out, err
	}
	defer joined(&err, r.close)
	out = Effected{Calculation: r.calc.Name, Window: r.window, Asked: r.typed(), Snapshot: r.snapshot.ID, Watermark: r.snapshot.Watermark}
	if out.Events, err = r.count(ctx); err != nil {
		return out, err
	}
	if err := r.refuseEmpty(out.Events, overrides.AllowEmpty); err != nil {
		return out, err
	}
	list, err := r.effectsOf(ctx, r.right, true)
	if err != nil {
		return out, err
	}
	defer joined(&err, list.Close)
	c := r.reconciling(&out)
	right, err := c.sorter("effects")
	if err != nil {
		return out, err
	}
	hash := sha256.New()
	for n := int64(0); ; n++ {
		e, ok := list.Next()
		if !ok {
			break
		}
		line := []string{e.Kind, e.Key, e.EventID, e.Partition, e.Position, string(e.Payload)}
		_, _ = fmt.Fprintf(hash, "%q\n", line) // a hash never fails
		c.kind(e.Kind).Effects++
		out.Effects++
		if err := errors.Join(each(e), c.addRight(right, e, n)); err != nil {
			return out, err
		}
	}
	if err := list.Err(); err != nil {
		return out, err
	}
	out.Digest = hex.EncodeToString(hash.Sum(nil))
	marks, err := r.session.Quarantined(ctx)
	if err != nil {
		return out, err
	}
	out.Excluded = withoutEffects(marks)
	if c.log != nil {
		err = c.reconcile(ctx, right, marks)
	}
	out.Kinds = c.sortedKinds()
	return out, err
}

// withoutEffects lists the keys of a fold, in order, that did not survive an event.
func withoutEffects(marks []recount.Mark) (keys [][]recount.Value) {
	for _, m := range marks {
		if m.Key != nil {
			keys = append(keys, m.Key)
		}
	}
	slices.SortFunc(keys, func(a, b []recount.Value) int { return strings.Compare(recount.KeyText(a), recount.KeyText(b)) })
	return slices.CompactFunc(keys, slices.Equal)
}

// countEffects counts by kind what the worker would have sent in the window.
func (r *Incident) countEffects(ctx context.Context) (out []recount.KindCount, err error) {
	if !r.HasEffects() {
		return nil, nil
	}
	list, err := r.effectsOf(ctx, r.right, false)
	if err != nil {
		return nil, err
	}
	defer joined(&err, list.Close)
	for {
		e, ok := list.Next()
		if !ok {
			return out, list.Err()
		}
		if n := len(out); n == 0 || out[n-1].Kind != e.Kind {
			out = append(out, recount.KindCount{Kind: e.Kind})
		}
		out[len(out)-1].Count++
	}
}

// noEffects is the error for a calculation of which nothing says what it sends.
func (r *Incident) noEffects() error {
	if l := r.calc.Logic; l.Folds() { // several versions
		return &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("what the versions of calculation %s send is listed one version at a time", r.calc.Name), Where: config.FileName + ", calculations: " + r.calc.Name,
			Why: "each fold says it of the events that it is given", Next: "add --as " + l.Versions[0].Name + ", or write effects: {sql: FILE}, an SQL for all",
		}
	}
	return &recount.Error{
		Code: recount.CodeUnsupported, What: fmt.Sprintf("nothing says what calculation %s sends", r.calc.Name), Where: config.FileName + ", calculations: " + r.calc.Name,
		Why: "a fold (worker: or go:) says it itself; rows that come from elsewhere, and those of SQL, do not", Next: "write effects: {sql: FILE}, an SQL that gives kind, key, event_id and payload of each effect",
	}
}

// checkEffects refuses an SQL of effects that does not bind, or lacks a column.
func (r *Incident) checkEffects(ctx context.Context) error {
	if r.calc.Effects == nil {
		return nil
	}
	for _, logic := range []*recount.Logic{r.calc.Effects.SQL, r.calc.Effects.Previous} {
		if logic == nil {
			continue
		}
		columns, err := r.engine.Check(ctx, *logic, r.source.Mapping.Fields)
		if err != nil {
			return err
		}
		for _, name := range effectColumns {
			if !contains(names(columns), name) {
				return r.lacks(columns, name, logic.Path, "an effect is told by kind, key, event_id and payload")
			}
		}
	}
	return nil
}

// effectColumns are the columns of an SQL of effects.
var effectColumns = []string{"kind", "key", "event_id", "payload"}

func contains(list []string, name string) bool {
	for _, one := range list {
		if strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}

// effectsOf runs a variant for what it would have sent to the window's events;
// recount.ErrUnsupported: its logic does not say. With prove it runs twice and must
// agree: that shows at the end.
func (r *Incident) effectsOf(ctx context.Context, v engine.Variant, prove bool) (engine.Effects, error) {
	inside, err := r.effectInside(ctx)
	if err != nil {
		return nil, err
	}
	logic, bySQL := r.effectSQL(v)
	switch {
	case bySQL && logic == nil, !bySQL && !v.Logic.Fold():
		return nil, fmt.Errorf("list what %s would have sent: %w", shown(v.Logic), recount.ErrUnsupported)
	case bySQL:
		v.Logic, v.Key, v.Columns = joinedEffects(*logic), []string{"kind", "key", "event_id"}, []string{"payload", "time", "partition", "position"}
		run := r.session.Run
		if prove {
			run = func(ctx context.Context, v engine.Variant) (engine.Rows, error) {
				return replay.Prove(ctx, r.session, v)
			}
		}
		rows, err := run(ctx, v)
		if err != nil {
			return nil, err
		}
		return &insideEffects{list: &sqlEffects{rows: rows, path: logic.Path}, inside: inside}, nil
	}
	v.Split = 0
	first, err := r.session.Effects(ctx, v)
	if err != nil {
		return nil, err
	}
	if !prove {
		return &insideEffects{list: first, inside: inside}, nil
	}
	v.Split = 1
	second, err := r.session.Effects(ctx, v)
	if err != nil {
		return nil, closing(first, err)
	}
	return &insideEffects{list: &provedEffects{first: first, second: second}, inside: inside}, nil
}

// effectSQL is the SQL that says what a variant sends; bySQL is false where its
// logic says so itself, and the SQL is nil where nothing does.
func (r *Incident) effectSQL(v engine.Variant) (logic *recount.Logic, bySQL bool) {
	e := r.calc.Effects
	if e == nil || e.SQL == nil {
		return nil, false
	}
	if p := r.calc.Previous; p != nil && v.Logic.Kind == p.Kind && v.Logic.Path == p.Path && v.Logic.Digest == p.Digest {
		return e.Previous, true
	}
	return e.SQL, true
}

// joinedEffects gives each effect of an SQL the time and place of its event.
func joinedEffects(logic recount.Logic) recount.Logic {
	text := strings.TrimRight(logic.Text, "; \t\r\n")
	logic.Text = "SELECT CAST(recount_effect.kind AS VARCHAR) AS kind, CAST(recount_effect.\"key\" AS VARCHAR) AS \"key\", CAST(recount_effect.event_id AS VARCHAR) AS event_id, " +
		"CAST(recount_effect.payload AS VARCHAR) AS payload, recount_event.time AS time, recount_event.\"partition\" AS \"partition\", recount_event.\"position\" AS \"position\" FROM (\n" +
		text + "\n) AS recount_effect LEFT JOIN (SELECT id, min(time) AS time, min(\"partition\") AS \"partition\", min(\"position\") AS \"position\" FROM events GROUP BY id) AS recount_event " +
		"ON recount_event.id = CAST(recount_effect.event_id AS VARCHAR)"
	return logic
}

// sqlEffects reads rows of joinedEffects.
type sqlEffects struct {
	rows engine.Rows
	path string
	err  error
}

// Next returns the next effect.
func (s *sqlEffects) Next() (e recount.Effect, ok bool) {
	row, ok := s.rows.Next()
	if !ok {
		return e, false
	}
	payload, at := row.Values[0], row.Values[1]
	if at.Null {
		s.err = &recount.Error{
			Code: recount.CodeResultKey, What: "an effect belongs to no event", Where: s.path,
			Why: fmt.Sprintf("event_id %s of effect %s %s is not among the events that it was made of", row.Key[2], row.Key[0], row.Key[1]), Next: "return the id of the event at which it is sent as event_id",
		}
		return e, false
	}
	e = recount.Effect{Kind: row.Key[0].Text, Key: row.Key[1].Text, EventID: row.Key[2].Text, Partition: row.Values[2].Text, Position: row.Values[3].Text, Payload: []byte("null")}
	if e.Time, s.err = recount.ParseTimestamp(at.Text); s.err != nil {
		return e, false
	}
	if !payload.Null {
		e.Payload = []byte(effects.Canonical([]byte(payload.Text)))
	}
	return e, true
}

// Err says why the effects broke off.
func (s *sqlEffects) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.rows.Err()
}

// Close ends the run.
func (s *sqlEffects) Close() error { return s.rows.Close() }

// provedEffects are those of a fold that runs twice.
type provedEffects struct {
	first, second engine.Effects
	err           error
}

// Next returns the next effect of the first run.
func (p *provedEffects) Next() (recount.Effect, bool) {
	if p.err != nil {
		return recount.Effect{}, false
	}
	a, ok := p.first.Next()
	b, okAgain := p.second.Next()
	if ok != okAgain || ok && (a.Kind != b.Kind || a.Key != b.Key || a.Seq != b.Seq || a.EventID != b.EventID || a.Position != b.Position || string(a.Payload) != string(b.Payload)) {
		if !ok {
			a = b
		}
		p.err = &recount.Error{
			Code: recount.CodeNondetermined, What: "what the worker sends is not deterministic", Where: fmt.Sprintf("effect %s %s", a.Kind, a.Key),
			Why:  "run twice over the same events, with other threads and another order of files, it would have sent other things",
			Next: "let effects depend on the event and the state alone; recount verify tells when it is mended",
		}
		return recount.Effect{}, false
	}
	return a, ok
}

// Err says that the effects broke off, or that the runs disagree.
func (p *provedEffects) Err() error { return errors.Join(p.first.Err(), p.second.Err(), p.err) }

// Close ends both runs.
func (p *provedEffects) Close() error { return errors.Join(p.first.Close(), p.second.Close()) }

// insideEffects passes over effects of events outside of the window, which are read
// because rows remember them.
type insideEffects struct {
	list   engine.Effects
	inside func(recount.Effect) bool
}

// Next returns the next effect of the window.
func (i *insideEffects) Next() (recount.Effect, bool) {
	for {
		e, ok := i.list.Next()
		if !ok || i.inside(e) {
			return e, ok
		}
	}
}

// Err says why the effects broke off.
func (i *insideEffects) Err() error { return i.list.Err() }

// Close ends the run.
func (i *insideEffects) Close() error { return i.list.Close() }

// effectInside says whether an effect belongs to an event of the window.
func (r *Incident) effectInside(ctx context.Context) (func(recount.Effect) bool, error) {
	switch r.hits.Window.By {
	case recount.ByPosition:
		return func(e recount.Effect) bool {
			for _, w := range r.hits.Positions {
				if w.Partition == e.Partition && w.From <= e.Position && e.Position < w.To {
					return true
				}
			}
			return false
		}, nil
	case recount.ByIDs, recount.ByIngest:
		ids, err := r.hitIDs(ctx, func(string) bool { return true })
		return func(e recount.Effect) bool { return ids[e.EventID] }, err
	case recount.ByEvent:
	}
	return func(e recount.Effect) bool { return r.window.Contains(e.Time) }, nil
}

// hitIDs are the wanted ids of the window's events.
func (r *Incident) hitIDs(ctx context.Context, wanted func(id string) bool) (ids map[string]bool, err error) {
	where := "hit"
	if r.hits.Window.By == recount.ByEvent {
		where = "time >= $from AND time < $to" // the window is widened, hits are as typed
	}
	v := engine.Variant{
		Logic: recount.Logic{Kind: recount.LogicSQL, Text: "SELECT id, count(*) AS copies FROM events WHERE id <> '' AND " + where + " GROUP BY id", Path: "the window's events"},
		Key:   []string{"id"}, Columns: []string{"copies"}, Dedupe: r.calc.Dedupe,
	}
	rows, err := r.session.Run(ctx, v)
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	ids = map[string]bool{}
	for {
		row, ok := rows.Next()
		if !ok {
			return ids, rows.Err()
		}
		if wanted(row.Key[0].Text) {
			ids[row.Key[0].Text] = true
		}
	}
}
