package targettest

import (
	"slices"
	"strings"
	"testing"

	"recount"
)

func identity(t *testing.T, h Harness) {
	t.Run("the columns are described", func(t *testing.T) { described(t, h) })
	t.Run("a copy is another target", func(t *testing.T) { copied(t, h) })
	t.Run("a trigger is named, and changes the fingerprint", func(t *testing.T) { triggers(t, h) })
	t.Run("the fingerprint follows the schema alone", func(t *testing.T) { fingerprint(t, h) })
}

func described(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	if h.Types {
		table.Columns = append(table.Columns, recount.Column{Name: "n", Type: recount.Type{Kind: recount.KindInt64}})
		table.Rows[0].Values = append(table.Rows[0].Values, recount.Text("7"))
	}
	live := h.New(t, table).Target
	info, err := live.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := append(names(table.Key), names(table.Columns)...)
	if got := names(info.Columns); !slices.Equal(got, want) {
		t.Errorf("columns: got %q, want %q", got, want)
	}
	for _, c := range slices.Concat(table.Key, table.Columns) {
		own, _ := info.Column(c.Name)
		if own.Type.Kind != c.Type.Kind || own.Declared == "" || own.Generated {
			t.Errorf("column %s: got %+v, want kind %s, with the declared type, not generated", c.Name, own, c.Type.Kind)
		}
	}
	i := info.Identity
	if i.Adapter == "" || i.Place == "" || i.Table == "" || info.Fingerprint == "" || strings.Contains(i.Place, "password") {
		t.Errorf("identity: got %+v, fingerprint %q; want adapter, place, table and fingerprint", i, info.Fingerprint)
	}
	unique := slices.ContainsFunc(info.Unique, func(set []string) bool { return slices.Equal(set, names(table.Key)) })
	if unique != h.UniqueKey {
		t.Errorf("unique sets: got %q; want the key among them: %v", info.Unique, h.UniqueKey)
	}
}

func copied(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table)
	if live.Copy == nil {
		t.Skip("there is no copy")
	}
	apply(t, live.Target, table, run(table, live.Target, t, "aaaaaaaaaaaa", "plan one"), []recount.Change{
		update(values("a"), values("1", "x"), values("2", "x")),
	})
	other := live.Copy(t)
	here, err := live.Target.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there, err := other.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if here.Identity == there.Identity {
		t.Errorf("the copy has the same identity: %+v", here.Identity)
	}
	if here.Fingerprint != there.Fingerprint {
		t.Errorf("the copy's fingerprint differs: got %s, want %s", there.Fingerprint, here.Fingerprint)
	}
	apply(t, other, table, run(table, other, t, "bbbbbbbbbbbb", "plan two"), []recount.Change{
		update(values("a"), values("2", "x"), values("3", "x")),
	})
	wantRows(t, live.Target, table, []recount.Row{row("a", "2", "x")})
}

func triggers(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table)
	before, err := live.Target.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Hazards) > 0 {
		t.Errorf("hazards of a plain table: got %q, want none", before.Hazards)
	}
	if live.AddTrigger == nil {
		t.Skip("there are no triggers")
	}
	live.AddTrigger(t)
	after, err := live.Reopen(t).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Hazards) == 0 || after.Fingerprint == before.Fingerprint {
		t.Errorf("after a trigger was made: hazards %q, fingerprint the same: %v; want it named and another fingerprint", after.Hazards, after.Fingerprint == before.Fingerprint)
	}
}

func fingerprint(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table)
	of := func() string {
		t.Helper()
		info, err := live.Reopen(t).Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.Fingerprint
	}
	first := of()
	live.Edit(t, insert(values("b"), values("2", "y")))
	apply(t, live.Target, table, run(table, live.Target, t, "aaaaaaaaaaaa", "plan one"), []recount.Change{
		update(values("a"), values("1", "x"), values("2", "x")),
	})
	if got := of(); got != first {
		t.Errorf("fingerprint after rows changed: got %s, want %s as before", got, first)
	}
	live.AddColumn(t, "added")
	if got := of(); got == first {
		t.Error("the fingerprint is the same after a column was added")
	}
}
