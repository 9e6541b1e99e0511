package archive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"recount"
	"recount/internal/archive/cover"
	"recount/internal/clock"
	"recount/source"
)

// How a live run waits.
const (
	poll      = time.Second           // between readings of a source that cannot say when there is something new
	breath    = 20 * time.Millisecond // after a source said so
	firstWait = time.Second           // after an error that passes; doubled up to lastWait
	lastWait  = time.Minute
	grace     = 30 * time.Second // for the last commit, once the run is asked to end
	// ahead is how far a source's watermark may lie before this machine's clock.
	ahead = 5 * time.Minute
)

// alarm says when it is time to commit, by time that passed: a wall clock that
// jumps does not move it. Nil is of a run that is not live.
type alarm struct {
	timer clock.Timer
	after time.Duration
	at    time.Duration
}

// set sets it anew.
func (a *alarm) set() {
	if a != nil {
		a.at = a.timer.Passed() + a.after
	}
}

func (a *alarm) left() time.Duration { return a.at - a.timer.Passed() }

func (a *alarm) ringing() bool { return a != nil && a.left() <= 0 }

// transient says whether the same act may succeed later with nothing changed.
func transient(err error) bool {
	for _, passing := range []error{recount.ErrTransient, recount.ErrUnreachable, recount.ErrUnknown, context.DeadlineExceeded} {
		if errors.Is(err, passing) {
			return true
		}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	late, ok := errors.AsType[net.Error](err)
	return ok && late.Timeout()
}

// live reads until the context ends. What is out of reach is waited for; every
// other error ends the run.
func (r *run) live(ctx context.Context) error {
	r.act = recount.Quiet{}.Begin("", 0)
	// What was read when the run is asked to end is committed, if the store answers.
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(writing, func() { timer.Stop() })
	})()
	r.alarm = &alarm{timer: clock.TimerOf(r.archive.clock), after: r.opts.Flush}
	wait := firstWait
	for {
		before := r.result.Commits
		err := r.follow(ctx, writing, func() { wait = firstWait })
		if ctx.Err() != nil {
			return r.leave(writing)
		}
		if err = r.save(writing, err); !transient(err) {
			return r.explained(err)
		}
		if r.result.Commits > before {
			wait = firstWait
		}
		r.opts.Tell(Status{Stream: r.opts.Stream, Result: r.result, Err: r.explained(err), Retry: wait})
		r.alarm.timer.Sleep(ctx, wait)
		wait = min(2*wait, lastWait)
	}
}

// follow reads and commits until an error. well is called when the source was
// read to its end.
func (r *run) follow(ctx, writing context.Context, well func()) error {
	if r.chain == nil || r.broken {
		if err := r.reopen(ctx); err != nil {
			return err
		}
		r.alarm.set()
		if err := r.acknowledge(ctx); err != nil {
			return err
		}
		r.opts.Tell(Status{Stream: r.opts.Stream, Result: r.result})
	}
	for {
		if err := r.read(ctx, writing); err != nil {
			return err
		}
		well()
		if r.alarm.ringing() {
			if err := r.flush(writing); err != nil {
				return err
			}
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// flush commits what is there, if anything is.
func (r *run) flush(writing context.Context) error {
	if !r.moved() {
		r.alarm.set()
		return nil
	}
	return r.commit(writing, nil)
}

// reopen drops a batch that cannot be committed and finds out where the stream
// stands. A commit with an unknown outcome is counted if it was made; one of
// another run ends this one.
func (r *run) reopen(ctx context.Context) error {
	old, attempt := r.chain, r.attempt
	r.forget()
	r.broken = true // until it is known where the stream stands
	if err := r.open(ctx); err != nil {
		return err
	}
	r.broken = false
	r.attempt = nil
	if old == nil {
		return nil
	}
	for _, made := range r.chain.commits {
		switch {
		case made.number <= old.snapshot.Commit || made.upkeep:
		case attempt != nil && made.number == attempt.Number:
			_, digest, err := attempt.encode()
			if err != nil {
				return err
			}
			if digest == made.digest {
				r.committed(attempt)
				continue
			}
			return r.archive.lostRace(attempt)
		default:
			return r.archive.lostRace(&commit{Stream: r.opts.Stream, Number: made.number})
		}
	}
	return nil
}

// wait returns when there may be something new, or when it is time to commit.
func (r *run) wait(ctx context.Context) error {
	w, ok := r.opts.Source.(source.Waiter)
	if !ok {
		r.alarm.timer.Sleep(ctx, min(poll, max(r.alarm.left(), breath)))
		return ctx.Err()
	}
	waiting, cancel := context.WithTimeout(ctx, r.alarm.left())
	defer cancel()
	err := w.Wait(waiting, r.place())
	if waiting.Err() != nil {
		return ctx.Err() // it is time to commit, or to end
	}
	r.alarm.timer.Sleep(ctx, breath) // one that returns at once must not keep a core busy
	return err
}

// save commits what a source handed over whole before it failed, and returns the
// error that is worse.
func (r *run) save(writing context.Context, err error) error {
	if r.chain == nil || r.broken || !r.taken() {
		return err
	}
	if failed := r.commit(writing, nil); failed != nil && (transient(err) || !transient(failed)) {
		return failed
	}
	return err
}

// leave ends a run that was asked to end: what was read is committed.
func (r *run) leave(writing context.Context) error {
	if r.chain != nil && !r.broken && r.moved() {
		if err := r.commit(writing, nil); err != nil {
			return r.explained(err)
		}
	}
	all := "all that was read is in the archive"
	if r.broken {
		all = "the next run reads the rest again"
	}
	return &recount.Error{
		Code: recount.CodeInterrupted, What: "the run was asked to end", Where: "recount archive run " + r.opts.Stream, Why: "a live run goes on until it is interrupted",
		Changed: fmt.Sprintf("%d events were committed; %s", r.result.Events, all),
		Next:    "run the same command again: it goes on where the archive ends", Err: context.Canceled,
	}
}

// wall tells a clock that was put ahead from time that passed.
type wall struct {
	begun  time.Time
	since  time.Duration // what had passed then
	jumped time.Duration // what had passed when the clock was first seen ahead; 0: it is not
}

// credible is the source's watermark, but none that only a clock which jumped
// ahead could have given: a watermark is never taken back. A jump that lasts is
// believed: the machine may have slept.
func (r *run) credible(watermark time.Time) time.Time {
	if !r.opts.Live {
		return watermark
	}
	const believed = time.Hour
	now, passed, w := r.archive.clock.Now(), r.alarm.timer.Passed(), &r.wall
	if w.begun.IsZero() {
		w.begun, w.since = now, passed
	}
	due := w.begun.Round(0).Add(passed - w.since)
	switch {
	case now.Round(0).Sub(due) <= ahead:
		w.jumped = 0
	case w.jumped == 0:
		w.jumped = max(passed, 1)
	case passed-w.jumped > believed:
		w.begun, w.since, w.jumped, due = now, passed, 0, now.Round(0)
	}
	if watermark.After(due.Add(ahead)) {
		return due
	}
	return watermark
}

// pull brings in a span of the source by itself. It may take several commits: the
// last says that the span is whole.
func (r *run) pull(ctx, writing context.Context) error {
	span := *r.opts.Pull
	spanned, ok := r.opts.Source.(source.Spanned)
	if !ok {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("source %s cannot be read by a span", r.opts.Stream), Where: r.opts.Source.Info().Place,
			Why:  "its kind keeps no index of times and positions, so that it is read from its beginning",
			Next: fmt.Sprintf("recount archive run %s --once: it brings in what is new, and reads nothing twice", r.opts.Stream), Err: recount.ErrUnsupported,
		}
	}
	s := r.chain.snapshot
	if len(span.Positions) == 0 {
		if now := r.archive.clock.Now().UTC().Truncate(time.Microsecond); span.To.After(now) {
			span.To = now // what comes later is not in it
		}
		if !span.From.Before(span.To) {
			return &recount.Error{
				Code: recount.CodeWindow, What: "the span lies in the future", Where: "source " + r.opts.Stream, Why: "nothing of it can have come yet",
				Next: "give an earlier --from",
			}
		}
		if span.From.Before(s.Since) {
			return &recount.Error{
				Code: recount.CodeWindow, What: "the span begins before what the archive keeps", Where: "stream " + r.opts.Stream,
				Why:  fmt.Sprintf("events before %s were taken out by retention", recount.FormatTimestamp(s.Since)),
				Next: "give a later --from, or bring the span in under another source's name",
			}
		}
	}
	for i, part := range apart(span) {
		if i > 0 && r.taken() {
			// Between the events of a commit nothing is left out, so each part has its own.
			if err := r.commit(writing, nil); err != nil {
				return err
			}
		}
		part.Cursor = r.place()
		end, err := spanned.ReadSpan(ctx, part, func(b source.Batch) error { return r.emit(ctx, writing, b) })
		if err != nil {
			return err
		}
		r.result.Partitions = end.Partitions
	}
	var pulled []spanEntry
	if w := (recount.Window{From: span.From, To: span.To}); len(span.Positions) == 0 && !cover.Pulled(s, w) {
		pulled = []spanEntry{{From: recount.FormatTimestamp(span.From), To: recount.FormatTimestamp(span.To)}}
	}
	if !r.taken() && len(pulled) == 0 {
		return nil
	}
	return r.commit(writing, pulled)
}

// apart shares out the windows of a span so that no two of one partition stand
// together.
func apart(span source.Span) []source.Span {
	if len(span.Positions) == 0 {
		return []source.Span{span}
	}
	var parts []source.Span
	for _, w := range span.Positions {
		i := 0
		for i < len(parts) && slices.ContainsFunc(parts[i].Positions, func(o recount.PositionWindow) bool { return o.Partition == w.Partition }) {
			i++
		}
		if i == len(parts) {
			parts = append(parts, source.Span{})
		}
		parts[i].Positions = append(parts[i].Positions, w)
	}
	return parts
}
