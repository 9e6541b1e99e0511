package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"recount"
)

// program is a fold that fits a stream.
type program[S, E, R any] struct {
	fold    Fold[S, E, R]
	inputs  []input
	outputs []output
	codec   codec
}

// Bind fits the fold to a stream. It is for engines.
func (f Fold[S, E, R]) Bind(fields []recount.Field, by []string) (Program, error) {
	inputs, err := inputsOf(reflect.TypeFor[E](), fields)
	outputs, errRow := outputsOf(reflect.TypeFor[R](), fields, by)
	if err := errors.Join(err, errRow); err != nil {
		return nil, &recount.Error{
			Code: recount.CodeFold, What: "the fold does not fit the source", Why: strings.ReplaceAll(err.Error(), "\n", "; "), Err: err,
			Next: "mend the struct or its tags, or declare the field in recount.yaml; docs/go-worker.md lists which Go type is which column",
		}
	}
	return &program[S, E, R]{fold: f, inputs: inputs, outputs: outputs, codec: codecOf(reflect.TypeFor[S]())}, nil
}

func (p *program[S, E, R]) Reads() []string {
	reads := make([]string, len(p.inputs))
	for i, in := range p.inputs {
		reads[i] = in.field.column
	}
	return reads
}

func (p *program[S, E, R]) Columns() []recount.Column {
	columns := make([]recount.Column, len(p.outputs))
	for i, out := range p.outputs {
		columns[i] = out.column
	}
	return columns
}

func (p *program[S, E, R]) StateShape() string { return p.codec.shape }
func (p *program[S, E, R]) Unsaved() string    { return p.codec.why }

func (p *program[S, E, R]) Machine(seed uint64, columns []string) (Machine, error) {
	m := &machine[S, E, R]{program: p, ctx: Context{seed: seed, micros: NoTime, bucket: NoTime}}
	event, row := reflect.ValueOf(&m.event).Elem(), reflect.ValueOf(&m.row).Elem()
	for _, in := range p.inputs {
		m.decoders = append(m.decoders, decoderOf(in, event))
	}
	for _, name := range columns {
		i := slices.IndexFunc(p.outputs, func(o output) bool { return o.column.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("the rows of the fold have no column %s", name)
		}
		m.encoders = append(m.encoders, encoderOf(p.outputs[i], row))
	}
	m.scrub = len(p.inputs) < reflect.TypeFor[E]().NumField()
	m.emit = m.take
	m.trail = make([]byte, 8)
	return m, nil
}

// machine is one thread's run of a program. Its event and its row are used
// again and again, so that decoders and encoders can point into them.
type machine[S, E, R any] struct {
	*program[S, E, R]
	ctx      Context
	state    *S
	event    E
	row      R
	decoders []decoder
	encoders []encoder
	emit     func(R)
	scrub    bool // the event has fields that no column fills
	rows     [][]recount.Value

	columns     []Column
	seq, micros []int64
	at          int // the event that is stepped
	trail       []byte
}

func (m *machine[S, E, R]) Trail(at []byte) { m.trail = at }

func (m *machine[S, E, R]) Load(columns []Column, seq, micros []int64) error {
	if len(columns) != len(m.decoders) {
		return fmt.Errorf("load a batch: got %d columns, want %d", len(columns), len(m.decoders))
	}
	m.columns, m.seq, m.micros = columns, seq, micros
	return nil
}

func (m *machine[S, E, R]) Begin(key []recount.Value, bucket int64, opening []byte) (err error) {
	defer m.caught(&err)
	c := &m.ctx
	c.key, c.bucket, c.micros, c.seq, c.seeded, c.err = key, bucket, NoTime, 0, false, nil
	// A new one each time: what the author may have kept of the last stays whole.
	m.state = new(S)
	if opening != nil {
		return m.codec.decode(opening, m.state)
	}
	if m.fold.Start != nil {
		c.still = true
		*m.state = m.fold.Start(c)
		c.still = false
	}
	return c.err
}

func (m *machine[S, E, R]) Step(from, to int) (at int, err error) {
	defer func() { at = m.at }()
	defer m.caught(&err)
	c, step, state, event, trail := &m.ctx, m.fold.Step, m.state, &m.event, m.trail
	for i := from; i < to; i++ {
		m.at = i
		if m.scrub {
			*event = *new(E)
		}
		for d := range m.decoders {
			dec, column := &m.decoders[d], &m.columns[d]
			if column.Valid != nil && column.Null(i) {
				err = dec.null()
			} else {
				err = dec.set(column, i)
			}
			if err != nil {
				return i, err
			}
		}
		c.micros, c.seq, c.seeded = m.micros[i], m.seq[i], false
		binary.LittleEndian.PutUint64(trail, uint64(c.seq))
		if err = step(c, state, event); err != nil {
			return i, err
		}
		if c.err != nil {
			return i, c.err
		}
	}
	m.at = to
	return to, nil
}

func (m *machine[S, E, R]) Rows(to [][]recount.Value) (_ [][]recount.Value, err error) {
	defer m.caught(&err)
	m.rows = to
	m.ctx.still, m.ctx.seeded = true, false
	m.fold.Rows(&m.ctx, m.state, m.emit)
	m.ctx.still = false
	to, m.rows = m.rows, nil
	return to, m.ctx.err
}

// take is what Rows emits to.
func (m *machine[S, E, R]) take(row R) {
	m.row = row
	values := make([]recount.Value, len(m.encoders))
	for i := range m.encoders {
		e := &m.encoders[i]
		if e.key >= 0 {
			values[i] = m.ctx.key[e.key]
			continue
		}
		var err error
		if values[i], err = e.value(); err != nil {
			m.ctx.fail(err)
			return
		}
	}
	m.rows = append(m.rows, values)
}

func (m *machine[S, E, R]) State() (_ []byte, err error) {
	defer m.caught(&err)
	return m.codec.encode(m.state)
}

func (m *machine[S, E, R]) Record(effects bool) { m.ctx.record = effects }

func (m *machine[S, E, R]) Effects() []recount.Effect {
	effects := m.ctx.effects
	m.ctx.effects = nil
	return effects
}

// caught turns a panic of the author's code into an error.
func (m *machine[S, E, R]) caught(err *error) {
	if what := recover(); what != nil {
		m.ctx.still = false
		*err = panicked(what)
	}
}

// panicked says what a panic said and where in the author's code it was.
func panicked(what any) error {
	const most = 4 // lines are enough to find the place
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var places []string
	for more := true; more && len(places) < most; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function == "" || strings.HasPrefix(f.Function, "runtime.") {
			continue
		}
		if strings.HasPrefix(f.Function, "recount/worker.(*machine") {
			break
		}
		if strings.HasPrefix(f.Function, "recount/worker.") {
			continue
		}
		places = append(places, fmt.Sprintf("%s (%s:%d)", short(f.Function), base(f.File), f.Line))
	}
	place := ""
	if len(places) > 0 {
		place = " at " + strings.Join(places, ", called by ")
	}
	if err, ok := what.(error); ok {
		return fmt.Errorf("panic: %w%s", err, place)
	}
	return fmt.Errorf("panic: %v%s", what, place)
}

func short(function string) string { return function[strings.LastIndexByte(function, '/')+1:] }

func base(file string) string { return file[strings.LastIndexByte(file, '/')+1:] }
