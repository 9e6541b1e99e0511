// Package fault wraps a port so that chosen calls go wrong: they fail, hang,
// come short, or succeed with their answer lost. Conformance suites and crash
// tests run through it. It is no mock: what does go through reaches the real
// thing.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"recount"
	"recount/store"
)

// Kind says how a call goes wrong.
type Kind int

// How a call goes wrong.
const (
	None  Kind = iota
	Fail       // nothing is done
	Lost       // it is done, but the answer says that nobody knows
	Hang       // nothing is done, and the answer comes when the context ends
	Short      // a write ends in the middle; a read ends early
	Crash      // nothing is done, now or ever again: the process is gone
	After      // it is done, and then the process is gone
)

// ErrInjected is the cause of every error that this package makes.
var ErrInjected = errors.New("injected fault")

// Call is one call of a store.
type Call struct {
	N    int    // counted from 1, over all methods
	Op   string // put, open, read, stat, list, delete, lock
	Name string
}

// Plan says how a call goes wrong. It is called by one goroutine at a time.
type Plan func(Call) Kind

// Nth lets the nth call go wrong.
func Nth(n int, kind Kind) Plan {
	return func(c Call) Kind {
		if c.N == n {
			return kind
		}
		return None
	}
}

// Store is a store whose calls go wrong by a plan. It is safe for concurrent
// use.
type Store struct {
	under store.Store
	plan  Plan

	mu    sync.Mutex
	calls int
	gone  bool
}

// Wrap returns a store whose calls go wrong by plan; nil lets all go through.
func Wrap(s store.Store, plan Plan) *Store {
	if plan == nil {
		plan = func(Call) Kind { return None }
	}
	return &Store{under: s, plan: plan}
}

// Calls is how many calls were made so far.
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Gone says whether the process is gone.
func (s *Store) Gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

func (s *Store) next(op, name string) Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return Crash
	}
	s.calls++
	kind := s.plan(Call{N: s.calls, Op: op, Name: name})
	if kind == Crash || kind == After {
		s.gone = true
	}
	return kind
}

func injected(op, name string) error { return fmt.Errorf("%s %q: %w", op, name, ErrInjected) }

// around makes the call, or lets it go wrong.
func (s *Store) around(ctx context.Context, op, name string, act func() error) error {
	return distort(ctx, s.next(op, name), op, name, act)
}

func distort(ctx context.Context, kind Kind, op, name string, act func() error) error {
	switch kind {
	case None:
		return act()
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	case Lost:
		if err := act(); err != nil {
			return err
		}
		return fmt.Errorf("%s %q: %w: %w", op, name, recount.ErrUnknown, ErrInjected)
	case After:
		_ = act() // whatever came of it, nobody hears
		return injected(op, name)
	case Fail, Short, Crash:
		return injected(op, name)
	default:
		return fmt.Errorf("%s %q: unknown kind of fault %d", op, name, kind)
	}
}

// Place returns the place of the store.
func (s *Store) Place() string { return s.under.Place() }

// Put puts an object. Short ends the write in the middle.
func (s *Store) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	kind := s.next("put", name)
	if kind != Short {
		return distort(ctx, kind, "put", name, func() error { return s.under.Put(ctx, name, write) })
	}
	return s.under.Put(ctx, name, func(w io.Writer) error {
		if err := write(&halfWriter{w: w}); err != nil {
			return err
		}
		return injected("put", name)
	})
}

// halfWriter passes on half of the first write, and says so.
type halfWriter struct{ w io.Writer }

func (h *halfWriter) Write(p []byte) (int, error) {
	n, err := h.w.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	return n, fmt.Errorf("write: %w: %w", io.ErrShortWrite, ErrInjected)
}

// Open opens an object; its reads are calls of their own.
func (s *Store) Open(ctx context.Context, name string) (r store.Reader, err error) {
	err = s.around(ctx, "open", name, func() error {
		r, err = s.under.Open(ctx, name)
		return err
	})
	if err != nil {
		if r != nil {
			_ = r.Close()
		}
		return nil, err
	}
	return &reader{Reader: r, store: s, name: name}, nil
}

type reader struct {
	store.Reader
	store *Store
	name  string
}

// Read reads; Short ends the object early, as if it had been cut.
func (r *reader) Read(p []byte) (int, error) {
	switch kind := r.store.next("read", r.name); kind {
	case None, Lost:
		return r.Reader.Read(p)
	case Short:
		n, err := r.Reader.Read(p[:(len(p)+1)/2])
		if err == nil {
			err = io.EOF
		}
		return n / 2, err
	case Fail, Hang, Crash, After:
	}
	return 0, injected("read", r.name)
}

// Stat returns a size.
func (s *Store) Stat(ctx context.Context, name string) (size int64, err error) {
	err = s.around(ctx, "stat", name, func() error {
		size, err = s.under.Stat(ctx, name)
		return err
	})
	return size, err
}

// List lists objects.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return s.around(ctx, "list", prefix, func() error { return s.under.List(ctx, prefix, each) })
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.around(ctx, "delete", name, func() error { return s.under.Delete(ctx, name) })
}

// Lock takes a lock.
func (s *Store) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	err = s.around(ctx, "lock", name, func() error {
		unlock, err = s.under.Lock(ctx, name)
		return err
	})
	if err != nil && unlock != nil {
		_ = unlock()
	}
	return unlock, err
}
