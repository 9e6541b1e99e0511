package tobus

import (
	"strconv"
	"sync"
)

// Places is a set of places in an archive: partitions with positions. Positions that
// are numbers take a bit each where they lie close together. It is safe for
// concurrent use.
type Places struct {
	mu         sync.Mutex
	partitions map[string]*partition
	n          int64
}

type partition struct {
	chunks map[uint64]*[chunkWords]uint64
	texts  map[string]bool // positions that are no numbers
}

const (
	chunkWords = 16
	chunkBits  = 64 * chunkWords
)

// Add adds a place.
func (p *Places) Add(name, position string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.partitions[name]
	if part == nil {
		part = &partition{chunks: map[uint64]*[chunkWords]uint64{}, texts: map[string]bool{}}
		if p.partitions == nil {
			p.partitions = map[string]*partition{}
		}
		p.partitions[name] = part
	}
	n, err := strconv.ParseUint(position, 10, 64)
	if err != nil {
		if !part.texts[position] {
			part.texts[position] = true
			p.n++
		}
		return
	}
	chunk := part.chunks[n/chunkBits]
	if chunk == nil {
		chunk = &[chunkWords]uint64{}
		part.chunks[n/chunkBits] = chunk
	}
	word, bit := n%chunkBits/64, uint64(1)<<(n%64)
	if chunk[word]&bit == 0 {
		chunk[word] |= bit
		p.n++
	}
}

// Has says whether a place was added.
func (p *Places) Has(name, position string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.partitions[name]
	if part == nil {
		return false
	}
	n, err := strconv.ParseUint(position, 10, 64)
	if err != nil {
		return part.texts[position]
	}
	chunk := part.chunks[n/chunkBits]
	return chunk != nil && chunk[n%chunkBits/64]&(1<<(n%64)) != 0
}

// Len is how many places there are.
func (p *Places) Len() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}
