package run

import (
	"cmp"
	"slices"
)

// place is where a key's events are read: the key's number in its part, and how
// many of its events, or of its groups, lie before.
type place struct{ key, at int }

// filled are the groups of one batch.
type filled struct {
	chunks []*chunk
	refs   []ref
	groups []filledGroup
	bytes  int
	// staging is the only chunk where events come one by one.
	staging *chunk
}

// filledGroup is a Group before it has a number.
type filledGroup struct {
	place      place // where the group begins
	from, to   int
	begin, end bool
	opened     bool
	opening    []byte
	of         *chunk // a row of the key
	row        int
	// as, under Show, is the event by which the state at the end alone is to be
	// named, since the key's events do not come in order of seq; else none.
	as ref
	// prefix says that as counts.
	prefix bool
	number int // the attempt
}

// keyed are the events of a part by key. Keys that were dropped are passed over.
type keyed interface {
	// seek moves to where a group begins.
	seek(at place) error
	// fill adds groups of at most so many events, or bytes, from there on; at the
	// end it adds none.
	fill(b *filled, events int) error
	drop(at place)
	keys() int64
}

// batchBytes bounds a batch besides the number of its events: payloads can be
// large.
const batchBytes = 4 << 20

// cursorOf walks gathered events.
type walker struct {
	*gathered
	place   place // the group that is read
	offset  int   // of its events that were read
	dropped map[place]bool
	seqs    []int64 // under Show, of the key that is read: the ranks of its events
	seqsOf  int
	along   map[int64]int64 // ranks by seq, where Spec.Along says them
	// short says that all texts together are fewer bytes than a batch may have:
	// nobody has to count them.
	short bool
}

func newWalker(g *gathered) *walker {
	w := &walker{gathered: g, dropped: map[place]bool{}, seqsOf: none}
	if along := g.plan.spec.Along; along != nil {
		w.along = make(map[int64]int64, len(along))
		for i, seq := range along {
			w.along[seq] = int64(i)
		}
	}
	bytes := 0
	for _, i := range g.plan.reads {
		if i == none || g.plan.slots[i].width > 0 {
			continue
		}
		for _, c := range g.chunks {
			bytes += len(c.columns[i].data)
		}
	}
	// A history that is folded several times has its texts several times.
	w.short = bytes < batchBytes && !g.plan.spec.Show && g.numbers == nil
	return w
}

func (w *walker) keys() int64 { return int64(len(w.gathered.keys)) }

func (w *walker) seek(at place) error {
	w.place, w.offset = at, 0
	return nil
}

func (w *walker) drop(at place) {
	if !w.plan.spec.Alone {
		at.at = 0
	}
	w.dropped[at] = true
}

func (w *walker) fill(b *filled, events int) error {
	b.chunks, b.refs, b.groups, b.bytes = w.chunks, b.refs[:0], b.groups[:0], 0
	for w.place.key < len(w.gathered.keys) && len(b.refs) < events && b.bytes < batchBytes {
		switch {
		case w.isDropped():
			w.skip()
		case w.plan.spec.Alone:
			w.fillAlone(b)
		case w.plan.spec.Show && !w.ascending():
			w.fillPrefix(b)
		default:
			w.fillKey(b, events)
		}
	}
	return nil
}

func (w *walker) isDropped() bool {
	at := w.place
	if !w.plan.spec.Alone {
		at.at = 0
	}
	return w.dropped[at]
}

func (w *walker) skip() {
	if from, to := w.span(w.place.key); w.plan.spec.Alone && from+w.place.at < to {
		if w.place.at += len(w.alone()); from+w.place.at < to {
			return
		}
	}
	w.place, w.offset = place{key: w.place.key + 1}, 0
}

// alone are the repetitions of the event that is read.
func (w *walker) alone() []ref {
	from, to := w.span(w.place.key)
	all := w.refs[from+w.place.at : to]
	n := 1
	for n < len(all) && w.seq(all[n]) == w.seq(all[0]) {
		n++
	}
	return all[:n]
}

// group begins a group of the key that is read.
func (w *walker) group(b *filled) filledGroup {
	k := &w.gathered.keys[w.place.key]
	g := filledGroup{place: w.place, from: len(b.refs), begin: w.offset == 0, of: w.keyChunk(k), row: int(k.of.row)}
	if w.numbers != nil {
		g.number = w.numbers[w.place.key]
	}
	if k.opened && g.begin && !w.plan.spec.Alone {
		c := w.openings[k.opening.chunk]
		g.opened, g.opening = true, c.columns[len(c.columns)-1].at(int(k.opening.row))
	}
	return g
}

func (w *walker) fillKey(b *filled, events int) {
	g := w.group(b)
	from, to := w.span(w.place.key)
	from += w.offset
	if w.short && !w.plan.spec.Show {
		n := min(events-len(b.refs), to-from)
		b.refs = append(b.refs, w.refs[from:from+n]...)
		from += n
		w.offset += n
	}
	for from < to && (len(b.refs) < events && b.bytes < batchBytes || w.repeated(from)) {
		w.add(b, w.refs[from])
		from++
		w.offset++
	}
	g.to, g.end = len(b.refs), from == to
	b.groups = append(b.groups, g)
	if g.end {
		w.place, w.offset = place{key: w.place.key + 1}, 0
	}
}

// repeated says, under Show, that an event is the one before once more: what
// stands after an event is what stands after its last repetition.
func (w *walker) repeated(i int) bool {
	return w.plan.spec.Show && w.offset > 0 && w.seq(w.refs[i]) == w.seq(w.refs[i-1])
}

// add adds an event to the batch. Fixed columns are far smaller than texts can
// be: these alone are counted.
func (w *walker) add(b *filled, r ref) {
	b.refs = append(b.refs, r)
	for _, i := range w.plan.reads {
		if i != none && w.plan.slots[i].width == 0 {
			b.bytes += len(w.chunks[r.chunk].columns[i].at(int(r.row)))
		}
	}
}

func (w *walker) fillAlone(b *filled) {
	from, to := w.span(w.place.key)
	if from == to { // a state without an event
		w.skip()
		return
	}
	g := w.group(b)
	g.begin, g.end = true, true
	for _, r := range w.alone() {
		w.add(b, r)
	}
	g.to = len(b.refs)
	b.groups = append(b.groups, g)
	w.skip()
}

func (w *walker) seq(r ref) int64 { return w.chunks[r.chunk].columns[w.plan.seq].int64(int(r.row)) }

// rank is the place of an event in the order in which events are shown.
func (w *walker) rank(r ref) int64 {
	if w.along == nil {
		return w.seq(r)
	}
	return w.along[w.seq(r)]
}

// ascending says whether a key's events come in the order in which they are shown.
func (w *walker) ascending() bool {
	from, to := w.span(w.place.key)
	return slices.IsSortedFunc(w.refs[from:to], func(a, b ref) int { return cmp.Compare(w.rank(a), w.rank(b)) })
}

// fillPrefix adds a group of all events of the key up to one rank: where they do
// not come in that order, the state after one is that of another history.
func (w *walker) fillPrefix(b *filled) {
	from, to := w.span(w.place.key)
	if w.seqsOf != w.place.key {
		w.seqs, w.seqsOf = w.seqs[:0], w.place.key
		for _, r := range w.refs[from:to] {
			w.seqs = append(w.seqs, w.rank(r))
		}
		slices.Sort(w.seqs)
		w.seqs = slices.Compact(w.seqs)
	}
	until := w.seqs[w.place.at]
	g := w.group(b)
	g.begin, g.end, g.prefix = true, true, true
	for _, r := range w.refs[from:to] {
		if rank := w.rank(r); rank <= until {
			w.add(b, r)
			if rank == until {
				g.as = r
			}
		}
	}
	g.to = len(b.refs)
	b.groups = append(b.groups, g)
	if w.place.at++; w.place.at == len(w.seqs) {
		w.place = place{key: w.place.key + 1}
	}
	w.offset = 0
}
