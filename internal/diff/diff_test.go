package diff_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/internal/diff"
)

var shape = recount.Shape{
	Key:    []recount.Column{{Name: "user", Type: recount.Type{Kind: recount.KindString}}},
	Values: []recount.Column{{Name: "total", Type: recount.Decimal(18, 2)}},
}

// rows is a stream of rows from a map, in key order.
type rows struct {
	keys   []string
	values map[string]string
}

func stream(m map[string]string) *rows {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return strings.Compare(recount.KeyText([]recount.Value{recount.Text(a)}), recount.KeyText([]recount.Value{recount.Text(b)}))
	})
	return &rows{keys, m}
}

func (r *rows) Err() error { return nil }

func (r *rows) Next() (recount.Row, bool) {
	if len(r.keys) == 0 {
		return recount.Row{}, false
	}
	k := r.keys[0]
	r.keys = r.keys[1:]
	return row(k, r.values[k]), true
}

func row(key, value string) recount.Row {
	return recount.Row{Key: []recount.Value{recount.Text(key)}, Values: []recount.Value{recount.Text(value)}}
}

func sorted(t testing.TB, dir string, live map[string]string, budget int64) *diff.Sorted {
	t.Helper()
	s := &diff.Sorter{Shape: shape, Dir: dir, Bytes: budget, Place: "test"}
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(live))) { // worst order
		if err := s.Add(row(k, live[k])); err != nil {
			t.Fatalf("add: %v", err)
		}
	}
	out, err := s.Sorted()
	if err != nil {
		t.Fatalf("sort: %v", err)
	}
	return out
}

func compare(t testing.TB, right, live map[string]string, excluded ...string) diff.Outcome {
	t.Helper()
	touched := map[string][]recount.Value{}
	for _, k := range excluded {
		touched[recount.KeyText([]recount.Value{recount.Text(k)})] = []recount.Value{recount.Text(k)}
	}
	out, err := diff.Compare(t.Context(), diff.Input{
		Right: stream(right), Live: sorted(t, "", live, 0), Shape: shape, Rules: make([]recount.Rule, 1), Excluded: touched,
	})
	if err != nil {
		t.Fatalf("compare: %v", err)
	}
	return out
}

func TestCompare(t *testing.T) {
	right := map[string]string{"a": "1.00", "b": "2.00", "d": "4.00"}
	live := map[string]string{"a": "1", "b": "2.01", "c": "3.00", "e": "x"}
	out := compare(t, right, live, "d", "", "zz")
	var got []string
	for _, p := range out.Pairs {
		got = append(got, fmt.Sprintf("%q right=%v live=%v excluded=%v", p.Text, p.Right, p.Seen, p.Excluded))
	}
	want := []string{
		`"" right=[] live=[] excluded=true`,
		`"b" right=[2.00] live=[2.01] excluded=false`,
		`"c" right=[] live=[3.00] excluded=false`,
		`"d" right=[4.00] live=[] excluded=true`,
		`"e" right=[] live=[x] excluded=false`,
		`"zz" right=[] live=[] excluded=true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("pairs:\n got %q\nwant %q", got, want)
	}
	if out.Right != 1 || out.Checked != 7 || out.Rows != 3 {
		t.Errorf("counts: got right %d checked %d rows %d, want 1 7 3", out.Right, out.Checked, out.Rows)
	}
}

// TestCompareAgainstOracle holds P1: the diff is exact against a naive oracle.
func TestCompareAgainstOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SampledFrom([]string{"", "0042", "42", "007", "a", "A", "ä", "b\x00", "b", "z"})
		values := rapid.SampledFrom([]string{"0.00", "1.00", "1.01", "-3.50"})
		right := rapid.MapOf(keys, values).Draw(rt, "right")
		live := rapid.MapOf(keys, values).Draw(rt, "live")
		excluded := rapid.SliceOfNDistinct(keys, 0, 3, rapid.ID[string]).Draw(rt, "excluded")
		out := compare(t, right, live, excluded...)
		all := map[string]bool{}
		for _, m := range []map[string]string{right, live} {
			for k := range m {
				all[k] = true
			}
		}
		wrong := map[string]bool{}
		for _, k := range excluded {
			all[k], wrong[k] = true, true
		}
		for k := range all {
			r, inRight := right[k]
			l, inLive := live[k]
			if inRight != inLive || r != l {
				wrong[k] = true
			}
		}
		var got []string
		for _, p := range out.Pairs {
			got = append(got, p.Key[0].Text)
		}
		slices.Sort(got) // the order of keys is that of their KeyText
		if want := slices.Sorted(maps.Keys(wrong)); !slices.Equal(got, want) {
			rt.Fatalf("wrong rows: got %q, want %q", got, want)
		}
		if out.Checked != int64(len(all)) || out.Right != int64(len(all)-len(wrong)) {
			rt.Fatalf("counts: got %d right of %d, want %d of %d", out.Right, out.Checked, len(all)-len(wrong), len(all))
		}
	})
}

func TestSpilledRowsComeInTheSameOrder(t *testing.T) {
	live := map[string]string{}
	for i := range 5000 {
		live[fmt.Sprintf("user-%d", i*7919%5000)] = fmt.Sprintf("%d.00", i)
	}
	right := maps.Clone(live)
	right["user-17"] = "9.99"
	s := sorted(t, t.TempDir(), live, 20_000)
	out, err := diff.Compare(t.Context(), diff.Input{Right: stream(right), Live: s, Shape: shape, Rules: make([]recount.Rule, 1)})
	if err != nil {
		t.Fatalf("compare: %v", err)
	}
	if len(out.Pairs) != 1 || out.Right != 4999 {
		t.Errorf("got %d wrong, %d right, want 1 and 4999", len(out.Pairs), out.Right)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestLiveKeysMustNameRows(t *testing.T) {
	for name, keys := range map[string][]recount.Value{
		"twice": {recount.Text("a"), recount.Text("a")},
		"NULL":  {recount.Null},
	} {
		t.Run(name, func(t *testing.T) {
			s := &diff.Sorter{Shape: shape, Dir: t.TempDir()}
			var err error
			for _, k := range keys {
				err = s.Add(recount.Row{Key: []recount.Value{k}, Values: []recount.Value{recount.Text("1")}})
			}
			if err == nil {
				live, sortErr := s.Sorted()
				if sortErr != nil {
					t.Fatalf("sort: %v", sortErr)
				}
				_, err = diff.Compare(t.Context(), diff.Input{Right: stream(nil), Live: live, Shape: shape, Rules: make([]recount.Rule, 1)})
			}
			if e := recount.AsError(err); err == nil || e.Code != recount.CodeLiveKey {
				t.Errorf("got %v, want code %s", err, recount.CodeLiveKey)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	money, double := recount.Decimal(18, 2), recount.Type{Kind: recount.KindDouble}
	text := recount.Type{Kind: recount.KindString}
	for _, c := range []struct {
		t    recount.Type
		rule string
		a, b recount.Value
		want bool
	}{
		{money, "", recount.Text("1.10"), diff.Under(money, recount.Text("1.1")), true},
		{money, "", recount.Text("0.30"), diff.Under(money, recount.Text("0.30000000000000004")), true},
		{money, "", recount.Text("0.30"), diff.Under(money, recount.Text("0.31")), false},
		{money, "0.01", recount.Text("0.30"), recount.Text("0.31"), true},
		{money, "0.01", recount.Text("0.30"), recount.Text("0.32"), false},
		{money, "1", recount.Text("0.30"), recount.Text("1e999999999"), false},
		{money, "", recount.Null, recount.Text("0.00"), false},
		{money, "", recount.Null, recount.Null, true},
		{text, "", recount.Text(""), recount.Null, false},
		{text, "", recount.Text("a"), recount.Text("a "), false},
		{double, "", recount.Text("0"), diff.Under(double, recount.Text("-0.0")), true},
		{double, "1e-9", recount.Text("0.1"), diff.Under(double, recount.Text("0.10000000000000002")), true},
		{recount.Type{Kind: recount.KindTimestamp}, "", recount.Text("2024-06-10T12:00:00Z"), diff.Under(recount.Type{Kind: recount.KindTimestamp}, recount.Text("2024-06-10 14:00:00+02")), true},
		{recount.Type{Kind: recount.KindDate}, "", recount.Text("2024-06-10"), diff.Under(recount.Type{Kind: recount.KindDate}, recount.Text("2024-06-10 00:00:00")), true},
		{recount.Type{Kind: recount.KindInt64}, "", recount.Text("12"), diff.Under(recount.Type{Kind: recount.KindInt64}, recount.Text("12.00")), true},
	} {
		if got := diff.Equal(c.t, recount.Rule{Abs: c.rule}, c.a, c.b); got != c.want {
			t.Errorf("Equal(%s, %q, %v, %v): got %v, want %v", c.t, c.rule, c.a, c.b, got, c.want)
		}
	}
}

func TestExplainTakesOnlyWhatReproducesTheLiveRow(t *testing.T) {
	right := map[string]string{"a": "1.00", "b": "2.00", "c": "3.00", "e": "5.00"}
	live := map[string]string{"a": "9.00", "b": "8.00", "d": "7.00", "e": "6.00"}
	out := compare(t, right, live)
	left, err := diff.Explain(shape, make([]recount.Rule, 1), out.Pairs, "missed", stream(map[string]string{"a": "9.00", "b": "8.01", "d": "7.00", "e": "5.00"}))
	if err != nil {
		t.Fatalf("explain: %v", err)
	}
	got := map[string]recount.Cause{}
	for _, p := range out.Pairs {
		got[p.Text] = p.Cause
	}
	want := map[string]recount.Cause{"a": "missed", "b": "", "c": "missed", "d": "missed", "e": ""}
	if !maps.Equal(got, want) || left != 2 {
		t.Errorf("causes: got %v, %d left, want %v, 2 left", got, left, want)
	}
}

func TestDecide(t *testing.T) {
	one := []recount.Value{recount.Text("1")}
	live := &recount.Row{}
	given := diff.Policy{Given: true, Unexplained: recount.UnexplainedHold, Extra: recount.ExtraReport}
	none := diff.Policy{Unexplained: recount.UnexplainedCorrect, Extra: recount.ExtraReport}
	with := func(p diff.Policy, extra recount.Extra) diff.Policy { p.Extra = extra; return p }
	correct := given
	correct.Unexplained = recount.UnexplainedCorrect
	for name, c := range map[string]struct {
		pair   diff.Pair
		policy diff.Policy
		want   recount.Action
	}{
		"excluded":                       {diff.Pair{Right: one, Live: live, Excluded: true, Cause: "previous"}, given, recount.ActionExcluded},
		"explained update":               {diff.Pair{Right: one, Live: live, Cause: "previous"}, given, recount.ActionUpdate},
		"explained insert":               {diff.Pair{Right: one, Cause: "missed"}, given, recount.ActionInsert},
		"unexplained is held":            {diff.Pair{Right: one, Live: live}, given, recount.ActionHeld},
		"unexplained insert is held":     {diff.Pair{Right: one}, given, recount.ActionHeld},
		"unexplained: correct":           {diff.Pair{Right: one, Live: live}, correct, recount.ActionUpdate},
		"none given":                     {diff.Pair{Right: one, Live: live}, none, recount.ActionUpdate},
		"extra reported":                 {diff.Pair{Live: live}, none, recount.ActionExtra},
		"extra explained, report":        {diff.Pair{Live: live, Cause: "previous"}, given, recount.ActionExtra},
		"extra explained, explained":     {diff.Pair{Live: live, Cause: "previous"}, with(given, recount.ExtraExplained), recount.ActionDelete},
		"extra unexplained, explained":   {diff.Pair{Live: live}, with(given, recount.ExtraExplained), recount.ActionHeld},
		"extra explained without given":  {diff.Pair{Live: live, Cause: "twice"}, with(none, recount.ExtraExplained), recount.ActionExtra},
		"extra delete":                   {diff.Pair{Live: live}, with(none, recount.ExtraDelete), recount.ActionDelete},
		"extra delete, given, held":      {diff.Pair{Live: live}, with(given, recount.ExtraDelete), recount.ActionHeld},
		"extra delete, given, explained": {diff.Pair{Live: live, Cause: "previous"}, with(given, recount.ExtraDelete), recount.ActionDelete},
		"extra unexplained under given":  {diff.Pair{Live: live}, given, recount.ActionHeld},
	} {
		if got := diff.Decide(c.pair, c.policy); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
