package duckdb

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"recount"
)

// FuzzCheck: whatever is given, the check answers with columns or with a whole
// error, its child lives on, and no text that calls a function of a forbidden
// family is let pass.
func FuzzCheck(f *testing.F) {
	for _, name := range []string{"queries", "escapes", "conditions"} {
		have, err := os.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		for block := range strings.SplitSeq(strings.TrimSpace(string(have)), "\n\n") {
			sql, _, _ := strings.Cut(block, "\n----\n")
			f.Add(sql, name == "conditions")
		}
	}
	f.Add(strings.Repeat("(", 5000)+"SELECT 1"+strings.Repeat(")", 5000), false)
	f.Add("SELECT "+strings.Repeat("-", 5000)+"1", false)
	f.Add("SELECT "+strings.Repeat("1+", 5000)+"1 AS x", false)
	f.Add(strings.Repeat("NOT ", 3000)+"true", true)
	f.Add("SELECT 'a\x00b' AS x, \xff\xfe", false)
	fields := []recount.Field{{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}, {Name: "price", Type: recount.Type{Kind: recount.KindDouble}}}
	e := New()
	f.Cleanup(func() { _ = e.Close() })
	f.Fuzz(func(t *testing.T, text string, condition bool) {
		var err error
		if condition {
			err = e.CheckCondition(t.Context(), text, fields)
		} else {
			_, err = e.Check(t.Context(), recount.Logic{Kind: "sql", Text: text}, fields)
		}
		if err == nil {
			if call := forbiddenCall(text); call != "" {
				t.Errorf("%q was let pass, and it calls %s", text, call)
			}
			return
		}
		var known *recount.Error
		if !errors.As(err, &known) || known.Why == "" || known.Next == "" {
			t.Fatalf("%q: got error %v, want a whole one", text, err)
		}
		if known.Code == recount.CodeEngine {
			t.Errorf("%q stopped the engine: %v", text, err)
		}
	})
}

// forbiddenCall finds a call of a forbidden function where an expression begins,
// by tokens alone: it shares the lexer with the check, and nothing else.
func forbiddenCall(text string) string {
	l := lexer{text: text}
	before, word := "", ""
	for l.at < len(text) {
		start := l.at
		l.step()
		token := strings.ToLower(text[start:l.at])
		if strings.TrimSpace(token) == "" || strings.HasPrefix(token, "--") || strings.HasPrefix(token, "/*") {
			continue
		}
		begins := slices.Contains([]string{"select", "(", "=", "+", "*", "/", "<", ">", "where", "and", "or", "by", "when", "then", "else"}, before)
		switch f := familyOf[word]; f { //nolint:exhaustive // all other families may stand in a query
		case clock, chance, ambient, estimate, macro:
			if token == "(" && begins {
				return word
			}
		}
		before, word = word, token
	}
	return ""
}
