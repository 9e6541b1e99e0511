// Package fakestore is an object store that loses answers, answers late, lists
// what was there a while ago, and keeps parts of uploads that nobody ended. What
// it has acknowledged it keeps.
package fakestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"recount"
	"recount/store"
)

// The operations. A put is several: the upload begins, has parts, and is
// completed if the name is free.
const (
	Begin    = "begin"
	Part     = "part"
	Complete = "complete"
	Open     = "open"
	Read     = "read"
	Stat     = "stat"
	List     = "list"
	Delete   = "delete"
)

// Op is one request. Changes says that it alters what a crash would leave.
type Op struct {
	Kind    string
	Name    string
	Changes bool
}

// Outcome says what becomes of a request.
type Outcome int

// The outcomes.
const (
	Done   Outcome = iota
	Failed         // nothing is done, and the answer says so: 500, 503, slow down
	Lost           // it is done, and the answer is lost
	Unsent         // nothing is done, and the answer is lost
	Late           // the answer is lost, and it is done some requests later
	Bent           // it is done, with other bytes than were sent
)

// Verdict says what becomes of a request; the zero value lets it through.
type Verdict struct {
	Outcome Outcome
	Replace bool  // a put does not look whether the name is taken
	Err     error // the client is gone: every call fails with this
}

// Store is an object store. It is safe for concurrent use.
type Store struct {
	// Hook is asked before each request, while nothing of the store is locked. It is
	// set before the store is used.
	Hook func(Op) Verdict

	*state
}

// state is what several clients of a store share.
type state struct {
	lag int

	mu      sync.Mutex
	objects map[string]object
	flying  map[string][]byte // completions that were sent and not answered
	late    []arrival
	clock   int
	orphans int
}

type object struct {
	data []byte
	at   int
}

// arrival is a completion that is done when the store's clock has come so far.
type arrival struct {
	name string
	data []byte
	at   int
}

// New returns an empty store, whose lists are so many requests behind.
func New(lag int) *Store {
	return &Store{state: &state{lag: lag, objects: map[string]object{}, flying: map[string][]byte{}}}
}

// View is the same store as another client sees it, with a hook of its own.
func (s *Store) View() *Store { return &Store{state: s.state} }

// Image returns the store as it is after its client has crashed at this moment:
// what was on its way may have come, may come later, or never.
func (s *Store) Image(rng *rand.Rand) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := New(s.lag)
	made.objects, made.late, made.clock, made.orphans = maps.Clone(s.objects), slices.Clone(s.late), s.clock, s.orphans
	for _, name := range slices.Sorted(maps.Keys(s.flying)) {
		const soon, later = 1, 20
		switch a := (arrival{name, s.flying[name], s.clock}); rng.IntN(4) {
		case 0:
			made.land(a)
		case 1:
			a.at += soon + rng.IntN(later)
			made.late = append(made.late, a)
		default:
			made.orphans++
		}
	}
	return made
}

// Files returns all objects by name.
func (s *Store) Files() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string][]byte{}
	for name, o := range s.objects {
		files[name] = o.data
	}
	return files
}

// Settle lets everything that is on its way arrive.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.late {
		s.land(a)
	}
	s.late = nil
}

// Orphans counts uploads that were begun and never ended.
func (s *Store) Orphans() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orphans
}

func (s *Store) land(a arrival) {
	if _, taken := s.objects[a.name]; !taken {
		s.objects[a.name] = object{a.data, s.clock}
	}
}

// ask passes one request; what was late may arrive before it.
func (s *Store) ask(ctx context.Context, kind, name string, changes bool) (Verdict, error) {
	if err := store.CheckName(name); err != nil && kind != List {
		return Verdict{}, err
	}
	v := Verdict{}
	if s.Hook != nil {
		v = s.Hook(Op{Kind: kind, Name: name, Changes: changes})
	}
	if v.Err != nil {
		return v, v.Err
	}
	if err := ctx.Err(); err != nil {
		return v, err
	}
	s.mu.Lock()
	s.clock++
	s.late = slices.DeleteFunc(s.late, func(a arrival) bool {
		if a.at > s.clock {
			return false
		}
		s.land(a)
		return true
	})
	s.mu.Unlock()
	if v.Outcome == Failed {
		return v, &recount.Error{
			Code: recount.CodeStorage, What: "the object store answered 503", Where: "fake://bucket/" + name,
			Why: "slow down", Next: "run the command again: it goes on from the last commit", Err: recount.ErrTransient,
		}
	}
	return v, nil
}

func unknown(kind, name string) error {
	return fmt.Errorf("%s %q: no answer: %w", kind, name, recount.ErrUnknown)
}

// Place names the store.
func (s *Store) Place() string { return "fake://bucket" }

// Put uploads an object in parts and completes it if its name is free.
func (s *Store) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if _, err := s.ask(ctx, Begin, name, true); err != nil {
		return err
	}
	s.count(1)
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if _, err := s.ask(ctx, Part, name, true); err != nil {
		return err
	}
	s.mu.Lock()
	s.flying[name] = b.Bytes()
	s.mu.Unlock()
	v, err := s.ask(ctx, Complete, name, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flying, name)
	if err != nil {
		return err
	}
	s.orphans--
	a := arrival{name, b.Bytes(), s.clock}
	switch v.Outcome {
	case Unsent:
		s.orphans++
		return unknown("put", name)
	case Late:
		const wait = 8
		a.at += wait
		s.late = append(s.late, a)
		return unknown("put", name)
	case Bent:
		a.data = bytes.Clone(a.data)
		a.data[len(a.data)/2] ^= 1
	case Done, Failed, Lost:
	}
	if _, taken := s.objects[name]; taken && !v.Replace {
		if v.Outcome == Lost {
			return unknown("put", name)
		}
		return fmt.Errorf("put %q: %w", name, recount.ErrExists)
	}
	s.objects[name] = object{a.data, s.clock}
	if v.Outcome == Lost {
		return unknown("put", name)
	}
	return nil
}

func (s *Store) count(orphans int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orphans += orphans
}

func (s *Store) get(kind, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[name]
	if !ok {
		return nil, fmt.Errorf("%s %q: %w", kind, name, recount.ErrNotFound)
	}
	return o.data, nil
}

// Open reads an object.
func (s *Store) Open(ctx context.Context, name string) (store.Reader, error) {
	if v, err := s.ask(ctx, Open, name, false); err != nil {
		return nil, err
	} else if v.Outcome != Done {
		return nil, fmt.Errorf("open %q: the connection was cut", name)
	}
	data, err := s.get("open", name)
	if err != nil {
		return nil, err
	}
	return &reader{Reader: bytes.NewReader(data), store: s, name: name}, nil
}

type reader struct {
	*bytes.Reader
	store  *Store
	name   string
	closed bool
}

// Read reads on.
func (r *reader) Read(p []byte) (int, error) {
	if v, err := r.store.ask(context.Background(), Read, r.name, false); err != nil {
		return 0, err
	} else if v.Outcome != Done {
		return 0, fmt.Errorf("read %q: %w", r.name, io.ErrUnexpectedEOF)
	}
	if r.closed {
		return 0, fs.ErrClosed
	}
	return r.Reader.Read(p)
}

// ReadAt reads at an offset.
func (r *reader) ReadAt(p []byte, at int64) (int, error) {
	if r.closed {
		return 0, fs.ErrClosed
	}
	return r.Reader.ReadAt(p, at)
}

// Close ends the reading.
func (r *reader) Close() error {
	r.closed = true
	return nil
}

// Stat returns the size of an object.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if _, err := s.ask(ctx, Stat, name, false); err != nil {
		return 0, err
	}
	data, err := s.get("stat", name)
	return int64(len(data)), err
}

// List lists what was there some requests ago.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	if _, err := s.ask(ctx, List, prefix, false); err != nil {
		return err
	}
	s.mu.Lock()
	sizes := map[string]int64{}
	for name, o := range s.objects {
		if strings.HasPrefix(name, prefix) && o.at+s.lag <= s.clock {
			sizes[name] = int64(len(o.data))
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
	v, err := s.ask(ctx, Delete, name, true)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.Outcome == Done || v.Outcome == Lost {
		delete(s.objects, name)
	}
	if v.Outcome != Done {
		return unknown("delete", name)
	}
	return nil
}

// Lock is not offered, as object stores do not.
func (s *Store) Lock(context.Context, string) (func() error, error) {
	return nil, fmt.Errorf("lock: %w", recount.ErrUnsupported)
}
