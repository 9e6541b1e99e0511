package files

import (
	"errors"
	"os"
	"path/filepath"

	"recount"
	"recount/internal/lockfile"
	"recount/target/internal/refusal"
)

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
	held, err := lockfile.Try(f)
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
		h := lockfile.Read(f)
		closeQuietly(f)
		return nil, refusal.Locked(l.t.place, h.String()+" is writing it")
	}
	if err := lockfile.Own(l.t.now).Write(f); err != nil {
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

func release(f *os.File) error {
	_ = f.Truncate(0) // the kernel's lock is what counts
	lockfile.Unlock(f)
	return f.Close()
}

// held says whether a run holds the lock.
func (l ledger) held() bool {
	f, err := os.Open(l.at(lockName))
	if err != nil {
		return false
	}
	defer closeQuietly(f)
	free, err := lockfile.Try(f)
	if free {
		lockfile.Unlock(f)
	}
	return err == nil && !free
}
