package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"recount"
	"recount/target/internal/refusal"
)

// holder is what the lock file says of the run that holds it. It informs; the
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

// lock takes the ledger's lock, after making its folder.
func (l ledger) lock() (*os.File, error) {
	if err := l.makeFolder(); err != nil {
		return nil, l.t.refused("make the ledger's folder", err)
	}
	// The file stays for ever: removing it would let two processes hold locks on
	// two files of one name.
	f, err := os.OpenFile(l.at(lockName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, l.t.refused("lock the ledger", err)
	}
	held, err := tryLock(f)
	switch {
	case errors.Is(err, recount.ErrUnsupported):
		closeQuietly(f)
		return nil, &recount.Error{
			Code: recount.CodeUnsupported, What: "a file cannot be corrected on this system", Where: l.t.place, Why: err.Error(),
			Next: "run the apply on Linux, macOS or another Unix", Err: err,
		}
	case err != nil:
		closeQuietly(f)
		return nil, l.t.refused("lock the ledger", err)
	case !held:
		h := readHolder(f)
		closeQuietly(f)
		return nil, refusal.Locked(l.t.place, h.String()+" is writing it")
	}
	if err := l.writeHolder(f); err != nil {
		closeQuietly(f)
		return nil, l.t.refused("lock the ledger", err)
	}
	return f, nil
}

func (l ledger) makeFolder() error {
	parent := filepath.Dir(l.dir)
	for _, dir := range []string{parent, l.dir} {
		if exists(dir) {
			continue
		}
		if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

func (l ledger) writeHolder(f *os.File) error {
	h := holder{PID: os.Getpid()}
	h.Host, _ = os.Hostname() // without it the process is named alone
	if l.t.now != nil {
		h.Since = l.t.now().UTC().Truncate(time.Second)
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

func readHolder(f *os.File) holder {
	const most = 4096
	var h holder
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil || json.Unmarshal(text, &h) != nil {
		return holder{}
	}
	return h
}

func release(f *os.File) error {
	_ = f.Truncate(0) // the kernel's lock is what counts
	unlock(f)
	return f.Close()
}

// held says whether a run holds the lock.
func (l ledger) held() bool {
	f, err := os.Open(l.at(lockName))
	if err != nil {
		return false
	}
	defer closeQuietly(f)
	free, err := tryLock(f)
	if free {
		unlock(f)
	}
	return err == nil && !free
}
