package incident

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/app/lookup"
	"recount/internal/archive/cover"
	"recount/internal/config"
)

// What the fields of a calculation's events are: those of the source, brought to
// their present shape by upcasts, and those that lookups lay beside them.

// table is reference data that a calculation reads.
type table struct {
	use    config.LookupUse
	file   *lookup.File // nil: a stream
	ready  string       // the Parquet file; empty: not made yet
	stream *Incident    // the stream whose events are the changes
}

// eventFields are those of the calculation's events.
func (r *Incident) eventFields() []recount.Field {
	return slices.Concat(r.source.Mapping.Fields, r.extra)
}

// checkFields makes known what fields there are, and refuses upcasts that cannot
// run.
func (r *Incident) checkFields(ctx context.Context) error {
	if err := r.checkUpcasts(ctx); err != nil {
		return err
	}
	r.tables, r.extra = nil, nil
	for _, use := range r.calc.Lookups {
		t, err := r.openLookup(ctx, use)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(use.Take)) {
			f := recount.Field{Name: name}
			if f.Type, err = t.typeOf(use.Take[name]); err != nil {
				return err
			}
			r.extra = append(r.extra, f)
		}
		r.tables = append(r.tables, t)
	}
	return nil
}

// checkUpcasts opens an input without events: an engine checks upcasts as it
// opens one.
func (r *Incident) checkUpcasts(ctx context.Context) error {
	if len(r.source.Upcasts) == 0 {
		return nil
	}
	dir, err := r.host.Scratch("upcasts")
	if err != nil {
		return err
	}
	at := time.Unix(0, 0).UTC()
	s, err := r.engine.Open(ctx, engine.Input{
		Stream: r.source.Name, Fields: r.source.Mapping.Fields, Window: recount.Window{From: at, To: at.Add(1), By: recount.ByEvent}, Upcasts: r.upcasts(), Scratch: dir,
	})
	if err != nil {
		return r.inUpcast(err)
	}
	return s.Close()
}

func (r *Incident) upcasts() (list []engine.Upcast) {
	for _, u := range r.source.Upcasts {
		list = append(list, engine.Upcast{Name: u.Name, When: u.When, Set: u.Set})
	}
	return list
}

// inUpcast says where in the configuration the step stands that an error is about.
func (r *Incident) inUpcast(err error) error {
	e, ok := errors.AsType[*recount.Error](err)
	if !ok {
		return err
	}
	for _, u := range r.source.Upcasts {
		if strings.HasPrefix(e.Where, "upcast "+u.Name+",") {
			e.Where = fmt.Sprintf("%s:%d, sources: %s, %s", config.FileName, u.Line, r.source.Name, e.Where)
			break
		}
	}
	return err
}

// openLookup opens the reference data of a lookup, and holds the types of its key
// against those of the event's fields.
func (r *Incident) openLookup(ctx context.Context, use config.LookupUse) (*table, error) {
	t := &table{use: use}
	if use.Lookup.Source != "" {
		src, err := r.host.Source(use.Lookup.Source)
		t.stream = &Incident{host: r.host, source: src, engine: r.engine}
		return t, err
	}
	dir, err := r.host.Scratch("lookup")
	if err != nil {
		return nil, err
	}
	if t.file, err = lookup.Open(ctx, use.Lookup, r.host.Dir(), dir); err != nil {
		return nil, err
	}
	for i, name := range use.On {
		f := r.source.Mapping.Fields[slices.IndexFunc(r.source.Mapping.Fields, func(f recount.Field) bool { return f.Name == name })]
		key, err := t.typeOf(use.Lookup.Key[i])
		if err != nil {
			return nil, err
		}
		if key.Kind != f.Type.Kind {
			return nil, &recount.Error{
				Code: recount.CodeConfig, What: "a field is never equal to the key of the reference data", Where: fmt.Sprintf("%s:%d, lookups: %s", config.FileName, use.Line, use.Lookup.Name),
				Why: fmt.Sprintf("%s is %s, and %s of %s is %s", name, f.Type, use.Lookup.Key[i], use.Lookup.File, key), Next: "declare the column under fields: of the lookup with the event's type",
			}
		}
	}
	_, err = t.typeOf(use.Lookup.Time)
	return t, err
}

func (t *table) typeOf(column string) (recount.Type, error) {
	if t.file != nil {
		return t.file.Type(column)
	}
	for _, f := range t.stream.source.Mapping.Fields {
		if f.Name == column {
			return f.Type, nil
		}
	}
	return recount.Type{Kind: recount.KindTimestamp}, nil // the events' own time
}

// columns are those that the lookup reads.
func (t *table) columns() []string {
	list := append(slices.Clone(t.use.Lookup.Key), t.use.Lookup.Time)
	for _, name := range slices.Sorted(maps.Keys(t.use.Take)) {
		list = append(list, t.use.Take[name])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// lookups makes the reference data ready for events up to an instant.
func (r *Incident) lookups(ctx context.Context, read recount.Window) (list []engine.Lookup, err error) {
	for _, t := range r.tables {
		if err := r.readyLookup(ctx, t, read); err != nil {
			return nil, err
		}
		list = append(list, engine.Lookup{
			Name: t.use.Lookup.Name, File: t.ready, Key: t.use.Lookup.Key, On: t.use.On, Time: t.use.Lookup.Time, Take: t.use.Take, Missing: t.use.Missing,
		})
	}
	return list, nil
}

func (r *Incident) readyLookup(ctx context.Context, t *table, read recount.Window) (err error) {
	if t.file != nil {
		if t.ready == "" {
			t.ready, err = t.file.Write(ctx, t.columns())
		}
		return err
	}
	if t.ready == "" {
		if err := r.readStream(ctx, t); err != nil {
			return err
		}
	}
	until := read.To
	if until.IsZero() {
		_, until, _ = reach(r.snapshot)
	}
	// A change that retention took out is not needed where a later one is valid;
	// where none is, the event is refused, unless it may have none.
	needed := recount.Window{From: until, To: until, By: recount.ByEvent}
	if !t.use.Missing {
		read.From = maxTime(read.From, t.stream.snapshot.Since)
	} else {
		read.From = time.Time{}
	}
	read.To = until
	err = cover.Complete(t.stream.snapshot, needed, read)
	if e, ok := errors.AsType[*recount.Error](err); ok {
		e.What = "the reference data " + t.use.Lookup.Name + " is not known up to " + recount.FormatTimestamp(until) + ": " + e.What
	}
	return err
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// readStream writes the changes that a stream's archive holds.
func (r *Incident) readStream(ctx context.Context, t *table) (err error) {
	s := t.stream
	if s.archive, err = r.host.Archive(ctx); err != nil {
		return err
	}
	if s.snapshot, err = s.archive.Snapshot(ctx, s.source.Name); err != nil {
		return err
	}
	digest, err := s.source.MappingDigest()
	if err != nil {
		return err
	}
	if err := cover.SameMapping(s.snapshot, digest); err != nil {
		return err
	}
	s.snapshot.Lateness = s.source.Lateness
	session, err := s.openEvents(ctx, engine.Input{Read: recount.Window{By: recount.ByEvent}}, s.snapshot.Files)
	if err != nil {
		return err
	}
	defer joined(&err, session.Close)
	marks, err := session.Quarantined(ctx)
	if err != nil {
		return err
	}
	if len(marks) > 0 {
		return &recount.Error{
			Code: recount.CodeLookup, What: fmt.Sprintf("%d changes of the reference data %s are quarantined", len(marks), t.use.Lookup.Name), Where: "stream " + s.source.Name,
			Why:  fmt.Sprintf("what was valid after them is not known; such as event %s: %s", marks[0].ID, marks[0].Why),
			Next: "mend their shape with an upcast of the source, or give the reference data as a file",
		}
	}
	feed, err := session.Feed(ctx, engine.Variant{Dedupe: true}, engine.FeedQuery{Columns: t.columns()})
	t.ready = feed.Path
	return err
}

// bodyOfInputs names what the plan depends on besides events and logic.
func (r *Incident) bodyOfInputs(b *recount.PlanBody) {
	for _, v := range r.used {
		b.Versions = append(b.Versions, recount.PlanVersion{Name: v.Name, From: v.Effective.From, To: v.Effective.To, Digest: v.Logic.Digest})
	}
	for _, u := range r.source.Upcasts {
		b.Upcasts = append(b.Upcasts, recount.PlanInput{Name: u.Name, Digest: u.Digest()})
	}
	for _, t := range r.tables {
		one := recount.PlanInput{Name: t.use.Lookup.Name}
		if t.file != nil {
			one.Digest = t.file.Digest
		} else {
			one.Snapshot = t.stream.snapshot.ID
		}
		b.Lookups = append(b.Lookups, one)
	}
}

// sameInputs refuses to explain a plan that was made from other upcasts or other
// reference data.
func (r *Incident) sameInputs(p recount.PlanBody) error {
	var now recount.PlanBody
	r.bodyOfInputs(&now)
	what := ""
	switch {
	case !slices.Equal(now.Upcasts, p.Upcasts):
		what = "the upcasts are"
	case !slices.EqualFunc(now.Lookups, p.Lookups, func(a, b recount.PlanInput) bool { return a.Name == b.Name && a.Digest == b.Digest }):
		what = "the reference data is"
	default:
		return nil
	}
	return &recount.Error{
		Code: recount.CodeLogicFile, What: what + " not the plan's", Where: config.FileName + ", calculation " + r.calc.Name,
		Why: "it was edited since, so the steps would not be the plan's", Next: "plan again, then explain the new plan",
	}
}

// columnsOfVersions returns the columns that all versions of a logic give.
func (r *Incident) columnsOfVersions(ctx context.Context, logic recount.Logic) (columns []recount.Column, err error) {
	for i, v := range logic.Versions {
		got, err := r.engine.Check(ctx, v.Logic, r.eventFields())
		if err != nil {
			return nil, err
		}
		if i == 0 {
			columns = got
			continue
		}
		for _, c := range columns {
			at := slices.IndexFunc(got, func(o recount.Column) bool { return o.Name == c.Name })
			why := fmt.Sprintf("version %s returns it, and version %s does not", logic.Versions[0].Name, v.Name)
			if at >= 0 {
				why = fmt.Sprintf("it is %s in version %s and %s in version %s", c.Type, logic.Versions[0].Name, got[at].Type, v.Name)
			}
			if at < 0 || got[at].Type != c.Type {
				return nil, &recount.Error{
					Code: recount.CodeVersion, What: fmt.Sprintf("the versions of calculation %s differ in column %s", r.calc.Name, c.Name), Where: v.Logic.Path, Why: why,
					Next: fmt.Sprintf("let every version return the same columns, such as CAST(… AS %s) AS %s", c.Type, c.Name),
				}
			}
		}
	}
	return columns, nil
}

// splits says whether a window may need several versions: each bucket's rows come
// of its own events, and an edge between versions is one between buckets.
func (r *Incident) splits() bool {
	return r.bucketed() && r.calc.Memory.Kind == recount.MemoryWindow
}

// inForce finds the versions that the window needs, and refuses what none is for
// or what would need several at once.
func (r *Incident) inForce(ctx context.Context) error {
	logic := r.calc.Logic
	if logic.Kind != recount.LogicVersions {
		return nil
	}
	if !covers(lifetime(logic.Versions), r.read) {
		span := lifetime(logic.Versions)
		return r.noVersion("no version was in force for a part of what is read", fmt.Sprintf("what is read is %s, and the versions are in force %s", openSpan(r.read), openSpan(span)),
			"choose a window inside, or one version for all")
	}
	r.used = logic.Over(r.read)
	if r.splits() {
		return nil
	}
	one := r.used[0].Logic
	if len(r.used) > 1 {
		if err := r.continued(); err != nil {
			return err
		}
		one = recount.Continued(r.used)
		if _, err := r.engine.Check(ctx, one, r.eventFields()); err != nil {
			return err
		}
	}
	r.versioned = &logic
	r.calc.Logic, r.right.Logic = one, one
	return nil
}

// continued refuses versions of which one does not go on from the states of the one
// before it.
func (r *Incident) continued() error {
	at := 1 + slices.IndexFunc(r.used[1:], func(v recount.Version) bool { return !v.Continues })
	if at == 0 {
		return nil
	}
	before, after := r.used[at-1], r.used[at]
	edge := recount.FormatTimestamp(after.Effective.From)
	why := fmt.Sprintf("its rows remember events of %s and of %s, and no version reads both (memory: %s)", before.Name, after.Name, r.calc.Memory)
	if r.calc.Memory.Kind == recount.MemoryWindow {
		why = fmt.Sprintf("its rows hold the whole window, of which the part before %s is of version %s and the other of %s", edge, before.Name, after.Name)
	}
	next := ""
	if before.Logic.Fold() && after.Logic.Fold() {
		next = fmt.Sprintf("if %s goes on from the states that %s left, write state: continues in it; else ", after.Name, before.Name)
	}
	return r.noVersion("the window needs several versions at once", why, next+"choose a window that reads nothing beyond "+edge+", or one version for all")
}

func (r *Incident) noVersion(what, why, next string) error {
	var names []string
	for _, v := range r.calc.Logic.Versions {
		names = append(names, "--as "+v.Name)
	}
	return &recount.Error{
		Code: recount.CodeVersion, What: what, Where: fmt.Sprintf("%s, calculation %s", r.hits, r.calc.Name), Why: why, Next: next + ": " + strings.Join(names, ", "),
	}
}

// lifetime is the span of event time in which any version was in force.
func lifetime(list []recount.Version) recount.Window {
	return recount.Window{From: list[0].Effective.From, To: list[len(list)-1].Effective.To}
}

// covers says whether a span lies in another; a zero edge is open.
func covers(outer, inner recount.Window) bool {
	from := outer.From.IsZero() || !inner.From.IsZero() && !inner.From.Before(outer.From)
	to := outer.To.IsZero() || !inner.To.IsZero() && !inner.To.After(outer.To)
	return from && to
}

func openSpan(w recount.Window) string {
	from, to := "from the beginning", "on"
	if !w.From.IsZero() {
		from = "from " + recount.FormatTimestamp(w.From)
	}
	if !w.To.IsZero() {
		to = "to " + recount.FormatTimestamp(w.To)
	}
	return from + " " + to
}

// alike says whether a span can be replayed by the versions that the window was.
func (r *Incident) alike(read recount.Window) bool {
	switch {
	case r.versioned != nil: // the same versions, most often one
		return covers(lifetime(r.used), read)
	case r.calc.Logic.Kind == recount.LogicVersions:
		return covers(lifetime(r.calc.Logic.Versions), read)
	}
	return true
}

// logicDigest is the digest of all of the calculation's logic.
func (r *Incident) logicDigest() string {
	if r.versioned != nil {
		return r.versioned.Digest
	}
	return r.digestOf(r.calc.Logic)
}
