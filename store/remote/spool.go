package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"recount"
	"recount/store"
)

// inMemory is how much of an object is kept in memory; more goes to a scratch
// file.
const inMemory = 8 << 20

// Spool is an object that was written whole but not yet sent: its size and
// digest are known, and it can be sent again. What fails while it is being
// written never reaches the store.
type Spool struct {
	mem  bytes.Buffer
	file *os.File
	size int64
	sum  hash.Hash
	err  error // of the scratch file
	// taken is the object itself, where its writer holds it; nothing is kept then.
	taken store.Object
}

// Fill lets write write into a new spool. Close it.
func Fill(ctx context.Context, name string, write func(io.Writer) error) (*Spool, error) {
	s := &Spool{sum: sha256.New()}
	err := write(s)
	switch {
	case s.err != nil:
		err = &recount.Error{
			Code: recount.CodeStorage, What: "a scratch file cannot be written", Where: os.TempDir(), Why: s.err.Error(), Err: s.err,
			Next: "make room there, or set TMPDIR to a larger disk, then run the command again",
		}
	case err != nil:
		err = fmt.Errorf("write %q: %w", name, err)
	default:
		err = ctx.Err()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Take keeps an object that is whole.
func (s *Spool) Take(o store.Object) error {
	if s.size > 0 || s.taken != nil {
		return errMixed
	}
	s.taken, s.size = o, o.Size()
	return nil
}

var errMixed = errors.New("something else was written already")

// Write keeps p.
func (s *Spool) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.taken != nil {
		return 0, errMixed
	}
	if s.file == nil && s.mem.Len()+len(p) > inMemory {
		if s.file, s.err = os.CreateTemp("", "recount-put-*"); s.err != nil {
			return 0, s.err
		}
		if _, s.err = s.file.Write(s.mem.Bytes()); s.err != nil {
			return 0, s.err
		}
		s.mem = bytes.Buffer{}
	}
	n := len(p)
	if s.file != nil {
		n, s.err = s.file.Write(p)
	} else {
		s.mem.Write(p)
	}
	s.sum.Write(p[:n])
	s.size += int64(n)
	return n, s.err
}

// Size is the object's size in bytes.
func (s *Spool) Size() int64 { return s.size }

// SHA256 is the object's digest.
func (s *Spool) SHA256() []byte {
	if s.taken != nil {
		return s.taken.SHA256()
	}
	return s.sum.Sum(nil)
}

// Section returns n bytes of the object from offset at.
func (s *Spool) Section(at, n int64) *io.SectionReader {
	switch {
	case s.taken != nil:
		return io.NewSectionReader(s.taken, at, n)
	case s.file != nil:
		return io.NewSectionReader(s.file, at, n)
	}
	return io.NewSectionReader(bytes.NewReader(s.mem.Bytes()), at, n)
}

// Close frees the spool's room.
func (s *Spool) Close() {
	s.mem, s.taken = bytes.Buffer{}, nil
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// Token returns a text that no other put has. It is kept with the object, so
// that a put whose answer was lost can be told from another writer's.
func Token() (string, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return hex.EncodeToString(random[:]), nil
}

// Pause waits before the nth try again, from 1: from a tenth of a second up to
// 3 seconds. Of two who wait each waits another time. It returns false where ctx
// ends.
func Pause(ctx context.Context, nth int) bool {
	const first, longest = 100 * time.Millisecond, 3 * time.Second
	wait := min(first<<min(nth-1, 10), longest)
	var random [1]byte
	_, _ = rand.Read(random[:])
	wait = wait/2 + wait/2*time.Duration(random[0])/255
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
