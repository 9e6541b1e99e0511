package apply_test

import (
	"context"
	"errors"
	"testing"

	"recount"
	"recount/internal/apply"
	"recount/target"
)

// crowded is a target whose first transactions are ended in favour of others.
type crowded struct {
	*table
	left, begun int
}

func (c *crowded) Begin(ctx context.Context) (target.Tx, error) {
	c.begun++
	if c.left--; c.left >= 0 {
		return nil, &recount.Error{Code: recount.CodeStale, What: "the plan is stale", Why: "deadlock detected", Err: errors.Join(recount.ErrMoved, recount.ErrBusy)}
	}
	return c.table.Begin(ctx)
}

func TestATransactionThatWasEndedInFavourOfAnotherIsBegunAgain(t *testing.T) {
	for _, c := range []struct{ ended, begun int }{{0, 1}, {2, 3}, {9, 4}} {
		live := &crowded{table: newTable(row("a", "1")), left: c.ended}
		p := planFor(t, live.table, map[string]string{"a": "2"})
		receipt, err := apply.Run(t.Context(), live, p, apply.Options{Now: at})
		if given := c.ended >= c.begun; given != errors.Is(err, recount.ErrBusy) || given == (receipt.Applied == 1) {
			t.Errorf("ended %d times: applied %d, %v", c.ended, receipt.Applied, err)
		}
		if live.begun != c.begun {
			t.Errorf("ended %d times: begun %d times, want %d", c.ended, live.begun, c.begun)
		}
	}
}
