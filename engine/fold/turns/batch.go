package turns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/engine/fold/run"
)

func join(list []string) string { return strings.Join(list, ", ") }

// batch is a batch that is handed on.
type batch struct {
	t    *stepper
	in   run.Batch
	list []stretch

	rows    []run.Row
	states  []run.State
	effects []placed
}

// placed is an effect and the row of the batch by which it stands.
type placed struct {
	row int
	one recount.Effect
}

// part is what a turn gets of a batch in one round.
type part struct {
	batch run.Batch
	own   []int // of batch.list, by group of the part
	rows  []int // of the batch, by row of the part
}

// hand hands the stretches of a turn in one round to its stepper.
func (b *batch) hand(ctx context.Context, turn, round int) error {
	var own []int
	for i, s := range b.list {
		if s.turn == turn && s.round == round {
			own = append(own, i)
		}
	}
	if len(own) == 0 {
		return nil
	}
	sub, err := b.t.sub(ctx, turn)
	if err != nil {
		return err
	}
	p, err := b.part(sub, own)
	if err != nil {
		return err
	}
	answer, err := sub.stepper.Step(ctx, p.batch)
	p.batch.Record.Release()
	if err != nil {
		return b.failed(ctx, p, err)
	}
	last := p.batch.Groups[len(own)-1]
	sub.number = last.Number + 1
	return b.take(p, &answer)
}

// sub returns the stepper of a turn.
func (t *stepper) sub(ctx context.Context, turn int) (*sub, error) {
	s := &t.subs[turn]
	if s.stepper != nil {
		return s, nil
	}
	made, err := t.parts[turn].New(ctx, t.n, t.inner)
	if err != nil {
		return nil, err
	}
	s.stepper, s.number = made, 0
	return s, nil
}

// part makes the batch of a turn: the rows of its stretches, the columns that it
// reads, and groups with its own numbers.
func (b *batch) part(sub *sub, own []int) (part, error) {
	p := part{own: own}
	number := sub.number
	if !b.list[own[0]].begin {
		number-- // the key that it was left with
	}
	var spans [][2]int
	for i, at := range own {
		s := b.list[at]
		g := run.Group{Number: number + int64(i), From: len(p.rows), Begin: s.begin, End: s.end}
		for row := s.from; row < s.to; row++ {
			p.rows = append(p.rows, row)
			p.batch.Seq = append(p.batch.Seq, b.in.Seq[row])
		}
		g.To = len(p.rows)
		if s.begin {
			g.Opening, g.Key, g.Bucket = s.opening, b.in.Groups[s.group].Key, b.in.Groups[s.group].Bucket
			if !b.in.Groups[s.group].Begin { // the key began in an earlier batch
				g.Key, g.Bucket = b.t.begun, b.t.begunBucket
			}
		}
		p.batch.Groups = append(p.batch.Groups, g)
		if n := len(spans); n > 0 && spans[n-1][1] == s.from {
			spans[n-1][1] = s.to
		} else if s.from < s.to {
			spans = append(spans, [2]int{s.from, s.to})
		}
	}
	var err error
	p.batch.Record, err = record(b.in.Record, sub.columns, spans, len(p.rows))
	return p, err
}

// record takes spans of rows and some columns of a record.
func record(of arrow.RecordBatch, columns []int, spans [][2]int, rows int) (arrow.RecordBatch, error) {
	fields, arrays := make([]arrow.Field, len(columns)), make([]arrow.Array, len(columns))
	defer func() {
		for _, a := range arrays {
			if a != nil {
				a.Release()
			}
		}
	}()
	for i, at := range columns {
		fields[i] = of.Schema().Field(at)
		var err error
		if arrays[i], err = gathered(of.Column(at), spans); err != nil {
			return nil, fmt.Errorf("fold in turns: column %s: %w", fields[i].Name, err)
		}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows)), nil
}

func gathered(a arrow.Array, spans [][2]int) (arrow.Array, error) {
	switch {
	case len(spans) == 0:
		return array.NewSlice(a, 0, 0), nil
	case len(spans) == 1 && spans[0] == [2]int{0, a.Len()}:
		a.Retain()
		return a, nil
	}
	parts := make([]arrow.Array, len(spans))
	for i, s := range spans {
		parts[i] = array.NewSlice(a, int64(s[0]), int64(s[1]))
	}
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// group finds the stretch of a group of a part.
func (b *batch) group(p part, number int64, what string) (*stretch, run.Group, error) {
	i := number - p.batch.Groups[0].Number
	if i < 0 || i >= int64(len(p.own)) {
		return nil, run.Group{}, b.bad("%s is of group %d, which it was not given", what, number)
	}
	return &b.list[p.own[i]], p.batch.Groups[i], nil
}

func (b *batch) bad(format string, args ...any) error {
	return &recount.Error{
		Code: recount.CodeWorkerAnswer, What: "the calculation's answer cannot be used", Where: b.t.spec.Where, Why: fmt.Sprintf(format, args...),
		Next: "let it answer for the keys that it was given, in their order, with the columns that it declares",
	}
}

// at is a row of the batch: that of a part's row, which has to be the group's; none
// where a group without a row has none.
func at(p part, g run.Group, row int) int {
	if row >= g.From && row < g.To {
		return p.rows[row]
	}
	return none
}

// take keeps what a turn answers: rows where a key ends, or after each event, and
// the states with which others go on.
func (b *batch) take(p part, a *run.Answer) error {
	w := b.t.wants
	for _, row := range a.Rows {
		s, g, err := b.group(p, row.Group, "a row")
		if err != nil {
			return err
		}
		if row.At = at(p, g, row.At); !b.stands(*s, row.At) {
			continue
		}
		row.Group = b.in.Groups[s.group].Number
		b.rows = append(b.rows, row)
	}
	given := make(map[*stretch][]byte, len(p.own))
	for _, state := range a.States {
		s, g, err := b.group(p, state.Group, "a state")
		if err != nil {
			return err
		}
		given[s] = state.Bytes
		if state.At = at(p, g, state.At); !w.State || !b.stands(*s, state.At) {
			continue
		}
		state.Group, state.Bytes = b.in.Groups[s.group].Number, b.t.head(s.turn, state.Bytes)
		b.states = append(b.states, state)
	}
	if err := b.takeEffects(p, a); err != nil || b.t.spec.Alone {
		return err
	}
	for _, i := range p.own {
		if err := b.handOver(i, given[&b.list[i]]); err != nil {
			return err
		}
	}
	return nil
}

// stands says whether what a stretch answers is the key's: where rows are wanted
// after each event it is, or else where the key ends.
func (b *batch) stands(s stretch, row int) bool {
	g := b.in.Groups[s.group]
	if b.t.wants.Show {
		return row != none || s.last && g.From == g.To
	}
	return s.last
}

// handOver gives the state that a stretch has left to the next one of the key.
func (b *batch) handOver(i int, state []byte) error {
	s := b.list[i]
	if state == nil && s.from == s.to && !s.begin { // nothing has happened since it was told
		state = b.t.state
	}
	if !s.end {
		b.t.state = slices.Clone(state) // under Show alone
		return nil
	}
	if s.last {
		return nil
	}
	if state == nil {
		return b.bad("%s gave no state for key %s", b.t.spec.Turns[s.turn].Name, recount.KeyText(b.t.keyOf(b.in, s)))
	}
	next := &b.list[i+1]
	next.opening, next.handed = slices.Clone(state), true
	return nil
}

// keyOf is the key of a stretch.
func (t *stepper) keyOf(in run.Batch, s stretch) []recount.Value {
	if g := in.Groups[s.group]; g.Begin {
		return g.Key
	}
	return t.begun
}

// takeEffects finds the events by which effects stand, as the run does.
func (b *batch) takeEffects(p part, a *run.Answer) error {
	row := 0
	for _, e := range a.Effects {
		found := slices.Index(p.batch.Seq[row:], e.Seq)
		if found < 0 {
			return b.bad("an effect %s %s stands by event %d, which is none of the batch, or comes before one that was told of", e.Kind, e.Key, e.Seq)
		}
		row += found
		b.effects = append(b.effects, placed{p.rows[row], e})
	}
	return nil
}

// sorted is the answer to the batch, in order of its groups and events.
func (b *batch) sorted() (a run.Answer) {
	slices.SortStableFunc(b.rows, func(x, y run.Row) int { return cmp.Or(cmp.Compare(x.Group, y.Group), cmp.Compare(x.At, y.At)) })
	slices.SortStableFunc(b.states, func(x, y run.State) int { return cmp.Or(cmp.Compare(x.Group, y.Group), cmp.Compare(x.At, y.At)) })
	slices.SortStableFunc(b.effects, func(x, y placed) int { return cmp.Compare(x.row, y.row) })
	a.Rows, a.States = b.rows, b.states
	for _, e := range b.effects {
		a.Effects = append(a.Effects, e.one)
	}
	return a
}

// failed finds out whether a turn failed at a state that was handed over to it, and
// else names what is to blame as the batch has it.
func (b *batch) failed(ctx context.Context, p part, err error) error {
	if ctx.Err() != nil {
		return err
	}
	poison, isPoison := errors.AsType[*run.Poison](err)
	suspects := p.own
	if isPoison && poison.Group >= 0 {
		i := poison.Group - p.batch.Groups[0].Number
		if i < 0 || i >= int64(len(p.own)) {
			return fmt.Errorf("a stepper blames group %d, which is not in its batch: %w", poison.Group, poison.Err)
		}
		suspects = p.own[i : i+1]
	}
	if refused := b.refused(ctx, suspects); refused != nil {
		return refused
	}
	if !isPoison {
		return err
	}
	blamed := *poison
	if poison.Group >= 0 {
		blamed.Group = b.in.Groups[b.list[suspects[0]].group].Number
	}
	return &blamed
}

// refused tries the states of stretches that were handed over, without an event, and
// returns the error of the first that the turn cannot go on from; nil: it can.
func (b *batch) refused(ctx context.Context, suspects []int) error {
	var handed []int
	for _, i := range suspects {
		if b.list[i].handed {
			handed = append(handed, i)
		}
	}
	if len(handed) == 0 || b.tried(ctx, handed) == nil {
		return nil
	}
	for _, i := range handed {
		if err := b.tried(ctx, []int{i}); err != nil && ctx.Err() == nil {
			return b.t.notTaken(b.list[i], b.t.keyOf(b.in, b.list[i]), err)
		}
	}
	return nil
}

// tried hands the states of stretches of one turn to a stepper of its own.
func (b *batch) tried(ctx context.Context, stretches []int) error {
	turn := b.list[stretches[0]].turn
	s, err := b.t.parts[turn].New(ctx, b.t.n, b.t.inner)
	if err != nil {
		return err
	}
	var in run.Batch
	for i, at := range stretches {
		g := b.in.Groups[b.list[at].group]
		one := run.Group{Number: int64(i), Begin: true, End: true, Opening: b.list[at].opening, Key: b.t.keyOf(b.in, b.list[at]), Bucket: g.Bucket}
		if !g.Begin {
			one.Bucket = b.t.begunBucket
		}
		in.Groups = append(in.Groups, one)
	}
	if in.Record, err = record(b.in.Record, b.t.subs[turn].columns, nil, 0); err != nil {
		return errors.Join(err, s.Close())
	}
	defer in.Record.Release()
	_, err = s.Step(ctx, in)
	_ = s.Close() // how it ends is its own affair
	return err
}
