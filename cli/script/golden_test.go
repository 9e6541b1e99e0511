package script_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/cli/script"
	"recount/internal/plan"
)

var update = flag.Bool("update", false, "renew goldens")

// smallPlan is a plan of three rows and a mark.
func smallPlan(t *testing.T, adapter string) *recount.Plan {
	t.Helper()
	table := map[string]string{"postgres": "shop.revenue", "sqlite": "revenue"}[adapter]
	target := recount.Identity{Adapter: adapter, Place: "live.db", Table: table}
	if adapter == "postgres" {
		target.Place, target.Server = "db.example:5432/shop", "system 7412202588048533345, database 16384"
	}
	window := recount.Window{From: made.Add(-time.Hour), To: made, By: recount.ByEvent}
	b := recount.PlanBody{
		Kind: recount.PlanApply, Calculation: "revenue", Window: window, Asked: window, Target: target, MaxChanges: 100, Write: recount.WriteSet,
		Hazards: []string{`trigger "audit" runs for the rows that are written`}, Ignored: []string{"note"},
		Key:     []recount.PlanColumn{{Name: "hour", Type: "timestamp"}, {Name: "product", Type: "string"}},
		Columns: []recount.PlanColumn{{Name: "total", Type: "decimal(18,2)"}},
	}
	p := &recount.Plan{Body: b}
	plan.Add(p, []recount.Change{
		changed(values("2024-06-10T12:00:00Z", "apple"), values("9.00"), values("11.50")),
		changed(values("2024-06-10T12:00:00Z", "o'neil"), nil, values("4.00")),
		changed(values("2024-06-10T12:00:00Z", "pear"), values("2.00"), nil),
	})
	p.Header = recount.PlanHeader{Made: made, Expires: made.Add(24 * time.Hour), By: "alice"}
	if err := plan.Seal(p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestScriptsReadAsTheirGoldens(t *testing.T) {
	for name, c := range map[string]struct {
		adapter string
		write   func(io.Writer, *recount.Plan, script.Options) error
	}{
		"postgres.sql": {"postgres", script.SQL}, "sqlite.sql": {"sqlite", script.SQL}, "dynamodb.sh": {"sqlite", script.DynamoDB},
	} {
		var b bytes.Buffer
		if err := c.write(&b, smallPlan(t, c.adapter), script.Options{File: "fix.plan"}); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil { //nolint:gosec // goldens are read by all
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file) //nolint:gosec // of testdata
		if err != nil || b.String() != string(want) {
			t.Errorf("%s differs (%v); -update renews it, read the difference:\n%s", name, err, b.String())
		}
	}
}

// TestThePageShowsScriptsAsTheyAre: the page's blocks are passages of the
// goldens; a line "..." stands for any lines.
func TestThePageShowsScriptsAsTheyAre(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "sql.md"))
	if err != nil {
		t.Fatal(err)
	}
	for fence, name := range map[string]string{"```sql\n": "postgres.sql", "```sh\n": "dynamodb.sh"} {
		want, err := os.ReadFile(filepath.Join("testdata", name)) //nolint:gosec // of testdata
		if err != nil {
			t.Fatal(err)
		}
		_, block, ok := strings.Cut(string(page), fence)
		block, _, closed := strings.Cut(block, "```")
		if !ok || !closed {
			t.Fatalf("docs/sql.md has no block %q", fence)
		}
		rest := string(want)
		for passage := range strings.SplitSeq(block, "...\n") {
			_, after, found := strings.Cut(rest, passage)
			if !found {
				t.Errorf("docs/sql.md shows what %s does not have:\n%s", name, passage)
			}
			rest = after
		}
	}
}
