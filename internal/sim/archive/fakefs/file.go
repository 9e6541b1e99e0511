package fakefs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"syscall"
	"time"
)

// file is an open file or folder.
type file struct {
	system *System
	name   string
	node   *node
	at     int64
	closed bool
}

var errNegative = errors.New("negative offset")

func (f *file) content() []byte {
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	return f.node.data
}

// Read reads on.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.at)
	f.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt reads at an offset.
func (f *file) ReadAt(p []byte, at int64) (int, error) {
	if v := f.system.ask(Read, f.name, false); v.Err != nil {
		return 0, failed("read", f.name, v.Err)
	}
	if f.closed {
		return 0, failed("read", f.name, fs.ErrClosed)
	}
	data := f.content()
	if at < 0 {
		return 0, failed("read", f.name, errNegative)
	}
	if at >= int64(len(data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Seek moves to an offset.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += int64(len(f.content()))
	}
	if offset < 0 {
		return 0, failed("seek", f.name, errNegative)
	}
	f.at = offset
	return offset, nil
}

// Write writes on.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.at)
	f.at += int64(n)
	return n, err
}

// WriteAt writes at an offset; where it is told to fail, half is written before.
func (f *file) WriteAt(p []byte, at int64) (int, error) {
	v := f.system.ask(Write, f.name, true)
	if v.Err != nil {
		p = p[:len(p)/2]
	}
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	size := max(int64(len(f.node.data)), at+int64(len(p)))
	data := make([]byte, size)
	copy(data, f.node.data)
	copy(data[at:], p)
	f.node.data = data
	if v.Err != nil {
		return len(p), failed("write", f.name, v.Err)
	}
	return len(p), nil
}

// Truncate cuts the file.
func (f *file) Truncate(size int64) error {
	if v := f.system.ask(Truncate, f.name, true); v.Err != nil {
		return failed("truncate", f.name, v.Err)
	}
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	data := make([]byte, size)
	copy(data, f.node.data)
	f.node.data = data
	return nil
}

// Sync makes the bytes durable. After a failed one the system has forgotten that
// they were not: another sync would say yes.
func (f *file) Sync() error {
	v := f.system.ask(Sync, f.name, true)
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	if v.Err != nil {
		f.node.unsynced = true
		return failed("sync", f.name, v.Err)
	}
	if !v.Skip && !f.node.unsynced {
		f.node.synced = f.node.data
	}
	return nil
}

// SyncDir makes a folder's names durable.
func (f *file) SyncDir() error {
	v := f.system.ask(SyncDir, f.name, true)
	if v.Err != nil {
		return failed("sync", f.name, v.Err)
	}
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	if !v.Skip {
		f.node.stable = maps.Clone(f.node.entries)
	}
	return nil
}

// TryLock takes the file's lock.
func (f *file) TryLock() (bool, error) {
	if v := f.system.ask(Lock, f.name, false); v.Err != nil {
		return false, failed("flock", f.name, v.Err)
	}
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	if f.system.noLocks || f.node.holder == nil || f.node.holder == f {
		f.node.holder = f
		return true, nil
	}
	return false, nil
}

// Unlock gives the lock back.
func (f *file) Unlock() {
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	if f.node.holder == f {
		f.node.holder = nil
	}
}

// Linked says whether the file has a name.
func (f *file) Linked() bool {
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	return f.node.names > 0
}

// Close closes the file, and gives its lock back.
func (f *file) Close() error {
	f.Unlock()
	f.closed = true
	return nil
}

// Stat tells of the file.
func (f *file) Stat() (fs.FileInfo, error) {
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	return infoOf(f.name, f.node), nil
}

// ReadDir lists a folder.
func (f *file) ReadDir(int) ([]fs.DirEntry, error) {
	if v := f.system.ask(ReadDir, f.name, false); v.Err != nil {
		return nil, failed("readdir", f.name, v.Err)
	}
	f.system.mu.Lock()
	defer f.system.mu.Unlock()
	if !f.node.dir {
		return nil, failed("readdir", f.name, syscall.ENOTDIR)
	}
	list := make([]fs.DirEntry, 0, len(f.node.entries))
	for _, name := range inOrder(f.node.entries) {
		list = append(list, fs.FileInfoToDirEntry(infoOf(name, f.node.entries[name])))
	}
	return list, nil
}

// info tells of a node, as it was when it was asked for.
type info struct {
	name string
	size int64
	dir  bool
}

func infoOf(name string, n *node) info { return info{path.Base(name), int64(len(n.data)), n.dir} }

// Name is the last part of the path.
func (i info) Name() string { return i.name }

// Size is the length in bytes.
func (i info) Size() int64 { return i.size }

// Mode says whether it is a folder.
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o777
	}
	return 0o666
}

// ModTime is not kept.
func (i info) ModTime() time.Time { return time.Time{} }

// IsDir says whether it is a folder.
func (i info) IsDir() bool { return i.dir }

// Sys has nothing.
func (i info) Sys() any { return nil }
