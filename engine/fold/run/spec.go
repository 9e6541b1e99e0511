// Package run folds events by key: it reads Parquet files of events, gathers those
// of a key, sorts them, hands them to a Stepper, and writes what that answers,
// sorted, to files. Memory is bounded: what does not fit is spilled to the
// scratch folder. It knows nothing of where a fold's code runs.
package run

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"recount"
	"recount/engine"
)

// Spec is one run. It travels as JSON to the process that runs it.
type Spec struct {
	// Files are the archive's files in order of FirstSeq, or those of a feed.
	Files []File `json:"files"`
	// Feed says that Files are feeds: nothing is to be left out, and
	// `recount_order`, then `seq`, is the order of a key's events. Otherwise they are
	// sorted by partition, then position, then seq. Under Show, Alone or with Effects
	// a feed needs id, partition, position and time, under Show and Alone `hit` too.
	Feed bool `json:"feed,omitempty"`
	// Logged says of a feed that the log alone orders it: it has the columns
	// partition and position, and its events are sorted as the archive's are.
	Logged bool `json:"logged,omitempty"`
	// Marks are files of marks: repeats are left out where Dedupe says so, other
	// marked events always.
	Marks  []string       `json:"marks,omitempty"`
	Dedupe bool           `json:"dedupe,omitempty"`
	Read   recount.Window `json:"read"`
	// Hit is the span of event time whose events are hit.
	Hit    recount.Window    `json:"hit"`
	Until  map[string]string `json:"until,omitempty"`
	Stream string            `json:"stream"`
	Fields []recount.Field   `json:"fields"`
	// Reads are the columns that the logic sees: of the envelope, `hit`, fields.
	Reads []string `json:"reads"`
	// By are the fields of the key; where Bucket has a size, the start of the
	// event's bucket is a part of the key too.
	By     []string       `json:"by"`
	Bucket recount.Bucket `json:"bucket"` // see MarshalJSON
	// Keys, where not nil, are the only keys that are folded, by the values of By.
	Keys [][]recount.Value `json:"keys,omitempty"`
	// Opening is a Parquet file of states: By and recount.StateColumn, as text.
	Opening string `json:"opening,omitempty"`
	// Shape is the key and the value columns that are written to Out, out of those
	// that the logic returns. A value column may be recount.StateColumn; where it is
	// the only one and the key is By, each key has one row, whatever the logic returns.
	Shape recount.Shape `json:"shape"`
	// Where names the logic in messages.
	Where string `json:"where,omitempty"`
	// Show asks for rows after each event of a key, not only after its last: those
	// that its events up to that sequence number give, in their order (OpenShown).
	Show bool `json:"show,omitempty"`
	// Along, where not nil, is the order, by seq, in which Show shows events: rows
	// after each are those of the events that stand there up to it. It names all
	// events that are read.
	Along []int64 `json:"along,omitempty"`
	// Alone folds every event for itself, each with a new state (OpenShown).
	Alone bool `json:"alone,omitempty"`
	// Single, where not nil, folds these keys alone, each once without each of its
	// events and once with each of them once more (OpenTried).
	Single []SingleKey `json:"single,omitempty"`
	// Several, where not 0, says that Files are feeds of so many variants, each file
	// of one: a key is folded once for each (OpenTried).
	Several int `json:"several,omitempty"`
	// MaxPoisoned bounds Result.Poisoned; 0: the default.
	MaxPoisoned int          `json:"max_poisoned,omitempty"`
	Threads     int          `json:"threads"`
	Memory      int64        `json:"memory"` // bytes, for all threads together
	Batch       int          `json:"batch"`  // events handed over at once; 0: the default
	Shake       engine.Shake `json:"shake"`
	Scratch     string       `json:"scratch"`
	// Out is the file of rows, Effects that of effects; empty: not wanted.
	Out     string `json:"out,omitempty"`
	Effects string `json:"effects,omitempty"`
	// Digest names the logic and all that goes into the run. A run that finds work
	// of a killed one with the same digest in Resume goes on from it.
	Digest string `json:"digest"`
	Resume string `json:"resume,omitempty"` // a folder that outlives the process; empty: none
}

// File is one Parquet file of events.
type File struct {
	Path     string `json:"path"`
	Rows     int64  `json:"rows"`
	FirstSeq int64  `json:"first_seq"`
	LastSeq  int64  `json:"last_seq"`
	// Variant, under Spec.Several, is whose feed it is, from 0.
	Variant int `json:"variant,omitempty"`
}

// SingleKey is a key and those of its events that are left out or repeated by
// themselves.
type SingleKey struct {
	Key  []recount.Value `json:"key"` // the values of By
	Seqs []int64         `json:"seqs"`
}

// Batch are events of some keys: those of a key stand together, in their order. A
// key may go on in the next batch.
type Batch struct {
	// Record has the columns of Spec.Reads in their order, one row an event.
	Record arrow.RecordBatch
	// Seq are the events' sequence numbers.
	Seq    []int64
	Groups []Group
}

// Group is a key's events in a batch: the rows [From, To).
type Group struct {
	// Number counts groups from 0 through the Stepper's life; it grows.
	Number   int64
	From, To int
	// Begin says that the key begins here, with the state Opening or, where that
	// is nil, with a new one.
	Begin   bool
	Opening []byte
	// End says that the key ends here: its rows, and its state if Wants.State, are
	// to be given after the last event. A group of no events can be both.
	End bool
	// Key are the values of By, canonical; Bucket is the start of the bucket in
	// microseconds since 1970, where there is one.
	Key    []recount.Value
	Bucket int64
}

// Wants is what a stepper is to answer with.
type Wants struct {
	Columns []recount.Column // of rows, in this order; none: no row is wanted
	State   bool             // the state of each key at its end; under Show, after each event
	Show    bool             // rows after each event, of which a key's end has no more of its own
	Effects bool
}

// Answer is what came of a batch, in order of groups.
type Answer struct {
	Rows    []Row
	Effects []recount.Effect // Seq set; position, id and time are filled in from the event
	States  []State
}

// Row is a row of a group. At is the row of Batch.Record after which it stands;
// -1 where the group had no event. It counts under Wants.Show alone: otherwise
// rows stand at the end of their group.
type Row struct {
	Group  int64
	At     int
	Values []recount.Value // canonical, as Wants.Columns
}

// State is the state of a group at its end or, under Wants.Show, after each
// event, At as in Row. It is text: valid UTF-8.
type State struct {
	Group int64
	At    int
	Bytes []byte
}

// Stepper folds batches, one after the other, and is used by one goroutine. A
// batch's memory, which strings of its columns point into, is used again once
// Step has returned: what is kept is to be copied. An error of kind *Poison names
// an event that the fold cannot survive.
type Stepper interface {
	Step(ctx context.Context, in Batch) (Answer, error)
	Close() error
}

// Steppers makes a stepper for each thread; n counts them from 0. Where a stepper
// of a run is poisoned, another is made.
type Steppers interface {
	New(ctx context.Context, n int, w Wants) (Stepper, error)
}

// Poison is an event at which a fold's code ends: it dies, hangs or says that it
// cannot go on.
type Poison struct {
	Group int64 // a Group.Number of the batch; -1: any of them
	Seq   int64 // 0: somewhere in the group
	Err   error
}

func (p *Poison) Error() string { return p.Err.Error() }
func (p *Poison) Unwrap() error { return p.Err }

// Result is what a run did.
type Result struct {
	Events  int64 `json:"events"`
	Keys    int64 `json:"keys"`
	Rows    int64 `json:"rows"`
	Effects int64 `json:"effects"`
	// Poisoned are the events that were left out with their keys.
	Poisoned []Poisoned `json:"poisoned,omitempty"`
	Spilled  int64      `json:"spilled"` // bytes
	Resumed  int        `json:"resumed"` // parts that an earlier run had done
}

// Poisoned is an event that the fold did not survive.
type Poisoned struct {
	Seq int64           `json:"seq"`
	Key []recount.Value `json:"key"` // the values of By
	Why string          `json:"why"`
	// First says that it is the first event of its key, which had no opening.
	First bool `json:"first,omitempty"`
	// Attempt is that of Spec.Single, or the variant of Spec.Several, which had the
	// event.
	Attempt int `json:"attempt,omitempty"`
}

// Description is what a fold says of itself before it sees an event.
type Description struct {
	// Columns are those of its rows, in its own order.
	Columns []recount.Column `json:"columns"`
	// Reads are the columns that it looks at, of the envelope, `hit`, and fields;
	// the fields of Logic.By need not be among them. Nil: all fields, id, type,
	// partition, position and time.
	Reads []string `json:"reads"`
	// State says that the state of a key can be taken out and given back: without
	// it no replay of it begins at a checkpoint.
	State bool `json:"state"`
	// Effects says that it would send something.
	Effects bool `json:"effects"`
}

// plainSpec is Spec without its methods.
type plainSpec Spec

// wireSpec is Spec as JSON: a zone travels by its name.
type wireSpec struct {
	*plainSpec
	Bucket wireBucket `json:"bucket"`
}

type wireBucket struct {
	Size time.Duration `json:"size"`
	Zone string        `json:"zone"`
}

// MarshalJSON writes the bucket's zone by its name.
func (s Spec) MarshalJSON() ([]byte, error) {
	w := wireSpec{plainSpec: (*plainSpec)(&s), Bucket: wireBucket{Size: s.Bucket.Size}}
	if s.Bucket.Zone != nil {
		w.Bucket.Zone = s.Bucket.Zone.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Spec) UnmarshalJSON(b []byte) error {
	w := wireSpec{plainSpec: (*plainSpec)(s)}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	s.Bucket = recount.Bucket{Size: w.Bucket.Size}
	if w.Bucket.Zone == "" {
		return nil
	}
	zone, err := time.LoadLocation(w.Bucket.Zone)
	if err != nil {
		return fmt.Errorf("read the bucket's zone: %w", err)
	}
	s.Bucket.Zone = zone
	return nil
}
