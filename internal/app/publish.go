package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/clock"
	"recount/internal/config"
	"recount/internal/replay/tobus"
	"recount/source"
)

// Publish sends the archived events of a window, or its missed ones, to a topic or
// stream of the source's own bus, in the order of the log. What the destination has
// of the same replay is not sent again.
func (a *App) Publish(ctx context.Context, req PublishRequest) (out Published, err error) {
	began := a.now()
	p, err := a.publishing(ctx, req)
	if err != nil {
		return out, err
	}
	defer joined(&err, p.close)
	if err := p.choose(ctx); err != nil {
		return p.out, err
	}
	if !req.DryRun {
		err = p.send(ctx)
	}
	p.out.TookMS = a.now().Sub(began).Milliseconds()
	return p.out, err
}

// publishing is one replay into a bus.
type publishing struct {
	app       *App
	req       PublishRequest
	source    config.Source
	opened    source.Source
	publisher source.Publisher
	archive   *archive.Archive
	hits      recount.Hits
	missed    []int64 // in order; of req.Only alone
	log       *archive.Log
	until     map[string]string // by partition, the first position that is left out; nil: none is
	repeats   bool              // repeats too, quarantined events not
	ids       map[string]bool   // of a list of ids, those that were found
	out       Published
}

// publishing finds out whose events are meant, and that the destination may be
// written to, before anything of the archive is read.
func (a *App) publishing(ctx context.Context, req PublishRequest) (p *publishing, err error) {
	p = &publishing{app: a, req: req, ids: map[string]bool{}, out: Published{Destination: req.To[0], Only: req.Only, DryRun: req.DryRun}}
	if p.hits, err = req.Window.hits(a.opts.Dir); err != nil {
		return nil, err
	}
	name := req.Name
	if calc, ok := a.Project.Calculations[name]; ok {
		p.out.Calculation, name = calc.Name, calc.Source
	} else if req.Only != "" {
		if _, err := a.Project.Calculation(name); err != nil {
			return nil, err // only a calculation says what was missed
		}
	}
	if p.source, err = a.Project.Source(name); err != nil {
		return nil, err
	}
	p.out.Stream, p.out.Hits = p.source.Name, p.hits
	if p.opened, err = a.openSource(ctx, p.source); err != nil {
		return nil, err
	}
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// open opens the destination.
func (p *publishing) open(ctx context.Context) error {
	bus, ok := p.opened.(source.Bus)
	if !ok {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("events of source %s cannot be published to a bus", p.source.Name), Where: "recount.yaml, sources: " + p.source.Name,
			Why:  fmt.Sprintf("adapter %s writes to no bus; kafka and nats do", p.source.Adapter),
			Next: "read the events out of the archive's Parquet files, whose column data is the payload (docs/archive.md); recount archive cat shows single ones",
		}
	}
	reader, err := p.app.readerOf(ctx, p.source, bus, p.out.Destination)
	if err != nil {
		return err
	}
	const twice = 2
	if reader != "" && len(p.req.To) < twice {
		return &recount.Error{
			Code: recount.CodeOwnBus, What: fmt.Sprintf("source %s reads %s itself", reader, p.out.Destination), Where: "--to-bus " + p.out.Destination,
			Why:  "Recount knows its own messages and archives none of them again, but everybody else who reads there processes these events a second time",
			Next: fmt.Sprintf("publish to a topic of its own; if it is meant, name it twice: --to-bus %s --to-bus %s", p.out.Destination, p.out.Destination),
		}
	}
	p.publisher, err = bus.Publisher(ctx, p.out.Destination)
	return err
}

// readerOf names a source of the project that reads a destination on a bus of that
// kind; empty: none does.
func (a *App) readerOf(ctx context.Context, own config.Source, bus source.Bus, destination string) (name string, err error) {
	if bus.Reads(destination) {
		return own.Name, nil
	}
	for _, name := range sortedNames(a.Project.Sources) {
		src := a.Project.Sources[name]
		if src.Adapter != own.Adapter || name == own.Name {
			continue
		}
		reads, err := a.reads(ctx, src, destination)
		if err != nil || reads {
			return name, err
		}
	}
	return "", nil
}

func (a *App) reads(ctx context.Context, src config.Source, destination string) (reads bool, err error) {
	opened, err := a.openSource(ctx, src)
	if err != nil {
		return false, err
	}
	defer joined(&err, opened.Close)
	bus, ok := opened.(source.Bus)
	return ok && bus.Reads(destination), nil
}

func (p *publishing) close() error {
	var errs []error
	if p.publisher != nil {
		errs = append(errs, p.publisher.Close())
	}
	return errors.Join(append(errs, p.opened.Close())...)
}

// choose verifies what the archive holds of the window and counts its events.
func (p *publishing) choose(ctx context.Context) (err error) {
	if p.req.Window.Pull {
		if err := p.pull(ctx); err != nil {
			return err
		}
	}
	if p.req.Only != "" {
		r, err := incident.Prepare(ctx, host{p.app}, p.out.Calculation, p.hits)
		if err != nil {
			return err
		}
		if p.missed, err = r.Missed(ctx, p.req.Only); err != nil {
			return err
		}
		slices.Sort(p.missed)
	}
	if p.archive, err = p.app.openArchive(ctx); err != nil {
		return err
	}
	snapshot, err := p.archive.Snapshot(ctx, p.source.Name)
	if err != nil {
		return err
	}
	digest, err := p.source.MappingDigest()
	if err == nil {
		err = cover.SameMapping(snapshot, digest)
	}
	if err != nil {
		return err
	}
	snapshot.Lateness = p.source.Lateness
	files, err := p.files(snapshot)
	if err != nil {
		return err
	}
	dir, err := p.app.folder("log")
	if err != nil {
		return err
	}
	p.out.Snapshot = snapshot.ID
	partitions := map[string]bool{}
	p.log, err = p.archive.Log(ctx, archive.LogOptions{Snapshot: snapshot, Files: files, Wanted: p.wanted, Dir: dir, Progress: p.app.opts.Progress}, func(e *archive.LogEvent) error {
		p.out.Events++
		p.out.Bytes += int64(len(e.Data) + len(e.Key))
		partitions[e.Partition] = true
		return nil
	})
	p.out.Partitions = len(partitions)
	if err == nil {
		err = p.chosen()
	}
	p.out.Replay = p.id()
	return err
}

// pull brings in what the archive lacks of the window.
func (p *publishing) pull(ctx context.Context) error {
	if p.hits.IDs != nil || p.hits.Window.By == recount.ByIngest {
		return wrongFlags("--pull needs a window of event times or positions", "nobody knows else what to bring in", "name the window by --from and --to, or by positions")
	}
	span := p.hits.Window
	if !span.To.IsZero() {
		span.To = span.To.Add(p.source.Lateness)
	}
	return p.app.pull(ctx, p.source.Name, span, p.hits.Positions)
}

// files are those that can hold events of the window, which must be in whole.
func (p *publishing) files(s recount.Snapshot) ([]recount.DataFile, error) {
	switch p.hits.Window.By {
	case recount.ByEvent:
		return cover.Select(s, p.hits.Window), cover.Complete(s, p.hits.Window, p.hits.Window)
	case recount.ByPosition:
		return cover.SelectPositions(s, p.hits.Positions), cover.CompletePositions(s, p.hits.Positions)
	case recount.ByIngest, recount.ByIDs:
	}
	return s.Files, nil
}

// wanted says whether an event is published, and counts, in the first reading, what
// is left out.
func (p *publishing) wanted(e *archive.LogEvent) bool {
	if p.req.Only != "" {
		_, missed := slices.BinarySearch(p.missed, e.Seq)
		return missed
	}
	if !p.hit(e) {
		return false
	}
	if e.Mark == "" || p.req.All || p.repeats && e.Mark == recount.MarkRepeat {
		return true
	}
	if p.log == nil { // the first reading
		switch e.Mark {
		case recount.MarkRepeat:
			p.out.Repeats++
		case recount.MarkConflict, recount.MarkFault:
			p.out.Quarantined++
		}
	}
	return false
}

func (p *publishing) hit(e *archive.LogEvent) bool {
	if until, cut := p.until[e.Partition]; cut && e.Position >= until {
		return false
	}
	switch p.hits.Window.By {
	case recount.ByEvent:
		w := p.hits.Window // a zero edge is open
		return e.TimeKnown && !e.Time.Before(w.From) && (w.To.IsZero() || e.Time.Before(w.To))
	case recount.ByIngest:
		return !e.IngestTime.IsZero() && p.hits.Window.Contains(e.IngestTime)
	case recount.ByPosition:
		return slices.ContainsFunc(p.hits.Positions, func(w recount.PositionWindow) bool {
			return w.Partition == e.Partition && w.From <= e.Position && e.Position < w.To
		})
	case recount.ByIDs:
		if _, listed := slices.BinarySearch(p.hits.IDs.IDs, e.ID); !listed {
			return false
		}
		p.ids[e.ID] = true
		return true
	}
	return false
}

// chosen refuses to publish nothing, and ids of no event.
func (p *publishing) chosen() error {
	if p.hits.IDs != nil && p.req.Only == "" && int64(len(p.ids)) < p.hits.IDs.Count {
		for _, id := range p.hits.IDs.IDs {
			if !p.ids[id] {
				return &recount.Error{
					Code: recount.CodeNoSuchIDs, What: fmt.Sprintf("%d of %d listed ids are no events", p.hits.IDs.Count-int64(len(p.ids)), p.hits.IDs.Count), Where: p.hits.IDs.From,
					Why: "the archive holds no event with these ids, such as " + id, Next: "check the list, and run recount archive run if they are new",
				}
			}
		}
	}
	if p.out.Events > 0 {
		return nil
	}
	why := "no archived event lies in it"
	switch {
	case p.req.Only != "":
		why = "no event of the window was missed by hypothesis " + p.req.Only
	case p.out.Repeats+p.out.Quarantined > 0:
		why = fmt.Sprintf("of its events %d are repeats and %d are quarantined; --all publishes these too", p.out.Repeats, p.out.Quarantined)
	}
	return &recount.Error{
		Code: recount.CodeEmptyWindow, What: "there is no event to publish", Where: fmt.Sprintf("%s, stream %s", p.hits, p.source.Name), Why: why,
		Next: "check the window and its time zone; recount archive ls " + p.source.Name + " shows which hours hold events",
	}
}

// id names the replay for what is to be sent and where to, so that the same command
// goes on with it.
func (p *publishing) id() string {
	if p.req.ID != "" {
		return p.req.ID
	}
	text, err := json.Marshal([]any{p.out.Stream, p.chooser(), p.req.Only, p.req.All, p.out.Destination, p.hits})
	if err != nil {
		panic(err) // texts and times alone
	}
	const digits = 12
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:digits]
}

// chooser is the calculation whose hypothesis chooses the events; empty: none does.
func (p *publishing) chooser() string {
	if p.req.Only == "" {
		return ""
	}
	return p.out.Calculation
}

// send publishes what is not there yet.
func (p *publishing) send(ctx context.Context) (err error) {
	begun, unlock, err := p.archive.BeginReplay(ctx, archive.Replay{
		ID: p.out.Replay, Stream: p.out.Stream, Destination: p.out.Destination, Calculation: p.chooser(), Only: p.req.Only, Window: p.hits.String(),
		Snapshot: p.out.Snapshot, Events: p.out.Events, At: p.app.now(), By: p.app.opts.User, Program: p.app.opts.Program,
	})
	if err != nil {
		return err
	}
	defer joined(&err, unlock)
	there := &tobus.Places{}
	if begun {
		look := p.app.opts.Progress.Begin("look through "+p.out.Destination, 0)
		err := p.publisher.Published(ctx, source.HeaderReplay, p.out.Replay, there.Add)
		look.End()
		if err != nil {
			return err
		}
	}
	act := p.app.opts.Progress.Begin("publish to "+p.out.Destination, p.out.Events)
	defer act.End()
	act.Add(min(there.Len(), p.out.Events))
	sender := tobus.NewSender(tobus.Options{
		ID: p.out.Replay, Publisher: p.publisher, There: there, PerSecond: p.req.PerSecond, Timer: clock.TimerOf(p.app.opts.Clock),
		Tell: func(n int) { act.Add(int64(n)) },
	})
	err = p.log.Each(ctx, func(e *archive.LogEvent) error { return sender.Add(ctx, &e.Event) })
	if err == nil {
		err = sender.Flush(ctx)
	}
	p.out.Sent, p.out.There = sender.Sent, sender.There
	if err == nil {
		return p.archive.EndReplay(ctx, p.out.Stream, p.out.Replay, p.app.now())
	}
	return p.ended(ctx, err)
}

// BusReplay is what is noted of a replay into a bus.
type BusReplay = archive.Replay

// BusReplays lists what was published again of the project's sources, newest first.
func (a *App) BusReplays(ctx context.Context) (all []BusReplay, err error) {
	kept, err := a.openArchive(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedNames(a.Project.Sources) {
		list, err := kept.Replays(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(x, y BusReplay) int { return y.At.Compare(x.At) })
	return all, nil
}

// ended says of a replay that did not come to its end how far it got.
func (p *publishing) ended(ctx context.Context, err error) error {
	changed := fmt.Sprintf("%d of %d events were published to %s", p.out.Sent+p.out.There, p.out.Events, p.out.Destination)
	if p.out.There > 0 {
		changed += fmt.Sprintf(", %d of them before", p.out.There)
	}
	const goOn = "run the same command again: it goes on with what is not there yet"
	if ctx.Err() != nil {
		return &recount.Error{
			Code: recount.CodeInterrupted, What: "the replay was asked to end", Where: "replay " + p.out.Replay + " to " + p.out.Destination,
			Why: "the process was asked to stop; the batch that was on its way is there", Changed: changed, Next: goOn, Err: err,
		}
	}
	told := *recount.AsError(err)
	told.Changed = changed + "; of the batch that was on its way, a part may be there too"
	told.Next += "; then " + goOn
	return &told
}
