package fold_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/engine/enginetest"
	"recount/engine/fold/run"
)

// kindInside is the kind of folds that run in the test's own process: the simplest
// there can be.
const kindInside = "go"

// inside is that kind.
type inside struct{}

func (inside) Name() string { return kindInside }
func (inside) Close() error { return nil }

// code is that of one meaning.
type code struct {
	says run.Description
	new  func() state
}

// state is the state of a key.
type state interface {
	// Add takes an event and returns the payload of an effect, nil: none.
	Add(e event) ([]byte, error)
	// Rows are the key's rows; none for a key that has none.
	Rows(key []recount.Value, bucket int64) [][]recount.Value
}

// event is an event of the suite.
type event struct {
	id    string
	value *big.Rat // nil: NULL
	hit   bool
	seq   int64
}

func text(kind recount.Kind) recount.Type { return recount.Type{Kind: kind} }

var (
	userColumn = recount.Column{Name: "user_id", Type: text(recount.KindString)}
	totalsRow  = []recount.Column{userColumn, {Name: "total", Type: recount.Decimal(18, 2)}, {Name: "n", Type: text(recount.KindInt64)}}
	idsRow     = []recount.Column{userColumn, {Name: "ids", Type: text(recount.KindString)}, {Name: "hits", Type: text(recount.KindString)}}
	followRow  = []recount.Column{userColumn, {Name: "ids", Type: text(recount.KindString)}, {Name: "hits", Type: text(recount.KindInt64)}}
	daysRow    = []recount.Column{userColumn, {Name: "day", Type: text(recount.KindDate)}, {Name: "n", Type: text(recount.KindInt64)}}
)

var folds = map[enginetest.Meaning]code{
	enginetest.Totals:   {run.Description{Columns: totalsRow, Reads: []string{"value"}, State: true}, func() state { return &sum{} }},
	enginetest.Poison:   {run.Description{Columns: totalsRow, Reads: []string{"value"}, State: true}, func() state { return &sum{dies: true} }},
	enginetest.Mails:    {run.Description{Columns: totalsRow, Reads: []string{"value"}, State: true, Effects: true}, func() state { return &sum{mails: true} }},
	enginetest.IDs:      {run.Description{Columns: idsRow, Reads: []string{"id", "hit"}}, func() state { return &seen{} }},
	enginetest.Followed: {run.Description{Columns: followRow, Reads: []string{"id", "hit"}}, func() state { return &seen{count: true} }},
	enginetest.Days:     {run.Description{Columns: daysRow, Reads: []string{}}, func() state { return &days{} }},
}

func logicOf(m enginetest.Meaning) (recount.Logic, bool) {
	_, ok := folds[m]
	return recount.Logic{Kind: kindInside, Text: string(m), Path: "go: " + string(m), Digest: "digest of " + string(m), By: []string{"user_id"}}, ok
}

func (inside) Describe(_ context.Context, logic recount.Logic, _ []recount.Field) (run.Description, error) {
	f, ok := folds[enginetest.Meaning(logic.Text)]
	if !ok {
		return run.Description{}, fmt.Errorf("there is no fold %q", logic.Text)
	}
	return f.says, nil
}

func (inside) Run(ctx context.Context, logic recount.Logic, spec run.Spec) (run.Result, error) {
	return run.Execute(ctx, spec, steppers{folds[enginetest.Meaning(logic.Text)]})
}

type steppers struct{ fold code }

func (s steppers) New(_ context.Context, _ int, w run.Wants) (run.Stepper, error) {
	return &stepper{fold: s.fold, wants: w}, nil
}

// stepper holds the state of the newest group.
type stepper struct {
	fold   code
	wants  run.Wants
	state  state
	key    []recount.Value
	bucket int64
}

func (s *stepper) Close() error { return nil }

func (s *stepper) Step(_ context.Context, in run.Batch) (out run.Answer, err error) {
	for _, g := range in.Groups {
		if g.Begin {
			s.state, s.key, s.bucket = s.fold.new(), g.Key, g.Bucket
			if g.Opening != nil {
				if err := json.Unmarshal(g.Opening, s.state); err != nil {
					return out, err
				}
			}
		}
		for i := g.From; i < g.To; i++ {
			e := eventAt(in, i)
			payload, err := s.state.Add(e)
			if err != nil {
				return out, &run.Poison{Group: g.Number, Seq: e.seq, Err: err}
			}
			if payload != nil && s.wants.Effects {
				out.Effects = append(out.Effects, recount.Effect{Kind: "mail", Key: s.key[0].Text, Seq: e.seq, Payload: payload})
			}
			if s.wants.Show {
				s.answer(&out, g.Number, i)
			}
		}
		switch {
		case !g.End:
		case g.To == g.From:
			s.answer(&out, g.Number, -1)
		case !s.wants.Show:
			s.answer(&out, g.Number, g.To-1)
		}
	}
	return out, nil
}

func (s *stepper) answer(out *run.Answer, group int64, at int) {
	if s.wants.State {
		bytes, err := json.Marshal(s.state)
		if err != nil {
			panic(err)
		}
		out.States = append(out.States, run.State{Group: group, At: at, Bytes: bytes})
	}
	for _, row := range s.state.Rows(s.key, s.bucket) {
		values := make([]recount.Value, len(s.wants.Columns))
		for i, c := range s.wants.Columns {
			values[i] = row[slices.IndexFunc(s.fold.says.Columns, func(have recount.Column) bool { return have.Name == c.Name })]
		}
		out.Rows = append(out.Rows, run.Row{Group: group, At: at, Values: values})
	}
}

// eventAt reads a row of a batch.
func eventAt(in run.Batch, row int) (e event) {
	e.seq = in.Seq[row]
	for i, f := range in.Record.Schema().Fields() {
		column := in.Record.Column(i)
		if column.IsNull(row) {
			continue
		}
		switch f.Name {
		case "id":
			e.id = strings.Clone(column.ValueStr(row)) // the batch's memory is used again
		case "hit":
			e.hit = column.(*array.Boolean).Value(row)
		case "value":
			e.value, _ = new(big.Rat).SetString(column.ValueStr(row))
		}
	}
	return e
}

// sum is the state of Totals, and of those like it.
type sum struct {
	Total *big.Rat `json:"total,omitempty"`
	N     int64
	dies  bool
	mails bool
}

func (s *sum) Add(e event) ([]byte, error) {
	s.N++
	if e.value == nil {
		return nil, nil
	}
	if s.dies && e.value.Cmp(big.NewRat(13, 1)) == 0 {
		return nil, errors.New("the worker does not like 13")
	}
	if s.Total == nil {
		s.Total = new(big.Rat)
	}
	s.Total.Add(s.Total, e.value)
	if s.mails && e.value.Cmp(big.NewRat(5, 1)) > 0 {
		return []byte(`{"value": "` + e.value.FloatString(2) + `"}`), nil
	}
	return nil, nil
}

func (s *sum) Rows(key []recount.Value, _ int64) [][]recount.Value {
	total := recount.Null
	if s.Total != nil {
		total = recount.Text(s.Total.FloatString(2))
	}
	return [][]recount.Value{{key[0], total, recount.Text(fmt.Sprint(s.N))}}
}

// seen is the state of IDs and Followed.
type seen struct {
	ids, hits []string
	n         int
	count     bool
}

func (s *seen) Add(e event) ([]byte, error) {
	if e.hit {
		s.n++
	}
	if e.id == "" {
		return nil, nil
	}
	s.ids = append(s.ids, e.id)
	if e.hit {
		s.hits = append(s.hits, e.id)
	}
	return nil, nil
}

func (s *seen) Rows(key []recount.Value, _ int64) [][]recount.Value {
	joined := func(list []string) recount.Value {
		if list == nil {
			return recount.Null
		}
		return recount.Text(strings.Join(list, " "))
	}
	hits := joined(s.hits)
	if s.count {
		hits = recount.Text(fmt.Sprint(s.n))
	}
	return [][]recount.Value{{key[0], joined(s.ids), hits}}
}

// days is the state of Days.
type days struct{ n int }

func (s *days) Add(event) ([]byte, error) {
	s.n++
	return nil, nil
}

func (s *days) Rows(key []recount.Value, bucket int64) [][]recount.Value {
	return [][]recount.Value{{key[0], recount.Text(time.UnixMicro(bucket).UTC().Format(time.DateOnly)), recount.Text(fmt.Sprint(s.n))}}
}
