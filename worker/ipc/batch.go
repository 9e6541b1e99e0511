package ipc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/worker"
)

// The columns that stand beside those of events and rows.
const (
	columnGroup  = "recount_group"
	columnFlags  = "recount_flags"
	columnSeq    = "recount_seq"
	columnState  = "recount_state"
	columnBucket = "recount_bucket"
	columnAt     = "recount_at"
	columnWhat   = "recount_what"
	columnBlob   = "recount_blob"
)

// The bits of recount_flags.
const (
	flagBegin   = 1
	flagNoEvent = 2
	flagShow    = 4
	flagEnd     = 8
)

// What a row of an answer is.
const (
	whatRow     = 0
	whatEffect  = 1
	whatState   = 2
	whatFailed  = 3
	whatRefused = 4
)

// server folds one batch after the other.
type server struct {
	machine worker.Machine
	reads   []string
	by      []recount.Field
	columns []recount.Column
	state   bool // states are wanted
	answer  *answer

	loaded []worker.Column
	group  int64 // the key that is folded
	shown  bool  // rows were asked for after an event of it
	rows   [][]recount.Value
}

// given are the columns of a batch.
type given struct {
	groups, seq *array.Int64
	flags       *array.Int8
	states      *array.String
	buckets     *array.Timestamp // nil: there are none
	key         []worker.Column
}

// batch folds a batch into the answer. An error is told in it too.
func (s *server) batch(record arrow.RecordBatch) error {
	b, err := s.load(record)
	if err != nil {
		return s.refused(err)
	}
	from := -1 // of events that wait to be stepped through
	for i := range int(record.NumRows()) {
		flags := b.flags.Value(i)
		if flags&flagBegin != 0 {
			if err := s.begin(b, i); err != nil {
				return err
			}
		}
		if flags&flagNoEvent == 0 && from < 0 {
			from = i
		}
		if flags&(flagShow|flagEnd) == 0 && i+1 < int(record.NumRows()) {
			continue
		}
		to := i + 1
		if flags&flagNoEvent != 0 {
			to = i
		}
		if from >= 0 {
			if err := s.step(b, from, to); err != nil {
				return err
			}
		}
		from = -1
		if flags&flagShow != 0 || flags&flagEnd != 0 && !s.shown {
			if err := s.tell(i); err != nil {
				return err
			}
		}
		s.shown = s.shown || flags&flagShow != 0
	}
	return nil
}

// load takes the columns of a batch.
func (s *server) load(record arrow.RecordBatch) (*given, error) {
	b := &given{key: make([]worker.Column, len(s.by))}
	column := func(name string) arrow.Array {
		if at := record.Schema().FieldIndices(name); len(at) == 1 {
			return record.Column(at[0])
		}
		return nil
	}
	var ok [4]bool
	b.groups, ok[0] = column(columnGroup).(*array.Int64)
	b.flags, ok[1] = column(columnFlags).(*array.Int8)
	b.seq, ok[2] = column(columnSeq).(*array.Int64)
	b.states, ok[3] = column(columnState).(*array.String)
	if ok != [4]bool{true, true, true, true} {
		return nil, errors.New("a batch lacks one of its columns recount_group, recount_flags, recount_seq and recount_state")
	}
	b.buckets, _ = column(columnBucket).(*array.Timestamp)
	for i, f := range s.by {
		if err := loadNamed(column(f.Name), f.Name, &b.key[i]); err != nil {
			return nil, err
		}
	}
	if s.loaded == nil {
		s.loaded = make([]worker.Column, len(s.reads))
	}
	for i, name := range s.reads {
		if err := loadNamed(column(name), name, &s.loaded[i]); err != nil {
			return nil, err
		}
	}
	times, isTime := column(timeColumn).(*array.Timestamp)
	if !isTime {
		return nil, errors.New("a batch lacks the column time")
	}
	micros := make([]int64, times.Len())
	for i := range micros {
		micros[i] = worker.NoTime
		if !times.IsNull(i) {
			micros[i] = int64(times.Value(i))
		}
	}
	return b, s.machine.Load(s.loaded, b.seq.Int64Values(), micros)
}

func loadNamed(a arrow.Array, name string, into *worker.Column) error {
	if a == nil {
		return fmt.Errorf("a batch lacks the column %s", name)
	}
	if err := Load(a, into); err != nil {
		return fmt.Errorf("column %s: %w", name, err)
	}
	return nil
}

func (s *server) begin(b *given, i int) error {
	key := make([]recount.Value, len(s.by))
	for n, f := range s.by {
		v, err := valueOf(f.Type, &b.key[n], i)
		if err != nil {
			return s.refused(err)
		}
		key[n] = v
	}
	bucket := int64(worker.NoTime)
	if b.buckets != nil && !b.buckets.IsNull(i) {
		bucket = int64(b.buckets.Value(i))
	}
	var opening []byte
	if !b.states.IsNull(i) {
		var text string
		if err := json.Unmarshal([]byte(b.states.Value(i)), &text); err != nil {
			return s.refused(fmt.Errorf("%w: %w", worker.ErrState, err))
		}
		opening = []byte(text)
	}
	s.group, s.shown = b.groups.Value(i), false
	return s.failed(i, s.machine.Begin(key, bucket, opening))
}

// step steps through the events of rows [from, to).
func (s *server) step(b *given, from, to int) error {
	at, err := s.machine.Step(from, to)
	if err != nil {
		return s.failed(at, err)
	}
	row := from
	for _, e := range s.machine.Effects() {
		for b.seq.Value(row) != e.Seq {
			row++
		}
		blob, err := json.Marshal(effect{e.Kind, e.Key, e.Payload})
		if err != nil {
			return s.refused(err)
		}
		s.answer.add(s.group, row, whatEffect, string(blob), nil)
	}
	return nil
}

type effect struct {
	Kind    string          `json:"kind"`
	Key     string          `json:"key"`
	Payload json.RawMessage `json:"payload"`
}

// tell answers with the rows and the state as they stand after row i.
func (s *server) tell(i int) error {
	rows, err := s.machine.Rows(s.rows[:0])
	if err != nil {
		return s.failed(i, err)
	}
	for _, values := range rows {
		s.answer.add(s.group, i, whatRow, "", values)
	}
	s.rows = rows
	if !s.state {
		return nil
	}
	state, err := s.machine.State()
	if err != nil {
		return s.refused(err)
	}
	text, err := json.Marshal(string(state))
	if err != nil {
		return s.refused(err)
	}
	s.answer.add(s.group, i, whatState, string(text), nil)
	return nil
}

// failed tells that the fold does not survive an event.
func (s *server) failed(i int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, worker.ErrState):
		return s.refused(err)
	}
	s.answer.add(s.group, i, whatFailed, err.Error(), nil)
	return fmt.Errorf("fold: %w", err)
}

// refused tells that the answer cannot be written.
func (s *server) refused(err error) error {
	s.answer.add(s.group, 0, whatRefused, err.Error(), nil)
	return err
}

// answer builds the batches that go out.
type answer struct {
	schema *arrow.Schema
	b      *array.RecordBuilder
	bools  []bool // of the result's columns, those that are no texts
}

// newAnswer has the result's columns as canonical texts: they are checked, and no
// Arrow type holds them more exactly.
func newAnswer(columns []recount.Column) *answer {
	a := &answer{}
	fields := []arrow.Field{
		{Name: columnGroup, Type: arrow.PrimitiveTypes.Int64},
		{Name: columnAt, Type: arrow.PrimitiveTypes.Int64},
		{Name: columnWhat, Type: arrow.PrimitiveTypes.Int8},
		{Name: columnBlob, Type: arrow.BinaryTypes.String, Nullable: true},
	}
	for _, c := range columns {
		var t arrow.DataType = arrow.BinaryTypes.String
		if c.Type.Kind == recount.KindBool {
			t = arrow.FixedWidthTypes.Boolean
		}
		fields = append(fields, arrow.Field{Name: c.Name, Type: t, Nullable: true})
		a.bools = append(a.bools, c.Type.Kind == recount.KindBool)
	}
	a.schema = arrow.NewSchema(fields, nil)
	a.b = array.NewRecordBuilder(memory.DefaultAllocator, a.schema)
	return a
}

const leading = 4 // columns before those of the result

func (a *answer) add(group int64, at int, what int8, blob string, values []recount.Value) {
	a.b.Field(0).(*array.Int64Builder).Append(group)
	a.b.Field(1).(*array.Int64Builder).Append(int64(at))
	a.b.Field(2).(*array.Int8Builder).Append(what)
	if what == whatRow {
		a.b.Field(3).AppendNull()
	} else {
		a.b.Field(3).(*array.StringBuilder).Append(blob)
	}
	for i := range a.bools {
		switch b := a.b.Field(leading + i).(type) {
		case *array.BooleanBuilder:
			if values == nil || values[i].Null {
				b.AppendNull()
			} else {
				b.Append(values[i].Text == "true")
			}
		case *array.StringBuilder:
			if values == nil || values[i].Null {
				b.AppendNull()
			} else {
				b.Append(values[i].Text)
			}
		}
	}
}

func (a *answer) record() arrow.RecordBatch { return a.b.NewRecordBatch() }

// valueOf is value i of a column as canonical text.
func valueOf(t recount.Type, c *worker.Column, i int) (recount.Value, error) {
	if c.Null(i) {
		return recount.Null, nil
	}
	var text string
	switch t.Kind {
	case recount.KindString, recount.KindJSON:
		text = c.Text[c.Offsets[i]:c.Offsets[i+1]]
	case recount.KindInt64:
		text = strconv.FormatInt(c.Ints[i], 10)
	case recount.KindDouble:
		text = strconv.FormatFloat(c.Doubles[i], 'g', -1, 64)
	case recount.KindDecimal:
		text = c.Decimals[i].String()
	case recount.KindBool:
		text = strconv.FormatBool(c.Bools[i])
	case recount.KindTimestamp:
		text = recount.FormatTimestamp(time.UnixMicro(c.Ints[i]))
	case recount.KindDate:
		const day = 24 * 60 * 60
		text = time.Unix(c.Ints[i]*day, 0).UTC().Format(time.DateOnly)
	}
	text, err := recount.Canonical(t, text)
	return recount.Text(text), err
}
