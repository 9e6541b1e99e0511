package disk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"recount"
)

// holder is what a lock file says of the process that holds it. It informs; the
// lock itself is the kernel's and ends with the process.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// String shows the holder to a person.
func (h holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	text := fmt.Sprintf("process %d on %s", h.PID, h.Host)
	if !h.Since.IsZero() {
		text += " since " + recount.FormatTimestamp(h.Since)
	}
	return text
}

// Lock takes the writer's lock. Whoever holds it also clears away unfinished
// files of writers that are gone.
func (s *Store) Lock(ctx context.Context, name string) (func() error, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.makeDurable(s.dir); err != nil {
		return nil, s.refused("make", name, err)
	}
	root, err := s.open("lock", name)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(root)
	dir := path.Dir(name)
	if err := s.makeDirs(root, dir); err != nil {
		return nil, s.refused("make the folder of", name, err)
	}
	// The file stays for ever: removing it would let two processes hold locks on
	// two files of one name.
	f, err := root.OpenFile(path.Join(dir, hiddenLock+path.Base(name)), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, s.refused("lock", name, err)
	}
	held, err := f.TryLock()
	if err != nil {
		closeQuietly(f)
		return nil, s.refused("lock", name, err)
	}
	if !held {
		h := readHolder(f)
		closeQuietly(f)
		return nil, fmt.Errorf("lock %q: held by %s: %w", name, h, recount.ErrLocked)
	}
	if err := s.writeHolder(f); err != nil {
		closeQuietly(f)
		return nil, s.refused("lock", name, err)
	}
	if err := sweep(root, "."); err != nil {
		closeQuietly(f)
		return nil, s.refused("clear away unfinished files beside", name, err)
	}
	return func() error {
		_ = f.Truncate(0) // the kernel's lock is what counts
		f.Unlock()
		return f.Close()
	}, nil
}

func (s *Store) writeHolder(f File) error {
	h := holder{PID: os.Getpid()}
	h.Host, _ = os.Hostname()
	if s.now != nil {
		h.Since = s.now().UTC().Truncate(time.Second)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

func readHolder(f File) holder {
	const most = 4096
	var h holder
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil || json.Unmarshal(text, &h) != nil {
		return holder{}
	}
	return h
}
