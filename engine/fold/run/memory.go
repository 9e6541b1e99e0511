package run

import (
	"sync"
	"sync/atomic"
)

const (
	// defaultMemory is what a run may use where nobody says.
	defaultMemory = 256 << 20
	// leastChunk and mostChunk bound how many rows a chunk has before it is spilled
	// or kept: small ones cost a call each, large ones cost memory.
	leastChunk, mostChunk = 64, 8192
	textGuess             = 24
)

// leastShare is what a thread needs to group anything at all.
var leastShare int64 = 64 << 10

// budget divides Spec.Memory among what a run holds. Half is left to the Go
// runtime, whose heap grows beyond what is in use before it is cleared.
type budget struct {
	chunkRows  int
	chunkBytes int
	kept       int64 // of chunks that wait for their part's turn
	gather     int64 // of one thread's part
	records    int64 // of rows that are to be written

	held    atomic.Int64 // of kept
	written atomic.Int64 // of records
	spilled atomic.Int64

	mu     sync.Mutex
	free   []*chunk
	wholes []*chunk // as large as parts
}

// mostPart bounds a part that is grouped in memory: offsets in it have 32 bits.
const mostPart = 1 << 31

func (r *runner) divide() *budget {
	total := r.spec.Memory
	if total <= 0 {
		total = defaultMemory
	}
	const runtimes, chunks, kept, gather, records = 2, 8, 2, 4, 8
	use := total / runtimes
	row := 0
	for _, s := range r.plan.slots {
		if !s.kept {
			continue
		}
		row += s.width
		if s.width == 0 {
			row += textGuess
		}
	}
	open := int(use/chunks) / (r.threads * len(r.parts))
	return &budget{
		chunkRows:  min(max(open/max(row, 1), leastChunk), mostChunk),
		chunkBytes: max(open, leastChunk*row),
		kept:       use / kept,
		gather:     max(use/gather/int64(r.threads), leastShare),
		records:    use / records,
	}
}

// chunk returns an empty chunk of the plan.
func (m *budget) chunk(p *plan) *chunk {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		c := m.free[n-1]
		m.free = m.free[:n-1]
		return c
	}
	return p.newChunk()
}

// give takes a chunk that nobody uses any more.
func (m *budget) give(c *chunk) {
	c.reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	const most = 64
	if len(m.free) < most {
		m.free = append(m.free, c)
	}
}

// block is how many bytes of each file of rows are in memory while they are
// merged.
func (m *budget) block(parts int) int {
	const least, most = 1 << 10, 32 << 10
	return min(max(int(m.records)/(2*parts), least), most)
}

// whole returns an empty chunk for a part.
func (m *budget) whole(p *plan) *chunk {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.wholes); n > 0 {
		c := m.wholes[n-1]
		m.wholes = m.wholes[:n-1]
		return c
	}
	return p.newChunk()
}

// giveWhole takes a part's chunk that nobody uses any more.
func (m *budget) giveWhole(c *chunk) {
	c.reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wholes = append(m.wholes, c)
}
