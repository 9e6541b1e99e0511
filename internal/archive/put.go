package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
	"time"

	"recount"
	"recount/store"
)

// spool is a finished object in memory, with its digest. Files are encoded into
// it, since their names hold their digest.
type spool struct {
	chunks [][]byte
	size   int64
	sum    hash.Hash
	mine   atomic.Int64 // room that it takes
}

func newSpool() *spool { return &spool{sum: sha256.New()} }

const (
	smallChunk = 16 << 10
	largeChunk = 512 << 10
)

// Write keeps p.
func (s *spool) Write(p []byte) (int, error) {
	s.sum.Write(p)
	s.size += int64(len(p))
	n := len(p)
	for len(p) > 0 {
		last := len(s.chunks) - 1
		if last < 0 || len(s.chunks[last]) == cap(s.chunks[last]) {
			room := min(max(smallChunk, int(s.mine.Load())), largeChunk)
			s.chunks = append(s.chunks, make([]byte, 0, room))
			s.mine.Add(int64(room))
			last++
		}
		chunk := s.chunks[last]
		take := min(len(p), cap(chunk)-len(chunk))
		s.chunks[last] = append(chunk, p[:take]...)
		p = p[take:]
	}
	return n, nil
}

func (s *spool) writeTo(w io.Writer) error {
	if t, ok := w.(store.Taker); ok {
		return t.Take(held{s.chunks, s.size, s.sum.Sum(nil)})
	}
	for _, chunk := range s.chunks {
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// held is what a spool holds when it is finished, for a store that takes it as it
// is. The spool may give its room back while a request that is over still reads.
type held struct {
	chunks [][]byte
	size   int64
	digest []byte
}

// Size is how many bytes there are.
func (h held) Size() int64 { return h.size }

// SHA256 is their digest.
func (h held) SHA256() []byte { return h.digest }

// ReadAt reads from an offset on.
func (h held) ReadAt(p []byte, off int64) (n int, err error) {
	for _, chunk := range h.chunks {
		if off >= int64(len(chunk)) {
			off -= int64(len(chunk))
			continue
		}
		n += copy(p[n:], chunk[off:])
		if off = 0; n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

// finished is an object that is ready to be put: in memory, or on disk.
type finished interface {
	writeTo(w io.Writer) error
	digest() string
	length() int64
}

func (s *spool) length() int64 { return s.size }

func (s *spool) digest() string { return hex.EncodeToString(s.sum.Sum(nil)) }

// release gives the room back.
func (s *spool) release() {
	s.chunks = nil
	s.mine.Store(0)
}

// attempts bounds how often a write with an unknown outcome, or a taken name, is
// tried again.
const attempts = 5

// keep puts an object under a name made from base and its digest, reads it back,
// and returns the name. An object that a crashed run left under that name is
// used if it is the same, and passed by if not.
func (a *Archive) keep(ctx context.Context, base string, s finished) (name, digest string, err error) {
	const short = 8
	digest = s.digest()
	name = base + "-" + digest[:short] + ".parquet"
	for try := 1; ; try++ {
		putErr := a.store.Put(ctx, name, s.writeTo)
		if putErr != nil && !errors.Is(putErr, recount.ErrExists) && !errors.Is(putErr, recount.ErrUnknown) {
			return "", "", fmt.Errorf("put %q: %w", name, putErr)
		}
		readErr := a.check(ctx, name, s.length(), digest)
		var differs *differsError
		switch {
		case readErr == nil && !errors.Is(putErr, recount.ErrUnknown):
			return name, digest, nil
		case try == attempts:
			return "", "", a.unkept(name, errors.Join(putErr, readErr))
		case errors.Is(readErr, recount.ErrNotFound): // the outcome was unknown, and now is: no
		case readErr == nil: // it is there; whether it stays, another put says
		case errors.As(readErr, &differs):
			// Also a put that said yes: what was kept is not what was written, and
			// an object is never changed.
			name = fmt.Sprintf("%s-%s-%d.parquet", base, digest[:short], try)
		default:
			return "", "", fmt.Errorf("read back %q: %w", name, readErr)
		}
	}
}

func (a *Archive) unkept(name string, err error) error {
	return &recount.Error{
		Code: recount.CodeStorage, What: "the archive's store does not keep what is written", Where: a.where(name),
		Why:  fmt.Sprintf("after %d tries the object does not read back as written: %v", attempts, err),
		Next: "check the store's disk; nothing of this run's last batch was committed", Err: err,
	}
}

// differsError says how an object differs from what was committed.
type differsError struct {
	missing           bool
	gotSize, size     int64
	gotDigest, digest string
}

func (e *differsError) Error() string {
	switch {
	case e.missing:
		return "it is missing"
	case e.gotSize < e.size:
		return fmt.Sprintf("it was cut: %d of %d bytes are there", e.gotSize, e.size)
	case e.gotSize > e.size:
		return fmt.Sprintf("it has %d bytes, not %d", e.gotSize, e.size)
	}
	return fmt.Sprintf("its bytes were changed: their SHA-256 is %.8s…, not %.8s…", e.gotDigest, e.digest)
}

// check reads an object whole and compares size and SHA-256; a *differsError
// says that they differ.
func (a *Archive) check(ctx context.Context, name string, size int64, digest string) error {
	return a.checkInto(ctx, name, size, digest, io.Discard)
}

// checkInto also copies the object's bytes to w while it reads them.
func (a *Archive) checkInto(ctx context.Context, name string, size int64, digest string, w io.Writer) error {
	r, err := a.store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	sum := sha256.New()
	buf := make([]byte, min(size+1, largeChunk)) // one more, to see what is too long
	n := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := r.Read(buf)
		sum.Write(buf[:got])
		n += int64(got)
		if _, writeErr := w.Write(buf[:got]); writeErr != nil {
			return fmt.Errorf("copy %q: %w", name, writeErr)
		}
		if errors.Is(err, io.EOF) || n > size {
			break
		}
		if err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != size || got != digest {
		return &differsError{gotSize: n, size: size, gotDigest: got, digest: digest}
	}
	return nil
}

// putCommit makes a commit visible, if no other run was first.
func (a *Archive) putCommit(ctx context.Context, c *commit) (digest string, err error) {
	object, digest, err := c.encode()
	if err != nil {
		return "", err
	}
	name := commitName(c.Stream, c.Number)
	for try := 1; ; try++ {
		putErr := a.store.Put(ctx, name, func(w io.Writer) error {
			_, err := w.Write(object)
			return err
		})
		if putErr != nil && !errors.Is(putErr, recount.ErrExists) && !errors.Is(putErr, recount.ErrUnknown) {
			return "", fmt.Errorf("put commit %d of stream %q: %w", c.Number, c.Stream, putErr)
		}
		found, readErr := a.read(ctx, name)
		switch {
		case readErr == nil && !bytes.Equal(found, object):
			return "", a.lostRace(c)
		case readErr == nil && !errors.Is(putErr, recount.ErrUnknown):
			return digest, nil
		case readErr == nil && try < attempts: // it is there; whether it stays, another put says
		case errors.Is(readErr, recount.ErrNotFound) && try < attempts: // the outcome was unknown, and now is: no
		default:
			return "", &recount.Error{
				Code: recount.CodeStorage, What: "it is not known whether the last commit was made", Where: a.where(name),
				Why:  fmt.Sprintf("writing it said %v, and reading it %v", putErr, readErr),
				Next: fmt.Sprintf("recount archive run %s --once: it finds out and goes on from there", c.Stream), Err: errors.Join(putErr, readErr),
			}
		}
	}
}

// confirm makes sure that the newest commit is durable before anything follows
// from it: a run that was killed while it was made leaves it to be seen, and a
// source forgets what a commit holds.
func (a *Archive) confirm(ctx context.Context, ch *chain) error {
	if ch.snapshot.Commit == 0 {
		return nil
	}
	name := commitName(ch.stream, ch.snapshot.Commit)
	object, err := a.read(ctx, name)
	if err != nil {
		return fmt.Errorf("read commit %d of stream %q: %w", ch.snapshot.Commit, ch.stream, err)
	}
	for try := 1; ; try++ {
		err := a.store.Put(ctx, name, func(w io.Writer) error {
			_, err := w.Write(object)
			return err
		})
		switch {
		case err == nil || errors.Is(err, recount.ErrExists):
			return nil
		case errors.Is(err, recount.ErrUnknown) && try < attempts:
		default:
			return fmt.Errorf("confirm commit %d of stream %q: %w", ch.snapshot.Commit, ch.stream, err)
		}
	}
}

func (a *Archive) lostRace(c *commit) error {
	return &recount.Error{
		Code: recount.CodeArchiveLocked, What: "another process archived this stream at the same time", Where: a.where(commitName(c.Stream, c.Number)),
		Why:  fmt.Sprintf("commit %d was made by another run; what this run read since commit %d is not committed", c.Number, c.Number-1),
		Next: fmt.Sprintf("let one process archive a stream; then recount archive run %s --once", c.Stream), Err: recount.ErrLocked,
	}
}

// Upkeep is commits that bring no event: they join files, or take out old ones.
// They move neither cursor nor sequence number nor watermark, so that an archiver
// which meets one goes on as if it had not been there. Of those who make them, one
// a stream is at work.
func (a *Archive) lockUpkeep(ctx context.Context, stream string) (unlock func() error, err error) {
	unlock, err = a.store.Lock(ctx, metaFolder+stream+"/upkeep")
	switch {
	case errors.Is(err, recount.ErrUnsupported):
		return func() error { return nil }, nil // of two, one finds its commit's number taken
	case errors.Is(err, recount.ErrLocked):
		return nil, &recount.Error{
			Code: recount.CodeArchiveLocked, What: "another process compacts or expires this stream", Where: a.where(stream), Why: err.Error(), Err: err,
			Next: "wait until it is done, then run the command again",
		}
	case err != nil:
		return nil, fmt.Errorf("lock the upkeep of stream %q: %w", stream, err)
	}
	return unlock, nil
}

// upkeep begins a commit that follows a chain and brings nothing.
func (a *Archive) upkeep(ch *chain, program string) *commit {
	s := ch.snapshot
	return &commit{
		Stream: ch.stream, Number: s.Commit + 1, Previous: s.ID, At: a.clock.Now().UTC().Truncate(time.Microsecond), Program: program,
		Mapping: s.Mapping, Fields: fieldEntries(s.Fields), Lateness: s.Lateness.String(), Watermark: timeText(s.Watermark), LastSeq: ch.lastSeq,
		Cursor: map[string]string{}, Files: []fileEntry{}, Marks: []marksEntry{}, Marked: []markedEntry{},
	}
}

// isUpkeep says whether the commit only joins or takes out files.
func (c *commit) isUpkeep() bool {
	return len(c.Replaces)+len(c.Removes) > 0 && c.Counts == counts{} &&
		len(c.Cursor)+len(c.Marks)+len(c.Marked)+len(c.Gaps)+len(c.Pulled)+len(c.PulledCursor) == 0
}

// catchUp adds the commits of upkeep that follow the chain, and stops before any
// other. What a pending commit says of files that they took out is said of those
// that stand for them.
func (a *Archive) catchUp(ctx context.Context, ch *chain, pending *commit) (moved bool, err error) {
	for {
		name := commitName(ch.stream, ch.snapshot.Commit+1)
		object, err := a.read(ctx, name)
		if errors.Is(err, recount.ErrNotFound) {
			return moved, nil
		}
		if err != nil {
			return moved, fmt.Errorf("look for commits after %d of stream %q: %w", ch.snapshot.Commit, ch.stream, err)
		}
		c, digest, err := decodeCommit(object)
		if err != nil || !c.isUpkeep() {
			return moved, nil //nolint:nilerr // whoever wants this number is told that it is taken
		}
		if pending != nil {
			pending.follow(c, ch)
		}
		if err := ch.add(c, digest); err != nil {
			return moved, a.damagedCommit(ch, name, err)
		}
		ch.note(c, digest)
		moved = true
	}
}

// follow renames the files that a commit marks to those by which upkeep replaces
// them, and forgets marks about events that it took out.
func (c *commit) follow(upkeep *commit, ch *chain) {
	stands := map[string]string{}
	for _, f := range ch.snapshot.Files {
		stands[f.Name] = f.Name
	}
	for _, d := range upkeep.Removes {
		delete(stands, d)
	}
	replaced := map[string]bool{}
	for _, name := range upkeep.Replaces {
		replaced[name] = true
	}
	for _, old := range ch.snapshot.Files {
		for i := range upkeep.Files {
			if n := &upkeep.Files[i]; replaced[old.Name] && n.standsFor(old) {
				stands[old.Name] = n.Name
			}
		}
	}
	marked := []markedEntry{}
	at := map[string]int{}
	for _, m := range c.Marked {
		name, there := stands[m.Name]
		if !there {
			continue
		}
		i, known := at[name]
		if !known {
			i = len(marked)
			at[name], marked = i, append(marked, markedEntry{Name: name})
		}
		marked[i].Repeats += m.Repeats
		marked[i].Conflicts += m.Conflicts
	}
	c.Marked = marked
}

// standsFor says whether a compacted file holds the events of one that it
// replaced: those of an hour and a kind of payload follow one another.
func (f *fileEntry) standsFor(old recount.DataFile) bool {
	first, err := parseTime(f.FirstTime)
	if err != nil || (f.FirstTime != "") != old.TimeKnown || f.Format != old.Format || f.Header != old.Header {
		return false
	}
	sameHour := !old.TimeKnown || hourOf(first.UnixMicro()) == hourOf(old.FirstTime.UnixMicro())
	return sameHour && f.FirstSeq <= old.FirstSeq && old.LastSeq <= f.LastSeq
}

// putAfter puts a commit. Where only upkeep was first, the commit is numbered
// anew and put after it; the chain then has the commits that came between.
func (a *Archive) putAfter(ctx context.Context, ch *chain, c *commit) (digest string, err error) {
	for {
		digest, err := a.putCommit(ctx, c)
		if !errors.Is(err, recount.ErrLocked) {
			return digest, err
		}
		moved, caughtErr := a.catchUp(ctx, ch, c)
		if caughtErr != nil || !moved {
			return "", errors.Join(caughtErr, err)
		}
		c.Number, c.Previous = ch.snapshot.Commit+1, ch.snapshot.ID
		if err := a.stillThere(ctx, c); err != nil {
			return "", err
		}
	}
}

// stillThere looks at the files of a commit that others overtook: if its process
// stood still for longer than leftovers are kept, they may have been taken for some.
func (a *Archive) stillThere(ctx context.Context, c *commit) error {
	names := []string{}
	for _, f := range c.Files {
		if f.Origin == "" {
			names = append(names, f.Name)
		}
	}
	for _, m := range c.Marks {
		names = append(names, m.Name)
	}
	for _, name := range names {
		if _, err := a.store.Stat(ctx, name); err != nil {
			return fmt.Errorf("look for %q, which was not committed yet: %w", name, err)
		}
	}
	return nil
}
