package process

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/engine/fold/run"
)

// What a row of an answer is: recount_what.
const (
	whatRow    = 0
	whatEffect = 1
	whatState  = 2
	whatFailed = 3
	// whatRefused is an answer that the worker's own library would not write.
	whatRefused = 4
)

// output reads a batch that a worker answers with.
type output struct {
	b      *batches
	in     run.Batch
	rows   []int // see input.record
	group  *array.Int64
	what   *array.Int8  // nil: rows alone
	at     *array.Int64 // nil: none
	blob   func(i int) ([]byte, bool)
	values []valueReader
	n      int
	spots  map[int64]int // by number of a group, its place in the batch
	answer run.Answer
}

// valueReader reads the value of a row.
type valueReader func(i int) (recount.Value, error)

// output looks at the columns of a batch.
func (b *batches) output(record arrow.RecordBatch, in run.Batch, rows []int) (*output, error) {
	o := &output{b: b, in: in, rows: rows, n: int(record.NumRows()), values: make([]valueReader, len(b.taken.columns)), spots: map[int64]int{}}
	for i, g := range in.Groups {
		o.spots[g.Number] = i
	}
	for i, f := range record.Schema().Fields() {
		if err := o.column(f.Name, record.Column(i)); err != nil {
			return nil, err
		}
	}
	if o.group == nil {
		return nil, fmt.Errorf("its batch has no column %s", columnGroup)
	}
	for i, r := range o.values {
		if r == nil {
			return nil, fmt.Errorf("its batch lacks the column %q", b.taken.columns[i].Name)
		}
	}
	return o, nil
}

// column takes one column of a batch.
func (o *output) column(name string, a arrow.Array) error {
	ok := true
	switch name {
	case columnGroup:
		o.group, ok = a.(*array.Int64)
		ok = ok && a.NullN() == 0
	case columnWhat:
		o.what, ok = a.(*array.Int8)
		ok = ok && a.NullN() == 0
	case columnAt:
		o.at, ok = a.(*array.Int64)
	case columnBlob:
		o.blob, ok = blobs(a)
	default:
		i, known := o.b.taken.at[name]
		if !known {
			return fmt.Errorf("its batch has the column %q, which its first line does not name", clip(name))
		}
		if o.values[i] != nil {
			return fmt.Errorf("its batch has the column %q twice", clip(name))
		}
		r, err := readerOf(o.b.taken.columns[i].Type, a)
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		o.values[i] = r
	}
	if !ok {
		return fmt.Errorf("its column %s has the type %s: docs/worker-protocol.md says which it must have, and none of its values can be missing", name, a.DataType())
	}
	return nil
}

func blobs(a arrow.Array) (func(int) ([]byte, bool), bool) {
	switch a := a.(type) {
	case *array.String:
		return func(i int) ([]byte, bool) { return []byte(a.Value(i)), !a.IsNull(i) }, true
	case *array.LargeString:
		return func(i int) ([]byte, bool) { return []byte(a.Value(i)), !a.IsNull(i) }, true
	case *array.Binary:
		return func(i int) ([]byte, bool) { return a.Value(i), !a.IsNull(i) }, true
	case *array.LargeBinary:
		return func(i int) ([]byte, bool) { return a.Value(i), !a.IsNull(i) }, true
	case *array.Null:
		return func(int) ([]byte, bool) { return nil, false }, true
	}
	return nil, false
}

// answerPlace is where an answer belongs: a group, and the row of the batch after which
// it stands.
type answerPlace struct{ spot, at int }

// read reads all rows.
func (o *output) read() error {
	var last [whatFailed]answerPlace
	for i := range last {
		last[i].at = -1 // a group without an event answers there
	}
	for i := range o.n {
		what := int8(whatRow)
		if o.what != nil {
			what = o.what.Value(i)
		}
		if what < whatRow || what > whatRefused {
			return fmt.Errorf("row %d of its batch has the %s %d", i, columnWhat, what)
		}
		if what == whatFailed {
			return o.failed(i)
		}
		if what == whatRefused {
			text, _ := o.blobOf(i)
			return errors.New(tidy(string(text)))
		}
		p, err := o.placeOf(i, what)
		if err != nil {
			return fmt.Errorf("row %d of its batch: %w", i, err)
		}
		if before := last[what]; p.spot < before.spot || p.spot == before.spot && p.at < before.at {
			return fmt.Errorf("row %d of its batch: it answered out of order: group %d after group %d", i, o.in.Groups[p.spot].Number, o.in.Groups[before.spot].Number)
		}
		last[what] = p
		if err := o.take(i, what, p); err != nil {
			return fmt.Errorf("key %s: %w", keyText(o.b.by, o.in.Groups[p.spot].Key), err)
		}
	}
	return o.states()
}

// placeOf says where row i belongs.
func (o *output) placeOf(i int, what int8) (answerPlace, error) {
	number := o.group.Value(i)
	spot, ok := o.spots[number]
	if !ok {
		return answerPlace{}, fmt.Errorf("it answered for group %d, which is none of those that it was given", number)
	}
	g := o.in.Groups[spot]
	if what != whatEffect && !(o.b.wants.Show && g.To > g.From) {
		if !g.End {
			return answerPlace{}, fmt.Errorf("it answered for group %d before that had ended", number)
		}
		if g.From == g.To {
			return answerPlace{spot, -1}, nil
		}
		return answerPlace{spot, g.To - 1}, nil
	}
	if o.at == nil || o.at.IsNull(i) {
		if what == whatEffect && g.To > g.From {
			return answerPlace{spot, g.To - 1}, nil
		}
		return answerPlace{}, fmt.Errorf("%s says nothing of the event after which it answered", columnAt)
	}
	at := o.at.Value(i)
	if at < 0 || at >= int64(len(o.rows)) || o.rows[at] < g.From || o.rows[at] >= g.To {
		return answerPlace{}, fmt.Errorf("%s is %d, which is no event of group %d", columnAt, at, number)
	}
	return answerPlace{spot, o.rows[at]}, nil
}

// take takes row i.
func (o *output) take(i int, what int8, p answerPlace) error {
	number, w := o.in.Groups[p.spot].Number, o.b.wants
	switch what {
	case whatRow:
		values := make([]recount.Value, o.b.taken.width)
		for n, read := range o.values {
			v, err := read(i)
			if err != nil {
				return fmt.Errorf("column %s: %w", o.b.taken.columns[n].Name, err)
			}
			if to := o.b.taken.to[n]; to >= 0 {
				values[to] = v
			}
		}
		if len(w.Columns) > 0 {
			o.answer.Rows = append(o.answer.Rows, run.Row{Group: number, At: p.at, Values: values})
		}
	case whatState:
		text, ok := o.blobOf(i)
		if !ok || !json.Valid(text) {
			return errors.New("its state is no JSON")
		}
		if w.State {
			o.answer.States = append(o.answer.States, run.State{Group: number, At: p.at, Bytes: appendCompact(nil, text)})
		}
	case whatEffect:
		text, ok := o.blobOf(i)
		if !ok || !json.Valid(text) {
			return errors.New("its effect is no JSON")
		}
		e, err := readEffect(message{body: text, seq: o.in.Seq[p.at]})
		if err != nil {
			return err
		}
		if w.Effects {
			o.answer.Effects = append(o.answer.Effects, e)
		}
	}
	return nil
}

func (o *output) blobOf(i int) ([]byte, bool) {
	if o.blob == nil {
		return nil, false
	}
	return o.blob(i)
}

// states finds groups whose state is wanted and was not given, or given twice.
func (o *output) states() error {
	if !o.b.wants.State {
		return nil
	}
	next := 0
	for _, g := range o.in.Groups {
		from, to := g.To-1, g.To
		if g.From == g.To {
			from, to = -1, 0
		}
		if o.b.wants.Show && g.To > g.From {
			from = g.From
		} else if !g.End {
			continue
		}
		for at := from; at < to; at++ {
			if next >= len(o.answer.States) || o.answer.States[next].Group != g.Number || o.answer.States[next].At != at {
				return fmt.Errorf("key %s: it gave no state, or more than one", keyText(o.b.by, g.Key))
			}
			next++
		}
	}
	if next != len(o.answer.States) {
		return errors.New("it gave a state that was not asked for, or one twice")
	}
	return nil
}

// failed makes an error of what a worker says of an event that it cannot fold.
func (o *output) failed(i int) error {
	p := &run.Poison{Group: -1}
	if spot, ok := o.spots[o.group.Value(i)]; ok {
		g := o.in.Groups[spot]
		p.Group = g.Number
		if o.at != nil && !o.at.IsNull(i) {
			if at := o.at.Value(i); at >= 0 && at < int64(len(o.rows)) && o.rows[at] >= g.From && o.rows[at] < g.To {
				p.Seq = o.in.Seq[o.rows[at]]
			}
		}
	}
	why, _ := o.blobOf(i)
	o.b.c.end()
	p.Err = cannotFold(o.b.c, string(why))
	return p
}

// bounded refuses what no answer needs: Arrow asks for as many bytes as a stream
// says that it holds once it is unpacked. What it panics with is recovered where
// the stream is read.
type bounded struct{ memory.Allocator }

func (b bounded) Allocate(size int) []byte {
	check(size)
	return b.Allocator.Allocate(size)
}

func (b bounded) Reallocate(size int, old []byte) []byte {
	check(size)
	return b.Allocator.Reallocate(size, old)
}

func check(size int) {
	if size < 0 || size > mostAnswer {
		panic(fmt.Sprintf("a buffer of %d bytes", size))
	}
}
