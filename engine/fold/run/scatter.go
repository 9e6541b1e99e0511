package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// unit is a row group of a file.
type unit struct {
	file, group int
	rows        int64
}

// part is what was gathered of the keys whose hash falls in it.
type part struct {
	mu       sync.Mutex
	stored   []stored
	openings []*chunk
	// spilledOpenings are openings that did not fit into memory.
	spilledOpenings []stored
	events          int64
	done            bool // by an earlier run
}

// partRows is about how many events a part has: few enough for its tables to
// stay in the processor's caches.
const mostBits = 9

var partRows int64 = 128 << 10

// partBits is the logarithm of the number of parts. It follows from the events
// alone, so that a run that is resumed cuts them as before.
func partBits(rows int64) (bits int) {
	for bits < mostBits && rows > partRows<<bits {
		bits++
	}
	return bits
}

// partOf is the part of a key by its hash.
func (r *runner) partOf(hash uint64) int {
	if r.bits == 0 {
		return 0
	}
	return int(hash >> (64 - r.bits)) //nolint:gosec // at most mostBits
}

// names numbers partitions of the log as they are met.
type names struct {
	mu   sync.Mutex
	list []string
	at   map[string]uint32
}

func (n *names) ordinal(name []byte) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok := n.at[string(name)]; ok {
		return i
	}
	i := uint32(len(n.list)) //nolint:gosec // partitions are few
	n.list = append(n.list, string(name))
	if n.at == nil {
		n.at = map[string]uint32{}
	}
	n.at[string(name)] = i
	return i
}

// ranks are the numbers' places in the order of names, or in the reverse of it.
func (n *names) ranks(reversed bool) []uint32 {
	sorted := slices.Sorted(slices.Values(n.list))
	if reversed {
		slices.Reverse(sorted)
	}
	ranks := make([]uint32, len(n.list))
	for i, name := range n.list {
		ranks[i] = uint32(slices.Index(sorted, name)) //nolint:gosec // partitions are few
	}
	return ranks
}

// scatter reads all events and gives each to its part.
func (r *runner) scatter(ctx context.Context) error {
	units, total, err := r.units(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	share := total/int64(r.threads) + 1
	for n := range r.threads {
		mine := units
		var rows int64
		for i, u := range units {
			if rows += u.rows; rows >= share {
				mine = units[:i+1]
				break
			}
		}
		units = units[len(mine):]
		if len(mine) == 0 {
			break
		}
		s := &scatterer{runner: r, n: n, open: make([]*chunk, len(r.parts)), counts: make([]int64, len(r.parts)), cursor: cursor{marks: r.marks}, limits: r.limits()}
		g.Go(func() error { return s.run(ctx, mine) })
	}
	return g.Wait()
}

// units lists the row groups that are read, in the order of the files.
func (r *runner) units(ctx context.Context) (units []unit, total int64, err error) {
	files := make([]int, len(r.spec.Files))
	for i := range files {
		files[i] = i
	}
	if r.spec.Shake.Files {
		slices.Reverse(files)
	}
	b := &buffers{}
	for _, i := range files {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		f, err := r.plan.openFile(r.spec.Files[i].Path, b, nil)
		if err != nil {
			return nil, 0, err
		}
		for _, g := range f.groups() {
			rows := f.reader.MetaData().RowGroups[g].NumRows
			units = append(units, unit{i, g, rows})
			total += rows
		}
		if err := f.close(); err != nil {
			return nil, 0, fmt.Errorf("close %q: %w", f.path, err)
		}
	}
	return units, total, nil
}

// scatterer reads units one after the other.
type scatterer struct {
	*runner
	n      int
	open   []*chunk // by part
	made   int      // chunks so far
	cursor cursor
	limits limits
	// variant is that of the file that is read.
	variant int
	key     []byte
	bucket  buckets
	// chosen are the rows of a block that are folded, to their parts; rows are
	// the same by part, runs what of them is whose, share is counted by part.
	chosen, to, rows, share []int32
	runs                    []run
	hashes                  []uint64
	counts                  []int64 // of events, by part
	file                    *spillFile
	scratch                 scratch
}

// limits say which events are read, in microseconds since 1970.
type limits struct {
	from, to       int64
	hitFrom, hitTo int64
	until          map[uint32]string
}

func (r *runner) limits() limits {
	l := limits{until: map[uint32]string{}}
	l.from, l.to = r.plan.edges()
	hit := &plan{spec: &Spec{Read: r.spec.Hit}}
	l.hitFrom, l.hitTo = hit.edges()
	for partition, position := range r.spec.Until {
		l.until[r.names.ordinal([]byte(partition))] = position
	}
	return l
}

func (s *scatterer) run(ctx context.Context, units []unit) (err error) {
	var f *eventFile
	at := none
	defer func() {
		if f != nil {
			err = errors.Join(err, f.close())
		}
	}()
	b, block := &buffers{}, s.plan.newChunk()
	for _, u := range units {
		if u.file != at {
			if f != nil {
				if err := f.close(); err != nil {
					return fmt.Errorf("close %q: %w", f.path, err)
				}
				f = nil
			}
			if f, err = s.plan.openFile(s.spec.Files[u.file].Path, b, s.names.ordinal); err != nil {
				return err
			}
			at, s.variant = u.file, s.spec.Files[u.file].Variant
		}
		if err := f.each(ctx, u.group, block, s.take); err != nil {
			return err
		}
	}
	for part, c := range s.open {
		if c != nil && c.n > 0 {
			if err := s.give(part); err != nil {
				return err
			}
		}
	}
	s.open = nil
	for part, n := range s.counts {
		p := &s.parts[part]
		p.mu.Lock()
		p.events += n
		p.mu.Unlock()
	}
	return nil
}

// take gives the events of a block to their parts.
func (s *scatterer) take(block *chunk) error {
	if s.plan.hit != none && !s.spec.Feed {
		s.fillHit(block)
	}
	if s.plan.keyOwn {
		if err := s.fillKeys(block); err != nil {
			return err
		}
	}
	if s.plan.place != none {
		if err := s.fillPlaces(block); err != nil {
			return err
		}
	}
	s.choose(block)
	for i, slot := range s.plan.slots {
		if !slot.kept {
			continue
		}
		for _, r := range s.runs {
			s.open[r.part].columns[i].appendRows(&block.columns[i], s.rows[r.from:r.to])
		}
	}
	for _, r := range s.runs {
		c := s.open[r.part]
		if c.n += r.to - r.from; c.n >= s.memory.chunkRows || c.bytes() >= s.memory.chunkBytes {
			if err := s.give(r.part); err != nil {
				return err
			}
		}
	}
	return nil
}

// run are rows of a block that go to one part: those at [from, to) of
// scatterer.rows.
type run struct{ part, from, to int }

// choose finds the events of a block that are folded, and brings those of a part
// together, in their order: a column is then written to part by part.
func (s *scatterer) choose(block *chunk) {
	s.chosen, s.to = s.chosen[:0], s.to[:0]
	if s.share == nil {
		s.share = make([]int32, len(s.parts))
	}
	clear(s.share)
	s.hashes = s.plan.hashes(s.hashes[:0], block, 0, block.n)
	for row, hash := range s.hashes {
		if !s.spec.Feed && !s.used(block, row) {
			continue
		}
		if s.wanted != nil && !s.isWanted(block, row) {
			continue
		}
		part := s.partOf(hash)
		s.counts[part]++
		if s.parts[part].done {
			continue
		}
		s.share[part]++
		s.chosen, s.to = append(s.chosen, int32(row)), append(s.to, int32(part)) //nolint:gosec // small
	}
	s.runs = s.runs[:0]
	at := 0
	for part, n := range s.share {
		if n == 0 {
			continue
		}
		s.runs = append(s.runs, run{part, at, at + int(n)})
		s.share[part] = int32(at) //nolint:gosec // small
		at += int(n)
		s.begin(part)
	}
	s.rows = slices.Grow(s.rows[:0], at)[:at]
	for i, part := range s.to {
		s.rows[s.share[part]] = s.chosen[i]
		s.share[part]++
	}
}

// begin makes the chunk of a part where there is none.
func (s *scatterer) begin(part int) {
	c := s.open[part]
	if c == nil {
		c = s.plan.newChunk()
		s.plan.reserve(c, s.memory.chunkRows)
		s.open[part] = c
	}
	if c.n == 0 {
		c.order = s.n<<32 | s.made
		s.made++
	}
}

// give keeps a chunk for its part, or spills it where memory is full. The chunk is
// empty then.
func (s *scatterer) give(n int) error {
	c, p := s.open[n], &s.parts[n]
	one := c.stored(&s.scratch)
	if s.memory.keep(one) {
		one = one.kept()
	} else {
		var err error
		if one, err = s.spill(one); err != nil {
			return err
		}
	}
	c.reset()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stored = append(p.stored, one)
	return nil
}

// spill writes a packed chunk to the thread's file.
func (s *scatterer) spill(one stored) (stored, error) {
	if s.file == nil {
		f, err := s.newSpill()
		if err != nil {
			return stored{}, err
		}
		s.file = f
	}
	s.memory.spilled.Add(int64(one.size))
	return s.file.write(one)
}

// newSpill makes a spill file that is closed with the run.
func (r *runner) newSpill() (*spillFile, error) {
	f, err := newSpillFile(r.spec.Scratch)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = append(r.files, f)
	return f, nil
}

// used says whether an event is read and has no mark.
func (s *scatterer) used(block *chunk, row int) bool {
	times := &block.columns[s.plan.time]
	if times.null(row) {
		return false
	}
	if t := times.int64(row); t < s.limits.from || t >= s.limits.to {
		return false
	}
	if s.cursor.has(block.columns[s.plan.seq].int64(row)) {
		return false
	}
	if len(s.limits.until) == 0 {
		return true
	}
	until, bounded := s.limits.until[block.ordinal(s.plan.partition, row)]
	return !bounded || string(block.columns[s.plan.position].at(row)) < until
}

func (s *scatterer) fillHit(block *chunk) {
	hit, times := &block.columns[s.plan.hit], &block.columns[s.plan.time]
	for row := range block.n {
		v := byte(0)
		if t := times.int64(row); !times.null(row) && t >= s.limits.hitFrom && t < s.limits.hitTo {
			v = 1
		}
		hit.data = append(hit.data, v)
		hit.end(true)
	}
}

func (s *scatterer) fillKeys(block *chunk) (err error) {
	keys := &block.columns[s.plan.key]
	for row := range block.n {
		if s.key, err = s.plan.appendKey(s.key[:0], block, row); err != nil {
			return err
		}
		s.key = s.plan.appendVariant(s.key, s.variant)
		if s.plan.bucketd {
			s.key = s.appendBucket(s.key, block, row)
		}
		keys.append(s.key)
	}
	return nil
}

// isWanted says whether the event's key is one of Spec.Keys.
func (s *scatterer) isWanted(block *chunk, row int) bool {
	k := &block.columns[s.plan.key]
	if k.null(row) {
		return s.wantedNull
	}
	_, ok := s.wanted[string(s.plan.byOf(k.at(row)))]
	return ok
}

// readWanted makes the set of keys that are folded; nil: all.
func (r *runner) readWanted() {
	if r.spec.Keys == nil {
		return
	}
	r.wanted = map[string]struct{}{}
	for _, values := range r.spec.Keys {
		key, null, err := r.plan.keyOf(values)
		if err != nil {
			continue // no event has a key that is no value of its field
		}
		if null {
			r.wantedNull = true
			continue
		}
		r.wanted[string(key)] = struct{}{}
	}
}
