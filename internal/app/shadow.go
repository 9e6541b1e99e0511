package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/clock"
	"recount/internal/config"
	"recount/source"
)

// ShadowStatus says how a worker that runs beside the live one is to be started,
// and that it is waited for.
type ShadowStatus struct {
	Calculation string
	Place       string // the bus
	To          string // the topic or subject that it reads
	Group       string
	Table       string // that it writes
	Timeout     time.Duration
	Members     int   // at work by now
	Messages    int64 // that it is to process
	Left        int64 // of those, not processed yet
}

// shadowPause is how often the group is looked at.
const shadowPause = 200 * time.Millisecond

// runShadow lets the worker itself make the rows of a window: it publishes the
// events that they remember to a topic of its own, and returns when the worker has
// processed them. What was published before is not sent again.
func (a *App) runShadow(ctx context.Context, r *incident.Incident, calc config.Calculation) (err error) {
	reads, err := r.Reads(ctx)
	if err != nil {
		return err
	}
	s, err := a.shadow(ctx, calc, reads)
	if err != nil {
		return err
	}
	defer joined(&err, s.close)
	if err := s.choose(ctx, reads); err != nil {
		return err
	}
	if err := s.guard(ctx, r); err != nil {
		return err
	}
	if err := s.send(ctx); err != nil {
		return err
	}
	return s.wait(ctx)
}

// shadow is a replay into the topic of a worker that runs beside the live one.
type shadow struct {
	*publishing
	calc config.Calculation
	on   config.Source // on whose servers the topic lies
}

// shadow opens the topic, which no source of the project may read.
func (a *App) shadow(ctx context.Context, calc config.Calculation, reads incident.Reads) (s *shadow, err error) {
	c := calc.Shadow
	s = &shadow{calc: calc, publishing: &publishing{
		app: a, req: PublishRequest{To: []string{c.To}}, ids: map[string]bool{}, hits: reads.Hits, until: reads.Until, repeats: !calc.Dedupe,
		out: Published{Destination: c.To, Calculation: calc.Name, Hits: reads.Hits},
	}}
	if s.source, err = a.Project.Source(calc.Source); err != nil {
		return nil, err
	}
	if s.on, err = a.Project.Source(c.On); err != nil {
		return nil, err
	}
	s.out.Stream = s.source.Name
	if s.opened, err = a.openSource(ctx, s.on); err != nil {
		return nil, err
	}
	if err := s.openTopic(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *shadow) where() string {
	return fmt.Sprintf("%s, calculations: %s: shadow", config.FileName, s.calc.Name)
}

func (s *shadow) openTopic(ctx context.Context) error {
	c := s.calc.Shadow
	bus, ok := s.opened.(source.Bus)
	if !ok {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("a worker cannot be fed by source %s", s.on.Name), Where: s.where(),
			Why: fmt.Sprintf("adapter %s writes to no bus; kafka and nats do", s.on.Adapter), Next: "name under on: a source of the bus that the worker reads",
		}
	}
	reader, err := s.app.readerOf(ctx, s.on, bus, c.To)
	if err != nil {
		return err
	}
	if reader != "" {
		return &recount.Error{
			Code: recount.CodeOwnBus, What: fmt.Sprintf("source %s reads %s itself", reader, c.To), Where: s.where(),
			Why: "the live worker would process all of it a second time", Next: "make a topic of its own for the shadow, and name it under to:",
		}
	}
	s.publisher, err = bus.Publisher(ctx, c.To)
	return err
}

// choose verifies what the archive holds of the events and counts them.
func (s *shadow) choose(ctx context.Context, reads incident.Reads) (err error) {
	if s.archive, err = s.app.openArchive(ctx); err != nil {
		return err
	}
	files := reads.Snapshot.Files
	if reads.Hits.Window.By == recount.ByEvent {
		files = cover.Select(reads.Snapshot, reads.Hits.Window)
	}
	dir, err := s.app.folder("log")
	if err != nil {
		return err
	}
	s.out.Snapshot = reads.Snapshot.ID
	s.log, err = s.archive.Log(ctx, archive.LogOptions{Snapshot: reads.Snapshot, Files: files, Wanted: s.wanted, Dir: dir, Progress: s.app.opts.Progress}, func(e *archive.LogEvent) error {
		s.out.Events++
		s.out.Bytes += int64(len(e.Data) + len(e.Key))
		return nil
	})
	if err == nil {
		err = s.chosen()
	}
	s.req.ID = "shadow-" + s.id()
	s.out.Replay = s.req.ID
	return err
}

// guard refuses a topic that holds other messages, a group that stands elsewhere and
// a table that holds rows already: what the worker writes must be of these events
// alone.
func (s *shadow) guard(ctx context.Context, r *incident.Incident) error {
	c := s.calc.Shadow
	f, err := s.follow(ctx)
	if err != nil {
		return err
	}
	for _, p := range f.Parts {
		if p.Beyond {
			return s.refuse(fmt.Sprintf("group %s stands beyond the end of %s", c.Group, c.To), fmt.Sprintf("partition %s was made anew since the group read it: its messages would be passed over", p.Partition),
				"delete the group, or name another under group:, and start the worker with it")
		}
	}
	var there int64
	if f.Messages() > 0 {
		if err := s.publisher.Published(ctx, source.HeaderReplay, s.out.Replay, func(string, string) { there++ }); err != nil {
			return err
		}
	}
	if other := f.Messages() - there; other > 0 {
		return s.refuse(fmt.Sprintf("%s holds %d messages that are none of this window's", c.To, other), "the worker would process these too, and its rows would be of other events than the live ones are compared by",
			fmt.Sprintf("make the topic anew, or another one, and name it under to:; then empty the table: DELETE FROM %s", c.Table))
	}
	if there > 0 {
		return nil // the worker may be at work: its table fills
	}
	filled, err := r.Filled(ctx, c.Table)
	if err != nil || !filled {
		return err
	}
	return s.refuse(fmt.Sprintf("table %s is not empty", c.Table), "the worker has not been given any of these events, so its rows are of others; Recount deletes nothing there",
		fmt.Sprintf("see that it is the shadow's own table, then empty it: DELETE FROM %s", c.Table))
}

func (s *shadow) refuse(what, why, next string) error {
	return &recount.Error{Code: recount.CodeShadow, What: what, Where: s.where(), Why: why, Next: next}
}

func (s *shadow) follow(ctx context.Context) (source.Following, error) {
	followed, ok := s.publisher.(source.Followed)
	if !ok {
		return source.Following{}, &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("it cannot be told how far group %s is", s.calc.Shadow.Group), Where: s.where(), Why: fmt.Sprintf("adapter %s does not keep how far its readers are", s.on.Adapter),
			Next: "let the worker run by itself, and name its table: rows: {table: " + s.calc.Shadow.Table + "}", Err: recount.ErrUnsupported,
		}
	}
	return followed.Follow(ctx, s.calc.Shadow.Group)
}

// wait returns when the group has processed all messages, and its table had time to
// follow. A group that stands still for too long is given up.
func (s *shadow) wait(ctx context.Context) error {
	c, timer := s.calc.Shadow, clock.TimerOf(s.app.opts.Clock)
	act := s.app.opts.Progress.Begin("wait for group "+c.Group, s.out.Events)
	defer act.End()
	var last source.Following
	var done time.Duration
	moved, ready := timer.Passed(), false
	for first := true; ; first = false {
		f, err := s.follow(ctx)
		switch {
		case errors.Is(err, recount.ErrTransient) && ctx.Err() == nil && !first:
			f = last
		case ctx.Err() != nil:
			return s.interrupted(ctx, last)
		case err != nil:
			return err
		}
		now := timer.Passed()
		if first {
			last = source.Following{Parts: []source.FollowedPart{{Messages: f.Messages(), Left: f.Messages()}}}
		}
		if tell := s.app.opts.Waits; first && tell != nil && f.Left() > 0 {
			tell(ShadowStatus{
				Calculation: s.calc.Name, Place: s.opened.Info().Place, To: c.To, Group: c.Group, Table: c.Table, Timeout: c.Timeout,
				Members: f.Members, Messages: f.Messages(), Left: f.Left(),
			})
		}
		if f.Left() < last.Left() || f.Members > last.Members {
			act.Add(max(last.Left()-f.Left(), 0))
			moved = now
		}
		last = f
		switch {
		case f.Left() > 0 && now-moved > c.Timeout:
			return s.late(f)
		case f.Left() > 0:
			ready = false
		case !ready:
			ready, done = true, now
		}
		if ready && now-done >= c.Settle {
			return nil
		}
		timer.Sleep(ctx, min(shadowPause, max(c.Settle, time.Millisecond)))
	}
}

func (s *shadow) published() string {
	return fmt.Sprintf("%d events are in %s; the live table is as it was", s.out.Sent+s.out.There, s.calc.Shadow.To)
}

func (s *shadow) interrupted(ctx context.Context, f source.Following) error {
	return &recount.Error{
		Code: recount.CodeInterrupted, What: "the wait for the worker was asked to end", Where: s.where(), Why: s.lag(f), Changed: s.published(),
		Next: "run the same command again: it publishes nothing twice, and waits on", Err: ctx.Err(),
	}
}

func (s *shadow) late(f source.Following) error {
	c := s.calc.Shadow
	why, next := "it has stood still for "+recount.Bucket{Size: c.Timeout}.String(), "see what the worker says of itself; then run the same command again: it publishes nothing twice, and waits on"
	if f.Members == 0 {
		why = "it has no member at work, and nothing moved for " + recount.Bucket{Size: c.Timeout}.String()
		next = fmt.Sprintf("start the worker on %s as group %s, from the beginning (auto.offset.reset=earliest), writing %s; then run the same command again: it publishes nothing twice", c.To, c.Group, c.Table)
	}
	return &recount.Error{
		Code: recount.CodeShadow, What: "the shadow worker did not catch up", Where: fmt.Sprintf("group %s on %s, calculation %s", c.Group, c.To, s.calc.Name),
		Why: why + ": " + s.lag(f), Changed: s.published(), Next: next,
	}
}

// lag says of each partition what is left.
func (s *shadow) lag(f source.Following) string {
	var parts []string
	for _, p := range f.Parts {
		if p.Left > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d messages left in partition %s", p.Left, p.Messages, p.Partition))
		}
	}
	const most = 6
	if more := len(parts) - most; more > 0 {
		parts = append(parts[:most], fmt.Sprintf("and more in %d partitions", more))
	}
	if len(parts) == 0 {
		return "nothing is left"
	}
	return strings.Join(parts, ", ")
}
