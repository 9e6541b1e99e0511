// Package mem keeps objects in memory, for tests. It is no adapter of the
// configuration: an archive that ends with its process is none. It keeps the
// same promises as the other stores, and can break them on demand: objects can
// be altered behind the archive's back, and lists can lag.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"recount"
	"recount/store"
)

// Store is a set of objects. The zero value is empty and ready; it is safe for
// concurrent use.
type Store struct {
	mu      sync.Mutex
	objects map[string][]byte
	locks   map[string]bool
	lagging map[string]bool
}

// Place says that this is memory.
func (s *Store) Place() string { return "memory" }

// Put keeps what write writes.
func (s *Store) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.has(name) {
		return fmt.Errorf("put %q: %w", name, recount.ErrExists)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.objects[name]; taken {
		return fmt.Errorf("put %q: %w", name, recount.ErrExists)
	}
	if s.objects == nil {
		s.objects = map[string][]byte{}
	}
	s.objects[name] = b.Bytes()
	return nil
}

func (s *Store) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.objects[name]
	return ok
}

// Open reads an object.
func (s *Store) Open(ctx context.Context, name string) (store.Reader, error) {
	b, err := s.get(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	return &reader{Reader: bytes.NewReader(b)}, nil
}

type reader struct {
	*bytes.Reader
	closed bool
}

// Read reads, until the reader is closed.
func (r *reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fs.ErrClosed
	}
	return r.Reader.Read(p)
}

func (r *reader) Close() error {
	r.closed = true
	return nil
}

// Stat returns the size of an object.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	b, err := s.get(ctx, "stat", name)
	return int64(len(b)), err
}

func (s *Store) get(ctx context.Context, act, name string) ([]byte, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[name]
	if !ok {
		return nil, fmt.Errorf("%s %q: %w", act, name, recount.ErrNotFound)
	}
	return b, nil
}

// List calls each for every object whose name begins with prefix and that does
// not lag.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	s.mu.Lock()
	sizes := map[string]int64{}
	for name, b := range s.objects {
		if strings.HasPrefix(name, prefix) && !s.lagging[name] {
			sizes[name] = int64(len(b))
		}
	}
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(name, sizes[name]); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	return nil
}

// Lock takes a lock; Crash ends it too.
func (s *Store) Lock(ctx context.Context, name string) (func() error, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[name] {
		return nil, fmt.Errorf("lock %q: held by another part of this program: %w", name, recount.ErrLocked)
	}
	if s.locks == nil {
		s.locks = map[string]bool{}
	}
	s.locks[name] = true
	locks := s.locks // a later Crash gives new locks that this holder must not end
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(locks, name)
		return nil
	}, nil
}

// Crash ends all locks, as the end of a process does.
func (s *Store) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks = nil
}

// Lag hides the present objects from List until the next Lag.
func (s *Store) Lag() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lagging = map[string]bool{}
	for name := range s.objects {
		s.lagging[name] = true
	}
}

// Damage replaces an object by what alter makes of a copy, as no Store does; nil
// removes it.
func (s *Store) Damage(name string, alter func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	altered := alter(bytes.Clone(s.objects[name]))
	if altered == nil {
		delete(s.objects, name)
		return
	}
	if s.objects == nil {
		s.objects = map[string][]byte{}
	}
	s.objects[name] = altered
}

// Names lists all objects, sorted.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Clone returns a store with the same objects and no locks.
func (s *Store) Clone() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Store{objects: maps.Clone(s.objects)}
}
