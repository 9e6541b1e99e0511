package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"recount/internal/sim/archive/fakebus"
	"recount/internal/sim/archive/fakefs"
	"recount/internal/sim/archive/fakestore"
	"recount/source"
	"recount/store"
)

// planted is a fault that the simulator must find: it bends the file system, the
// object store, or a port between them and the archiver.
type planted struct {
	name    string
	races   bool // it shows where two archivers are at work
	disk    func(fakefs.Op) fakefs.Verdict
	objects func(fakestore.Op) fakestore.Verdict
	store   func(store.Store, *fakebus.Consumer) store.Store
	source  func(*fakebus.Consumer) source.Source
}

// real says that a fault is planted.
func (p *planted) real() bool { return p.name != "" }

// faults are those that must be found.
var faults = []planted{
	{name: "a file's bytes are not synced", disk: func(op fakefs.Op) fakefs.Verdict {
		return fakefs.Verdict{Skip: op.Kind == fakefs.Sync}
	}},
	{name: "a folder's names are not synced", disk: func(op fakefs.Op) fakefs.Verdict {
		return fakefs.Verdict{Skip: op.Kind == fakefs.SyncDir}
	}},
	{name: "a new folder's own name is not synced", disk: func(op fakefs.Op) fakefs.Verdict {
		holdsFiles := strings.Contains(op.Path, "/hour=") || strings.HasPrefix(op.Path, folder+"_recount/"+stream)
		return fakefs.Verdict{Skip: op.Kind == fakefs.SyncDir && !holdsFiles}
	}},
	{name: "a link replaces what has the name", races: true, disk: func(op fakefs.Op) fakefs.Verdict {
		return fakefs.Verdict{Replace: op.Kind == fakefs.Link}
	}},
	{name: "a put does not look whether the name is taken", races: true, objects: func(op fakestore.Op) fakestore.Verdict {
		return fakestore.Verdict{Replace: op.Kind == fakestore.Complete}
	}},
	{name: "the commit is put before the data", store: func(s store.Store, _ *fakebus.Consumer) store.Store {
		return &holding{Store: s, until: func(name string, _ int) bool { return isCommit(name) }, passes: isCommit}
	}},
	{name: "a put answers before it is durable", store: func(s store.Store, _ *fakebus.Consumer) store.Store {
		const most = 2
		return &holding{Store: s, until: func(_ string, held int) bool { return held > most }, passes: func(string) bool { return false }}
	}},
	{name: "a bit flips, and what is read back comes out of a cache", store: func(s store.Store, _ *fakebus.Consumer) store.Store {
		return &flipping{Store: s, written: map[string][]byte{}}
	}},
	{name: "the source is told before the commit", store: func(s store.Store, c *fakebus.Consumer) store.Store {
		return hasty{s, c}
	}},
	{name: "the cursor is one too far", source: batches(func(b *source.Batch) { b.Cursor = moved(b.Cursor, 1) })},
	{name: "the cursor is one too short", source: batches(func(b *source.Batch) { b.Cursor = moved(b.Cursor, -1) })},
	{name: "the last event of a batch is dropped", source: batches(func(b *source.Batch) {
		b.Events = b.Events[:max(len(b.Events)-1, 0)]
	})},
	{name: "the last event of a batch comes again", source: batches(func(b *source.Batch) {
		if n := len(b.Events); n > 0 {
			b.Events = append(b.Events, b.Events[n-1])
		}
	})},
	{name: "an event's hour is that of the wall clock", source: batches(func(b *source.Batch) {
		for i := range b.Events {
			if b.Events[i].Fault == "" {
				b.Events[i].Time = noon.Add(time.Hour)
			}
		}
	})},
	{name: "a gap is not told", source: batches(func(b *source.Batch) { b.Gaps = nil })},
}

func moved(cursor string, by int) string {
	var n int
	if _, err := fmt.Sscan(strings.TrimLeft(cursor[:len(cursor)-1], "0")+cursor[len(cursor)-1:], &n); err != nil {
		return cursor
	}
	return fmt.Sprintf("%019d", max(n+by, 0))
}

// batches returns a source whose batches are altered on their way.
func batches(alter func(*source.Batch)) func(*fakebus.Consumer) source.Source {
	return func(c *fakebus.Consumer) source.Source { return altering{c, alter} }
}

type altering struct {
	*fakebus.Consumer
	alter func(*source.Batch)
}

func (s altering) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	return s.Consumer.Read(ctx, cursor, func(b source.Batch) error {
		s.alter(&b)
		return emit(b)
	})
}

// shows says whether a fault can show in a scenario at all.
func (p *planted) shows(s *scenario) bool {
	switch {
	case p.disk != nil:
		return !s.objects && (s.noLocks || !p.races)
	case p.objects != nil:
		return s.objects
	}
	return true
}

// caught plays scenarios until the fault is found: first without a crash, then
// with all of them.
func (p *planted) caught(ctx context.Context, seed uint64, most int) (found bool, by tally, err error) {
	for _, skim := range []bool{true, false} {
		for n := range most {
			g := newGame(draw(seed, n), p)
			if !p.shows(g.scenario) {
				continue
			}
			g.first = true
			play := g.play
			if skim {
				play = g.skim
			}
			if by, err = play(ctx); err != nil || by.any() {
				return by.any(), by, err
			}
		}
	}
	return false, by, nil
}
