package turns

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/engine/fold/run"
)

// Columns that say whose turn an event is.
const (
	timeColumn = "time"
	hitColumn  = "hit"
)

// Reads adds to the columns that the folds of turns read those that say whose turn
// it is.
func Reads(turns []run.Turn) (reads []string) {
	add := func(name string) {
		if !slices.Contains(reads, name) {
			reads = append(reads, name)
		}
	}
	for _, t := range turns {
		for _, name := range t.Reads {
			add(name)
		}
		if t.Hit {
			add(hitColumn)
		}
	}
	if headed(turns) {
		add(timeColumn)
	}
	return reads
}

// chooser finds the turn of each event of a batch.
type chooser struct {
	rules     []rule
	time, hit int   // columns of the run's batches; none: not needed
	turns     []int // by row, used again
}

// rule says which events are a turn's.
type rule struct {
	hit      bool
	from, to int64 // microseconds since 1970, [from, to)
}

func newChooser(spec run.Spec) (chooser, error) {
	c := chooser{time: index(spec.Reads, timeColumn), hit: index(spec.Reads, hitColumn)}
	for _, t := range spec.Turns {
		r := rule{hit: t.Hit, from: math.MinInt64, to: math.MaxInt64}
		if !t.Span.From.IsZero() {
			r.from = t.Span.From.UnixMicro()
		}
		if !t.Span.To.IsZero() {
			r.to = t.Span.To.UnixMicro()
		}
		if r.hit && c.hit == none {
			return c, fmt.Errorf("fold %s in turns: the run does not read column %q", spec.Where, hitColumn)
		}
		c.rules = append(c.rules, r)
	}
	if headed(spec.Turns) && c.time == none {
		return c, fmt.Errorf("fold %s in turns: the run does not read column %q", spec.Where, timeColumn)
	}
	return c, nil
}

func index(list []string, name string) int { return slices.Index(list, name) }

// choose returns the turn of each row: the first that is in force.
func (c *chooser) choose(in run.Batch) ([]int, error) {
	c.turns = c.turns[:0]
	if len(in.Seq) == 0 {
		return c.turns, nil
	}
	var times *array.Timestamp
	var hits *array.Boolean
	if c.time != none {
		times, _ = in.Record.Column(c.time).(*array.Timestamp)
	}
	if c.hit != none {
		hits, _ = in.Record.Column(c.hit).(*array.Boolean)
	}
	for row, seq := range in.Seq {
		hit := hits != nil && !hits.IsNull(row) && hits.Value(row)
		known := times != nil && !times.IsNull(row)
		at := int64(0)
		if known {
			at = int64(times.Value(row))
		}
		turn := slices.IndexFunc(c.rules, func(r rule) bool {
			bounded := r.from != math.MinInt64 || r.to != math.MaxInt64
			return (hit || !r.hit) && (!bounded || known && r.from <= at && at < r.to)
		})
		if turn < 0 {
			return nil, fmt.Errorf("fold in turns: event %d is in the time of none", seq)
		}
		c.turns = append(c.turns, turn)
	}
	return c.turns, nil
}

// opening takes apart the state with which a key begins: the state, and the turn
// that left it. A state that does not say whose it is is the last turn's, as are
// the rows of a key that has no event.
func (t *stepper) opening(g run.Group) (state []byte, owner int) {
	owner = len(t.spec.Turns) - 1
	if g.Opening == nil || !t.headed {
		return g.Opening, owner
	}
	name, rest, ok := bytes.Cut(g.Opening, []byte("\n"))
	i := slices.IndexFunc(t.spec.Turns, func(turn run.Turn) bool { return turn.Name == string(name) })
	if !ok || i < 0 {
		return g.Opening, owner
	}
	return rest, i
}

// head says whose state it is.
func (t *stepper) head(turn int, state []byte) []byte {
	if !t.headed {
		return state
	}
	return append([]byte(t.spec.Turns[turn].Name+"\n"), state...)
}

// notTaken is the error of a state that a fold cannot go on from.
func (t *stepper) notTaken(s stretch, key []recount.Value, said error) error {
	turn := t.spec.Turns[s.turn]
	why := said.Error()
	if e := recount.AsError(said); e.Code != recount.CodeInternal {
		why = e.Why
	}
	var values []string
	for i, v := range key {
		name := ""
		if i < len(t.spec.By) {
			name = t.spec.By[i] + " "
		}
		values = append(values, name+v.String())
	}
	return &recount.Error{
		Code: recount.CodeHandover, What: fmt.Sprintf("%s cannot go on from the state that was handed over to it", turn.Name), Where: fmt.Sprintf("%s, key %s", turn.Where, join(values)), Why: why, Err: said,
		Next: "let it read the states of the logic before it; or, of versions, choose one for all with --as; or, of previous, write over: all",
	}
}
