package duckdb_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"recount"
	"recount/engine/duckdb"
)

var update = flag.Bool("update", false, "renew the golden files")

// fields are those that the texts of the tests read.
var fields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "value", Type: recount.Decimal(18, 2)},
	{Name: "price", Type: recount.Type{Kind: recount.KindDouble}},
	{Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
	{Name: "ok", Type: recount.Type{Kind: recount.KindBool}},
	{Name: "seen", Type: recount.Type{Kind: recount.KindTimestamp}},
	{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
	{Name: "doc", Type: recount.Type{Kind: recount.KindJSON}},
	{Name: "user", Type: recount.Type{Kind: recount.KindString}},
}

// TestCheckGolden holds what the check says to every text of testdata: a text,
// a line of dashes, what comes out. -update renews what comes out.
func TestCheckGolden(t *testing.T) {
	for _, name := range []string{"queries", "escapes", "conditions"} {
		t.Run(name, func(t *testing.T) {
			path := "testdata/" + name + ".txt"
			have, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			e := newEngine(t)
			var out strings.Builder
			for block := range strings.SplitSeq(strings.TrimSpace(string(have)), "\n\n") {
				sql, _, _ := strings.Cut(block+"\n", "\n----\n")
				fmt.Fprintf(&out, "%s\n----\n%s\n\n", strings.TrimSuffix(sql, "\n"), verdict(t, e, name == "conditions", sql))
			}
			if *update {
				if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := out.String(), string(have); got != want && !*update {
				t.Errorf("%s differs; run with -update and review:\n%s", path, firstDifference(got, want))
			}
		})
	}
}

func verdict(t *testing.T, e *duckdb.Engine, condition bool, sql string) string {
	if condition {
		err := e.CheckCondition(t.Context(), sql, fields)
		if err == nil {
			return "ok"
		}
		return describeError(err)
	}
	columns, err := e.Check(t.Context(), recount.Logic{Kind: "sql", Text: sql, Path: "x.sql"}, fields)
	if err != nil {
		return describeError(err)
	}
	var list []string
	for _, c := range columns {
		list = append(list, c.Name+" "+c.Type.String())
	}
	return "ok: " + strings.Join(list, ", ")
}

func describeError(err error) string {
	var e *recount.Error
	if !errors.As(err, &e) {
		return "NOT A RECOUNT ERROR: " + err.Error()
	}
	return fmt.Sprintf("%s %s\nwhere: %s\nwhy: %s\nnext: %s", e.Code, e.What, e.Where, e.Why, e.Next)
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, g[i], w[i])
		}
	}
	return "one is longer than the other"
}

func newEngine(tb testing.TB) *duckdb.Engine {
	tb.Helper()
	e := duckdb.New()
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}
