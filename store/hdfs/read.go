package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	client "github.com/colinmarc/hdfs/v2"

	"recount/store"
	"recount/store/remote"
)

// Open opens an object. Its reads are of that file's blocks even if another file
// takes its name.
func (s *Store) Open(ctx context.Context, name string) (store.Reader, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f := &file{store: s, name: name}
	if err := f.open(ctx); err != nil {
		return nil, s.refused("open", name, err)
	}
	return remote.NewReader(name, f.size, nil, func(at, _ int64) (io.ReadCloser, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.reopen(ctx); err != nil {
			return nil, s.refused("open", name, err)
		}
		return &section{file: f, at: at}, nil
	}), nil
}

// file is one open file that many read at offsets.
type file struct {
	store *Store
	name  string
	size  int64
	id    uint64

	mu     sync.Mutex
	reader *client.FileReader // nil after a read failed
}

// open finds the file and where its blocks are, by reading its first byte.
func (f *file) open(ctx context.Context) error {
	return f.store.ask(ctx, func(c *client.Client) error {
		r, err := c.Open(f.store.path(f.name))
		if err != nil {
			return err
		}
		if r.Stat().IsDir() {
			return fs.ErrNotExist
		}
		f.size, f.id = r.Stat().Size(), fileID(r.Stat())
		if f.size > 0 {
			if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
				_ = r.Close()
				return err
			}
		}
		f.reader = r
		return nil
	})
}

// reopen finds the file again after a read failed; it must be the same.
func (f *file) reopen(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != nil {
		return nil
	}
	again := &file{store: f.store, name: f.name}
	if err := again.open(ctx); err != nil {
		return err
	}
	if again.id != f.id || again.size != f.size {
		_ = again.reader.Close()
		return errReplaced
	}
	f.reader = again.reader
	return nil
}

func (f *file) readAt(p []byte, at int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader == nil {
		return 0, io.ErrUnexpectedEOF // another reader's read failed; reopen and read again
	}
	_, err := f.reader.Seek(at, io.SeekStart)
	n := 0
	if err == nil {
		n, err = f.reader.Read(p)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		_ = f.reader.Close()
		f.reader = nil
	}
	return n, err
}

// fileID is the number that the NameNode gave a file; another file of the same
// name has another one.
func fileID(info fs.FileInfo) uint64 {
	if status, ok := info.Sys().(*client.FileStatus); ok {
		return status.GetFileId()
	}
	return 0
}

// section reads a file from an offset.
type section struct {
	file *file
	at   int64
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.file.readAt(p, s.at)
	s.at += int64(n)
	return n, err
}

func (s *section) Close() error { return nil }

// List calls each for every object whose name begins with prefix.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	dir := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir = prefix[:i]
		if err := checkName(dir); err != nil {
			return err
		}
	}
	return s.walk(ctx, dir, prefix, each)
}

// walk visits the files below dir in order of their names, where "/" sorts as
// itself.
func (s *Store) walk(ctx context.Context, dir, prefix string, each func(name string, size int64) error) error {
	var entries []fs.FileInfo
	err := s.ask(ctx, func(c *client.Client) (err error) {
		entries, err = c.ReadDir(s.path(dir))
		return err
	})
	if err != nil {
		if isNotFound(err) {
			return nil
		}
		return s.refused("list", dir, err)
	}
	// A folder sorts as its name with the slash that all its objects have.
	key := func(e fs.FileInfo) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int { return strings.Compare(key(a), key(b)) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), hidden):
		case e.IsDir():
			if begins := name + "/"; strings.HasPrefix(begins, prefix) || strings.HasPrefix(prefix, begins) {
				err = s.walk(ctx, name, prefix, each)
			}
		case strings.HasPrefix(name, prefix):
			err = each(name, e.Size())
		}
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("list %q: %w", prefix, err)
	}
	return nil
}
