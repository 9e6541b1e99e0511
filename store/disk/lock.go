package disk

import (
	"context"
	"fmt"
	"os"
	"path"

	"recount"
	"recount/internal/lockfile"
)

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
		h := lockfile.Read(f)
		closeQuietly(f)
		return nil, fmt.Errorf("lock %q: held by %s: %w", name, h, recount.ErrLocked)
	}
	if err := lockfile.Own(s.now).Write(f); err != nil {
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
