package run_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"recount"
	"recount/engine/fold/run"
	"recount/engine/result"
)

// chainFold is a fold that depends on each value of each event, on their order
// and on nothing else: its state is a chain of digests.
type chainFold struct {
	reads  []string
	types  []recount.Type
	bucket bool
	// poison are the events at which it ends; vague: it does not say which.
	poison map[int64]bool
	vague  bool
	silent bool // it does not even say which group
	// before is called for each batch.
	before func(run.Batch) error
}

type chainState struct {
	n     int
	chain string
}

func (s chainState) text() string { return strconv.Itoa(s.n) + "|" + s.chain }

func parseState(text string) chainState {
	n, chain, _ := strings.Cut(text, "|")
	i, _ := strconv.Atoi(n)
	return chainState{i, chain}
}

func (s chainState) add(event []recount.Value) chainState {
	sum := md5.Sum([]byte(s.chain + recount.KeyText(event))) //nolint:gosec // no signature
	return chainState{s.n + 1, hex.EncodeToString(sum[:4])}
}

// rows are none, one or two.
func (s chainState) rows(key []recount.Value) (rows [][]recount.Value) {
	for part := range (s.n + len(s.chain)/8 + 1) % 3 {
		rows = append(rows, append(append([]recount.Value(nil), key...), recount.Text(strconv.Itoa(part)), recount.Text(strconv.Itoa(s.n)), recount.Text(s.chain)))
	}
	return rows
}

// effects are what an event sends.
func (s chainState) effects(seq int64) (effects []recount.Effect) {
	for i := range int64(s.n) % 3 {
		effects = append(effects, recount.Effect{Kind: "k" + strconv.FormatInt(seq%2, 10), Key: s.chain[:1], Seq: seq, Payload: fmt.Appendf(nil, `{"i":%d,"chain":%q}`, i, s.chain)})
	}
	return effects
}

func (f *chainFold) New(_ context.Context, _ int, w run.Wants) (run.Stepper, error) {
	return &chainStepper{fold: f, wants: w}, nil
}

type chainStepper struct {
	fold  *chainFold
	wants run.Wants
	key   []recount.Value
	state chainState
	next  int64
	open  bool
}

func (s *chainStepper) Close() error { return nil }

func (s *chainStepper) Step(_ context.Context, in run.Batch) (a run.Answer, err error) {
	if s.fold.before != nil {
		if err := s.fold.before(in); err != nil {
			return a, err
		}
	}
	for _, g := range in.Groups {
		switch {
		case g.Begin && (g.Number != s.next || s.open), !g.Begin && (g.Number != s.next-1 || !s.open):
			return a, fmt.Errorf("group %d comes after %d", g.Number, s.next-1)
		case g.Begin:
			s.next, s.open, s.state = g.Number+1, true, chainState{}
			if g.Opening != nil {
				s.state = parseState(string(g.Opening))
			}
			s.key = append([]recount.Value(nil), g.Key...)
			if s.fold.bucket {
				s.key = append(s.key, recount.Text(recount.FormatTimestamp(time.UnixMicro(g.Bucket))))
			}
		}
		for at := g.From; at < g.To; at++ {
			if err := s.event(in, g, at, &a); err != nil {
				return run.Answer{}, err
			}
		}
		if g.End {
			s.end(g, &a)
		}
	}
	return a, nil
}

func (s *chainStepper) event(in run.Batch, g run.Group, at int, a *run.Answer) error {
	seq := in.Seq[at]
	if s.fold.poison[seq] {
		p := &run.Poison{Group: g.Number, Seq: seq, Err: errors.New("it cannot go on")}
		if s.fold.vague {
			p.Seq = 0
		}
		if s.fold.silent {
			p.Group, p.Seq = -1, 0
		}
		return p
	}
	event := make([]recount.Value, len(s.fold.reads))
	for i := range event {
		v, err := textOf(in.Record.Column(i), s.fold.types[i], at)
		if err != nil {
			return err
		}
		event[i] = v
	}
	s.state = s.state.add(event)
	if s.wants.Effects {
		a.Effects = append(a.Effects, s.state.effects(seq)...)
	}
	if s.wants.Show {
		s.give(g, at, a)
	}
	return nil
}

func (s *chainStepper) end(g run.Group, a *run.Answer) {
	s.open = false
	if !s.wants.Show {
		s.give(g, -1, a)
	}
}

func (s *chainStepper) give(g run.Group, at int, a *run.Answer) {
	if s.wants.State {
		a.States = append(a.States, run.State{Group: g.Number, At: at, Bytes: []byte(s.state.text())})
	}
	if len(s.wants.Columns) == 0 {
		return
	}
	for _, row := range s.state.rows(s.key) {
		a.Rows = append(a.Rows, run.Row{Group: g.Number, At: at, Values: row})
	}
}

// readRows reads a file of rows.
func readRows(path string, names []string) (rows [][]recount.Value, err error) {
	f, err := result.OpenTexts(context.Background(), path, names)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		row, ok := f.Next()
		if !ok {
			return rows, f.Err()
		}
		rows = append(rows, append([]recount.Value(nil), row...))
	}
}
