package views_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"recount"
	"recount/cli/views"
)

func TestSQLChangesRowsOnlyAsTheyWerePlanned(t *testing.T) {
	text := recount.Text
	p := &recount.Plan{ID: "4b2e", Body: recount.PlanBody{
		Target: recount.Identity{Adapter: "postgres", Table: `shop.odd"name`},
		Key:    []recount.PlanColumn{{Name: "user"}}, Columns: []recount.PlanColumn{{Name: "total", Type: "decimal(18,2)"}, {Name: "note", Type: "bool"}},
		Rows: recount.RowCounts{Update: 1, Insert: 1, Delete: 1, Held: 1},
	}, Changes: []recount.Change{
		{Action: recount.ActionUpdate, Key: []recount.Value{text("o'neil")}, Before: []recount.Value{text("1"), recount.Null}, After: []recount.Value{text("2"), recount.Null}},
		{Action: recount.ActionInsert, Key: []recount.Value{text("b")}, After: []recount.Value{text("3"), recount.Null}},
		{Action: recount.ActionDelete, Key: []recount.Value{text("c")}, Before: []recount.Value{text("4"), text("false")}},
		{Action: recount.ActionHeld, Key: []recount.Value{text("d")}, Before: []recount.Value{text("5"), text("x")}, After: []recount.Value{text("6"), text("x")}},
	}}
	var b bytes.Buffer
	if err := views.WriteSQL(&b, p, "fix.plan"); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "BEGIN;\n")
	want := `DELETE FROM "shop"."odd""name" WHERE "user" = 'c' AND "total" = '4' AND "note" = FALSE;
UPDATE "shop"."odd""name" SET "total" = '2' WHERE "user" = 'o''neil' AND "total" = '1' AND "note" IS NULL;
INSERT INTO "shop"."odd""name" ("user", "total", "note") VALUES ('b', '3', NULL);
COMMIT;
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p.Body.Target = recount.Identity{Adapter: "files", Table: "results.csv"}
	if err := views.WriteSQL(&b, p, "fix.plan"); !errors.Is(err, recount.ErrUnsupported) {
		t.Errorf("a file's plan: got %v, want %v", err, recount.ErrUnsupported)
	}
}
