package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/engine/fold/run"
)

// batches is a stepper over Arrow: one batch goes in, one comes out.
type batches struct {
	keys

	c      *child
	h      hello
	wants  run.Wants
	taken  taken
	input  input
	buf    *bufio.Writer
	out    *ipc.Writer
	in     *ipc.Reader
	frames *frames
}

func newArrow(c *child, h hello, k keys, w run.Wants) (*batches, error) {
	taken, err := takenOf(h.Columns, w.Columns)
	b := &batches{keys: k, c: c, h: h, wants: w, taken: taken, input: input{keys: k, reads: h.Reads, show: w.Show}}
	b.buf = bufio.NewWriterSize(c, pieceBytes)
	return b, err
}

// Close ends the process.
func (b *batches) Close() error {
	b.c.end()
	if b.in != nil {
		b.in.Release()
		b.in = nil
	}
	return nil
}

// Step writes a batch and reads the one that answers to it.
func (b *batches) Step(ctx context.Context, in run.Batch) (run.Answer, error) {
	if err := ctx.Err(); err != nil {
		return run.Answer{}, err
	}
	if b.c.done.Load() {
		return run.Answer{}, errors.New("step a worker: it has ended")
	}
	record, rows, err := b.input.record(in)
	if err != nil {
		return run.Answer{}, err
	}
	defer record.Release()
	defer b.c.rests()
	b.c.goesOn()
	wrote := make(chan error, 1)
	go func() { wrote <- b.send(record) }()
	a, err := b.receive(in, rows)
	if err != nil {
		b.c.end()
	}
	if sent := <-wrote; err == nil && sent != nil {
		err = sent
	}
	if err != nil {
		return run.Answer{}, err
	}
	return a, nil
}

// send writes a record. A pipe that is closed is no error here: why the worker
// reads no more is found where its answer is missing.
func (b *batches) send(record arrow.RecordBatch) error {
	if b.out == nil {
		b.out = ipc.NewWriter(b.buf, ipc.WithSchema(record.Schema()))
	}
	if !record.Schema().Equal(b.input.schema) {
		return errors.New("write events for the worker: the columns of batches differ")
	}
	if err := b.out.Write(record); err != nil {
		return nil //nolint:nilerr // see above
	}
	_ = b.buf.Flush()
	return nil
}

// receive reads the batch that answers to one whose rows, as they were sent, are
// rows.
func (b *batches) receive(in run.Batch, rows []int) (run.Answer, error) {
	record, err := b.read()
	if err != nil {
		if gone, ok := errors.AsType[*recount.Error](err); ok && gone.Code == recount.CodeWorker {
			return run.Answer{}, poisonIn(in, err)
		}
		return run.Answer{}, err
	}
	answer, err := b.take(record, in, rows)
	if err != nil {
		if p, ok := errors.AsType[*run.Poison](err); ok {
			b.c.end()
			return run.Answer{}, p
		}
		return run.Answer{}, b.c.unusable("%v", err)
	}
	return answer, nil
}

// take reads a record. Whatever a hostile one makes the library panic with is an
// error.
func (b *batches) take(record arrow.RecordBatch, in run.Batch, rows []int) (answer run.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = run.Answer{}, fmt.Errorf("its batch is damaged: %v", p)
		}
	}()
	o, err := b.output(record, in, rows)
	if err != nil {
		return run.Answer{}, err
	}
	if err := o.read(); err != nil {
		return run.Answer{}, err
	}
	return o.answer, nil
}

// poisonIn says that some event of a batch ended the worker.
func poisonIn(in run.Batch, err error) error {
	p := &run.Poison{Group: -1, Err: err}
	if len(in.Groups) == 1 {
		p.Group = in.Groups[0].Number
		if g := in.Groups[0]; g.To-g.From == 1 {
			p.Seq = in.Seq[g.From]
		}
	}
	return p
}

// read reads one batch.
func (b *batches) read() (arrow.RecordBatch, error) {
	if b.in == nil {
		limits := []ipc.Option{ipc.WithAllocator(bounded{memory.DefaultAllocator}), ipc.WithMetadataSizeLimit(mostHead), ipc.WithBodySizeLimit(mostAnswer)}
		b.frames = &frames{in: b.c.out}
		in, err := ipc.NewReaderFromMessageReader(ipc.NewMessageReader(b.frames, limits...), limits...)
		if err != nil {
			return nil, b.broken(err)
		}
		b.in = in
		if in.Schema() == nil {
			return nil, b.broken(in.Err())
		}
	}
	if !b.in.Next() {
		return nil, b.broken(b.in.Err())
	}
	record := b.in.RecordBatch()
	if err := validate(record); err != nil {
		return nil, b.c.unusable("its batch is damaged: %v", err)
	}
	return record, nil
}

// validate finds lengths and offsets that lead out of a batch's buffers.
func validate(record arrow.RecordBatch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return array.ValidateRecordFull(record)
}

// broken is the error of a stream that does not go on.
func (b *batches) broken(err error) error {
	if errors.Is(b.frames.err, errStray) {
		line, _ := b.c.line(mostReply)
		return b.c.stray(append(b.frames.stray, line...))
	}
	cut := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrClosed)
	if err == nil || cut || b.c.late.Load() {
		return b.c.gone()
	}
	return b.c.unusable("its Arrow stream is damaged: %s", tidy(err.Error()))
}
