package sqltable_test

import (
	"testing"

	"recount/target/internal/sqltable"
)

// joined replaces the edges by <from> and <to>.
func joined(where string, d sqltable.Dialect) (string, error) {
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
		if got, err := joined(where, sqltable.Postgres); err != nil || got != want {
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
		if got, err := joined(c.where, c.dialect); err != nil || got != c.want {
			t.Errorf("%s: got %s (%v), want %s", c.where, got, err, c.want)
		}
	}
}

func TestWhatReachesBeyondAConditionIsRefused(t *testing.T) {
	for _, where := range []string{
		"1 = 1; DROP TABLE t", "1 = 1) OR (1 = 1", "(t < $to", "x = 'open", `"open`, "/* open", "t = $1", "t = $begin", "a\x00b", ")(",
	} {
		for _, d := range []sqltable.Dialect{sqltable.Postgres, sqltable.SQLite} {
			if got, err := joined(where, d); err == nil {
				t.Errorf("%q was taken as %q", where, got)
			}
		}
	}
}
