package targettest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"recount"
)

// properties holds what is true of any two states of a table: the changes
// between them, applied to the first, make the second; taken back, the first.
func properties(t *testing.T, h Harness) {
	for _, composite := range []bool{false, true} {
		t.Run(fmt.Sprintf("changes make the other state, undo the first, composite=%v", composite), func(t *testing.T) {
			table := totals()
			if composite {
				table.Key = append(table.Key, text("hour"))
			}
			live := h.New(t, table).Target
			state, n := map[string]recount.Row{}, 0
			rapid.Check(t, func(rt *rapid.T) {
				if n > enough { // a commit syncs the disk
					return
				}
				next := drawState(rt, h, len(table.Key))
				changes := between(state, next)
				n++
				first := run(table, live, t, fmt.Sprintf("run%09d", n), fmt.Sprintf("plan %d", n))
				apply(t, live, table, first, changes)
				wantRows(t, live, table, rowsOf(next))
				wantUndo(t, live, first.ID, changes)
				state = next
				if !rapid.Bool().Draw(rt, "roll back") {
					return
				}
				var back []recount.Change
				err := live.Undo(t.Context(), first.ID, func(c recount.Change) error {
					back = append(back, reverse(c))
					return nil
				})
				if err != nil {
					rt.Fatal(err)
				}
				n++
				r := run(table, live, t, fmt.Sprintf("run%09d", n), fmt.Sprintf("plan %d", n))
				r.Kind, r.Of = recount.PlanRollback, first.ID
				apply(t, live, table, r, back)
				for _, c := range changes {
					if k := recount.KeyText(c.Key); c.Before == nil {
						delete(state, k)
					} else {
						state[k] = recount.Row{Key: c.Key, Values: c.Before}
					}
				}
				wantRows(t, live, table, rowsOf(state))
				if t.Failed() {
					rt.FailNow()
				}
			})
		})
	}
}

// enough bounds the runs of a property: each is a commit.
const enough = 40

func drawState(rt *rapid.T, h Harness, keyParts int) map[string]recount.Row {
	part := rapid.SampledFrom([]string{"a", "b", "ab", "c", "", "x,y", "\"", "é"})
	value := rapid.Custom(func(rt *rapid.T) recount.Value {
		if h.Types && rapid.IntRange(0, 4).Draw(rt, "null") == 0 {
			return recount.Null
		}
		return recount.Text(rapid.StringOf(rapid.RuneFrom([]rune("01aé🙂,;\"'\n\r\t \\"))).Draw(rt, "text"))
	})
	state := map[string]recount.Row{}
	for range rapid.IntRange(0, 8).Draw(rt, "rows") {
		var r recount.Row
		for range keyParts {
			r.Key = append(r.Key, recount.Text(part.Draw(rt, "key")))
		}
		r.Values = []recount.Value{value.Draw(rt, "total"), value.Draw(rt, "note")}
		state[recount.KeyText(r.Key)] = r
	}
	return state
}

// between lists the changes that make b of a, in key order.
func between(a, b map[string]recount.Row) []recount.Change {
	var changes []recount.Change
	for k, old := range a {
		switch r, ok := b[k]; {
		case !ok:
			changes = append(changes, remove(old.Key, old.Values))
		case !slices.Equal(old.Values, r.Values):
			changes = append(changes, update(old.Key, old.Values, r.Values))
		}
	}
	for k, r := range b {
		if _, ok := a[k]; !ok {
			changes = append(changes, insert(r.Key, r.Values))
		}
	}
	slices.SortFunc(changes, func(x, y recount.Change) int {
		return slices.Compare([]string{recount.KeyText(x.Key)}, []string{recount.KeyText(y.Key)})
	})
	return changes
}

func rowsOf(state map[string]recount.Row) []recount.Row {
	var rows []recount.Row
	for _, r := range state {
		rows = append(rows, r)
	}
	return rows
}
