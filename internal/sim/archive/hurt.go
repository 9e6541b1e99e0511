package main

import (
	"math/rand/v2"
	"sync"
	"syscall"

	"recount"
	"recount/internal/sim/archive/fakestore"
)

// hurt lets something happen at the nth operation of an archiver.
type hurt struct {
	mu    sync.Mutex
	n     int
	cut   func() // ends the process so many operations later; nil: nothing does
	later int
	gone  bool
	disk  bool
	which int
}

func newHurt(n int, w *world, rng *rand.Rand) *hurt {
	return &hurt{n: n, disk: w.disk != nil, which: rng.IntN(1 << 10)}
}

func (h *hurt) at(op operation, act func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n--; h.n == -1 {
		if err := act(); err != nil {
			return err
		}
	}
	if h.cut != nil && h.n == -1-h.later {
		h.cut()
		h.gone = true
	}
	if h.gone {
		return errGone
	}
	return nil
}

// alive is the error of a process that is gone.
func (h *hurt) alive() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return errGone
	}
	return nil
}

// failure is what an operation meets: a broker that is down, a full or broken
// disk, an object store that refuses or does not answer.
func (h *hurt) failure(op operation) error {
	if op.bus {
		return &recount.Error{
			Code: recount.CodeSourceFile, What: "the broker does not answer", Where: "fake://broker/topic", Why: "connection refused",
			Next: "run the command again when it is up",
		}
	}
	if h.disk {
		return []syscall.Errno{syscall.EIO, syscall.ENOSPC}[h.which%2]
	}
	outcomes := []fakestore.Outcome{fakestore.Failed, fakestore.Lost, fakestore.Unsent, fakestore.Late, fakestore.Bent}
	switch {
	case op.kind != fakestore.Complete:
		outcomes = outcomes[:1]
	case isCommit(op.name): // of its bytes nothing but the log itself could tell
		outcomes = outcomes[:4]
	}
	return outcomeError(outcomes[h.which%len(outcomes)])
}
