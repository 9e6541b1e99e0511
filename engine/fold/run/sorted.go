package run

import (
	"bytes"
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"recount"
)

// A part that is too large to be grouped in memory is sorted: runs of its events,
// each as large as memory allows, are written by key and order, and merged while
// they are folded. So a key may have any number of events.

// sortedChunk is about how many bytes of each run are in memory while runs are merged.
const sortedChunk = 32 << 10

// sortRuns writes the events of a part as sorted runs.
func (r *runner) sortRuns(p *part) (runs [][]stored, err error) {
	f, err := r.newSpill()
	if err != nil {
		return nil, err
	}
	var scratch scratch
	var some []*chunk
	var size int64
	write := func() error {
		if len(some) == 0 {
			return nil
		}
		g, err := gather(r.plan, r.ranks, some, nil)
		if err != nil {
			return err
		}
		one, err := r.writeRun(g, f, &scratch)
		for _, c := range some {
			r.memory.give(c)
		}
		some, size = nil, 0
		runs = append(runs, one)
		return err
	}
	add := func(c *chunk) error {
		some = append(some, c)
		if size += int64(c.bytes() + rowBytes*c.n); size < r.memory.gather {
			return nil
		}
		return write()
	}
	for _, s := range p.stored {
		c := r.memory.chunk(r.plan)
		if err := s.read(c, &scratch); err != nil {
			return nil, err
		}
		r.memory.release(s)
		if err := add(c); err != nil {
			return nil, err
		}
	}
	p.stored = nil
	return runs, write()
}

// writeRun writes gathered events in order of their keys' hashes, then keys.
func (r *runner) writeRun(g *gathered, f *spillFile, scratch *scratch) (run []stored, err error) {
	keys := make([]int, len(g.keys))
	for i := range keys {
		keys[i] = i
	}
	slices.SortFunc(keys, func(a, b int) int {
		x, y := &g.keys[a], &g.keys[b]
		return cmp.Or(cmp.Compare(x.hash, y.hash), compareKeys(r.plan, g.keyChunk(x), int(x.of.row), g.keyChunk(y), int(y.of.row)))
	})
	out := r.memory.chunk(r.plan)
	out.ranked = true
	flush := func() error {
		one, err := f.write(out.stored(scratch))
		r.memory.spilled.Add(int64(one.size))
		run = append(run, one)
		for i := range out.columns {
			out.columns[i].reset()
		}
		out.n = 0
		return err
	}
	for _, key := range keys {
		from, to := g.span(key)
		for _, at := range g.refs[from:to] {
			r.plan.appendRow(out, g.chunks[at.chunk], int(at.row))
			if out.n%leastChunk == 0 && out.bytes() >= sortedChunk {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	if out.n > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	r.memory.give(out)
	return run, nil
}

// compareKeys orders keys of one hash.
func compareKeys(p *plan, a *chunk, i int, b *chunk, j int) int {
	x, y := &a.columns[p.key], &b.columns[p.key]
	if x.null(i) || y.null(j) {
		return cmp.Compare(boolInt(x.null(i)), boolInt(y.null(j)))
	}
	return bytes.Compare(x.at(i), y.at(j))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// runReader reads a run from its beginning.
type runReader struct {
	plan  *plan
	list  []stored
	chunk *chunk
	row   int
	hash  uint64
}

// next moves to the next event; false at the end.
func (r *runReader) next(scratch *scratch) (bool, error) {
	if r.row++; r.row >= r.chunk.n {
		if len(r.list) == 0 {
			return false, nil
		}
		r.chunk.reset()
		if err := r.list[0].read(r.chunk, scratch); err != nil {
			return false, err
		}
		r.list, r.row = r.list[1:], 0
	}
	r.hash = r.plan.hash(r.chunk, r.row)
	return true, nil
}

// merged are the events of sorted runs by key.
type merged struct {
	plan    *plan
	ranks   []uint32
	runs    [][]stored
	heap    []*runReader
	scratch scratch
	// openings are the states of the part, sorted as keys are; next is the first
	// that was not begun with.
	openings []opening
	next     int

	place   place
	offset  int
	open    bool // a key is being read
	key     opening
	started bool // a key was read
	dropped map[place]bool
}

// opening is a row of a key: of a state that it begins with, or of an event.
type opening struct {
	hash  uint64
	chunk *chunk
	row   int
	state []byte
	has   bool
}

func (r *runner) newMerged(p *part) (*merged, error) {
	runs, err := r.sortRuns(p)
	if err != nil {
		return nil, err
	}
	m := &merged{plan: r.plan, ranks: r.ranks, runs: runs, dropped: map[place]bool{}}
	for _, c := range p.openings {
		for row := range c.n {
			m.openings = append(m.openings, opening{r.plan.hash(c, row), c, row, c.columns[len(c.columns)-1].at(row), true})
		}
	}
	slices.SortFunc(m.openings, m.compareKeys)
	for i := 1; i < len(m.openings); i++ {
		if m.compareKeys(m.openings[i-1], m.openings[i]) == 0 {
			return nil, errTwoStates
		}
	}
	return m, m.seek(place{})
}

func (m *merged) compareKeys(a, b opening) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), compareKeys(m.plan, a.chunk, a.row, b.chunk, b.row))
}

// Len is heap's.
func (m *merged) Len() int { return len(m.heap) }

// Less is heap's.
func (m *merged) Less(i, j int) bool {
	a, b := m.heap[i], m.heap[j]
	return cmp.Or(m.compareKeys(a.at(), b.at()), m.plan.compare(m.ranks, a.chunk, a.row, b.chunk, b.row)) < 0
}

// Swap is heap's.
func (m *merged) Swap(i, j int) { m.heap[i], m.heap[j] = m.heap[j], m.heap[i] }

// Push is heap's.
func (m *merged) Push(x any) {
	if r, ok := x.(*runReader); ok {
		m.heap = append(m.heap, r)
	}
}

// Pop is heap's.
func (m *merged) Pop() any {
	last := m.heap[len(m.heap)-1]
	m.heap = m.heap[:len(m.heap)-1]
	return last
}

func (r *runReader) at() opening { return opening{hash: r.hash, chunk: r.chunk, row: r.row} }

func (m *merged) drop(at place) {
	if !m.plan.spec.Alone {
		at.at = 0
	}
	m.dropped[at] = true
}

func (m *merged) keys() int64 {
	if !m.started {
		return 0
	}
	return int64(m.place.key) + 1
}

// seek begins anew and passes over all before.
func (m *merged) seek(at place) error {
	m.heap, m.next, m.place, m.offset, m.open, m.started = m.heap[:0], 0, place{}, 0, false, false
	for _, list := range m.runs {
		r := &runReader{plan: m.plan, list: list, chunk: m.plan.newChunk(), row: -1}
		ok, err := r.next(&m.scratch)
		if err != nil {
			return err
		}
		if ok {
			m.heap = append(m.heap, r)
		}
	}
	heap.Init(m)
	for m.begin() && m.place.key < at.key {
		if err := m.pass(); err != nil {
			return err
		}
	}
	for m.open && m.place.at < at.at {
		if err := m.passAlone(); err != nil {
			return err
		}
	}
	return nil
}

// begin begins the next key where none is being read; false at the end.
func (m *merged) begin() bool {
	if m.open {
		return true
	}
	var first opening
	switch {
	case len(m.heap) == 0 && m.next == len(m.openings):
		return false
	case len(m.heap) == 0 || m.next < len(m.openings) && m.compareKeys(m.openings[m.next], m.heap[0].at()) <= 0:
		first = m.openings[m.next]
		m.next++
	default:
		// The reader moves on: the key needs a row of its own.
		c := m.plan.newChunk()
		m.plan.appendRow(c, m.heap[0].chunk, m.heap[0].row)
		first = opening{hash: m.heap[0].hash, chunk: c}
	}
	if m.started {
		m.place.key++
	}
	m.key, m.open, m.started, m.offset, m.place.at = first, true, true, 0, 0
	return true
}

// more says that the next event is of the key that is read.
func (m *merged) more() bool { return len(m.heap) > 0 && m.compareKeys(m.key, m.heap[0].at()) == 0 }

// step moves to the next event.
func (m *merged) step() error {
	ok, err := m.heap[0].next(&m.scratch)
	if err != nil {
		return err
	}
	if ok {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
	return nil
}

// pass passes over the rest of a key.
func (m *merged) pass() error {
	for m.more() {
		if err := m.step(); err != nil {
			return err
		}
	}
	m.open = false
	return nil
}

func (m *merged) seq() int64 { return m.heap[0].chunk.columns[m.plan.seq].int64(m.heap[0].row) }

// passAlone passes over an event and its repetitions.
func (m *merged) passAlone() error {
	if !m.more() {
		m.open = false
		return nil
	}
	for seq := m.seq(); m.more() && m.seq() == seq; m.place.at++ {
		if err := m.step(); err != nil {
			return err
		}
	}
	m.open = m.more()
	return nil
}

func (m *merged) fill(b *filled, events int) error {
	if b.staging == nil {
		b.staging = m.plan.newChunk()
	}
	for i := range b.staging.columns {
		b.staging.columns[i].reset()
	}
	b.staging.n = 0
	b.chunks, b.refs, b.groups, b.bytes = []*chunk{b.staging}, b.refs[:0], b.groups[:0], 0
	for len(b.refs) < events && b.bytes < batchBytes && m.begin() {
		at := m.place
		if !m.plan.spec.Alone {
			at.at = 0
		}
		var err error
		switch {
		case m.dropped[at] && m.plan.spec.Alone:
			err = m.passAlone()
		case m.dropped[at]:
			err = m.pass()
		case m.plan.spec.Alone:
			err = m.fillAlone(b)
		default:
			err = m.fillKey(b, events)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *merged) add(b *filled) error {
	r := m.heap[0]
	b.refs = append(b.refs, ref{0, uint32(b.staging.n)}) //nolint:gosec // a batch is small
	m.plan.appendRow(b.staging, r.chunk, r.row)
	for _, i := range m.plan.reads {
		if i != none && m.plan.slots[i].width == 0 {
			b.bytes += len(r.chunk.columns[i].at(r.row))
		}
	}
	return m.step()
}

func (m *merged) fillKey(b *filled, events int) error {
	g := filledGroup{place: place{key: m.place.key}, from: len(b.refs), begin: m.offset == 0, of: m.key.chunk, row: m.key.row}
	if g.begin && m.key.has {
		g.opened, g.opening = true, m.key.state
	}
	for m.more() && len(b.refs) < events && b.bytes < batchBytes {
		if err := m.add(b); err != nil {
			return err
		}
		m.offset++
	}
	g.to, g.end = len(b.refs), !m.more()
	m.open = !g.end
	b.groups = append(b.groups, g)
	return nil
}

func (m *merged) fillAlone(b *filled) error {
	if !m.more() {
		m.open = false
		return nil
	}
	g := filledGroup{place: m.place, from: len(b.refs), begin: true, end: true, of: m.key.chunk, row: m.key.row}
	for seq := m.seq(); m.more() && m.seq() == seq; m.place.at++ {
		if err := m.add(b); err != nil {
			return err
		}
	}
	g.to = len(b.refs)
	m.open = m.more()
	b.groups = append(b.groups, g)
	return nil
}

// tooLarge is the error of a part whose keys cannot be followed in bounded memory.
func (r *runner) tooLarge() error {
	return &recount.Error{
		Code: recount.CodeMemory, What: "the events of the keys do not fit into memory", Where: r.spec.Where,
		Why:  fmt.Sprintf("what stands after each event is found with all events of a key in memory, of which there are %d bytes", r.memory.gather),
		Next: "ask for fewer keys, or raise the memory limit",
	}
}
