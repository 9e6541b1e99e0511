package incident

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"recount"
	"recount/engine"
	"recount/internal/app/effects"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/internal/diff"
	"recount/internal/replay"
)

// mostDifferent bounds the differences that are kept in memory.
const mostDifferent = config.DefaultMaxChanges

// reconciling compares what should have been sent with a log of what was.
type reconciling struct {
	r       *Incident
	log     *config.EffectLog // nil: none is archived
	out     *Effected
	kinds   map[string]*EffectKind
	unknown map[string]bool // ids of quarantined events
	groups  []differing
}

// differing is a group of which something was not sent as it should have been.
type differing struct {
	text string // of its key
	sent []effects.Sent
	out  effects.Outcome
}

func (r *Incident) reconciling(out *Effected) *reconciling {
	c := &reconciling{r: r, out: out, kinds: map[string]*EffectKind{}}
	if r.calc.Effects != nil {
		c.log = r.calc.Effects.Log
	}
	return c
}

func (c *reconciling) kind(name string) *EffectKind {
	if c.kinds[name] == nil {
		c.kinds[name] = &EffectKind{Kind: name}
	}
	return c.kinds[name]
}

func (c *reconciling) sortedKinds() (list []EffectKind) {
	for _, name := range sortedNames(c.kinds) {
		list = append(list, *c.kinds[name])
	}
	return list
}

func (c *reconciling) rules() effects.Rules {
	return effects.Rules{Compare: c.log.Compare, Within: c.log.Within}
}

// sorter sorts both sides by kind, key and, where the log names it, event; then by
// order.
func (c *reconciling) sorter(name string) (*diff.Sorter, error) {
	if c.log == nil {
		return nil, nil
	}
	dir, err := c.r.host.Scratch(name)
	if err != nil {
		return nil, err
	}
	text := func(name string) recount.Column {
		return recount.Column{Name: name, Type: recount.Type{Kind: recount.KindString}}
	}
	s := &diff.Sorter{Dir: dir, Bytes: diff.DefaultSortBytes / 2, Place: name}
	for _, name := range []string{"kind", "key", "event_id", "order"} {
		s.Shape.Key = append(s.Shape.Key, text(name))
	}
	for _, name := range []string{"event_id", "id", "partition", "position", "time", "payload"} {
		s.Shape.Values = append(s.Shape.Values, text(name))
	}
	return s, nil
}

// grouped is the id by which events are told apart within a kind and key.
func (c *reconciling) grouped(eventID string) string {
	if c.log.EventID == "" {
		return ""
	}
	return eventID
}

func (c *reconciling) addRight(s *diff.Sorter, e recount.Effect, n int64) error {
	if s == nil {
		return nil
	}
	return s.Add(recount.Row{
		Key:    textValues(e.Kind, e.Key, c.grouped(e.EventID), fmt.Sprintf("%020d%020d%020d", e.Seq, e.Time.UnixMicro()+1<<62, n)),
		Values: textValues(e.EventID, "", e.Partition, e.Position, recount.FormatTimestamp(e.Time), string(e.Payload)),
	})
}

func (c *reconciling) addSent(s *diff.Sorter, e effects.Sent) error {
	return s.Add(recount.Row{
		Key:    textValues(e.Kind, e.Key, c.grouped(e.EventID), fmt.Sprintf("%020d%s@%s", e.Time.UnixMicro()+1<<62, e.Partition, e.Position)),
		Values: textValues(e.EventID, e.ID, e.Partition, e.Position, recount.FormatTimestamp(e.Time), e.Payload),
	})
}

func textValues(list ...string) []recount.Value {
	values := make([]recount.Value, len(list))
	for i, text := range list {
		values[i] = recount.Text(text)
	}
	return values
}

// reconcile reads the log and compares it, group by group; then it looks for what
// explains the differences.
func (c *reconciling) reconcile(ctx context.Context, right *diff.Sorter, marks []recount.Mark) error {
	if err := c.readUnknown(ctx, marks); err != nil {
		return err
	}
	sent, err := c.sorter("sent")
	if err != nil {
		return err
	}
	if err := c.readLog(ctx, func(e effects.Sent) error { return c.addSent(sent, e) }); err != nil {
		return err
	}
	if err := c.compare(right, sent); err != nil {
		return err
	}
	if err := c.dropOutside(ctx); err != nil {
		return err
	}
	if err := c.explain(ctx); err != nil {
		return err
	}
	causes := map[recount.Cause]int64{}
	for _, g := range c.groups {
		for _, d := range g.out.Differences {
			causes[d.Cause]++
			c.out.Differences = append(c.out.Differences, d)
			k := c.kind(kindOf(d))
			*map[effects.Reason]*int64{effects.Never: &k.Never, effects.Wrongly: &k.Wrongly, effects.Twice: &k.Twice, effects.Unasked: &k.Unasked}[d.Reason]++
		}
	}
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		c.out.Causes = append(c.out.Causes, recount.CauseCount{Cause: cause, Rows: causes[cause]})
	}
	return nil
}

// readUnknown reads the ids of events of which nobody knows what should have been
// sent: quarantined ones, and those of the keys whose fold did not survive one.
func (c *reconciling) readUnknown(ctx context.Context, marks []recount.Mark) error {
	c.unknown = map[string]bool{}
	for _, m := range marks {
		c.unknown[m.ID] = true
		if m.Key == nil {
			continue
		}
		others, err := replay.Beside(ctx, c.r.session, c.r.right.Logic, m)
		if err != nil {
			return err
		}
		for _, e := range others {
			c.unknown[e.ID] = true
		}
	}
	delete(c.unknown, "")
	return nil
}

func kindOf(d effects.Difference) string {
	if d.Right != nil {
		return d.Right.Kind
	}
	return d.Sent.Kind
}

// compare walks both sides by groups.
func (c *reconciling) compare(right, sent *diff.Sorter) (err error) {
	a, err := grouping(right)
	if err != nil {
		return err
	}
	defer joined(&err, a.rows.Close)
	b, err := grouping(sent)
	if err != nil {
		return err
	}
	defer joined(&err, b.rows.Close)
	for {
		text, ok := least(a, b)
		if !ok {
			return errors.Join(a.rows.Err(), b.rows.Err())
		}
		g := differing{text: text}
		var wanted []recount.Effect
		for _, row := range a.take(text) {
			wanted = append(wanted, effectOf(row))
		}
		for _, row := range b.take(text) {
			g.sent = append(g.sent, c.sentOf(row))
		}
		if err := errors.Join(a.rows.Err(), b.rows.Err()); err != nil {
			return err
		}
		g.out = c.rules().Match(wanted, g.sent)
		c.out.Log.Edge += g.out.Edge
		if len(wanted) > 0 {
			c.kind(wanted[0].Kind).Right += g.out.Right
		}
		if len(g.out.Differences) == 0 {
			continue
		}
		if c.groups = append(c.groups, g); len(c.groups) > mostDifferent {
			return &recount.Error{
				Code: recount.CodeLimit, What: "too many effects were not sent as they should have been", Where: "calculation " + c.r.calc.Name, Why: fmt.Sprintf("over %d keys of them differ", mostDifferent),
				Next: "choose a shorter window; or see whether kind:, key: and payload: of the log name what the worker calls so",
			}
		}
	}
}

// groups are sorted effects, to be walked by what belongs together.
type groups struct {
	rows *diff.Sorted
	head diff.LiveRow
	ok   bool
}

func grouping(s *diff.Sorter) (*groups, error) {
	sorted, err := s.Sorted()
	if err != nil {
		return nil, err
	}
	g := &groups{rows: sorted}
	g.head, g.ok = g.rows.Next()
	return g, nil
}

// text is that of the group at hand: its key without the order within.
func (g *groups) text() string { return recount.KeyText(g.head.Key[:len(g.head.Key)-1]) }

func (g *groups) take(text string) (rows []diff.LiveRow) {
	for g.ok && g.text() == text {
		rows = append(rows, g.head)
		g.head, g.ok = g.rows.Next()
	}
	return rows
}

// least is the group that comes first on either side.
func least(a, b *groups) (text string, ok bool) {
	switch {
	case a.ok && b.ok:
		return min(a.text(), b.text()), true
	case a.ok:
		return a.text(), true
	case b.ok:
		return b.text(), true
	}
	return "", false
}

// effectOf and sentOf read what addRight and addSent wrote.
func effectOf(row diff.LiveRow) recount.Effect {
	v := row.Row.Values
	at, _ := recount.ParseTimestamp(v[4].Text) // we wrote it
	return recount.Effect{
		Kind: row.Key[0].Text, Key: row.Key[1].Text, EventID: v[0].Text, Partition: v[2].Text, Position: v[3].Text, Time: at, Payload: []byte(v[5].Text),
	}
}

func (c *reconciling) sentOf(row diff.LiveRow) effects.Sent {
	v := row.Row.Values
	at, _ := recount.ParseTimestamp(v[4].Text) // we wrote it
	e := effects.Sent{
		Kind: row.Key[0].Text, Key: row.Key[1].Text, EventID: v[0].Text, ID: v[1].Text, Partition: v[2].Text, Position: v[3].Text, Time: at, Payload: v[5].Text,
	}
	e.Edge = c.edge(e)
	return e
}

// dropOutside takes out what was sent for events that the window does not hold: it
// belongs to another window.
func (c *reconciling) dropOutside(ctx context.Context) error {
	if c.log.EventID == "" {
		return nil
	}
	asked := map[string]bool{}
	for _, g := range c.groups {
		for _, d := range g.out.Differences {
			if d.Reason == effects.Unasked {
				asked[d.Sent.EventID] = true
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	inside, err := c.r.hitIDs(ctx, func(id string) bool { return asked[id] })
	if err != nil {
		return err
	}
	for i := range c.groups {
		g := &c.groups[i]
		g.out.Differences = slices.DeleteFunc(g.out.Differences, func(d effects.Difference) bool {
			if d.Reason != effects.Unasked {
				return false
			}
			unknown := c.unknown[d.Sent.EventID]
			out := unknown || !inside[d.Sent.EventID]
			switch {
			case unknown:
				c.out.Log.Unknown++
			case out:
				c.out.Log.Edge++
			}
			return out
		})
	}
	c.groups = slices.DeleteFunc(c.groups, func(g differing) bool { return len(g.out.Differences) == 0 })
	return nil
}

// explain tries the hypotheses: one explains a group that was sent just as it would
// have been under it.
func (c *reconciling) explain(ctx context.Context) error {
	r, left := c.r, len(c.groups)
	set := func(g *differing, cause recount.Cause) {
		for i := range g.out.Differences {
			g.out.Differences[i].Cause = cause
		}
	}
	at := map[string]*differing{}
	for i := range c.groups {
		set(&c.groups[i], recount.CauseUnknown)
		at[c.groups[i].text] = &c.groups[i]
	}
	if err := r.readProcessed(ctx); err != nil {
		return err
	}
	if _, err := r.checkLists(ctx); err != nil {
		return err
	}
	list, _ := replay.Hypotheses(r.calc.Calculation, r.right, c.out.Events.Duplicates > 0, r.processed)
	for _, h := range list {
		if left == 0 {
			return nil
		}
		if logic, bySQL := r.effectSQL(h.Variant); bySQL && logic == nil || !bySQL && !h.Variant.Logic.Fold() {
			continue // nothing says what it would have sent
		}
		under, err := c.under(ctx, h.Variant, at)
		if err != nil {
			return fmt.Errorf("try %s: %w", h.Cause, err)
		}
		for text, g := range at {
			if len(c.rules().Match(under[text], g.sent).Differences) == 0 {
				set(g, h.Cause)
				delete(at, text)
				left--
			}
		}
	}
	return nil
}

// under lists what a variant would have sent of the groups, each in order.
func (c *reconciling) under(ctx context.Context, v engine.Variant, at map[string]*differing) (under map[string][]recount.Effect, err error) {
	list, err := c.r.effectsOf(ctx, v, false)
	if err != nil {
		return nil, err
	}
	defer joined(&err, list.Close)
	under = map[string][]recount.Effect{}
	for {
		e, ok := list.Next()
		if !ok {
			return under, list.Err()
		}
		if text := recount.KeyText(textValues(e.Kind, e.Key, c.grouped(e.EventID))); at[text] != nil {
			under[text] = append(under[text], e)
		}
	}
}

// readLog hands over what the log says was sent in the window and for as long after
// it as an effect may take to be noted.
func (c *reconciling) readLog(ctx context.Context, each func(effects.Sent) error) (err error) {
	logs, session, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer joined(&err, session.Close)
	if c.out.Log.Events, err = session.Count(ctx, true); err != nil {
		return err
	}
	act := c.r.host.Progress().Begin("reading "+c.log.Source, c.out.Log.Events.Used)
	defer act.End()
	query := effects.ReadLog(*c.log, logs.source.Mapping.Fields)
	rows, err := session.Run(ctx, query.Variant)
	if err != nil {
		return err
	}
	defer joined(&err, rows.Close)
	for {
		row, ok := rows.Next()
		if !ok {
			return rows.Err()
		}
		act.Add(1)
		e, ok, err := query.Sent(row)
		if err != nil {
			return err
		}
		if !ok {
			c.out.Log.Nameless++
			continue
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// edge says whether what was sent may belong to an event outside of the window. Where
// the log names its event, that tells; dropOutside asks for it.
func (c *reconciling) edge(e effects.Sent) bool {
	if c.log.EventID != "" {
		return false
	}
	if c.r.hits.Window.By != recount.ByEvent {
		return true // other events lie between those of the window
	}
	return e.Time.Add(-c.log.Within).Before(c.r.window.From) || !e.Time.Before(c.r.window.To)
}

// openLog opens the log over the window, widened on both sides; it must be archived
// whole.
func (c *reconciling) openLog(ctx context.Context) (logs *Incident, s broughtSession, err error) {
	src, err := c.r.host.Source(c.log.Source)
	if err != nil {
		return nil, s, err
	}
	logs = &Incident{host: c.r.host, source: src, archive: c.r.archive, engine: c.r.engine}
	logs.calc.Name, logs.calc.BucketNone = c.r.calc.Name, true
	if logs.snapshot, err = logs.archive.Snapshot(ctx, src.Name); err != nil {
		return nil, s, err
	}
	digest, err := src.MappingDigest()
	if err != nil {
		return nil, s, err
	}
	if err := cover.SameMapping(logs.snapshot, digest); err != nil {
		return nil, s, err
	}
	logs.snapshot.Lateness = src.Lateness
	span := recount.Window{From: c.r.window.From.Add(-c.log.Within), To: c.r.window.To.Add(c.log.Within), By: recount.ByEvent}
	needed := recount.Window{From: c.r.window.From, To: span.To, By: recount.ByEvent}
	if err := cover.Complete(logs.snapshot, needed, needed); err != nil {
		return nil, s, err
	}
	if c.log.Where != "" {
		if err := logs.engine.CheckCondition(ctx, c.log.Where, src.Mapping.Fields); err != nil {
			return nil, s, recount.Located(err, fmt.Sprintf("%s, calculations: %s: effects: log: where", config.FileName, c.r.calc.Name))
		}
	}
	c.out.Log = &EffectLog{Source: src.Name, Snapshot: logs.snapshot.ID, Window: span, Within: c.log.Within}
	s, err = logs.open(ctx, engine.Input{Window: span, Read: span, Hits: recount.Hits{Window: span}}, cover.Select(logs.snapshot, span))
	return logs, s, err
}
