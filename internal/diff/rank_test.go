package diff_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/internal/diff"
)

var (
	none  diff.Nearness
	exact = diff.Nearness{0}
)

// cents is a row that is equal within 0.01.
var cents = diff.Nearness{4}

// shown spells reasons: the account, the rows in brackets, its tolerance.
func shown(reasons []diff.Reason, left []int) string {
	var parts []string
	for _, r := range reasons {
		text := fmt.Sprintf("%d%v", r.Try, r.At)
		if r.Within != nil {
			text += "~" + diff.Tolerances[slices.Max(r.Within)-1]
		}
		if r.Rows != int64(len(r.At)) {
			text += "!"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ") + fmt.Sprintf(" left%v", left)
}

func TestRank(t *testing.T) {
	near := func(list ...diff.Nearness) []diff.Nearness { return list }
	far := near(none, none, none, none)
	for _, c := range []struct {
		name  string
		tries []diff.Try
		want  string
	}{
		{"no account", nil, " left[]"},
		{"nothing explains", []diff.Try{{Near: far}, {Kind: "late", Near: far}}, " left[0 1 2 3]"},
		{"the one that explains most comes first", []diff.Try{
			{Near: far},
			{Kind: "late", Near: near(exact, none, none, none)},
			{Kind: "repeats", Near: near(none, exact, exact, none)},
		}, "2[1 2] 1[0] left[3]"},
		{"of equal ones the first", []diff.Try{
			{Near: far}, {Kind: "late", Near: near(exact, exact, none, none)}, {Kind: "window", Near: near(none, none, exact, exact)},
		}, "1[0 1] 2[2 3] left[]"},
		{"of a kind the best alone, of equal ones the first", []diff.Try{
			{Near: far},
			{Kind: "late", Near: near(exact, none, none, none)},
			{Kind: "late", Near: near(exact, exact, none, none)},
			{Kind: "late", Near: near(exact, none, exact, none)},
		}, "2[0 1] left[2 3]"},
		{"what adds no row is left out", []diff.Try{
			{Near: far}, {Kind: "late", Near: near(exact, exact, exact, none)}, {Kind: "window", Near: near(exact, exact, none, none)},
		}, "1[0 1 2] left[3]"},
		{"rounding is of the right logic", []diff.Try{{Near: near(cents, none, cents, none)}}, "0[0 2]~0.01 left[1 3]"},
		{"rounding beside an account is for what is left", []diff.Try{
			{Near: near(cents, none, none, none)}, {Kind: "late", Near: near(none, exact, cents, none)},
		}, "0[0]~0.01 1[1] 1[2]~0.01 left[3]"},
		{"joined accounts count for what is left", []diff.Try{
			{Near: far},
			{Kind: "late", Near: near(exact, none, none, none)},
			{Kind: "repeats", Near: near(none, exact, none, none)},
			{Kind: "both", Joined: true, Near: near(exact, exact, exact, none)},
		}, "1[0] 2[1] 3[2] left[3]"},
		{"another of the kind does not explain the rest", []diff.Try{
			{Near: far}, {Kind: "late", Near: near(exact, exact, none, none)}, {Kind: "late", Near: near(none, none, none, cents)},
		}, "1[0 1] left[2 3]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shown(diff.Rank(c.tries)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A tolerance is widened by many rows, never by a single one.
func TestToleranceIsTheSmallestThatExplainsMost(t *testing.T) {
	many := func(n int, step int8) []diff.Nearness { return slices.Repeat([]diff.Nearness{{step}}, n) }
	for _, c := range []struct {
		name string
		near []diff.Nearness
		want string
		rows int64
	}{
		{"all alike", many(28, 4), "0.01", 28},
		{"one odd row", append(many(28, 4), many(1, 6)...), "0.01", 28},
		{"many more within a tenth", append(many(10, 4), many(40, 5)...), "0.1", 50},
		{"a few more within a tenth", append(many(20, 4), many(3, 5)...), "0.01", 20},
		{"one row", many(1, 6), "1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			reasons, _ := diff.Rank([]diff.Try{{Near: c.near}})
			if len(reasons) != 1 || reasons[0].Rows != c.rows || diff.Tolerances[slices.Max(reasons[0].Within)-1] != c.want {
				t.Errorf("got %+v, want %d rows within %s", reasons, c.rows, c.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	pair := func(key, seen string) diff.Pair {
		p := diff.Pair{Text: recount.KeyText([]recount.Value{recount.Text(key)})}
		if seen != "" {
			live := row(key, seen)
			p.Live, p.Seen = &live, live.Values
		}
		return p
	}
	for _, c := range []struct {
		made, seen string // empty: no row
		kind       recount.Type
		rule       string
		want       diff.Nearness
	}{
		{made: "5.00", seen: "5.00", want: exact},
		{made: "5.00", seen: "5.01", want: cents},
		{made: "5.00", seen: "5.01", rule: "0.01", want: exact},
		{made: "5.00", seen: "5.02"},                               // two in the last digit, and much of the value
		{made: "5000.00", seen: "5000.07", want: diff.Nearness{5}}, // little of it
		{made: "5000.00", seen: "5009.00"},
		{made: "12.345678", seen: "12.35", kind: recount.Decimal(18, 6), want: cents}, // live has two digits
		{made: "12.345678", seen: "12.345679", kind: recount.Decimal(18, 6), want: diff.Nearness{1}},
		{made: "3", seen: "4", kind: recount.Type{Kind: recount.KindInt64}}, // a count is never rounded
		{made: "x", seen: "y", kind: recount.Type{Kind: recount.KindString}},
		{made: "5.00"},
		{seen: "5.00"},
		{want: exact},
	} {
		t.Run(c.made+" "+c.seen, func(t *testing.T) {
			kind := c.kind
			if kind.Kind == "" {
				kind = recount.Decimal(18, 2)
			}
			made := map[string]string{"a": "1", "z": "1"} // rows of others
			if c.made != "" {
				made["k"] = c.made
			}
			of := recount.Shape{Key: shape.Key, Values: []recount.Column{{Name: "v", Type: kind}}}
			got, err := diff.Nearest(of, []recount.Rule{{Abs: c.rule}}, []diff.Pair{pair("k", c.seen)}, stream(made))
			if err != nil || !slices.Equal(got[0], c.want) || (got[0] == nil) != (c.want == nil) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// Every row has a reason that explains it, or is left: never both, never neither.
func TestRankAccountsForEveryRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(0, 6).Draw(t, "rows")
		tries := make([]diff.Try, rapid.IntRange(1, 6).Draw(t, "tries"))
		for i := range tries {
			tries[i].Kind = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "kind")
			tries[i].Joined = i > 0 && rapid.Bool().Draw(t, "joined")
			for range rows {
				choices := []diff.Nearness{none, exact, cents, {6}}
				if i == 0 { // a row that the right logic gives is not wrong
					choices = []diff.Nearness{none, cents, {6}}
				}
				tries[i].Near = append(tries[i].Near, rapid.SampledFrom(choices).Draw(t, "near"))
			}
		}
		reasons, left := diff.Rank(tries)
		explained := map[int]bool{}
		for _, r := range reasons {
			added := false
			for _, at := range r.At {
				near := tries[r.Try].Near[at]
				if near == nil || r.Within == nil && !near.Exact() || r.Within != nil && near[0] > r.Within[0] {
					t.Fatalf("account %d is given for row %d, of which it is %v away", r.Try, at, near)
				}
				added = added || !explained[at]
				explained[at] = true
			}
			if !added {
				t.Fatalf("%s: account %d adds no row", shown(reasons, left), r.Try)
			}
		}
		for at := range rows {
			if explained[at] == slices.Contains(left, at) {
				t.Fatalf("%s: row %d", shown(reasons, left), at)
			}
		}
	})
}
