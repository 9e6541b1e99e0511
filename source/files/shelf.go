package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"recount"
	"recount/adapter"
)

// shelf is where the files lie: in folders of this machine, or in a store.
type shelf interface {
	// find lists the files that a pattern matches.
	find(ctx context.Context, pattern string) ([]found, error)
	// open opens a file; fs.ErrNotExist where there is none.
	open(ctx context.Context, f file) (handle, error)
	// origin is a file's place as the archive keeps it, and name its inverse.
	origin(name string) string
	name(origin string) (string, bool)
	// path is what opens the file of that name.
	path(name string) string
	// place is where the files lie, for a person; empty for the project's folder.
	place() string
}

// found is a file that a pattern matched.
type found struct {
	path string // what opens it
	name string // relative to the project or the store, with "/"
	size int64  // where the listing says it, else -1
}

// handle is an open file.
type handle interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Stat() (os.FileInfo, error)
}

// folders is the shelf of this machine. Relative paths begin at dir.
type folders struct{ dir string }

func (s folders) place() string                     { return "" }
func (s folders) origin(name string) string         { return name }
func (s folders) name(origin string) (string, bool) { return origin, !strings.Contains(origin, "://") }

func (s folders) path(name string) string {
	p := filepath.FromSlash(name)
	if !filepath.IsAbs(p) {
		p = filepath.Join(s.dir, p)
	}
	return p
}

func (s folders) open(_ context.Context, f file) (handle, error) { return os.Open(f.path) }

// full is the path of a pattern.
func (s folders) full(pattern string) string {
	full := filepath.FromSlash(pattern)
	if !filepath.IsAbs(full) {
		full = filepath.Join(escapeMeta(s.dir), full)
	}
	return full
}

// find takes a name that exists as it stands, whatever signs it holds.
func (s folders) find(ctx context.Context, pattern string) ([]found, error) {
	full := s.full(pattern)
	literal := unescapeMeta(full)
	if info, err := os.Stat(literal); err == nil && !info.IsDir() {
		return []found{{literal, s.relative(literal), -1}}, nil
	}
	if hasDeep(filepath.ToSlash(full)) {
		return s.walk(ctx, full)
	}
	matches, err := filepath.Glob(full)
	if err != nil {
		return nil, err
	}
	var list []found
	for _, p := range matches {
		info, err := os.Stat(p)
		if err != nil && errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			continue
		}
		list = append(list, found{p, s.relative(p), -1})
	}
	return list, nil
}

// walk finds what a pattern with ** matches.
func (s folders) walk(ctx context.Context, full string) ([]found, error) {
	pattern := filepath.ToSlash(full)
	root := filepath.FromSlash(literalFolder(pattern))
	var list []found
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && errors.Is(err, fs.ErrNotExist): // gone since, or never there
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() || !matches(pattern, filepath.ToSlash(p)):
			return nil
		}
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			list = append(list, found{p, s.relative(p), -1})
		}
		return nil
	})
	return list, err
}

// relative names a file: its path relative to the project folder.
func (s folders) relative(p string) string {
	dir, errDir := filepath.Abs(s.dir)
	full, errFull := filepath.Abs(p)
	if errDir == nil && errFull == nil {
		if rel, err := filepath.Rel(dir, full); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.ToSlash(p)
}

// objects is the shelf of a store. Files are copied to this machine while they are
// read, so that what is read is what was compared with its digest.
type objects struct {
	store adapter.Objects
	url   string // without what follows a "?", which may be a secret
}

func (s objects) place() string             { return s.url }
func (s objects) path(name string) string   { return name }
func (s objects) origin(name string) string { return s.url + "/" + name }
func (s objects) name(origin string) (string, bool) {
	return strings.CutPrefix(origin, s.url+"/")
}

func (s objects) find(ctx context.Context, pattern string) ([]found, error) {
	pattern = strings.TrimPrefix(path.Clean(pattern), "/")
	prefix := literalFolder(pattern)
	if !strings.ContainsAny(pattern, metaSigns) {
		prefix = pattern
	}
	var list []found
	err := s.store.List(ctx, prefix, func(name string, size int64) error {
		if !strings.HasSuffix(name, "/") && matches(pattern, name) {
			list = append(list, found{name, name, size})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", s.place(), err)
	}
	return list, nil
}

func (s objects) open(ctx context.Context, f file) (_ handle, err error) {
	r, err := s.store.Open(ctx, f.path)
	if errors.Is(err, recount.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	scratch, err := os.CreateTemp("", "recount-file-*")
	if err != nil {
		return nil, err
	}
	c := copied{scratch}
	raw, _ := metered(ctx, r)
	_, err = io.CopyBuffer(struct{ io.Writer }{scratch}, raw, make([]byte, blockBytes))
	if err == nil {
		_, err = scratch.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// copied is a copy that goes with its handle.
type copied struct{ *os.File }

func (c copied) Close() error { return errors.Join(c.File.Close(), os.Remove(c.Name())) }

// hasDeep says whether a pattern has a part **.
func hasDeep(pattern string) bool {
	for part := range strings.SplitSeq(pattern, "/") {
		if part == "**" {
			return true
		}
	}
	return false
}

// literalFolder is what of a pattern comes before the first part with a sign.
func literalFolder(pattern string) string {
	folder := ""
	for part := range strings.SplitSeq(pattern, "/") {
		if strings.ContainsAny(part, metaSigns) || len(folder)+len(part) >= len(pattern) {
			break
		}
		folder += part + "/"
	}
	return folder
}

// matches says whether a name is of a pattern whose part ** stands for any
// folders, and for none.
func matches(pattern, name string) bool {
	return matchParts(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchParts(pattern, name []string) bool {
	for i, part := range pattern {
		if part == "**" {
			for skip := i; skip <= len(name); skip++ {
				if matchParts(pattern[i+1:], name[skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(name) {
			return false
		}
		if ok, err := path.Match(part, name[i]); !ok || err != nil {
			return false
		}
	}
	return len(pattern) == len(name)
}
