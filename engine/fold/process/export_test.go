package process

import (
	"bytes"
	"context"
	"io"
	"time"

	"recount"
	"recount/engine/fold/run"
	"recount/internal/sandbox"
)

// ReadReply reads a worker's first line.
func ReadReply(line []byte, fields []recount.Field, by []string) (columns []recount.Column, reads []string, err error) {
	h, err := readReply(line, fields, by)
	return h.Columns, h.Reads, err
}

// Members lists the members of an object as texts.
func Members(object []byte) (names, values []string, err error) {
	err = members(object, func(name, value []byte) error {
		names, values = append(names, string(name)), append(values, string(value))
		return nil
	})
	return names, values, err
}

// dead is a process that has ended.
type dead struct{}

func (dead) Kill()                       {}
func (dead) Wait() (sandbox.Exit, error) { return sandbox.Exit{}, nil }

type nowhere struct{ io.Writer }

func (nowhere) Close() error { return nil }

// Answered reads output as what a worker answers to a batch, and then ends.
func Answered(arrow bool, output []byte, columns []recount.Column, by []recount.Field, w run.Wants, in run.Batch) (run.Answer, error) {
	c := newChild(context.Background(), dead{}, nowhere{io.Discard}, bytes.NewReader(output), "worker", time.Hour)
	h := hello{format: formatNDJSON, Description: run.Description{Columns: columns}}
	for _, f := range in.Record.Schema().Fields() {
		h.Reads = append(h.Reads, f.Name)
	}
	k := keys{by: by, json: map[string]bool{}}
	var s run.Stepper
	var err error
	if arrow {
		s, err = newArrow(c, h, k, w)
	} else {
		s, err = newLines(c, h, k, w)
	}
	if err != nil {
		return run.Answer{}, err
	}
	a, err := s.Step(context.Background(), in)
	if closed := s.Close(); err == nil {
		err = closed
	}
	return a, err
}
