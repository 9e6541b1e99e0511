// Package disk keeps the archive in a folder of this machine. It is no cache:
// what is durable is in the folder, and of that it remembers only which folders it
// has synced. An object appears under its
// name by a hard link to a finished and synced file, so that it is there whole
// or not at all, and never replaces another. Names cannot lead out of the
// folder, not even over a symbolic link.
package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"recount"
	"recount/adapter"
	"recount/store"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Store, "disk", "The archive lies in a folder of this machine.",
		func(_ context.Context, env adapter.Env, c Config) (store.Store, error) {
			dir := c.Path
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(env.Dir, dir)
			}
			return Open(dir, env.Now)
		}))
}

// Config is the block `disk`.
type Config struct {
	Path string `json:"path" doc:"The folder; made when the first object is put."`
}

// hidden begins the names of the store's own files: unfinished objects and
// locks. No object's name has a part that begins so.
const (
	hidden     = ".tmp-"
	hiddenLock = ".lock-"
)

// Store is a folder of objects. It is safe for concurrent use.
type Store struct {
	dir    string
	now    func() time.Time
	system FileSystem

	mu      sync.Mutex
	durable map[string]bool // folders whose names this Store has synced
}

// Open returns the store of a folder, which need not exist yet. now tells the
// time for the lock's holder; it may be nil.
func Open(dir string, now func() time.Time) (*Store, error) { return OpenOn(machine{}, dir, now) }

// OpenOn returns the store of a folder of another file system than the machine's.
func OpenOn(system FileSystem, dir string, now func() time.Time) (*Store, error) {
	if dir == "" {
		return nil, &recount.Error{
			Code: recount.CodeConfig, What: "the archive has no folder", Where: "archive",
			Why: "an empty path names no folder", Next: "write archive: archive",
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open archive folder %q: %w", dir, err)
	}
	return &Store{dir: abs, now: now, system: system, durable: map[string]bool{}}, nil
}

// Place returns the folder.
func (s *Store) Place() string { return s.dir }

// Path returns the file of an object, after making sure that no symbolic link
// leads out of the folder.
func (s *Store) Path(name string) (string, error) {
	root, err := s.open("find", name)
	if errors.Is(err, recount.ErrNotFound) {
		return filepath.Join(s.dir, filepath.FromSlash(name)), nil
	}
	if err != nil {
		return "", err
	}
	defer closeQuietly(root)
	if _, err := root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", s.refused("find", name, err)
	}
	return filepath.Join(s.dir, filepath.FromSlash(name)), nil
}

// open opens the folder itself; recount.ErrNotFound where it does not exist.
func (s *Store) open(act, name string) (Folder, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	root, err := s.system.OpenRoot(s.dir)
	if err != nil {
		return nil, s.refused(act, name, err)
	}
	return root, nil
}

func checkName(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	for part := range strings.SplitSeq(name, "/") {
		if isHidden(part) {
			return &recount.Error{
				Code: recount.CodeStorage, What: "an object's name is not allowed", Where: name,
				Why:  fmt.Sprintf("names that begin with %s or %s are the folder's own", hidden, hiddenLock),
				Next: "rename the stream or file that the name was made from",
			}
		}
	}
	return nil
}

func isHidden(part string) bool {
	return strings.HasPrefix(part, hidden) || strings.HasPrefix(part, hiddenLock)
}

// Put writes a file of its own, syncs it, and links it to its name.
func (s *Store) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.makeDurable(s.dir); err != nil {
		return s.refused("make", name, err)
	}
	root, err := s.open("write", name)
	if err != nil {
		return err
	}
	defer closeQuietly(root)
	dir := path.Dir(name)
	if err := s.makeDirs(root, dir); err != nil {
		return s.refused("make the folder of", name, err)
	}
	if _, err := root.Lstat(name); err == nil {
		return taken(root, name)
	}
	tmp, err := newTemp(root, dir)
	if err != nil {
		return s.refused("write", name, err)
	}
	// The unfinished file is never visible; removing it only frees its room.
	defer func() { _ = root.Remove(tmp.name); closeQuietly(tmp.file) }()
	if err := s.fill(ctx, tmp.file, name, write); err != nil {
		return err
	}
	return s.publish(root, tmp.name, name)
}

// fill writes and syncs. After a failed sync the file is given up, never synced
// again: the kernel may have dropped what it could not write.
func (s *Store) fill(ctx context.Context, f File, name string, write func(io.Writer) error) error {
	const buffer = 256 << 10
	disk := &diskWriter{f: f}
	w := bufio.NewWriterSize(disk, buffer)
	if err := write(w); err != nil {
		if disk.err != nil {
			return s.refused("write", name, disk.err)
		}
		return fmt.Errorf("write %q: %w", name, err)
	}
	if err := w.Flush(); err != nil {
		return s.refused("write", name, err)
	}
	if err := f.Sync(); err != nil {
		return s.refused("sync", name, err)
	}
	return ctx.Err()
}

// diskWriter tells errors of the disk from errors of the caller.
type diskWriter struct {
	f   File
	err error
}

func (w *diskWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

func (s *Store) publish(root Folder, tmp, name string) error {
	if err := root.Link(tmp, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return taken(root, name)
		}
		return s.refused("link", name, err)
	}
	if err := syncDir(root, path.Dir(name)); err != nil {
		// The name is visible, but may be gone after a power cut.
		return fmt.Errorf("sync folder of %q: %w: %w", name, recount.ErrUnknown, err)
	}
	return nil
}

// taken says that a name is taken, once it is durable: who put it may have been
// killed before it was, or be doing it just now.
func taken(root Folder, name string) error {
	if err := syncDir(root, path.Dir(name)); err != nil {
		return fmt.Errorf("sync folder of %q: %w: %w", name, recount.ErrUnknown, err)
	}
	return fmt.Errorf("put %q: %w", name, recount.ErrExists)
}

// Open opens an object.
func (s *Store) Open(ctx context.Context, name string) (store.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.open("open", name)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(root)
	f, err := openFile(root, name)
	if err != nil {
		return nil, s.refused("open", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		closeQuietly(f)
		return nil, s.refused("open", name, err)
	}
	return &reader{File: f, store: s, name: name}, nil
}

// reader tells errors of the disk as the store's.
type reader struct {
	File
	store *Store
	name  string
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	return n, r.told(err)
}

func (r *reader) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.File.ReadAt(p, at)
	return n, r.told(err)
}

func (r *reader) told(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return r.store.refused("read", r.name, err)
}

// Stat returns the size of an object.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	root, err := s.open("stat", name)
	if err != nil {
		return 0, err
	}
	defer closeQuietly(root)
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, s.refused("stat", name, err)
	}
	return info.Size(), nil
}

// Delete removes an object and syncs its folder.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := s.open("delete", name)
	if errors.Is(err, recount.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeQuietly(root)
	if info, err := root.Lstat(name); err == nil && info.IsDir() {
		return nil // a folder is no object
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !notDir(err) {
		return s.refused("delete", name, err)
	} else if err != nil {
		return nil
	}
	if err := syncDir(root, path.Dir(name)); err != nil {
		return fmt.Errorf("sync folder of %q: %w: %w", name, recount.ErrUnknown, err)
	}
	return nil
}

// refused translates an error of the file system.
func (s *Store) refused(act, name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) || notDir(err):
		return fmt.Errorf("%s %q: %w", act, name, recount.ErrNotFound)
	case isFull(err):
		return &recount.Error{
			Code: recount.CodeStorage, What: "the archive's disk is full", Where: filepath.Join(s.dir, filepath.FromSlash(name)),
			Why: err.Error(), Err: err,
			Next: "make room on that disk, then run the command again: it goes on from the last commit",
		}
	case errors.Is(err, fs.ErrPermission):
		return &recount.Error{
			Code: recount.CodeStorage, What: "the archive's folder refused", Where: filepath.Join(s.dir, filepath.FromSlash(name)),
			Why: err.Error(), Err: errors.Join(recount.ErrPermission, err),
			Next: "give this user the right to read and write there, then run the command again",
		}
	}
	return &recount.Error{
		Code: recount.CodeStorage, What: fmt.Sprintf("the archive's folder could not %s an object", act),
		Where: filepath.Join(s.dir, filepath.FromSlash(name)), Why: err.Error(), Err: err,
		Next: "look at the folder and its disk, then run the command again",
	}
}

func closeQuietly(c io.Closer) { _ = c.Close() }
