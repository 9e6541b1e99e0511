package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"recount"
	"recount/engine/fold/run"
)

// lines is a stepper over NDJSON. It writes and reads at once: a worker that
// answers much while it still reads must not stand still.
type lines struct {
	keys

	c     *child
	wants run.Wants
	taken taken
	write eventWriter
}

func newLines(c *child, h hello, k keys, w run.Wants) (*lines, error) {
	taken, err := takenOf(h.Columns, w.Columns)
	return &lines{c: c, keys: k, wants: w, taken: taken, write: eventWriter{reads: h.Reads, json: k.json}}, err
}

// keys is what a stepper knows of its stream's keys and fields.
type keys struct {
	by     []recount.Field
	bucket bool            // keys have buckets
	json   map[string]bool // the fields that hold JSON
}

// Close ends the process.
func (l *lines) Close() error {
	l.c.end()
	return nil
}

// mostLine bounds a line that a worker writes, mostAnswer all that it writes for
// one batch.
const (
	mostLine   = 16 << 20
	mostAnswer = 512 << 20
)

// Step writes a batch and reads what the worker answers to it.
func (l *lines) Step(ctx context.Context, in run.Batch) (run.Answer, error) {
	if err := ctx.Err(); err != nil {
		return run.Answer{}, err
	}
	if l.c.done.Load() {
		return run.Answer{}, errors.New("step a worker: it has ended")
	}
	if err := l.write.bind(in); err != nil {
		return run.Answer{}, err
	}
	defer l.c.rests()
	l.c.goesOn()
	wrote := make(chan error, 1)
	go func() { wrote <- l.send(in) }()
	a, err := l.receive(in)
	if err != nil {
		// The writer may wait for a worker that reads no more.
		l.c.end()
	}
	if sent := <-wrote; err == nil && sent != nil {
		err = sent
	}
	if err != nil {
		return run.Answer{}, err
	}
	return a, nil
}

// pieceBytes is how much is gathered before it is written.
const pieceBytes = 64 << 10

// send writes the groups of a batch. A write that fails is no error: why the
// worker reads no more is found where its answer is missing.
func (l *lines) send(in run.Batch) error {
	b := make([]byte, 0, pieceBytes+pieceBytes/4)
	gone := false
	flush := func(least int) {
		if len(b) < least || gone {
			return
		}
		_, err := l.c.Write(b)
		gone = err != nil
		b = b[:0]
	}
	for _, g := range in.Groups {
		var err error
		if g.Begin {
			if b, err = l.begin(b, g); err != nil {
				return err
			}
		}
		for i := g.From; i < g.To && !gone; i++ {
			if b, err = l.write.event(b, in.Seq[i], i); err != nil {
				return err
			}
			if l.asks(in, g, i) {
				b = append(strconv.AppendInt(append(b, `{"show":`...), g.Number, 10), "}\n"...)
			}
			flush(pieceBytes)
		}
		if g.End {
			b = append(strconv.AppendInt(append(b, `{"end":`...), g.Number, 10), "}\n"...)
		}
		flush(pieceBytes)
	}
	flush(1)
	return nil
}

// asks says whether an answer is wanted after an event before its group ends: so
// it is of the last event of a batch whose group goes on too, that nothing of
// what the worker writes is left in between.
func (l *lines) asks(in run.Batch, g run.Group, i int) bool {
	return l.wants.Show || i == g.To-1 && !g.End
}

func (l *lines) begin(b []byte, g run.Group) ([]byte, error) {
	b = append(strconv.AppendInt(append(b, `{"begin":`...), g.Number, 10), `,"key":{`...)
	for i, f := range l.by {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, f.Name), ':')
		if i < len(g.Key) {
			b = appendValue(b, f.Type, g.Key[i])
		} else {
			b = append(b, "null"...)
		}
	}
	b = append(b, '}')
	if l.bucket {
		b = append(appendTime(append(b, `,"bucket":"`...), g.Bucket), '"')
	}
	if g.Opening != nil {
		if !json.Valid(g.Opening) {
			return b, fmt.Errorf("the state of key %s is no JSON", keyText(l.by, g.Key))
		}
		b = append(b, `,"state":`...)
		b = appendCompact(b, g.Opening)
	}
	return append(b, "}\n"...), nil
}

// receive reads the answers to a batch, in the order in which they are asked for.
func (l *lines) receive(in run.Batch) (run.Answer, error) {
	r := receiver{l: l, in: in}
	for _, g := range in.Groups {
		r.g, r.at = g, -1
		for i := g.From; i < g.To; i++ {
			r.at = i
			if !l.asks(in, g, i) {
				continue
			}
			if err := r.until(askShow); err != nil {
				return run.Answer{}, err
			}
		}
		if !g.End {
			continue
		}
		if err := r.until(askEnd); err != nil {
			return run.Answer{}, err
		}
	}
	return r.answer, nil
}

// What the worker was asked for.
type ask string

const (
	askShow ask = "show"
	askEnd  ask = "end"
)

// receiver reads the answers to one batch.
type receiver struct {
	l      *lines
	in     run.Batch
	g      run.Group
	at     int // the row of the last event before the answer; -1: none
	bytes  int64
	states int // of answer, before what is read now was asked for
	answer run.Answer
	// seqs are the events of the group seqGroup, made where an effect names one.
	seqs     map[int64]bool
	seqGroup int64
}

// until reads up to the answer that closes what was asked.
func (r *receiver) until(a ask) error {
	rows, states, effects := len(r.answer.Rows), len(r.answer.States), len(r.answer.Effects)
	r.states = states
	l := r.l
	for {
		line, err := l.c.line(mostLine)
		if errors.Is(err, errLong) {
			return l.c.unusable("it wrote a line of more than %d MiB, which began: %s", mostLine>>20, quoted(line))
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return r.poison(l.c.cutOff(line))
		}
		if err != nil {
			return r.poison(l.c.gone())
		}
		if r.bytes += int64(len(line)); r.bytes > mostAnswer {
			return l.c.unusable("it wrote more than %d MiB for one batch of events", mostAnswer>>20)
		}
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
			continue
		}
		m, err := readMessage(line)
		if err != nil {
			return l.c.stray(line)
		}
		closed, err := r.take(m, a)
		if err != nil {
			return err
		}
		if !closed {
			continue
		}
		l.c.goesOn()
		return r.close(a, rows, states, effects)
	}
}

// close looks at what came before the answer that closes a: whether it is wanted,
// and whether nothing is missing.
func (r *receiver) close(a ask, rows, states, effects int) error {
	l, w := r.l, r.l.wants
	if w.State && len(r.answer.States) == states && (a == askEnd || w.Show) {
		return l.c.unusable("%s: it gave no state before it answered to %q", r.where(), a)
	}
	wanted := a == askEnd
	if w.Show && r.at >= 0 {
		wanted = a == askShow
	}
	if !wanted {
		r.answer.Rows, r.answer.States = r.answer.Rows[:rows], r.answer.States[:states]
	}
	if len(l.wants.Columns) == 0 {
		r.answer.Rows = r.answer.Rows[:rows]
	}
	if !w.State {
		r.answer.States = r.answer.States[:states]
	}
	if !w.Effects {
		r.answer.Effects = r.answer.Effects[:effects]
	}
	return nil
}

// take takes one message, and says whether it closes what was asked.
func (r *receiver) take(m message, a ask) (bool, error) {
	l := r.l
	switch m.kind {
	case saysRow:
		values, err := l.taken.row(m.body)
		if err != nil {
			return false, l.c.unusable("%s: %v", r.where(), err)
		}
		r.answer.Rows = append(r.answer.Rows, run.Row{Group: r.g.Number, At: r.at, Values: values})
	case saysState:
		if len(r.answer.States) > r.states {
			return false, l.c.unusable("%s: it gave two states", r.where())
		}
		r.answer.States = append(r.answer.States, run.State{Group: r.g.Number, At: r.at, Bytes: appendCompact(nil, m.body)})
	case saysEffect:
		e, err := readEffect(m)
		if err == nil {
			e.Seq, err = r.seqOf(e.Seq)
		}
		if err != nil {
			return false, l.c.unusable("%s: %v", r.where(), err)
		}
		r.answer.Effects = append(r.answer.Effects, e)
	case saysShown, saysDone:
		asked, word := askShow, "shown"
		if m.kind == saysDone {
			asked, word = askEnd, "done"
		}
		if asked != a || m.group != r.g.Number {
			return false, l.c.unusable("%s: it answered out of order: {%q:%d}, where {%q:%d} was asked", r.where(), word, m.group, a, r.g.Number)
		}
		return true, nil
	case saysFailed:
		return false, r.failed(m)
	case saysRefused:
		return false, l.c.unusable("%s: %s", r.where(), tidy(m.why))
	}
	return false, nil
}

// failed makes an error of what the worker says of an event that it cannot fold.
func (r *receiver) failed(m message) error {
	l := r.l
	p := &run.Poison{Group: m.group}
	for _, g := range r.in.Groups {
		for i := g.From; g.Number == m.group && i < g.To; i++ {
			if r.in.Seq[i] == m.seq {
				p.Seq = m.seq
			}
		}
	}
	l.c.end()
	p.Err = cannotFold(l.c, m.why)
	return p
}

// poison says that some event of the groups that are not answered ended the
// worker: what it had answered may lie unwritten in its own buffer.
func (r *receiver) poison(err error) error {
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeWorker {
		return err // the run was ended, or the worker wrote what is no protocol
	}
	return poisonIn(r.in, err)
}

// seqOf checks the event that an effect names; 0 is the last one.
func (r *receiver) seqOf(seq int64) (int64, error) {
	if r.at < 0 {
		return 0, errors.New("an effect of a key without events")
	}
	if seq == 0 {
		return r.in.Seq[r.at], nil
	}
	if r.seqs == nil || r.seqGroup != r.g.Number {
		r.seqs, r.seqGroup = map[int64]bool{}, r.g.Number
		for _, own := range r.in.Seq[r.g.From:r.g.To] {
			r.seqs[own] = true
		}
	}
	if r.seqs[seq] {
		return seq, nil
	}
	return 0, fmt.Errorf("an effect names the event %d, which is none of those that the key was given since the last answer", seq)
}

// where names the key that an answer belongs to.
func (r *receiver) where() string { return "key " + keyText(r.l.by, r.g.Key) }

func keyText(by []recount.Field, key []recount.Value) string {
	var b []byte
	for i, f := range by {
		if i >= len(key) {
			break
		}
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(append(b, f.Name...), '='), clip(key[i].String())...)
	}
	return string(b)
}
