// Package fakebus is a topic of several partitions that grows while it is read.
// Its positions have holes: transaction markers, records that compaction took,
// records that retention took before they were read, new generations of the
// topic. It remembers what an archive of it must hold.
package fakebus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"recount"
	"recount/source"
)

// The operations.
const (
	Fetch = "fetch"
	Ack   = "ack"
)

// Topic is a topic. It is safe for concurrent use.
type Topic struct {
	// Forgets says that what is acknowledged is deleted, as behind a replication
	// slot.
	Forgets bool
	// Retention says that records may be deleted before they are read.
	Retention bool

	mu         sync.Mutex
	partitions []partition
	rng        *rand.Rand
	most       int // records of a batch
	clock      time.Time
}

// partition is one log. Its entries are never altered, so that copies share them.
type partition struct {
	name    string
	entries []entry
	visible int // entries that were produced by now
	start   int // entries before it are deleted
	taken   map[int]bool
}

// entry is what a position holds: an event, or a marker of a transaction.
type entry struct {
	position int64
	event    *recount.Event
}

// New returns an empty topic whose batches have at most so many records.
func New(most int, seed uint64, began time.Time) *Topic {
	return &Topic{most: most, rng: rand.New(rand.NewPCG(seed, 1)), clock: began}
}

// Add lays down a partition. Of each event only the position is set here; nil is
// a marker. Jumps are positions without a record before an entry.
func (t *Topic) Add(name string, events []*recount.Event, jumps []int64) {
	p := partition{name: name, taken: map[int]bool{}}
	next := int64(0)
	for i, e := range events {
		next += jumps[i]
		if e != nil {
			placed := *e
			placed.Partition, placed.Position = name, text(next)
			e = &placed
		}
		p.entries = append(p.entries, entry{position: next, event: e})
		next++
	}
	p.visible = len(p.entries) / 3
	t.partitions = append(t.partitions, p)
}

func text(position int64) string { return fmt.Sprintf("%019d", position) }

// Clone returns a topic that goes on by itself from here. Its chance is drawn
// from seed.
func (t *Topic) Clone(seed uint64) *Topic {
	t.mu.Lock()
	defer t.mu.Unlock()
	made := &Topic{Forgets: t.Forgets, Retention: t.Retention, partitions: slices.Clone(t.partitions), rng: rand.New(rand.NewPCG(seed, 1)), most: t.most, clock: t.clock}
	for i := range made.partitions {
		made.partitions[i].taken = maps.Clone(made.partitions[i].taken)
	}
	return made
}

// Finish produces all that is left, and lets nothing expire any more.
func (t *Topic) Finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Retention = false
	for i := range t.partitions {
		t.partitions[i].visible = len(t.partitions[i].entries)
	}
}

// Truth is what an archive must hold.
type Truth struct {
	Events map[string]string // by partition@position the SHA-256 of the payload
	// Optional are events that were deleted before an archiver had committed them.
	Optional map[string]string
	Times    map[string]time.Time // of all events; zero: it cannot be read
	Next     map[string]int64     // by partition the first position that does not exist
}

// Truth returns what an archive that has read all must hold.
func (t *Topic) Truth() Truth {
	t.mu.Lock()
	defer t.mu.Unlock()
	truth := Truth{Events: map[string]string{}, Optional: map[string]string{}, Times: map[string]time.Time{}, Next: map[string]int64{}}
	for _, p := range t.partitions {
		for i, e := range p.entries {
			truth.Next[p.name] = e.position + 1
			if e.event == nil {
				continue
			}
			sum := sha256.Sum256(e.event.Data)
			into := truth.Events
			if p.taken[i] {
				into = truth.Optional
			}
			key := p.name + "@" + e.event.Position
			into[key], truth.Times[key] = hex.EncodeToString(sum[:]), e.event.Time
		}
	}
	return truth
}

// Consumer reads a topic as one archiver does.
type Consumer struct {
	Topic *Topic
	// Hook is asked before each operation; an error ends it.
	Hook func(op string) error
}

// Info says what the topic is like.
func (c *Consumer) Info() source.Info {
	return source.Info{HasID: true, Place: "fake://broker/topic", Dense: true}
}

func (c *Consumer) ask(op string) error {
	if c.Hook == nil {
		return nil
	}
	return c.Hook(op)
}

// Read reads all partitions to their present end, a batch of each in turn.
func (c *Consumer) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	t := c.Topic
	next, err := t.begin(cursor)
	if err != nil {
		return source.End{}, err
	}
	for more := true; more; {
		more = false
		for i := range next {
			if err := c.ask(Fetch); err != nil {
				return source.End{}, err
			}
			batch, found := t.fetch(i, next[i])
			if !found {
				continue
			}
			if next[i], err = strconv.ParseInt(batch.Cursor, 10, 64); err != nil {
				return source.End{}, err
			}
			if err := emit(batch); err != nil {
				return source.End{}, err
			}
			more = true
		}
	}
	return source.End{Watermark: t.now(), Partitions: len(next)}, ctx.Err()
}

func (t *Topic) now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clock
}

// begin returns the next position of each partition. Retention may pass it.
func (t *Topic) begin(cursor source.Cursor) ([]int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make([]int64, len(t.partitions))
	for i := range t.partitions {
		p := &t.partitions[i]
		if at, ok := cursor[p.name]; ok {
			n, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("cursor of partition %s: %w", p.name, err)
			}
			next[i] = n
		}
		const seldom = 4
		if t.Retention && t.rng.IntN(seldom) == 0 {
			first := p.index(next[i])
			for upTo := min(p.visible, first+1+t.rng.IntN(2)); p.start < upTo; p.start++ {
				if p.start >= first {
					p.taken[p.start] = true
				}
			}
		}
	}
	return next, nil
}

// index is the first entry at or after a position.
func (p *partition) index(position int64) int {
	return sort.Search(len(p.entries), func(i int) bool { return p.entries[i].position >= position })
}

// fetch returns a batch from a position on, with the gaps that lie in it.
func (t *Topic) fetch(which int, position int64) (source.Batch, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock = t.clock.Add(time.Second)
	p := &t.partitions[which]
	p.visible = min(len(p.entries), p.visible+t.rng.IntN(t.most))
	at, next := p.index(position), position
	b := source.Batch{Partition: p.name, Format: "json"}
	gap := func(to int64, reason recount.GapReason) {
		if n := len(b.Gaps); n > 0 && b.Gaps[n-1].To == text(next) && b.Gaps[n-1].Reason == reason {
			b.Gaps[n-1].To = text(to)
		} else if to > next {
			b.Gaps = append(b.Gaps, recount.Gap{Partition: p.name, From: text(next), To: text(to), Reason: reason})
		}
		next = to
	}
	if at < p.start {
		at = p.start
		to := p.entries[at-1].position + 1
		gap(to, recount.GapRetention)
	}
	for upTo := min(p.visible, at+1+t.rng.IntN(t.most)); at < upTo; at++ {
		e := p.entries[at]
		if e.position > next {
			gap(e.position, recount.GapCompacted)
		}
		if e.event == nil {
			gap(e.position+1, recount.GapControl)
			continue
		}
		copied := *e.event
		copied.Fields = slices.Clone(copied.Fields)
		b.Events = append(b.Events, copied)
		next = e.position + 1
	}
	b.Cursor = text(next)
	return b, next > position
}

// Committed deletes what the archive says that it holds, where the topic forgets.
func (c *Consumer) Committed(_ context.Context, cursor source.Cursor) error {
	if err := c.ask(Ack); err != nil {
		return err
	}
	t := c.Topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.Forgets {
		return nil
	}
	for i := range t.partitions {
		p := &t.partitions[i]
		at, ok := cursor[p.name]
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return fmt.Errorf("cursor of partition %s: %w", p.name, err)
		}
		p.start = max(p.start, p.index(n))
	}
	return nil
}

// Decoder reads nothing again.
func (c *Consumer) Decoder(string, string) (source.Decoder, error) { return decoder{}, nil }

type decoder struct{}

func (decoder) Decode(e recount.Event) recount.Event { return e }

// Check finds nothing wrong.
func (c *Consumer) Check(context.Context) error { return nil }

// Close closes nothing.
func (c *Consumer) Close() error { return nil }
