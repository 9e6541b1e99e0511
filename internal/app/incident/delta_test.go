package incident

import (
	"math/big"
	"testing"

	"recount"
	"recount/internal/replay"
)

func TestADeltaOfSeveralCausesExplainsRowsThatOnlySomeReached(t *testing.T) {
	text, number := recount.Type{Kind: recount.KindString}, recount.Type{Kind: recount.KindInt64}
	r := &Incident{shape: recount.Shape{Key: []recount.Column{{Name: "k", Type: text}}, Values: []recount.Column{{Name: "n", Type: number}}}}
	d := &deltas{against: replay.Hypothesis{Cause: "missed+again"}, byKey: map[string][]*big.Rat{"a": {big.NewRat(-2, 1)}}}
	for _, c := range []struct {
		key           string
		cause         recount.Cause
		before, after string
		want          bool
	}{
		{"a", "missed+again", "7", "5", true},
		{"a", "again", "7", "5", true},
		{"a", "again", "8", "5", false}, // again alone is another amount: the row needs its own delta
		{"a", "previous", "7", "5", false},
		{"a", "previous+again", "7", "5", false},
		{"b", "again", "7", "5", false}, // no delta is known
	} {
		change := recount.Change{
			Action: recount.ActionUpdate, Cause: c.cause, Key: []recount.Value{recount.Text(c.key)},
			Before: []recount.Value{recount.Text(c.before)}, After: []recount.Value{recount.Text(c.after)},
		}
		if got := r.explains(d, change); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
