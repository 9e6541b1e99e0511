package cli_test

import (
	"context"
	"strings"
	"testing"

	"recount"
	"recount/cli"
	"recount/internal/app"
)

// twoTables is a project whose plan corrects two tables.
type twoTables struct{ *fake }

func (twoTables) ApplyTable(context.Context, string) (string, error)    { return "orders,users", nil }
func (twoTables) RollbackTable(context.Context, string) (string, error) { return "orders,users", nil }

func TestSeveralTablesAreConfirmedByAllTheirNames(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		typed string // on a terminal; empty: there is none
		want  int
	}{
		"given":            {[]string{"apply", "f", "--confirm", "orders,users", "--worker-will-reload"}, "", recount.ExitDone},
		"one given":        {[]string{"apply", "f", "--confirm", "orders"}, "", recount.ExitUsage},
		"none given":       {[]string{"apply", "f"}, "", recount.ExitUsage},
		"typed":            {[]string{"apply", "f"}, "orders,users\n", recount.ExitDone},
		"one typed":        {[]string{"apply", "f"}, "orders\n", recount.ExitUsage},
		"a rollback":       {[]string{"rollback", "r", "--confirm=orders,users"}, "", recount.ExitDone},
		"a rollback's one": {[]string{"rollback", "r", "--confirm=users"}, "", recount.ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			s := scene{terminal: c.typed != "", stdin: c.typed}
			s.open = func() cli.Recount { return twoTables{&s.fake} }
			got := s.run(t, c.args...)
			if got.exit != c.want {
				t.Fatalf("got exit %d, want %d: %s", got.exit, c.want, got.errOut)
			}
			if c.typed != "" && !strings.Contains(got.errOut, "Type the tables' names to go on: orders,users") {
				t.Errorf("asked: %s", got.errOut)
			}
			if c.want == recount.ExitUsage && !strings.Contains(got.errOut, "recount "+c.args[0]) {
				t.Errorf("the error names no command: %s", got.errOut)
			}
			for _, asked := range s.fake.asked {
				if req, ok := asked.(app.ApplyRequest); ok && (req.Confirm != "orders,users" || req.Overrides.WorkerWillReload != (name == "given")) {
					t.Errorf("request: %+v", req)
				}
			}
		})
	}
}
