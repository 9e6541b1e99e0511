package enginetest

import (
	"slices"
	"testing"

	"recount"
	"recount/engine"
)

// sameAndKeys holds Session.Same and Variant.Keys.
func sameAndKeys(t *testing.T, h Harness) {
	l := marked(t, h).open()
	first, err := l.session.Run(t.Context(), l.spell(variant()))
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	same := func(what string, want bool, options ...func(*engine.Variant)) {
		t.Helper()
		got, err := l.session.Same(t.Context(), l.spell(variant(options...)), first)
		if err != nil || got != want {
			t.Errorf("%s: same is %t, %v, want %t", what, got, err, want)
		}
	}
	same("another split", true, func(v *engine.Variant) { v.Split = 1 })
	for _, shake := range engine.Shakes(variant().Logic) {
		same("shaken "+shake.String(), true, func(v *engine.Variant) { v.Shake = shake })
	}
	same("repeats counted", false, func(v *engine.Variant) { v.Dedupe = false })
	same("one row only", false, func(v *engine.Variant) { v.Only = []int64{1} })
	same("swapped columns", false, func(v *engine.Variant) {
		v.Logic = logic("SELECT user_id, n AS total, total AS n FROM (" + totals + ")")
	})
	if err := first.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	for _, c := range []struct {
		keys []string
		want []string
	}{{nil, nil}, {[]string{"b"}, []string{"b"}}, {[]string{"nobody", "b", "a"}, []string{"a", "b"}}, {[]string{"'; DROP"}, nil}} {
		v := variant()
		v.Keys = [][]recount.Value{}
		for _, k := range c.keys {
			v.Keys = append(v.Keys, []recount.Value{recount.Text(k)})
		}
		for _, want := range l.rows(variant()) {
			wanted := slices.ContainsFunc(c.want, func(k string) bool { return want[:len(k)+1] == k+"|" })
			if got := slices.Contains(l.rows(v), want); wanted && !got {
				t.Errorf("keys %q: row %q is missing", c.keys, want)
			}
		}
	}
}
