package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/clock"
	"recount/internal/sim/archive/fakebus"
	"recount/internal/sim/archive/fakefs"
	"recount/internal/sim/archive/fakestore"
	"recount/source"
	"recount/store"
	"recount/store/disk"
)

// stream is the one stream that is archived.
const stream = "orders"

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

var fields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}, Path: "user_id"},
	{Name: "value", Type: recount.Decimal(18, 2), Path: "value"},
}

// scenario is one small stream with its archive, drawn from a seed.
type scenario struct {
	seed   uint64
	number int

	objects bool // the store is an object store, and not a disk
	noLocks bool // locks of the disk do not work
	lag     int  // of lists
	commit  int64
	topic   *fakebus.Topic
}

// source of chance for one purpose: the same wherever else chance is asked.
func (s *scenario) rng(purpose ...uint64) *rand.Rand {
	sum := s.seed*0x9e3779b97f4a7c15 + uint64(s.number)
	for _, p := range purpose {
		sum = (sum ^ p) * 0xff51afd7ed558ccd
		sum ^= sum >> 31
	}
	return rand.New(rand.NewPCG(sum, uint64(s.number)))
}

// draw draws a scenario. It is small, since each of its crashes is played to the
// end: some ten events of two hours in some three commits.
func draw(seed uint64, number int) *scenario {
	s := &scenario{seed: seed, number: number}
	rng := s.rng(0)
	s.objects = number%2 == 1
	s.noLocks = rng.IntN(3) == 0
	s.lag = rng.IntN(40)
	s.commit = 3 + rng.Int64N(6)
	s.topic = fakebus.New(1+rng.IntN(5), rng.Uint64(), noon)
	s.topic.Forgets = rng.IntN(2) == 0
	s.topic.Retention = rng.IntN(4) == 0
	var sent []recount.Event
	for p := range 1 + rng.IntN(2) {
		var events []*recount.Event
		var jumps []int64
		for range 4 + rng.IntN(6) {
			jump := int64(0)
			switch rng.IntN(12) {
			case 0:
				jump = 1 + rng.Int64N(5) // compaction took records
			case 1:
				const generation = 1 << 40 // the topic was made anew
				jump = generation
			}
			jumps = append(jumps, jump)
			if rng.IntN(10) == 0 {
				events = append(events, nil)
				continue
			}
			e := s.event(rng, len(sent), sent)
			sent = append(sent, e)
			events = append(events, &e)
		}
		s.topic.Add(fmt.Sprint(p), events, jumps)
	}
	return s
}

// event draws an event: most are sound, some are sent twice, come in two
// versions, cannot be read, or lie at the edges of time.
func (s *scenario) event(rng *rand.Rand, n int, sent []recount.Event) recount.Event {
	at := noon.Add(-time.Duration(rng.Int64N(int64(80 * time.Minute)))).Truncate(time.Microsecond)
	value := fmt.Sprintf("%d.%02d", n, n%100)
	e := recount.Event{
		ID: fmt.Sprintf("e-%04d", n), Time: at, IngestTime: noon, Fields: []recount.Value{recount.Text("u1"), recount.Text(value)},
		Data: fmt.Appendf(nil, `{"id":"e-%04d","user_id":"u1","value":"%s","nonce":%d}`, n, value, rng.IntN(1e6)),
	}
	edges := []time.Time{
		time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	switch rng.IntN(24) {
	case 0:
		e.Time = edges[rng.IntN(len(edges))]
	case 1:
		e.ID = ""
	case 2:
		e.Fault, e.Time, e.Fields = "the record is broken", time.Time{}, nil
	case 3, 4, 5:
		if len(sent) > 0 { // a producer sends again
			e = sent[rng.IntN(len(sent))]
			if rng.IntN(3) == 0 {
				e.Data = append([]byte(" "), e.Data...)
			}
		}
	}
	return e
}

// world is what outlives an archiver: its store, and the topic.
type world struct {
	scenario *scenario
	disk     *fakefs.System
	objects  *fakestore.Store
	topic    *fakebus.Topic
}

func (s *scenario) world() *world {
	w := &world{scenario: s, topic: s.topic.Clone(s.rng(1).Uint64())}
	if s.objects {
		w.objects = fakestore.New(s.lag)
	} else {
		w.disk = fakefs.New(!s.noLocks)
	}
	return w
}

// image is the world after a crash of its archivers at this moment.
func (w *world) image(mode fakefs.Mode, rng *rand.Rand) *world {
	made := &world{scenario: w.scenario, topic: w.topic.Clone(rng.Uint64())}
	if w.objects != nil {
		made.objects = w.objects.Image(rng)
	} else {
		made.disk = w.disk.Image(mode, rng)
	}
	return made
}

// folder of the disk in which the archive lies.
const folder = "/srv/archive/"

// files are the objects by name.
func (w *world) files() map[string][]byte {
	if w.objects != nil {
		return w.objects.Files()
	}
	files := map[string][]byte{}
	for name, data := range w.disk.Files() {
		files[name[len(folder):]] = data
	}
	return files
}

// each is asked before each operation of an archiver, on the store or the bus;
// an error ends the operation.
type each func(op operation) error

// operation is one of an archiver's. Those that change nothing leave the world as
// it is, so that a crash before them is one before the next.
type operation struct {
	kind, name string
	changes    bool
	bus        bool
}

// archiver is one process that archives: the product, over the ports as a fault
// has bent them.
type archiver struct {
	archive *archive.Archive
	source  source.Source
	commit  int64
	made    atomic.Int64 // commits that were acknowledged to it
}

// archiver starts a process with its own view of the world. Its clock tells
// processes apart, so that no two of them write the same commit.
func (w *world) archiver(plant *planted, name int, ask each) (*archiver, error) {
	a := &archiver{commit: w.scenario.commit}
	s, err := w.view(plant, ask)
	if err != nil {
		return nil, err
	}
	consumer := &fakebus.Consumer{Topic: w.topic, Hook: func(op string) error {
		return ask(operation{kind: op, changes: true, bus: true})
	}}
	a.source = consumer
	if plant.store != nil {
		s = plant.store(s, consumer)
	}
	if plant.source != nil {
		a.source = plant.source(consumer)
	}
	at := noon.Add(time.Duration(name) * time.Second)
	a.archive = archive.Open(counting{s, &a.made}, clock.Fixed(at))
	return a, nil
}

func (w *world) view(plant *planted, ask each) (store.Store, error) {
	if w.objects != nil {
		view := w.objects.View()
		view.Hook = func(op fakestore.Op) (v fakestore.Verdict) {
			if plant.objects != nil {
				v = plant.objects(op)
			}
			v.Outcome, v.Err = outcome(ask(operation{kind: op.Kind, name: op.Name, changes: op.Changes}))
			return v
		}
		return view, nil
	}
	view := w.disk.View()
	view.Hook = func(op fakefs.Op) (v fakefs.Verdict) {
		if plant.disk != nil {
			v = plant.disk(op)
		}
		v.Err = ask(operation{kind: op.Kind, name: op.Path, changes: op.Changes})
		return v
	}
	return disk.OpenOn(view, folder, nil)
}

// outcome takes an outcome of the object store out of an error.
func outcome(err error) (fakestore.Outcome, error) {
	if o, ok := errors.AsType[outcomeError](err); ok {
		return fakestore.Outcome(o), nil
	}
	return fakestore.Done, err
}

type outcomeError fakestore.Outcome

// Error says that the object store does not answer as one wishes.
func (o outcomeError) Error() string { return fmt.Sprintf("outcome %d", int(o)) }

// counting counts the commits that a store says it keeps.
type counting struct {
	store.Store
	commits *atomic.Int64
}

func (s counting) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	err := s.Store.Put(ctx, name, write)
	if err == nil && isCommit(name) {
		s.commits.Add(1)
	}
	return err
}

func isCommit(name string) bool { return strings.HasPrefix(name, "_recount/"+stream+"/commits/") }

// run archives to the topic's present end.
func (a *archiver) run(ctx context.Context) error {
	const enough = 1000
	_, err := a.archive.Run(ctx, archive.RunOptions{
		Stream: stream, Source: a.source, Fields: fields, MappingDigest: "m", QuarantineMax: enough, Program: "sim",
		MemoryBudget: 1, CommitEvents: a.commit,
	})
	var e *recount.Error
	if errors.As(err, &e) && e.Code == recount.CodeLost {
		return nil // all that was left is in
	}
	return err
}

// compact joins small files into larger ones. What it copies aside is no part of
// the world: it is gone with the process.
func (a *archiver) compact(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "recount-sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	_, err = a.archive.Compact(ctx, archive.CompactOptions{Stream: stream, Dir: dir, Program: "sim"})
	return err
}

// longAfter is the name of an archiver whose clock is so far on that whatever lies
// there is old.
const longAfter = 24 * 60 * 60

// expire deletes the files that a compaction took out, and what crashes left. It
// says whether there were any.
func (a *archiver) expire(ctx context.Context) (any bool, err error) {
	r, err := a.archive.Expire(ctx, archive.ExpireOptions{Stream: stream, Keep: time.Hour, Leftovers: true, Program: "sim"})
	return r.Deleted.Count+r.Leftovers.Count > 0, err
}
