package gofold

import (
	"encoding/binary"
	"fmt"
	"os"
)

// trail is where each thread notes the event that it is at: a file that is a part
// of the process's memory, so that it is whole even if the process is killed. It
// tells at which event a fold ended its process, or hangs.
type trail struct {
	path string
	mem  []byte
	free func() error
}

// slotBytes keeps threads off each other's cache lines.
const slotBytes = 64

// slot is the note of thread n.
func (t *trail) slot(n int) []byte {
	if t == nil || (n+1)*slotBytes > len(t.mem) {
		return make([]byte, 8) // nobody reads it
	}
	return t.mem[n*slotBytes : n*slotBytes+8]
}

// readTrail reads which events the threads are at; 0 is none.
func readTrail(path string) ([]int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the trail of a fold: %w", err)
	}
	var seqs []int64
	for at := 0; at+slotBytes <= len(b); at += slotBytes {
		seqs = append(seqs, int64(binary.LittleEndian.Uint64(b[at:])))
	}
	return seqs, nil
}
