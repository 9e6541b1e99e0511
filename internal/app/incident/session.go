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
	"recount/internal/app/versions"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/source"
)

// check asks the engine what the logic returns and fits it to the configuration.
func (r *Incident) check(ctx context.Context) error {
	if err := r.checkFields(ctx); err != nil {
		return err
	}
	fields := r.eventFields()
	r.fitFolds()
	columns, err := r.columnsOf(ctx, r.calc.Logic)
	if err != nil {
		return err
	}
	if r.shape, err = r.shapeOf(columns, r.calc.Logic.Path); err != nil {
		return err
	}
	if err := r.checkBrought(r.shape, r.calc.Logic); err != nil {
		return err
	}
	if r.calc.Previous != nil {
		if err := r.checkPrevious(ctx, *r.calc.Previous); err != nil {
			return err
		}
	}
	for i, list := range r.lists() {
		if list.Where == "" {
			continue
		}
		if err := r.engine.CheckCondition(ctx, list.Where, fields); err != nil {
			return r.inList(i, err)
		}
	}
	if err := r.checkEffects(ctx); err != nil {
		return err
	}
	r.right = engine.Variant{Logic: r.calc.Logic, Key: r.calc.Key, Columns: names(r.shape.Values), Dedupe: r.calc.Dedupe}
	return r.checkBucket()
}

// inList says in which list a condition stands.
func (r *Incident) inList(i int, err error) error {
	name := fmt.Sprintf("missed[%d]", i+1)
	if n := i - len(r.calc.Missed); n >= 0 {
		name = fmt.Sprintf("again[%d]", n+1)
	}
	if e, ok := errors.AsType[*recount.Error](err); ok {
		e.Where = fmt.Sprintf("recount.yaml, calculations: %s: %s: where, %s", r.calc.Name, name, e.Where)
	}
	return err
}

// checkPrevious fits the previous logic to the right one.
func (r *Incident) checkPrevious(ctx context.Context, previous recount.Logic) error {
	columns, err := r.columnsOf(ctx, previous)
	if err != nil {
		return err
	}
	shape, err := r.shapeOf(columns, previous.Path)
	if err != nil {
		return err
	}
	if err := r.checkBrought(shape, previous); err != nil {
		return err
	}
	if b := r.elsewhere[shown(previous)]; previous.Brought() && !b.typed() {
		return nil // its texts are read as the right key's
	}
	return r.sameKinds(shape)
}

func names(columns []recount.Column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

// shapeOf picks the key columns and the compared ones out of a result.
func (r *Incident) shapeOf(columns []recount.Column, path string) (recount.Shape, error) {
	byName := map[string]recount.Column{}
	for _, c := range columns {
		byName[c.Name] = c
	}
	missing := func(name, why string) error { return r.lacks(columns, name, path, why) }
	var shape recount.Shape
	for _, name := range r.calc.Key {
		c, ok := byName[name]
		if !ok {
			return shape, missing(name, "it stands under key: of calculation "+r.calc.Name)
		}
		shape.Key = append(shape.Key, c)
	}
	for _, c := range columns {
		if _, named := r.calc.Columns[c.Name]; !slices.Contains(r.calc.Key, c.Name) && (named || len(r.calc.Columns) == 0) {
			shape.Values = append(shape.Values, c)
		}
	}
	for name := range r.calc.Columns {
		if _, ok := byName[name]; !ok {
			return shape, missing(name, "it stands under target: columns: of calculation "+r.calc.Name)
		}
	}
	for name := range r.calc.Compare {
		if !slices.Contains(names(shape.Values), name) {
			return shape, missing(name, "it stands under compare: of calculation "+r.calc.Name+", but is no compared column")
		}
	}
	if len(shape.Values) == 0 {
		return shape, missing("to compare", "every column of the result is part of the key")
	}
	return shape, nil
}

// lacks is the error for a column that what path gives does not have.
func (r *Incident) lacks(columns []recount.Column, name, path, why string) error {
	next := "name a column that the logic returns: " + strings.Join(names(columns), ", ")
	if near := recount.Nearest(name, names(columns)); near != "" {
		next = "did you mean " + near + "?"
	}
	return &recount.Error{Code: recount.CodeNoColumn, What: "the result lacks column " + name, Where: path, Why: why, Next: next}
}

func (r *Incident) sameKinds(previous recount.Shape) error {
	for i, c := range previous.Key {
		if want := r.shape.Key[i]; c.Type.Kind != want.Type.Kind {
			return &recount.Error{
				Code: recount.CodeNoColumn, What: fmt.Sprintf("key column %s is of another type in the previous logic", c.Name), Where: r.calc.Previous.Path,
				Why:  fmt.Sprintf("it is %s there and %s in %s, so the rows could not be told to be the same", c.Type, want.Type, r.calc.Logic.Path),
				Next: nextKind(*r.calc.Previous, c.Name, want.Type),
			}
		}
	}
	return nil
}

func (r *Incident) checkBucket() error {
	r.timeKey = slices.IndexFunc(r.shape.Key, func(c recount.Column) bool {
		return c.Type.Kind == recount.KindTimestamp || c.Type.Kind == recount.KindDate
	})
	if r.timeKey < 0 || !r.calc.Bucket.None() || r.calc.BucketNone {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeConfig, What: fmt.Sprintf("calculation %s needs bucket:", r.calc.Name), Where: config.FileName,
		Why:  fmt.Sprintf("key column %s is a %s, so its rows cover spans of time, and a window must cover whole ones", r.shape.Key[r.timeKey].Name, r.shape.Key[r.timeKey].Type.Kind),
		Next: "add bucket: 1h (or what the span is), or bucket: none if the column is no span",
	}
}

// lists are the lists of events that the hypotheses name.
func (r *Incident) lists() []recount.EventList {
	lists := slices.Clone(r.calc.Missed)
	for _, again := range r.calc.Again {
		lists = append(lists, again.EventList)
	}
	return lists
}

// start finds the window's events and opens a session over what their rows
// remember: complete, verified, staged.
func (r *Incident) start(ctx context.Context) error {
	if err := r.locate(ctx); err != nil {
		return err
	}
	if err := r.inForce(ctx); err != nil {
		return err
	}
	if err := r.previously(ctx); err != nil {
		return err
	}
	if err := r.complete(); err != nil {
		return err
	}
	checkpoint, opening, err := r.begin(ctx)
	if err != nil {
		return err
	}
	input := engine.Input{Window: r.window, Read: r.read, Hits: r.hits, Until: r.until}
	if checkpoint != nil {
		input.Opening, input.Read.From = opening, checkpoint.Time
		r.opening = opening
	}
	session, err := r.open(ctx, input, cover.Select(r.snapshot, input.Read))
	if err != nil {
		return err
	}
	if checkpoint != nil {
		overtaken, err := r.overtaken(ctx, session, checkpoint)
		if err != nil || overtaken {
			err = errors.Join(err, session.Close())
		}
		if err != nil {
			return err
		}
		if overtaken {
			r.whole, r.opening = true, ""
			return r.start(ctx)
		}
		r.read.From = checkpoint.Time
	}
	session.span = r.compared // which may reach further than the window
	r.session = session
	return nil
}

// open opens a session over files of the archive, with the reference data beside
// the events.
func (r *Incident) open(ctx context.Context, input engine.Input, files []recount.DataFile) (s broughtSession, err error) {
	if input.Lookups, err = r.lookups(ctx, spanOf(input)); err != nil {
		return s, err
	}
	return r.openEvents(ctx, input, files)
}

// spanOf is the event time of which an input reads events.
func spanOf(input engine.Input) recount.Window {
	if input.Read == (recount.Window{}) {
		return input.Window
	}
	return input.Read
}

// openEvents opens a session over files of the archive, which are verified first.
func (r *Incident) openEvents(ctx context.Context, input engine.Input, files []recount.DataFile) (s broughtSession, err error) {
	scratch, err := r.host.Scratch("replay")
	if err != nil {
		return s, err
	}
	staging, err := r.host.Scratch("staged")
	if err != nil {
		return s, err
	}
	staged, err := r.archive.Stage(ctx, archive.StageOptions{
		Snapshot: r.snapshot, Files: files, Fields: r.source.Mapping.Fields, Dir: staging,
		Decoder: r.decoder(ctx), Progress: r.host.Progress(),
	})
	if err != nil {
		return s, err
	}
	input.Stream, input.Files, input.Marks = r.source.Name, staged.Files, staged.Marks
	if input.Fields = r.source.Mapping.Fields; len(input.Lookups) > 0 {
		input.Fields = r.eventFields()
	}
	input.Upcasts, input.Faults = r.upcasts(), r.source.QuarantineMax
	if input.Faults == 0 {
		input.Faults = -1 // none may fail
	}
	input.Order, input.Bucket, input.Scratch = r.source.Mapping.Order, r.calc.Bucket, scratch
	session, err := r.engine.Open(ctx, input)
	if err != nil {
		return s, err
	}
	if r.calc.Logic.Kind == recount.LogicVersions {
		session = versions.Session{Session: session, Span: spanOf(input), Time: r.bucketTime}
	}
	return broughtSession{session, r, input.Window}, nil
}

// close ends the session.
func (r *Incident) close() error {
	if r.session == nil {
		return nil
	}
	err := r.session.Close()
	r.session = nil
	return err
}

// bucketTime returns the start of the bucket that a key names.
func (r *Incident) bucketTime(key []recount.Value) (time.Time, error) {
	v := key[r.timeKey]
	if r.shape.Key[r.timeKey].Type.Kind == recount.KindDate {
		day, err := time.Parse(time.DateOnly, v.Text)
		if err != nil {
			return day, err
		}
		return r.calc.Bucket.Floor(time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, r.zone())), nil
	}
	return recount.ParseTimestamp(v.Text)
}

func (r *Incident) zone() *time.Location {
	if r.calc.Bucket.Zone == nil {
		return time.UTC
	}
	return r.calc.Bucket.Zone
}

// bucketed says whether rows name the bucket that they belong to.
func (r *Incident) bucketed() bool { return r.timeKey >= 0 && !r.calc.Bucket.None() }

// refuseEmpty refuses a window without a used event.
func (r *Incident) refuseEmpty(counts recount.EventCounts, allow bool) error {
	if counts.Hit > 0 || r.everything() && counts.Used > 0 || allow {
		return nil
	}
	return r.emptyWindow()
}

func (r *Incident) emptyWindow() error {
	where := r.hits.String()
	if r.hits.Window.By == recount.ByEvent {
		where = r.window.String()
	}
	return &recount.Error{
		Code: recount.CodeEmptyWindow, What: "the window holds no used event", Where: fmt.Sprintf("%s, stream %s", where, r.source.Name),
		Why:  "every live row in it would look as if it should not be there" + nearestEvents(r.snapshot),
		Next: "check the window and its time zone; if it is meant, add --allow-empty",
	}
}

func nearestEvents(s recount.Snapshot) string {
	first, last, ok := reach(s)
	if !ok {
		return ""
	}
	return fmt.Sprintf("; the archive's events lie from %s to %s", recount.FormatTimestamp(first), recount.FormatTimestamp(last))
}

// reach returns the times of the archive's first and last event.
func reach(s recount.Snapshot) (first, last time.Time, ok bool) {
	for _, f := range s.Files {
		if !f.TimeKnown {
			continue
		}
		if !ok || f.FirstTime.Before(first) {
			first = f.FirstTime
		}
		if !ok || f.LastTime.After(last) {
			last = f.LastTime
		}
		ok = true
	}
	return first, last, ok
}

// decoder reads payloads again, for columns declared after they were archived.
func (r *Incident) decoder(ctx context.Context) func(format, header string) (source.Decoder, error) {
	return func(format, header string) (decoder source.Decoder, err error) {
		src, err := r.host.OpenSource(ctx, r.source)
		if err != nil {
			return nil, err
		}
		defer joined(&err, src.Close)
		return src.Decoder(format, header)
	}
}
