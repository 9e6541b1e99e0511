package run

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// ref names a row of a part's chunks.
type ref struct{ chunk, row uint32 }

// gathered are the events of a part by key, all in memory.
type gathered struct {
	plan     *plan
	ranks    []uint32
	chunks   []*chunk // of events
	openings []*chunk // of states that keys begin with; they have one more column
	keys     []gatheredKey
	// refs are the events, key by key, in order.
	refs []ref
	// numbers are the attempts that keys are; nil: they are keys.
	numbers []int
}

type gatheredKey struct {
	hash    uint64
	of      ref // a row that has the key: of openings if alone
	alone   bool
	opened  bool
	opening ref // of a row of openings
	events  int // among refs, up to here
	// last is the place of the event that came last, disordered says that one
	// may have come after one behind it.
	last       uint64
	disordered bool
}

var errTwoStates = errors.New("a key has two states to begin with")

// rowBytes is what an event takes besides its values while it is grouped.
const rowBytes = 24

// gather groups the events of chunks by key and puts each key's in order.
func gather(p *plan, ranks []uint32, chunks, openings []*chunk) (*gathered, error) {
	slices.SortFunc(chunks, func(a, b *chunk) int { return cmp.Compare(a.order, b.order) })
	slices.SortFunc(openings, func(a, b *chunk) int { return cmp.Compare(a.order, b.order) })
	g := &gathered{plan: p, ranks: ranks, chunks: chunks, openings: openings}
	rows := 0
	for _, c := range chunks {
		rows += c.n
		p.rank(c, ranks)
	}
	t := newTable(g, rows/4)
	numbers := make([]uint32, 0, rows)
	for i, c := range chunks {
		numbers = g.number(t, numbers, i, c)
	}
	for i, c := range openings {
		for row := range c.n {
			at := ref{uint32(i), uint32(row)} //nolint:gosec // small
			k := &g.keys[t.number(c, p.hash(c, row), at, true)]
			if k.opened {
				return nil, errTwoStates
			}
			k.opened, k.opening = true, at
		}
	}
	g.place(numbers)
	g.sort()
	return g, nil
}

// blockHashes is how many hashes are made at once.
const blockHashes = 1024

// number adds the numbers of the keys of a chunk's events, counts these, and notes
// which keys' events do not come in their order.
func (g *gathered) number(t *table, numbers []uint32, at int, c *chunk) []uint32 {
	var places []byte
	if g.plan.place != none {
		places = c.columns[g.plan.place].data
	}
	var hashes []uint64
	for row := range c.n {
		if row%blockHashes == 0 {
			hashes = g.plan.hashes(hashes[:0], c, row, min(row+blockHashes, c.n))
		}
		n := t.number(c, hashes[row%blockHashes], ref{uint32(at), uint32(row)}, false) //nolint:gosec // small
		numbers = append(numbers, n)
		k := &g.keys[n]
		k.events++
		if places == nil {
			k.disordered = true // nobody has looked
			continue
		}
		place := binary.LittleEndian.Uint64(places[8*row:])
		k.disordered = k.disordered || place <= k.last && k.events > 1
		k.last = place
	}
	return numbers
}

// place puts events behind one another by key, each key's as they came.
func (g *gathered) place(numbers []uint32) {
	sum := 0
	for i := range g.keys {
		sum, g.keys[i].events = sum+g.keys[i].events, sum
	}
	g.refs = make([]ref, len(numbers))
	at := 0
	for i, c := range g.chunks {
		for row := range c.n {
			k := &g.keys[numbers[at]]
			g.refs[k.events] = ref{uint32(i), uint32(row)} //nolint:gosec // small
			k.events++
			at++
		}
	}
}

// span are the events of a key among refs.
func (g *gathered) span(key int) (from, to int) {
	if key > 0 {
		from = g.keys[key-1].events
	}
	return from, g.keys[key].events
}

func (g *gathered) sort() {
	var placed []placed
	for key := range g.keys {
		from, to := g.span(key)
		events := g.refs[from:to]
		switch {
		case len(events) < 2 || !g.keys[key].disordered || g.inOrder(events):
		case g.plan.place == none:
			slices.SortStableFunc(events, g.compare)
		default:
			placed = g.sortByPlace(events, placed)
		}
	}
}

// placed is an event with its place in the log.
type placed struct {
	place uint64
	seq   int64
	ref   ref
}

// sortByPlace sorts events by their places, which are brought together first:
// they are looked at often.
func (g *gathered) sortByPlace(events []ref, scratch []placed) []placed {
	scratch = scratch[:0]
	for _, r := range events {
		c := g.chunks[r.chunk]
		scratch = append(scratch, placed{c.columns[g.plan.place].uint64(int(r.row)), c.columns[g.plan.seq].int64(int(r.row)), r})
	}
	slices.SortFunc(scratch, func(a, b placed) int {
		if a.place != b.place {
			return cmp.Compare(a.place, b.place)
		}
		return cmp.Compare(a.seq, b.seq)
	})
	for i, p := range scratch {
		events[i] = p.ref
	}
	return scratch
}

// compare orders events of a key: as a feed says, else as the log does; then by
// sequence number.
func (g *gathered) compare(a, b ref) int {
	return g.plan.compare(g.ranks, g.chunks[a.chunk], int(a.row), g.chunks[b.chunk], int(b.row))
}

func (p *plan) compare(ranks []uint32, a *chunk, i int, b *chunk, j int) int {
	if p.place != none {
		return cmp.Or(cmp.Compare(a.columns[p.place].uint64(i), b.columns[p.place].uint64(j)), cmp.Compare(a.columns[p.seq].int64(i), b.columns[p.seq].int64(j)))
	}
	if p.order != none {
		return cmp.Or(bytes.Compare(a.columns[p.order].at(i), b.columns[p.order].at(j)), cmp.Compare(a.columns[p.seq].int64(i), b.columns[p.seq].int64(j)))
	}
	if x, y := a.ordinal(p.partition, i), b.ordinal(p.partition, j); x != y {
		return cmp.Compare(ranks[x], ranks[y])
	}
	return cmp.Or(bytes.Compare(a.columns[p.position].at(i), b.columns[p.position].at(j)), cmp.Compare(a.columns[p.seq].int64(i), b.columns[p.seq].int64(j)))
}

// inOrder says whether events of a key came in their order.
func (g *gathered) inOrder(events []ref) bool {
	if g.plan.place == none {
		return slices.IsSortedFunc(events, g.compare)
	}
	var last uint64
	for i, r := range events {
		at := g.chunks[r.chunk].columns[g.plan.place].uint64(int(r.row))
		if at < last || at == last && i > 0 && g.compare(events[i-1], r) > 0 {
			return false
		}
		last = at
	}
	return true
}

// table finds the number of a key. It holds key numbers plus one, 0 for a free
// place, and beside each the upper half of its hash.
type table struct {
	g      *gathered
	places []uint64
	mask   uint64
}

func newTable(g *gathered, keys int) *table {
	t := &table{g: g}
	size := 64
	for size < 2*keys {
		size *= 2
	}
	t.places, t.mask = make([]uint64, size), uint64(size-1)
	return t
}

const (
	numberBits = 32
	numberMask = 1<<numberBits - 1
)

// number returns the number of a row's key, a new one where it is new.
func (t *table) number(c *chunk, hash uint64, at ref, opening bool) uint32 {
	for i := hash & t.mask; ; i = (i + 1) & t.mask {
		switch p := t.places[i]; {
		case p == 0:
			n := uint32(len(t.g.keys)) //nolint:gosec // rows are fewer
			t.g.keys = append(t.g.keys, gatheredKey{hash: hash, of: at, alone: opening})
			t.places[i] = hash>>numberBits<<numberBits | uint64(n+1)
			if 2*len(t.g.keys) > len(t.places) {
				t.grow()
			}
			return n
		case p>>numberBits == hash>>numberBits:
			if n := uint32(p&numberMask) - 1; t.same(c, int(at.row), n) { //nolint:gosec // masked
				return n
			}
		}
	}
}

func (t *table) grow() {
	t.places = make([]uint64, 2*len(t.places))
	t.mask = uint64(len(t.places) - 1)
	for n, k := range t.g.keys {
		i := k.hash & t.mask
		for t.places[i] != 0 {
			i = (i + 1) & t.mask
		}
		t.places[i] = k.hash>>numberBits<<numberBits | uint64(n+1) //nolint:gosec // rows are fewer
	}
}

// same says whether a row has the key of that number.
func (t *table) same(c *chunk, row int, n uint32) bool {
	k := &t.g.keys[n]
	have := t.g.keyChunk(k)
	a, b := &c.columns[t.g.plan.key], &have.columns[t.g.plan.key]
	if (a.valid != nil || b.valid != nil) && (a.null(row) || b.null(int(k.of.row))) {
		return a.null(row) == b.null(int(k.of.row))
	}
	return bytes.Equal(a.at(row), b.at(int(k.of.row)))
}

// keyChunk is the chunk of the row that has the key.
func (g *gathered) keyChunk(k *gatheredKey) *chunk {
	if k.alone {
		return g.openings[k.of.chunk]
	}
	return g.chunks[k.of.chunk]
}

// A run with Spec.Single folds a key several times: what one of them is called is
// its attempt. Attempts are numbered through all keys and their Seqs: two for
// each, the first without the event, the second with it once more.
const attemptsOfEvent = 2

// attempt is one folding of a key.
type attempt struct {
	number int
	seq    int64
	more   bool // else the event is left out
}

// attempts are those of the wanted keys, by the bytes of the key; null has those of
// the key that is NULL.
type attempts struct {
	of   map[string][]attempt
	null []attempt
}

// readAttempts lists what Spec.Single asks for.
func (r *runner) readAttempts() error {
	if r.spec.Single == nil {
		return nil
	}
	r.attempts = &attempts{of: map[string][]attempt{}}
	number := 0
	for _, k := range r.spec.Single {
		key, null, err := r.plan.keyOf(k.Key)
		if err != nil {
			return err
		}
		var list []attempt
		for _, seq := range k.Seqs {
			list = append(list, attempt{number, seq, false}, attempt{number + 1, seq, true})
			number += attemptsOfEvent
		}
		if null {
			r.attempts.null = list
		} else {
			r.attempts.of[string(key)] = list
		}
	}
	return nil
}

// single makes a key of each attempt of each key that has the attempt's event. They
// share the events' memory.
func (g *gathered) single(all *attempts) {
	keys, refs := g.keys, g.refs
	g.keys, g.refs = nil, nil
	from := 0
	for _, k := range keys {
		events := refs[from:k.events]
		from = k.events
		c := g.keyChunk(&k)
		list := all.null
		if column := &c.columns[g.plan.key]; !column.null(int(k.of.row)) {
			list = all.of[string(g.plan.byOf(column.at(int(k.of.row))))]
		}
		for _, a := range list {
			began := len(g.refs)
			// Without its only event there is no key, unless it has a state to begin with.
			if g.attempt(events, a) && (len(g.refs) > began || k.opened) {
				one := k
				one.events = len(g.refs)
				g.keys, g.numbers = append(g.keys, one), append(g.numbers, a.number)
			}
		}
	}
}

// attempt adds the events of an attempt; false where the key has not its event.
func (g *gathered) attempt(events []ref, a attempt) (has bool) {
	began := len(g.refs)
	for _, r := range events {
		switch {
		case g.chunks[r.chunk].columns[g.plan.seq].int64(int(r.row)) != a.seq:
			g.refs = append(g.refs, r)
		case !a.more:
			has = true
		case !has:
			has = true
			g.refs = append(g.refs, r, r)
		default: // it is seen several times anyway
			g.refs = append(g.refs, r)
		}
	}
	if !has {
		g.refs = g.refs[:began]
	}
	return has
}
