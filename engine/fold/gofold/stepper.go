package gofold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/engine/fold/run"
	"recount/worker"
	"recount/worker/ipc"
)

// timeColumn is read for every fold: it is the context's clock.
const timeColumn = "time"

// reads are the columns of a program, and the time if it is not among them.
func reads(p worker.Program) []string {
	list := p.Reads()
	if !slices.Contains(list, timeColumn) {
		list = append(list, timeColumn)
	}
	return list
}

// steppers makes the threads' machines of one run.
type steppers struct {
	program worker.Program
	bucket  bool
	seed    uint64
	// fatal are events at which an earlier process of the run ended.
	fatal map[int64]string
	trail *trail
	mu    sync.Mutex
	free  []int // slots of the trail that closed steppers had
	used  int   // slots that were ever taken
}

// slot takes a note of the trail that nobody has.
func (s *steppers) slot() (int, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.free) - 1; last >= 0 {
		n := s.free[last]
		s.free = s.free[:last]
		return n, s.trail.slot(n)
	}
	s.used++
	return s.used - 1, s.trail.slot(s.used - 1)
}

func (s *steppers) giveBack(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, n)
}

// New makes the machine of a thread.
func (s *steppers) New(_ context.Context, _ int, w run.Wants) (run.Stepper, error) {
	var names []string
	for _, c := range w.Columns {
		names = append(names, c.Name)
	}
	m, err := s.program.Machine(s.seed, names)
	if err != nil {
		return nil, err
	}
	m.Record(w.Effects)
	number, slot := s.slot()
	m.Trail(slot)
	list := reads(s.program)
	return &stepper{
		machine: m, wants: w, steppers: s, number: number, note: slot, group: -1,
		columns: make([]worker.Column, len(list)), reads: len(s.program.Reads()), time: slices.Index(list, timeColumn),
	}, nil
}

// stepper runs one thread's batches.
type stepper struct {
	*steppers
	machine worker.Machine
	wants   run.Wants
	number  int    // of the slot
	note    []byte // this thread's slot of the trail
	columns []worker.Column
	reads   int // of columns: what the program reads
	time    int // of columns
	micros  []int64
	group   int64 // the open one
	rows    [][]recount.Value
	answer  run.Answer
}

func (s *stepper) Close() error {
	clear(s.note)
	s.giveBack(s.number)
	return nil
}

func (s *stepper) Step(ctx context.Context, in run.Batch) (run.Answer, error) {
	defer clear(s.note)
	if err := s.load(in); err != nil {
		return run.Answer{}, err
	}
	s.answer = run.Answer{}
	for _, g := range in.Groups {
		if err := ctx.Err(); err != nil {
			return run.Answer{}, err
		}
		if err := s.fold(in, g); err != nil {
			return run.Answer{}, err
		}
	}
	s.answer.Effects = s.machine.Effects()
	return s.answer, nil
}

func (s *stepper) load(in run.Batch) error {
	if in.Record == nil {
		return nil // groups without an event
	}
	if n := int(in.Record.NumCols()); n != len(s.columns) {
		return fmt.Errorf("a batch has %d columns, not %d", n, len(s.columns))
	}
	for i := range s.columns {
		if err := ipc.Load(in.Record.Column(i), &s.columns[i]); err != nil {
			return fmt.Errorf("column %s: %w", in.Record.ColumnName(i), err)
		}
	}
	s.micros = s.columns[s.time].Ints
	if times := in.Record.Column(s.time); times.NullN() > 0 {
		s.micros = withoutNull(times)
	}
	return s.machine.Load(s.columns[:s.reads], in.Seq, s.micros)
}

// withoutNull gives unknown times their number.
func withoutNull(times interface {
	Len() int
	IsNull(i int) bool
},
) []int64 {
	at, ok := times.(*array.Timestamp)
	micros := make([]int64, times.Len())
	for i := range micros {
		micros[i] = worker.NoTime
		if ok && !times.IsNull(i) {
			micros[i] = int64(at.Value(i))
		}
	}
	return micros
}

func (s *stepper) fold(in run.Batch, g run.Group) error {
	if g.Begin {
		bucket := int64(worker.NoTime)
		if s.bucket {
			bucket = g.Bucket
		}
		if err := s.machine.Begin(g.Key, bucket, g.Opening); err != nil {
			return s.failed(in, g, g.From, err)
		}
		s.group = g.Number
	}
	if s.group != g.Number {
		return fmt.Errorf("group %d goes on, but %d is open", g.Number, s.group)
	}
	if err := s.step(in, g); err != nil {
		return err
	}
	if !g.End {
		return nil
	}
	s.group = -1
	if s.wants.Show && g.To > g.From {
		return nil // told after its last event
	}
	return s.tell(in, g, g.To-1)
}

// step takes the group's events into its state.
func (s *stepper) step(in run.Batch, g run.Group) error {
	to := g.To
	if len(s.fatal) > 0 {
		// Up to an event that ended a process before, and not over it.
		for i := g.From; i < g.To; i++ {
			if why, ok := s.fatal[in.Seq[i]]; ok {
				return &run.Poison{Group: g.Number, Seq: in.Seq[i], Err: errors.New(why)}
			}
		}
	}
	if !s.wants.Show {
		at, err := s.machine.Step(g.From, to)
		return s.failed(in, g, at, err)
	}
	for i := g.From; i < to; i++ {
		if at, err := s.machine.Step(i, i+1); err != nil {
			return s.failed(in, g, at, err)
		}
		if err := s.tell(in, g, i); err != nil {
			return err
		}
	}
	return nil
}

// tell asks for the rows and the state as they stand after a row of the batch.
func (s *stepper) tell(in run.Batch, g run.Group, at int) error {
	if g.From == g.To {
		at = -1
	}
	if len(s.wants.Columns) > 0 {
		rows, err := s.machine.Rows(s.rows[:0])
		if err != nil {
			return s.failed(in, g, at, err)
		}
		for _, values := range rows {
			s.answer.Rows = append(s.answer.Rows, run.Row{Group: g.Number, At: at, Values: values})
		}
		s.rows = rows
	}
	if s.wants.State {
		state, err := s.machine.State()
		if err != nil {
			return &recount.Error{
				Code: recount.CodeWorkerAnswer, What: "the state of the fold cannot be kept", Why: err.Error(), Err: err,
				Next: "give the state's type exported fields that JSON can hold, or MarshalBinary and UnmarshalBinary",
			}
		}
		s.answer.States = append(s.answer.States, run.State{Group: g.Number, At: at, Bytes: state})
	}
	return nil
}

// failed makes an event's error of what the author's code said.
func (s *stepper) failed(in run.Batch, g run.Group, at int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, worker.ErrState):
		return &recount.Error{
			Code: recount.CodeWorkerAnswer, What: "a kept state cannot be used", Why: err.Error(), Err: err,
			Next: "make new checkpoints with this version of the fold, or bring back the type that its state had",
		}
	}
	p := &run.Poison{Group: g.Number, Err: err}
	if at >= 0 && at < len(in.Seq) && g.From < g.To {
		p.Seq = in.Seq[min(at, g.To-1)]
	}
	return p
}
