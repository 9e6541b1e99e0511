package sandbox

import (
	"encoding/binary"
	"math/rand/v2"
)

// random makes bytes from a seed: the same for the same seed, for ever.
type random struct{ from *rand.ChaCha8 }

func newRandom(seed uint64) random {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	copy(key[8:], "recount: chance of a replay")
	return random{rand.NewChaCha8(key)}
}

func (r random) fill(b []byte) { _, _ = r.from.Read(b) }
