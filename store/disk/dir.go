package disk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"recount"
)

// makeDurable makes the store's own folder, and each above it that is missing. A
// folder that is there may be one that a killed process made and did not sync, so
// that each is synced once by every Store.
func (s *Store) makeDurable(dir string) error {
	info, err := s.system.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is a file, no folder", dir)
	case err == nil && s.isDurable(dir):
		return nil
	}
	there, parent := err == nil, filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	if err := s.makeDurable(parent); err != nil {
		return err
	}
	if !there {
		if err := s.system.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	err = s.syncPath(parent)
	if there && errors.Is(err, fs.ErrPermission) {
		err = nil // who may not read a folder has made nothing in it
	}
	if err == nil {
		s.setDurable(dir)
	}
	return err
}

func (s *Store) syncPath(dir string) error {
	root, err := s.system.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer closeQuietly(root)
	return syncDir(root, ".")
}

// makeDirs makes the folders of an object; the parent of each is synced, or the
// object's name could be lost with it.
func (s *Store) makeDirs(root Folder, dir string) error {
	if dir == "." {
		return nil
	}
	full := filepath.Join(s.dir, dir)
	info, err := root.Stat(dir)
	there := err == nil && info.IsDir()
	if there && s.isDurable(full) {
		return nil
	}
	if err := s.makeDirs(root, path.Dir(dir)); err != nil {
		return err
	}
	if !there {
		if err := root.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	// Also where another writer made it, now or before it was killed: ours must not
	// return before the folder is durable.
	if err := syncDir(root, path.Dir(dir)); err != nil {
		return err
	}
	s.setDurable(full)
	return nil
}

func (s *Store) isDurable(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable[dir]
}

func (s *Store) setDurable(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable[dir] = true
}

// openFile opens a file or folder for reading.
func openFile(root Folder, name string) (File, error) { return root.OpenFile(name, os.O_RDONLY, 0) }

func syncDir(root Folder, dir string) error {
	f, err := openFile(root, dir)
	if err != nil {
		return err
	}
	defer closeQuietly(f)
	return f.SyncDir()
}

// temp is an unfinished object. Its file is locked as long as its writer lives.
type temp struct {
	name string
	file File
}

// newTemp makes an unfinished file in the object's own folder, so that a link
// never crosses file systems.
func newTemp(root Folder, dir string) (temp, error) {
	const attempts = 100
	var last error
	for range attempts {
		var random [8]byte
		if _, err := rand.Read(random[:]); err != nil {
			return temp{}, err
		}
		name := path.Join(dir, hidden+hex.EncodeToString(random[:]))
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			if last = err; errors.Is(err, fs.ErrExist) {
				continue
			}
			return temp{}, err
		}
		// A sweep may have taken the file between its making and its lock.
		if held, err := f.TryLock(); err != nil || !held || !f.Linked() {
			closeQuietly(f)
			_ = root.Remove(name)
			if last = err; err != nil {
				return temp{}, err
			}
			continue
		}
		return temp{name: name, file: f}, nil
	}
	return temp{}, fmt.Errorf("make an unfinished file in %q: %w", dir, last)
}

// sweep removes unfinished files whose writer is gone, below a folder.
func sweep(root Folder, dir string) error {
	return walk(root, dir, func(name string, d fs.DirEntry) error {
		if !strings.HasPrefix(d.Name(), hidden) {
			return nil
		}
		f, err := openFile(root, name)
		if err != nil {
			return nil // its writer removed it meanwhile
		}
		defer closeQuietly(f)
		if held, err := f.TryLock(); err == nil && held {
			_ = root.Remove(name)
		}
		return nil
	})
}

// walk visits the regular files below dir in order of their names, where "/"
// sorts as itself. Symbolic links are passed over.
func walk(root Folder, dir string, each func(name string, d fs.DirEntry) error) error {
	f, err := openFile(root, dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || notDir(err) {
			return nil
		}
		return err
	}
	entries, err := f.ReadDir(-1)
	closeQuietly(f)
	if err != nil {
		return err
	}
	// A folder sorts as its name with the slash that all its objects have.
	key := func(d fs.DirEntry) string {
		if d.IsDir() {
			return d.Name() + "/"
		}
		return d.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(key(a), key(b)) })
	for _, d := range entries {
		name := path.Join(dir, d.Name())
		switch {
		case d.IsDir():
			err = walk(root, name, each)
		case d.Type().IsRegular():
			err = each(name, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// List calls each for every object whose name begins with prefix.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	root, err := s.system.OpenRoot(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.refused("list", prefix, err)
	}
	defer closeQuietly(root)
	dir := "."
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		if err := checkName(prefix[:i]); err != nil {
			return err
		}
		dir = prefix[:i]
	}
	err = walk(root, dir, func(name string, d fs.DirEntry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if isHidden(d.Name()) || !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return s.refused("list", name, err)
		}
		return each(name, info.Size())
	})
	var own *fs.PathError
	if errors.As(err, &own) && recountError(err) == nil {
		return s.refused("list", prefix, err)
	}
	return err
}

func recountError(err error) *recount.Error {
	var e *recount.Error
	errors.As(err, &e)
	return e
}
