package ipc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"recount"
	"recount/worker"
)

// protocol is the version that the first lines name.
const protocol = 1

type greeting struct {
	Recount int      `json:"recount"`
	Formats []string `json:"formats"`
	Fields  []typed  `json:"fields"`
	By      []string `json:"by"`
	Seed    string   `json:"seed"`
	State   bool     `json:"state"`
	Effects bool     `json:"effects"`
}

type typed struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type reply struct {
	Recount int      `json:"recount"`
	Format  string   `json:"format,omitempty"`
	Columns []typed  `json:"columns,omitempty"`
	Reads   []string `json:"reads,omitempty"`
	State   bool     `json:"state,omitempty"`
	Effects bool     `json:"effects,omitempty"`
	Failed  string   `json:"failed,omitempty"`
}

const timeColumn = "time"

// Run serves the registered fold of that name over the process's standard input
// and output, until the input ends. What the program prints goes to standard error
// meanwhile.
func Run(name string) error {
	d, ok := worker.Lookup(name)
	if !ok {
		return fmt.Errorf("serve fold %q: none is registered under that name", name)
	}
	out := os.Stdout
	os.Stdout = os.Stderr
	defer func() { os.Stdout = out }()
	return Serve(d, os.Stdin, out)
}

// Serve is Run over any input and output. A fold that does not fit, and an event that
// it does not survive, are answered and returned.
func Serve(d worker.Definition, in io.Reader, out io.Writer) error {
	input := bufio.NewReader(in)
	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the first line: %w", err)
	}
	var g greeting
	if err := json.Unmarshal(line, &g); err != nil {
		return fmt.Errorf("read the first line: %w", err)
	}
	s, hello, err := newServer(d, g)
	if err != nil {
		hello = reply{Recount: protocol, Failed: err.Error()}
	}
	text, errLine := json.Marshal(hello)
	if errLine == nil {
		_, errLine = out.Write(append(text, '\n'))
	}
	if err := errors.Join(err, errLine); err != nil {
		return err
	}
	return s.serve(input, out)
}

// newServer fits the fold to what the first line says.
func newServer(d worker.Definition, g greeting) (*server, reply, error) {
	if g.Recount != protocol || !slices.Contains(g.Formats, "arrow") {
		return nil, reply{}, fmt.Errorf("this worker speaks version %d of the protocol, in Arrow alone", protocol)
	}
	seed, err := strconv.ParseUint(g.Seed, 10, 64)
	if err != nil {
		return nil, reply{}, fmt.Errorf("the seed is %q", g.Seed)
	}
	var fields []recount.Field
	for _, f := range g.Fields {
		t, err := recount.ParseType(f.Type)
		if err != nil {
			return nil, reply{}, fmt.Errorf("field %s: %w", f.Name, err)
		}
		fields = append(fields, recount.Field{Name: f.Name, Type: t})
	}
	p, err := d.Bind(fields, g.By)
	if err != nil {
		return nil, reply{}, err
	}
	s := &server{reads: p.Reads(), state: g.State, columns: p.Columns()}
	for _, name := range g.By {
		i := slices.IndexFunc(fields, func(f recount.Field) bool { return f.Name == name })
		if i < 0 {
			return nil, reply{}, fmt.Errorf("the key has the field %s, which the source has not", name)
		}
		s.by = append(s.by, fields[i])
	}
	if g.State && p.StateShape() == "" {
		return nil, reply{}, fmt.Errorf("the state cannot be kept: %s", p.Unsaved())
	}
	hello := reply{Recount: protocol, Format: "arrow", Reads: p.Reads(), State: p.StateShape() != "", Effects: true}
	if !slices.Contains(hello.Reads, timeColumn) {
		hello.Reads = append(slices.Clone(hello.Reads), timeColumn)
	}
	var names []string
	for _, c := range s.columns {
		hello.Columns = append(hello.Columns, typed{c.Name, c.Type.String()})
		names = append(names, c.Name)
	}
	if s.machine, err = p.Machine(seed, names); err != nil {
		return nil, reply{}, err
	}
	s.machine.Record(g.Effects)
	return s, hello, nil
}

// serve answers each batch with one.
func (s *server) serve(in io.Reader, out io.Writer) error {
	if _, err := in.(*bufio.Reader).Peek(1); errors.Is(err, io.EOF) {
		return nil // it was only asked for its first line
	}
	r, err := ipc.NewReader(in)
	if err != nil {
		return fmt.Errorf("read batches: %w", err)
	}
	defer r.Release()
	buffered := bufio.NewWriter(out)
	s.answer = newAnswer(s.columns)
	w := ipc.NewWriter(buffered, ipc.WithSchema(s.answer.schema))
	for r.Next() {
		failed := s.batch(r.RecordBatch())
		record := s.answer.record()
		err := errors.Join(w.Write(record), buffered.Flush())
		record.Release()
		if err := errors.Join(failed, err); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read batches: %w", err)
	}
	return errors.Join(w.Close(), buffered.Flush())
}
