package sqltable_test

import (
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/target/internal/sqltable"
)

// FuzzWhere: whatever the condition is, it is refused, or its parts are it and
// nothing in them reaches beyond a condition.
func FuzzWhere(f *testing.F) {
	for _, seed := range []string{
		"hour >= $from AND hour < $to", "a = 'x''$from' -- y", "$$ $tag$ $$", "/* /* */ */ e'\\''", "`a` [b] \"c\"", "(a) > ((1))", "--\n$from", "a$$b",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, where string, postgres bool) {
		d := sqltable.SQLite
		if postgres {
			d = sqltable.Postgres
		}
		parts, err := sqltable.ParseWhere(where, d)
		if err != nil {
			return
		}
		var joined strings.Builder
		depth := 0
		for _, p := range parts {
			if p.Text == "" {
				t.Fatal("an empty part")
			}
			joined.WriteString(p.Text)
			if p.Kind == sqltable.PartSign {
				switch p.Text {
				case "(":
					depth++
				case ")":
					depth--
				case ";":
					t.Fatal("a semicolon outside of quotes was let through")
				}
			}
			if _, ok := p.Name(); ok != (p.Kind == sqltable.PartWord || p.Kind == sqltable.PartName) {
				t.Fatalf("part %q of kind %d is a name: %v", p.Text, p.Kind, ok)
			}
		}
		if joined.String() != where || depth != 0 {
			t.Fatalf("parts of %q join to %q, depth %d", where, joined.String(), depth)
		}
	})
}

func TestGroupsHoldEachChangedColumnOnce(t *testing.T) {
	v := func(texts ...string) []recount.Value {
		out := make([]recount.Value, len(texts))
		for i, s := range texts {
			out[i] = recount.Text(s)
		}
		return out
	}
	groups := sqltable.Groups([]recount.Change{
		{Before: v("1", "a"), After: v("2", "a")},
		{Before: v("1", "a"), After: v("1", "a")},
		{Before: v("1", "a"), After: v("3", "b")},
		{Before: v("1", ""), After: []recount.Value{recount.Text("5"), recount.Text("")}},
		{Before: v("1", ""), After: []recount.Value{recount.Text("1"), recount.Null}},
	})
	want := []sqltable.Group{{Columns: []int{0}, Changes: []int{0, 3}}, {Columns: []int{0, 1}, Changes: []int{2}}, {Columns: []int{1}, Changes: []int{4}}}
	same := slices.EqualFunc(groups, want, func(a, b sqltable.Group) bool {
		return slices.Equal(a.Columns, b.Columns) && slices.Equal(a.Changes, b.Changes)
	})
	if !same {
		t.Errorf("groups: got %+v, want %+v", groups, want)
	}
}

func TestUndoRowsAndRunsReadBack(t *testing.T) {
	for _, c := range []recount.Change{
		{Action: recount.ActionUpdate, Key: []recount.Value{recount.Text("<a>\u2028"), recount.Text("")}, Before: []recount.Value{recount.Null}, After: []recount.Value{recount.Text("NULL")}},
		{Action: recount.ActionInsert, Key: []recount.Value{recount.Text("k")}, After: []recount.Value{recount.Text("\x00\n\"")}},
		{Action: recount.ActionDelete, Key: []recount.Value{recount.Text("k")}, Before: []recount.Value{}},
	} {
		row, err := sqltable.EncodeUndo(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := row.Change()
		if err != nil || got.Action != c.Action || !slices.Equal(got.Key, c.Key) || !slices.Equal(got.Before, c.Before) || !slices.Equal(got.After, c.After) ||
			(got.Before == nil) != (c.Before == nil) || (got.After == nil) != (c.After == nil) {
			t.Errorf("undo row: got %+v, %v; want %+v", got, err, c)
		}
	}
	body, err := sqltable.EncodeRun(recount.Run{ID: "r", Applied: 1 << 60, RolledBack: "stale"})
	if err != nil {
		t.Fatal(err)
	}
	if run, err := sqltable.DecodeRun(body, "later"); err != nil || run.ID != "r" || run.Applied != 1<<60 || run.RolledBack != "later" {
		t.Errorf("run: got %+v, %v", run, err)
	}
}

func TestFingerprintKnowsNoOrderOfRules(t *testing.T) {
	print := func(d sqltable.Description) string {
		text, err := d.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	a := sqltable.Description{Rules: []string{"x", "y"}, Unique: [][]string{{"b"}, {"a", "c"}}}
	b := sqltable.Description{Rules: []string{"y", "x"}, Unique: [][]string{{"a", "c"}, {"b"}}}
	if print(a) != print(b) {
		t.Error("another order, another fingerprint")
	}
	b.Unique[0] = []string{"c", "a"}
	if print(a) == print(b) {
		t.Error("an index over (c, a) has the fingerprint of one over (a, c)")
	}
}
