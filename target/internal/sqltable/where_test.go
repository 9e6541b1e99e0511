package sqltable_test

import (
	"strings"
	"testing"

	"recount/target/internal/sqltable"
)

// bound replaces the edges by <from> and <to>.
func bound(where string, d sqltable.Dialect) (string, error) {
	parts, err := sqltable.ParseWhere(where, d)
	if err != nil {
		return "", err
	}
	return sqltable.JoinWhere(parts, func(_ int, name string) (string, error) { return "<" + name + ">", nil })
}

func TestEdgesAreFoundOutsideOfQuotesAndComments(t *testing.T) {
	for where, want := range map[string]string{
		"t >= $from AND t < $to":             "t >= <from> AND t < <to>",
		"$from<=t":                           "<from><=t",
		"x = '$from' AND t < $to":            "x = '$from' AND t < <to>",
		`"$from" = 1`:                        `"$from" = 1`,
		"x = 'it''s $to' AND t = $to":        "x = 'it''s $to' AND t = <to>",
		"t < $to -- not $from":               "t < <to> -- not $from",
		"t < $to /* nor $from */ AND a":      "t < <to> /* nor $from */ AND a",
		"a$from = 1":                         "a$from = 1",
		"((t >= $from))":                     "((t >= <from>))",
		"t::date = $from::date AND n @> 'a'": "t::date = <from>::date AND n @> 'a'",
	} {
		if got, err := bound(where, sqltable.Postgres); err != nil || got != want {
			t.Errorf("%s: got %s (%v), want %s", where, got, err, want)
		}
	}
}

func TestEachDialectKnowsItsOwnQuotes(t *testing.T) {
	for _, c := range []struct {
		where, want string
		dialect     sqltable.Dialect
	}{
		{`x = E'it\'s $from' AND t < $to`, `x = E'it\'s $from' AND t < <to>`, sqltable.Postgres},
		{"x = $$ $from $$ AND t < $to", "x = $$ $from $$ AND t < <to>", sqltable.Postgres},
		{"x = $tag$ $$ $from $tag$ AND t < $to", "x = $tag$ $$ $from $tag$ AND t < <to>", sqltable.Postgres},
		{"/* a /* $from */ b */ t < $to", "/* a /* $from */ b */ t < <to>", sqltable.Postgres},
		{"`$from` < $to", "`$from` < <to>", sqltable.SQLite},
		{"[$from] < $to", "[$from] < <to>", sqltable.SQLite},
		{`x = 'a\' AND t < $to`, `x = 'a\' AND t < <to>`, sqltable.SQLite},
	} {
		if got, err := bound(c.where, c.dialect); err != nil || got != c.want {
			t.Errorf("%s: got %s (%v), want %s", c.where, got, err, c.want)
		}
	}
}

func TestWhatReachesBeyondAConditionIsRefused(t *testing.T) {
	for _, where := range []string{
		"1 = 1; DROP TABLE t", "1 = 1) OR (1 = 1", "(t < $to", "x = 'open", `"open`, "/* open", "t = $1", "t = $begin", "a\x00b", ")(",
	} {
		for _, d := range []sqltable.Dialect{sqltable.Postgres, sqltable.SQLite} {
			if got, err := bound(where, d); err == nil {
				t.Errorf("%q was taken as %q", where, got)
			}
		}
	}
}

// FuzzWhere: whatever the condition is, it is refused or its parts are it, and
// parsing what was joined finds the same parts.
func FuzzWhere(f *testing.F) {
	for _, seed := range []string{"t >= $from AND t < $to", "'$to''", "$a$ $a$", `E'\'`, "/*/**/*/", "--\n$from", "`[\"$to\"]`", "e'$to", "$$", "a$$b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, where string) {
		for _, d := range []sqltable.Dialect{sqltable.Postgres, sqltable.SQLite} {
			parts, err := sqltable.ParseWhere(where, d)
			if err != nil {
				continue
			}
			var whole strings.Builder
			for _, p := range parts {
				if p.Text == "" {
					t.Fatalf("%q has an empty part", where)
				}
				whole.WriteString(p.Text)
			}
			if whole.String() != where {
				t.Errorf("parts of %q join to %q", where, whole.String())
			}
			for _, p := range parts {
				if p.Kind == sqltable.PartSign && p.Text == ";" {
					t.Errorf("%q holds a second statement", where)
				}
			}
		}
	})
}
