package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"recount"
	"recount/source"
)

// mark is a partition's cursor.
type mark struct {
	// Created tells one incarnation of a stream from the next.
	Created    time.Time `json:"created"`
	Generation int       `json:"generation"`
	Next       uint64    `json:"next"` // the first sequence that was not read
	// Pulled says that only parts of the stream were read, the last of them up to
	// Next: Read begins at its beginning.
	Pulled bool `json:"pulled,omitempty"`
	// Over says that the stream is gone and the loss of its rest is told.
	Over bool `json:"over,omitempty"`
}

func (m mark) text() string {
	b, err := json.Marshal(m)
	if err != nil { // a struct of numbers and a time of this age can always be written
		panic(err)
	}
	return string(b)
}

// held is what the archive has of a stream.
type held struct {
	name string // of the newest generation's partition
	mark mark
	// older are generations before it whose loss is not told: the newest was pulled
	// from before any run came to it.
	older []held
}

func holdings(cursor source.Cursor) (map[string]held, error) {
	all := map[string]held{}
	for name, text := range cursor {
		var m mark
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.Created.IsZero() {
			return nil, &recount.Error{
				Code: recount.CodeMapping, What: "the archive's cursor was not made by this source", Where: fmt.Sprintf("partition %q", name), Err: err,
				Why:  fmt.Sprintf("%.100q is no cursor of a stream", text),
				Next: "give the source a new name, and archive it anew",
			}
		}
		stream, _, _ := strings.Cut(name, "@")
		h, known := held{name: name, mark: m}, all[stream]
		if known.mark.Generation > m.Generation {
			h, known = known, h
		}
		h.older = append(h.older, known.older...)
		if known.older = nil; known.name != "" && !known.mark.Over {
			h.older = append(h.older, known)
		}
		all[stream] = h
	}
	return all, nil
}

func named(stream string, generation int) string {
	if generation <= 1 {
		return stream
	}
	return stream + "@" + strconv.Itoa(generation)
}

func position(sequence uint64) string { return recount.PadPosition(strconv.FormatUint(sequence, 10)) }

// sequence reads a position; an open edge is other.
func sequence(position string, other uint64) uint64 {
	n, err := strconv.ParseUint(position, 10, 64)
	if err != nil {
		return other
	}
	return n
}

// view is a stream at one moment.
type view struct {
	stream  string
	handle  jetstream.Stream
	created time.Time
	first   uint64 // the first sequence that is there; one past last where none is
	last    uint64
	// limited says that messages go for their age or number; else the only ones that
	// go are those that newer ones of their subject replace.
	limited bool
}

func (s *Source) look(ctx context.Context, name string) (view, error) {
	js, err := s.connect()
	if err != nil {
		return view{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	handle, err := js.Stream(ctx, name)
	if err != nil {
		return view{}, s.explained("look for stream "+name, err)
	}
	info := handle.CachedInfo()
	c := info.Config
	if c.Retention == jetstream.WorkQueuePolicy {
		return view{}, s.misconfigured(fmt.Sprintf("stream %s cannot be archived", name),
			"it is a work queue: a message that is read is deleted, and would be missing to the workers",
			"archive a stream that mirrors it or has it as a source, or give the stream limits retention")
	}
	v := view{
		stream: name, handle: handle, created: info.Created, first: info.State.FirstSeq, last: info.State.LastSeq,
		limited: c.MaxMsgsPerSubject <= 0 || c.MaxAge > 0 || c.MaxMsgs > 0 || c.MaxBytes > 0,
	}
	if info.State.Msgs == 0 {
		v.first = v.last + 1
	}
	return v, nil
}

// reading is what is to be read of one stream.
type reading struct {
	view
	partition string
	mark      mark
	end       uint64 // the first sequence that is not read
	pulled    uint64 // the first sequence after what was pulled before
}

// batch tells what was passed since the mark.
func (r *reading) batch(next uint64, gaps ...recount.Gap) source.Batch {
	r.mark.Next = next
	m := r.mark
	if m.Pulled {
		m.Next = max(m.Next, r.pulled)
	}
	return source.Batch{Partition: r.partition, Gaps: gaps, Cursor: m.text()}
}

func (r *reading) gap(from, to uint64, reason recount.GapReason) recount.Gap {
	return recount.Gap{Partition: r.partition, From: position(from), To: position(to), Reason: reason}
}

// assign says where a stream is read on, and what must be told before.
func assign(v view, known map[string]held) (r *reading, before []source.Batch) {
	h, ok := known[v.stream]
	for _, older := range h.older {
		before = append(before, ended(older))
	}
	switch {
	case !ok:
		r = &reading{view: v, partition: v.stream, mark: mark{Created: v.created, Generation: 1, Next: 1}}
	case h.mark.Created.Equal(v.created) && h.mark.Pulled:
		r = &reading{view: v, partition: h.name, mark: mark{Created: v.created, Generation: h.mark.Generation, Next: 1}, pulled: h.mark.Next}
	case h.mark.Created.Equal(v.created):
		r = &reading{view: v, partition: h.name, mark: h.mark}
	default:
		if !h.mark.Over {
			before = append(before, ended(h))
		}
		generation := h.mark.Generation + 1
		r = &reading{view: v, partition: named(v.stream, generation), mark: mark{Created: v.created, Generation: generation, Next: 1}}
	}
	r.end = v.last + 1
	if gone := min(v.first, r.end); r.mark.Next < gone {
		reason := recount.GapCompacted
		if v.limited {
			reason = recount.GapRetention
		}
		before = append(before, r.batch(gone, r.gap(r.mark.Next, gone, reason)))
	}
	return r, before
}

// ended tells that a generation is gone with all that was not read of it.
func ended(h held) source.Batch {
	old := &reading{partition: h.name, mark: h.mark}
	first := h.mark.Next
	if h.mark.Pulled {
		first = 1 // what lies between the parts was never read
	}
	old.mark.Over, old.mark.Pulled = true, false
	return old.batch(h.mark.Next, old.gap(first, math.MaxInt64, recount.GapRetention))
}

// prepare looks at all streams.
func (s *Source) prepare(ctx context.Context, cursor source.Cursor) (all []*reading, before []source.Batch, err error) {
	known, err := holdings(cursor)
	if err != nil {
		return nil, nil, recount.Located(err, s.where())
	}
	for _, name := range s.config.Streams {
		v, err := s.look(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		r, told := assign(v, known)
		all, before = append(all, r), append(before, told...)
	}
	return all, before, nil
}

// Overtaken says what Read would tell as lost.
func (s *Source) Overtaken(ctx context.Context, cursor source.Cursor) ([]recount.Gap, error) {
	all, before, err := s.prepare(ctx, cursor)
	known, _ := holdings(cursor)
	var lost []recount.Gap
	for _, b := range before {
		i := slices.IndexFunc(all, func(r *reading) bool { return r.partition == b.Partition })
		if h, ok := known[b.Partition]; i >= 0 && all[i].mark.Generation == 1 && (!ok || h.mark.Pulled) {
			continue // it was gone before the archive began
		}
		for _, g := range b.Gaps {
			if g.Lost() {
				lost = append(lost, g)
			}
		}
	}
	return lost, err
}
