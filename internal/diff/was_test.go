package diff_test

import (
	"testing"

	"recount"
	"recount/internal/diff"
)

type oneRow struct{ rows []recount.Row }

func (r *oneRow) Err() error { return nil }

func (r *oneRow) Next() (recount.Row, bool) {
	if len(r.rows) == 0 {
		return recount.Row{}, false
	}
	row := r.rows[0]
	r.rows = r.rows[1:]
	return row, true
}

func TestAHypothesisIsHeldAgainstARowWithAndWithoutItsEntries(t *testing.T) {
	number := recount.Type{Kind: recount.KindInt64}
	shape := recount.Shape{Key: []recount.Column{{Name: "k", Type: number}}, Values: []recount.Column{{Name: "n", Type: number}}}
	values := func(text string) []recount.Value { return []recount.Value{recount.Text(text)} }
	for _, c := range []struct {
		seen, was, made string
		want            bool
	}{
		{"7", "", "7", true},
		{"7", "", "5", false},
		{"7", "5", "5", true}, // over all that happened: no entry yet
		{"7", "5", "7", true}, // over what happened since: the entries are part of the row
		{"7", "5", "6", false},
	} {
		pair := diff.Pair{Text: "1", Key: values("1"), Live: &recount.Row{}, Seen: values(c.seen)}
		if c.was != "" {
			pair.Was = values(c.was)
		}
		pairs := []diff.Pair{pair}
		left, err := diff.Explain(shape, make([]recount.Rule, 1), pairs, "late", &oneRow{[]recount.Row{{Key: values("1"), Values: values(c.made)}}})
		if err != nil || (left == 0) != c.want || (pairs[0].Cause == "late") != c.want {
			t.Errorf("%+v: %d left, cause %q, %v", c, left, pairs[0].Cause, err)
		}
	}
}
