package worker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"recount"
)

// Fold is a calculation over the events of one key. Step is called for each, in
// their order; a State lives as long as its key is folded and is never shared.
type Fold[State, Event, Row any] struct {
	// Step takes an event into the state. The event is valid until Step returns.
	// An error, or a panic, says that the event cannot be processed: it is
	// quarantined, and its key left out.
	Step func(c *Context, s *State, e *Event) error
	// Rows gives the rows of a state to emit, as often as there are rows. It may
	// be asked after any event of a key, and must not change the state.
	Rows func(c *Context, s *State, emit func(Row))
	// Start makes the state of a key that has none; nil: the zero State. Of the
	// context it sees the key and the bucket.
	Start func(c *Context) State
}

// Null is a value that may be absent, as database/sql has it.
type Null[T any] struct {
	V     T
	Valid bool // V is not NULL
}

// Some returns the Null that holds v.
func Some[T any](v T) Null[T] { return Null[T]{V: v, Valid: true} }

// Or returns the value, or other where it is absent.
func (n Null[T]) Or(other T) T {
	if n.Valid {
		return n.V
	}
	return other
}

func (Null[T]) nullable() {}

// Definition is a fold without its types. It is for engines.
type Definition interface {
	// Bind fits the fold to the fields of a stream and the fields of its key.
	// What does not fit is an error that a person can mend.
	Bind(fields []recount.Field, by []string) (Program, error)
}

// Program is a fold that fits a stream. It is for engines.
type Program interface {
	// Reads are the columns that its events need, in the order in which Machine
	// wants them.
	Reads() []string
	// Columns are those of its rows.
	Columns() []recount.Column
	// StateShape names the type of the state; empty: the state cannot be taken
	// out, for Unsaved.
	StateShape() string
	Unsaved() string
	// Machine makes what steps. Seed is where its random numbers begin, and
	// columns are those of the rows that are wanted, in that order.
	Machine(seed uint64, columns []string) (Machine, error)
}

// Machine runs a program over batches of events, one key after the other. It is
// for engines, and is used by one goroutine.
type Machine interface {
	// Trail is where the machine notes the sequence number of the event that it is
	// at, little end first, so that it can be found if the process ends there.
	Trail(at []byte)
	// Load takes the columns of a batch, in the order of Reads, and the events'
	// sequence numbers and times, in microseconds since 1970 (NoTime: unknown).
	Load(columns []Column, seq, micros []int64) error
	// Begin begins a key with an opening state; nil: a new one. Bucket is in
	// microseconds since 1970, or NoTime. An opening state that cannot be used is
	// an ErrState.
	Begin(key []recount.Value, bucket int64, opening []byte) error
	// Step takes the events [from, to) of the batch into the state. On an error
	// it says at which of them it stopped.
	Step(from, to int) (at int, err error)
	// Rows appends the rows of the state: the wanted columns, canonical.
	Rows(to [][]recount.Value) ([][]recount.Value, error)
	// State returns the state, as UTF-8 text.
	State() ([]byte, error)
	// Record says whether effects are kept; Effects returns those since it was
	// called last.
	Record(effects bool)
	Effects() []recount.Effect
}

// registry holds the folds of this program.
var registry = struct {
	sync.Mutex
	folds map[string]Definition
}{folds: map[string]Definition{}}

// Register gives a fold the name by which `go:` in recount.yaml calls it. It is
// called before command.Main, or in init. A name that is taken, and a fold without
// Step or Rows, panics.
func Register[State, Event, Row any](name string, f Fold[State, Event, Row]) {
	registry.Lock()
	defer registry.Unlock()
	switch {
	case name == "":
		panic(errors.New("worker.Register: a fold needs a name"))
	case registry.folds[name] != nil:
		panic(fmt.Errorf("worker.Register: two folds have the name %q; recount.yaml could not tell them apart", name))
	case f.Step == nil:
		panic(fmt.Errorf("worker.Register: fold %q has no Step", name))
	case f.Rows == nil:
		panic(fmt.Errorf("worker.Register: fold %q has no Rows", name))
	}
	registry.folds[name] = f
}

// Lookup returns the fold of that name. It is for engines.
func Lookup(name string) (Definition, bool) {
	registry.Lock()
	defer registry.Unlock()
	d, ok := registry.folds[name]
	return d, ok
}

// Names lists the registered folds, in byte order. It is for engines.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	return slices.Sorted(maps.Keys(registry.folds))
}
