package apply_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/internal/apply"
	"recount/internal/plan"
)

// deltaPlan adds to totals by key.
func deltaPlan(t testing.TB, live *table, changes ...recount.Change) *recount.Plan {
	t.Helper()
	p := &recount.Plan{Body: body(live, []string{"k"}, "total", "note", "version")}
	p.Body.Write, p.Body.Bump = recount.WriteDelta, "version"
	plan.Add(p, changes)
	seal(t, p)
	return p
}

func added(k, delta string, before, after []recount.Value) recount.Change {
	c := changed(k, before, after)
	c.Delta = vals(delta, "NULL", "NULL")
	return c
}

func balances() *table {
	return named("totals", []string{"total", "note", "version"}, wide("a", "10.00", "x", "1"), wide("b", "20.00", "y", "1"))
}

func balancePlan(t testing.TB, live *table) *recount.Plan {
	t.Helper()
	return deltaPlan(t, live,
		added("a", "-2.50", vals("10.00", "x", "1"), vals("7.50", "x", "2")),
		added("b", "1", vals("20.00", "y", "1"), vals("21.00", "y", "2")),
		added("c", "3.00", nil, vals("3.00", "NULL", "1")))
}

// explained says that every row is, and keeps what it was asked for.
func explained(asked *[]string, refuse ...string) []apply.Explained {
	return []apply.Explained{func(_ context.Context, rows []recount.Row) ([][]recount.Value, error) {
		var no [][]recount.Value
		for _, r := range rows {
			*asked = append(*asked, fmt.Sprint(r.Key, r.Values))
			if slices.Contains(refuse, r.Key[0].Text) {
				no = append(no, r.Key)
			}
		}
		return no, nil
	}}
}

func TestADeltaIsAddedToWhatTheRowHoldsByNow(t *testing.T) {
	live := balances()
	p := balancePlan(t, live)
	live.traffic = func(rows map[string]recount.Row) {
		rows["a"], rows["c"] = wide("a", "110.10", "x2", "9"), wide("c", "100.00", "z", "1")
	}
	var asked []string
	receipt, err := apply.Run(t.Context(), live, p, apply.Options{Now: at, Explained: explained(&asked)})
	if err != nil || receipt.Applied != 3 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	if want := []string{"[a] [110.10 x2 9]", "[b] [20.00 y 1]", "[c] [100.00 z 1]"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if got, want := contents(live), []string{"[a] [107.60 x2 10]", "[b] [21.00 y 2]", "[c] [103.00 z 2]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if undo := live.undo[receipt.Run]; fmt.Sprint(undo[0].Before, undo[0].After) != "[110.10 x2 9] [107.60 x2 10]" {
		t.Errorf("undo rows have the planned images: %v", undo)
	}
	live.traffic = nil
	live.rows["a"] = wide("a", "1.00", "x3", "11") // rows move on; that is what they are for
	if again, err := run(t, live, p, 1); err != nil || !again.Already {
		t.Errorf("again: got %+v, %v, want already", again, err)
	}
	delete(live.rows, "b")
	back, err := run(t, live, rollback(t, live, receipt.Run), 2)
	if err != nil || len(back.RolledOut) != 1 || back.RolledOut[0][0].Text != "b" {
		t.Fatalf("rollback: got %+v, %v, want b listed as gone", back, err)
	}
	if got, want := contents(live), []string{"[a] [3.50 x3 12]", "[c] [100.00 z 3]"}; !slices.Equal(got, want) {
		t.Errorf("rolled back: got %q, want %q", got, want)
	}
	if _, err := run(t, live, rollback(t, live, back.Run), 3); err != nil || contents(live)[0] != "[a] [1.00 x3 13]" {
		t.Errorf("rollback of the rollback: got %q, %v", contents(live), err)
	}
}

func TestADeltaIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		traffic func(rows map[string]recount.Row)
		refuse  []string
		paused  bool
		code    recount.Code
		names   string
	}{
		"not explained":           {nil, []string{"b"}, false, recount.CodeStale, "b"},
		"a row is gone":           {func(r map[string]recount.Row) { delete(r, "a") }, nil, false, recount.CodeStale, "a"},
		"a row holds no number":   {func(r map[string]recount.Row) { r["a"] = wide("a", "NaN", "x", "1") }, nil, false, recount.CodeStale, "a"},
		"the sum does not fit":    {func(r map[string]recount.Row) { r["b"] = wide("b", "9999.50", "y", "1") }, nil, false, recount.CodeDoesNotFit, "row b"},
		"digits would be lost":    {func(r map[string]recount.Row) { r["b"] = wide("b", "0.3000000004", "y", "1") }, nil, false, recount.CodeDoesNotFit, "row b"},
		"a paused worker was not": {func(r map[string]recount.Row) { r["b"] = wide("b", "20.01", "y", "1") }, nil, true, recount.CodeStale, "b"},
		"a paused worker made c":  {func(r map[string]recount.Row) { r["c"] = wide("c", "1.00", "y", "1") }, nil, true, recount.CodeStale, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			live := balances()
			p := balancePlan(t, live)
			live.traffic = c.traffic
			before := contents(live)
			opts := apply.Options{Now: at}
			if !c.paused {
				opts.Explained = explained(new([]string), c.refuse...)
			}
			_, err := apply.Run(t.Context(), live, p, opts)
			wantCode(t, err, c.code)
			if err == nil || !strings.Contains(recount.AsError(err).Why, c.names) {
				t.Errorf("got %v, want %q named", err, c.names)
			}
			if got := contents(live); !slices.Equal(got, before) {
				t.Errorf("something was written: %q", got)
			}
		})
	}
}

func TestADeltaOnAPausedWorkersRows(t *testing.T) {
	live := balances()
	receipt, err := run(t, live, balancePlan(t, live), 0)
	if err != nil || !slices.Equal(contents(live), []string{"[a] [7.50 x 2]", "[b] [21.00 y 2]", "[c] [3.00 NULL 1]"}) {
		t.Fatalf("got %q, %v", contents(live), err)
	}
	if _, err := run(t, live, rollback(t, live, receipt.Run), 1); err != nil || !slices.Equal(contents(live), []string{"[a] [10.00 x 3]", "[b] [20.00 y 3]"}) {
		t.Errorf("rollback: got %q, %v", contents(live), err)
	}
}

// TestDeltasCommuteWithTraffic: whatever traffic adds before, between and after,
// a delta and its rollback leave exactly what traffic alone would have made.
func TestDeltasCommuteWithTraffic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cents := rapid.IntRange(-5000, 5000)
		live, alone := balances(), map[string]int{"a": 1000, "b": 2000}
		p := balancePlan(t, live)
		move := func(rows map[string]recount.Row) {
			for _, k := range []string{"a", "b", "c"} {
				if n := cents.Draw(rt, k); rapid.Bool().Draw(rt, "moves") {
					alone[k] += n
					row, ok := rows[k]
					now := "0.00"
					if ok {
						now = row.Values[0].Text
					}
					sum, err := recount.Sum(now, fmt.Sprintf("%de-2", n))
					if err != nil {
						rt.Fatal(err)
					}
					rows[k] = wide(k, sum, "live", "1")
				}
			}
		}
		live.traffic = move
		receipt, err := apply.Run(t.Context(), live, p, apply.Options{Now: at, Explained: explained(new([]string))})
		if err != nil {
			rt.Fatal(err)
		}
		back, err := run(t, live, rollback(t, live, receipt.Run), 1)
		if err != nil || len(back.RolledOut) > 0 {
			rt.Fatalf("rollback: %+v, %v", back, err)
		}
		for k, row := range live.rows {
			if !recount.SameNumber(row.Values[0].Text, fmt.Sprintf("%de-2", alone[k])) {
				rt.Errorf("%s: got %s, want %d cents", k, row.Values[0], alone[k])
			}
		}
	})
}

func TestNULLCountsAsZeroAndComesBack(t *testing.T) {
	live := named("totals", []string{"total", "note", "version"}, wide("a", "NULL", "x", "1"), wide("b", "NULL", "x", "1"))
	p := deltaPlan(t, live, added("a", "2.50", vals("NULL", "x", "1"), vals("2.50", "x", "2")), added("b", "1.00", vals("NULL", "x", "1"), vals("1.00", "x", "2")))
	receipt, err := run(t, live, p, 0)
	if err != nil || !slices.Equal(contents(live), []string{"[a] [2.50 x 2]", "[b] [1.00 x 2]"}) {
		t.Fatalf("got %q, %v", contents(live), err)
	}
	live.rows["b"] = wide("b", "1.25", "x", "3")
	if _, err := run(t, live, rollback(t, live, receipt.Run), 1); err != nil || !slices.Equal(contents(live), []string{"[a] [NULL x 3]", "[b] [0.25 x 4]"}) {
		t.Errorf("rollback: got %q, %v, want NULL back where nothing moved", contents(live), err)
	}
}
