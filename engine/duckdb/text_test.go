package duckdb

import (
	"testing"
	"time"

	"recount"
)

func TestCut(t *testing.T) {
	window := recount.Window{From: time.Unix(0, 0), To: time.Unix(3600, 0)}
	const from, to = "(TIMESTAMPTZ '1970-01-01 00:00:00+00')", "(TIMESTAMPTZ '1970-01-01 01:00:00+00')"
	for _, c := range []struct{ name, text, want string }{
		{"parameters", "a $from b $TO c", "a " + from + " b " + to + " c"},
		{"in quotes", `'$from' "$from" '''$from'`, `'$from' "$from" '''$from'`},
		{"in an escape string", `e'\'$from' $to`, `e'\'$from' ` + to},
		{"in comments", "/* $from /* $to */ $from */ $to -- $from", "/* $from /* $to */ $from */ " + to + " -- $from"},
		{"in dollar quotes", "$$ $from $$ $x$ $$ $from $x$ $to", "$$ $from $$ $x$ $$ $from $x$ " + to},
		{"as the tag of a quote", "$from$ a $from$ $from", "$from$ a $from$ " + from},
		{"inside a name", "a$from _$to b1$from", "a$from _$to b1$from"},
		{"a longer name", "$fromage $to_", "$fromage $to_"},
		{"semicolon at the end", "SELECT 1 ; -- done\n;", "SELECT 1 "},
		{"semicolon in a quote", "SELECT ';' ", "SELECT ';' "},
		{"open quote", "SELECT '$from", "SELECT '$from"},
		{"open comment", "SELECT /* $from", "SELECT /* $from"},
		{"umlaut", "SELECT ä$from", "SELECT ä$from"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, want := cut(c.text).bind("", "", window).sql, c.want+"\n"; got != want {
				t.Errorf("bound text: got %q, want %q", got, want)
			}
		})
	}
	if s := cut("SELECT 1; SELECT 2"); s.second != 9 {
		t.Errorf("second statement: got %d, want 9", s.second)
	}
}

func TestPlaceCountsInTheUsersText(t *testing.T) {
	s := cut("SELECT $from,\n  ü, x FROM events")
	b := s.bind("PREFIX (\n", ")", recount.Window{})
	at := len(b.prefix) + len("SELECT ") + len(b.edges[0]) + len(",\n  ü, ")
	if got := b.place(at); got != "2:6" {
		t.Errorf("place of x: got %s, want 2:6", got)
	}
	if got := b.place(len(b.prefix) + 10); got != "1:8" {
		t.Errorf("place inside the constant: got %s, want that of $from, 1:8", got)
	}
	if got := b.place(2); got != "" {
		t.Errorf("place in the prefix: got %s, want none", got)
	}
}
