package workertest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"recount"
	"recount/worker"
)

// Stream is what recount.yaml says of the events of a fold.
type Stream struct {
	// By are the fields of the fold's key.
	By []string
	// Fields are the source's fields with their types, spelled as in recount.yaml.
	Fields map[string]string
	// Bucket, where it has a size, cuts a key's events by time.
	Bucket recount.Bucket
}

// repeats is how often a replay is run again: enough for the order of a small map
// to change.
const repeats = 8

// Replay runs a fold over events, gathered by key, and runs it again in other ways
// that must not matter: with batches of other sizes, keys in another order, rows
// asked for after every event, states taken out and put back, another seed, and
// several times, since Go visits a map in another order each time. What differs
// fails the test, with the first key and column that do.
func Replay[S, E, R any](tb testing.TB, f worker.Fold[S, E, R], s Stream, events []Event) Result {
	tb.Helper()
	b, err := newBench(f, s, events)
	if err != nil {
		tb.Fatalf("replay: %v", err)
	}
	first, err := b.run(plain)
	if err != nil {
		tb.Fatalf("replay: %v", err)
	}
	for n := range repeats {
		for _, w := range b.ways() {
			again, err := b.run(w)
			if err != nil {
				tb.Fatalf("replay, %s: %v", w.name, err)
			}
			if text := first.differs(again); text != "" {
				tb.Errorf("the fold is not deterministic: %s, run %d: %s", w.name, n+2, text)
				return first
			}
		}
	}
	return first
}

// way is how a replay is run.
type way struct {
	name     string
	batch    int // events at once; 0: all
	reversed bool
	show     bool
	saved    bool
	seed     uint64
}

var plain = way{name: "as configured", seed: 1}

func (b *bench) ways() []way {
	list := []way{
		{name: "run again", seed: 1},
		{name: "in batches of one event", batch: 1, seed: 1},
		{name: "in batches of three events, with the keys reversed", batch: 3, reversed: true, seed: 1},
		{name: "with rows asked for after each event", show: true, seed: 1},
		{name: "with another seed of Context.Rand", seed: 2},
	}
	if b.program.StateShape() != "" {
		list = append(list, way{name: "with the state taken out and put back after each event", batch: 1, saved: true, seed: 1})
	}
	return list
}

// bench is a fold and its events, made ready once.
type bench struct {
	program worker.Program
	types   []recount.Type // of what the program reads
	groups  []group
	bucket  recount.Bucket
}

// group are the events of a key, in their order.
type group struct {
	key    []recount.Value
	bucket int64
	events []ready
}

// ready is an event as canonical values.
type ready struct {
	seq, micros         int64
	id                  string
	partition, position string
	values              []recount.Value // as types
}

func newBench[S, E, R any](f worker.Fold[S, E, R], s Stream, events []Event) (*bench, error) {
	if f.Step == nil || f.Rows == nil {
		return nil, errors.New("the fold lacks Step or Rows")
	}
	var fields []recount.Field
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		t, err := recount.ParseType(s.Fields[name])
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		fields = append(fields, recount.Field{Name: name, Type: t})
	}
	p, err := f.Bind(fields, s.By)
	if err != nil {
		return nil, err
	}
	b := &bench{program: p, bucket: s.Bucket}
	typed := maps.Clone(envelope)
	for _, f := range fields {
		typed[f.Name] = f.Type
	}
	for _, name := range p.Reads() {
		t, ok := typed[name]
		if !ok {
			return nil, fmt.Errorf("column %s cannot be replayed in a test", name)
		}
		b.types = append(b.types, t)
	}
	for i, e := range events {
		if err := b.add(i, e, typed, s.By); err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
	}
	b.sort()
	return b, nil
}

// add puts an event into the group of its key.
func (b *bench) add(i int, e Event, typed map[string]recount.Type, by []string) error {
	e = maps.Clone(e)
	if e["position"] == nil {
		e["position"] = recount.PadPosition(fmt.Sprint(i + 1))
	}
	if e["partition"] == nil {
		e["partition"] = "0"
	}
	for name := range e {
		if _, known := typed[name]; !known {
			return fmt.Errorf("it has a column %q, which the stream does not declare", name)
		}
	}
	all := map[string]recount.Value{}
	for name, t := range typed {
		v, err := e.value(name, t)
		if err != nil {
			return err
		}
		all[name] = v
	}
	r := ready{seq: int64(i + 1), micros: worker.NoTime, id: all["id"].Text, partition: all["partition"].Text, position: recount.PadPosition(all["position"].Text)}
	bucket := int64(worker.NoTime)
	if v := all["time"]; !v.Null {
		at, err := recount.ParseTimestamp(v.Text)
		if err != nil {
			return err
		}
		r.micros = at.UnixMicro()
		if !b.bucket.None() {
			bucket = b.bucket.Floor(at).UnixMicro()
		}
	} else if !b.bucket.None() {
		return errors.New("it has no time, so that its bucket is not known")
	}
	for _, name := range b.program.Reads() {
		r.values = append(r.values, all[name])
	}
	var key []recount.Value
	for _, name := range by {
		key = append(key, all[name])
	}
	at := slices.IndexFunc(b.groups, func(g group) bool { return g.bucket == bucket && slices.Equal(g.key, key) })
	if at < 0 {
		at = len(b.groups)
		b.groups = append(b.groups, group{key: key, bucket: bucket})
	}
	b.groups[at].events = append(b.groups[at].events, r)
	return nil
}

// sort puts keys in order, and the events of each as the log has them.
func (b *bench) sort() {
	slices.SortFunc(b.groups, func(x, y group) int {
		return cmp.Or(cmp.Compare(recount.KeyText(x.key), recount.KeyText(y.key)), cmp.Compare(x.bucket, y.bucket))
	})
	for _, g := range b.groups {
		slices.SortStableFunc(g.events, func(x, y ready) int {
			return cmp.Or(cmp.Compare(x.partition, y.partition), cmp.Compare(x.position, y.position))
		})
	}
}

// run folds all keys one way.
func (b *bench) run(w way) (Result, error) {
	out := Result{Columns: b.program.Columns()}
	var names []string
	for _, c := range out.Columns {
		names = append(names, c.Name)
	}
	m, err := b.program.Machine(w.seed, names)
	if err != nil {
		return out, err
	}
	m.Record(true)
	parts := make([]part, len(b.groups))
	for n := range b.groups {
		at := n
		if w.reversed {
			at = len(b.groups) - 1 - n
		}
		if parts[at], err = b.fold(m, b.groups[at], w); err != nil {
			return out, err
		}
	}
	for _, p := range parts {
		p.addTo(&out)
	}
	return out, nil
}

// part is what came of one key.
type part struct {
	key      []recount.Value
	rows     [][]recount.Value
	effects  []recount.Effect
	state    []byte
	poisoned *Poisoned
}

func (b *bench) fold(m worker.Machine, g group, w way) (part, error) {
	p := part{key: g.key}
	poison := func(at int, err error) (part, error) {
		m.Effects() // of a key that is left out
		e := g.events[min(at, len(g.events)-1)]
		return part{key: g.key, poisoned: &Poisoned{Key: g.key, Event: int(e.seq), ID: e.id, Err: err}}, nil
	}
	if err := m.Begin(g.key, g.bucket, nil); err != nil {
		return poison(0, err)
	}
	size := w.batch
	if size == 0 {
		size = len(g.events)
	}
	for from := 0; from < len(g.events); from += size {
		to := min(from+size, len(g.events))
		if err := b.load(m, g.events[from:to]); err != nil {
			return p, err
		}
		if at, err := b.step(m, to-from, w.show); err != nil {
			return poison(from+at, err)
		}
		if w.saved {
			state, err := m.State()
			if err != nil {
				return p, err
			}
			if err := m.Begin(g.key, g.bucket, state); err != nil {
				return p, err
			}
		}
	}
	var err error
	if p.rows, err = m.Rows(nil); err != nil {
		return poison(len(g.events)-1, err)
	}
	p.effects = m.Effects()
	for i, e := range p.effects {
		at := slices.IndexFunc(g.events, func(r ready) bool { return r.seq == e.Seq })
		p.effects[i].EventID, p.effects[i].Partition, p.effects[i].Position = g.events[at].id, g.events[at].partition, g.events[at].position
	}
	if b.program.StateShape() != "" {
		p.state, err = m.State()
	}
	return p, err
}

// step steps through a batch; under show, rows are asked for and thrown away.
func (b *bench) step(m worker.Machine, n int, show bool) (int, error) {
	if !show {
		return m.Step(0, n)
	}
	for i := range n {
		if at, err := m.Step(i, i+1); err != nil {
			return at, err
		}
		if _, err := m.Rows(nil); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (b *bench) load(m worker.Machine, events []ready) error {
	var columns []worker.Column
	var seq, micros []int64
	for i, t := range b.types {
		var values []recount.Value
		for _, e := range events {
			values = append(values, e.values[i])
		}
		c, err := columnOf(t, values)
		if err != nil {
			return err
		}
		columns = append(columns, c)
	}
	for _, e := range events {
		seq, micros = append(seq, e.seq), append(micros, e.micros)
	}
	return m.Load(columns, seq, micros)
}
