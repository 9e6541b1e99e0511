package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/sqlite"
)

// childEnv tells the test's own binary to be the process that is killed: the
// folder of the database and the step after which it dies.
const childEnv = "RECOUNT_TEST_SQLITE_DIES"

// manyChanges are more than SQLite keeps in memory, so that a killed writer
// leaves half of them in the file, and a journal that takes them back.
func manyChanges(t *testing.T, live target.Target) []recount.Change {
	t.Helper()
	var changes []recount.Change
	for _, r := range scan(t, live, target.Scan{Key: []string{"k"}, Columns: []string{"v"}}) {
		changes = append(changes, recount.Change{Action: recount.ActionUpdate, Key: r.Key, Before: r.Values, After: texts(strings.Repeat("after", 600))})
	}
	return changes
}

func TestKilledWriterLeavesBeforeOrAfter(t *testing.T) {
	if spec := os.Getenv(childEnv); spec != "" {
		dieWriting(t, spec)
		return
	}
	for _, mode := range []string{"DELETE", "WAL"} {
		for _, step := range []string{"write", "commit"} {
			t.Run(mode+" "+step, func(t *testing.T) {
				live, db := file(t, "t", "PRAGMA journal_mode = "+mode, "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)",
					"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 1499) INSERT INTO t SELECT i, printf('%.3000c', 'b') FROM n")
				before := dump(t, db, "t", "count(*)", "min(v)", "max(v)")
				var path string
				if err := db.QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list").Scan(&path); err != nil {
					t.Fatal(err)
				}
				_ = live.Close()
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWriterLeavesBeforeOrAfter$")
				cmd.Env = append(os.Environ(), childEnv+"="+step+"="+filepath.Dir(path))
				out, err := cmd.CombinedOutput()
				if _, killed := errors.AsType[*exec.ExitError](err); !killed || strings.Contains(string(out), "FAIL") {
					t.Fatalf("child: got %v, want it killed: %s", err, out)
				}
				runs, err := live.Runs(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				after := dump(t, db, "t", "count(*)", "min(v)", "max(v)")
				if step == "commit" {
					if len(runs) != 1 || slices.Equal(after, before) {
						t.Errorf("killed after the commit: got %d runs, rows changed %v", len(runs), !slices.Equal(after, before))
					}
				} else if len(runs) != 0 || !slices.Equal(after, before) {
					t.Errorf("killed after %s: got %d runs, rows changed %v; want nothing", step, len(runs), !slices.Equal(after, before))
				}
				tx, err := live.Begin(t.Context())
				if err != nil {
					t.Fatalf("begin after the crash: %v", err)
				}
				if err := tx.Rollback(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// dieWriting applies the changes and kills its own process after the step.
func dieWriting(t *testing.T, spec string) {
	t.Helper()
	last, dir, _ := strings.Cut(spec, "=")
	live, err := sqlite.Open(adapter.Env{Dir: dir, Table: "t"}, sqlite.Config{Path: "live.db"})
	if err != nil {
		t.Fatal(err)
	}
	changes := manyChanges(t, live)
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"begin", func() error { return nil }},
		{"write", func() error {
			n, err := tx.Write(t.Context(), []string{"k"}, []string{"v"}, changes)
			if err == nil && n != int64(len(changes)) {
				err = fmt.Errorf("wrote %d rows of %d", n, len(changes))
			}
			return err
		}},
		{"record", func() error { return tx.Record(t.Context(), recount.Run{ID: "r", Plan: "p"}, changes) }},
		{"commit", func() error { return tx.Commit(t.Context()) }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		if s.name == last {
			me, err := os.FindProcess(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			_ = me.Kill()
			select {} // the signal is on its way
		}
	}
}
