package disk

import (
	"io"
	"io/fs"
	"os"

	"recount/internal/lockfile"
)

// FileSystem is what the store asks of the machine's file system, so that one
// which loses what was not synced can stand in for it. Errors are those of os.
type FileSystem interface {
	Stat(path string) (fs.FileInfo, error)
	Mkdir(path string, perm fs.FileMode) error
	// OpenRoot opens a folder out of which no name leads.
	OpenRoot(path string) (Folder, error)
}

// Folder is an open folder. Names are relative to it and lead to nothing outside.
type Folder interface {
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Mkdir(name string, perm fs.FileMode) error
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Link gives a file a second name; fs.ErrExist where the name is taken.
	Link(name, second string) error
	Remove(name string) error
	Close() error
}

// File is an open file, or a folder that is read or synced.
type File interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Writer
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	ReadDir(n int) ([]fs.DirEntry, error)
	Truncate(size int64) error
	// Sync makes a file's bytes durable, SyncDir a folder's names.
	Sync() error
	SyncDir() error
	// TryLock takes the lock that ends with the process; false where another holds
	// it.
	TryLock() (bool, error)
	Unlock()
	// Linked says whether the file still has a name.
	Linked() bool
}

// machine is this machine's file system.
type machine struct{}

func (machine) Stat(path string) (fs.FileInfo, error)     { return os.Stat(path) }
func (machine) Mkdir(path string, perm fs.FileMode) error { return os.Mkdir(path, perm) }

func (machine) OpenRoot(path string) (Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return folder{root}, nil
}

type folder struct{ *os.Root }

func (r folder) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := r.Root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

type osFile struct{ *os.File }

func (f osFile) SyncDir() error         { return fsyncDir(f.File) }
func (f osFile) TryLock() (bool, error) { return lockfile.Try(f.File) }
func (f osFile) Unlock()                { lockfile.Unlock(f.File) }
func (f osFile) Linked() bool           { return linked(f.File) }
