//go:build unix

package files

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"recount"
	"recount/adapter"
)

// crashAt names the variable by which a test process is told where to die.
const crashAt = "FILES_TEST_CRASH"

// TestMain is also the process that dies: in a folder and before a step that
// the parent names.
func TestMain(m *testing.M) {
	if at := os.Getenv(crashAt); at != "" {
		dir, act, _ := strings.Cut(at, "|")
		kind, step, _ := strings.Cut(act, "|")
		os.Exit(dieAt(dir, kind, step))
	}
	os.Exit(m.Run())
}

const (
	oldText   = "id,total,note\na,1,\"x\"\nb,2,y\nc,3,z\n"
	newText   = "id,total,note\na,10,\"x\"\nc,3,z\nd,4,\n"
	otherText = "id,total,note\na,1,x\n"
)

var shape = struct{ key, columns []string }{[]string{"id"}, []string{"total"}}

func vals(texts ...string) []recount.Value {
	out := make([]recount.Value, len(texts))
	for i, s := range texts {
		out[i] = recount.Text(s)
	}
	return out
}

// correction makes newText of oldText.
func correction() []recount.Change {
	return []recount.Change{
		{Action: recount.ActionUpdate, Key: vals("a"), Before: vals("1"), After: vals("10")},
		{Action: recount.ActionDelete, Key: vals("b"), Before: vals("2")},
		{Action: recount.ActionInsert, Key: vals("d"), After: vals("4")},
	}
}

func taken(changes []recount.Change) []recount.Change {
	var back []recount.Change
	for _, c := range changes {
		r := recount.Change{Action: c.Action, Key: c.Key, Before: c.After, After: c.Before}
		switch {
		case r.Before == nil:
			r.Action = recount.ActionInsert
		case r.After == nil:
			r.Action = recount.ActionDelete
		}
		back = append(back, r)
	}
	return back
}

func opened(dir string) (*Target, error) {
	return open(adapter.Env{Dir: dir, Now: func() time.Time { return time.Date(2024, 6, 11, 9, 0, 0, 0, time.UTC) }}, Config{Path: "totals.csv"})
}

// runChanges applies changes as one run.
func runChanges(t *Target, r recount.Run, changes []recount.Change) (err error) {
	ctx := contextOf()
	tx, err := t.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback(ctx)) }()
	for _, c := range changes {
		n, err := tx.Write(ctx, shape.key, shape.columns, []recount.Change{c})
		if err != nil || n != 1 {
			return errors.Join(fmt.Errorf("write %s: %d rows", c.Action, n), err)
		}
	}
	if err := tx.Record(ctx, r, changes); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func firstRun() recount.Run {
	return recount.Run{ID: "aaaaaaaaaaaa", Plan: "plan one", Kind: recount.PlanApply, Table: "totals.csv", Applied: 3}
}

func backRun() recount.Run {
	return recount.Run{ID: "bbbbbbbbbbbb", Plan: "plan back", Kind: recount.PlanRollback, Table: "totals.csv", Applied: 3, Of: "aaaaaaaaaaaa"}
}

func dieAt(dir, kind, at string) int {
	t, err := opened(dir)
	if err != nil {
		return 3
	}
	t.before = func(s step) error {
		if string(s) == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	r, changes := firstRun(), correction()
	if kind == "rollback" {
		r, changes = backRun(), taken(changes)
	}
	if err := runChanges(t, r, changes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	return 0
}

func die(t *testing.T, dir, kind string, at step) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%s", crashAt, dir, kind, at))
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != -1 {
		t.Fatalf("the process did not die before %q: %v %s", at, err, out)
	}
}

func folderWith(t *testing.T, text string) (dir string, live *Target) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "totals.csv"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	live, err := opened(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, live
}

func wantFile(t *testing.T, dir, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "totals.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("the file: got %q, want %q", got, want)
	}
}

func wantRuns(t *testing.T, live *Target, want ...string) {
	t.Helper()
	list, err := live.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		got = append(got, r.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("runs: got %q, want %q", got, want)
	}
}

// listing names the files in the ledger, the lock and the uuid's left out.
func listing(t *testing.T, live *Target) []string {
	t.Helper()
	list, err := os.ReadDir(live.ledger(live.path).dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		if n := e.Name(); n != lockName && n != metaName {
			names = append(names, n)
		}
	}
	return names
}

// snapshot is everything in a folder, to see that reading changes nothing.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path, info.Mode(), info.ModTime().UnixNano(), info.Size())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestKilledCommitIsWholeOrNothing(t *testing.T) {
	for i, at := range steps {
		happened := i > slices.Index(steps, stepReplace)
		t.Run("apply killed before: "+string(at), func(t *testing.T) {
			dir, live := folderWith(t, oldText)
			die(t, dir, "apply", at)
			text, ids := oldText, []string{}
			if happened {
				text, ids = newText, []string{"aaaaaaaaaaaa"}
			}
			before := snapshot(t, dir)
			wantFile(t, dir, text)
			wantRuns(t, live, ids...)
			info, err := live.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Join(ids, ""); info.LastRun != want {
				t.Errorf("last run: got %q, want %q", info.LastRun, want)
			}
			if got := snapshot(t, dir); got != before {
				t.Errorf("reading changed the folder:\n%s\nwas\n%s", got, before)
			}
			if happened {
				n := 0
				err := live.Undo(t.Context(), "aaaaaaaaaaaa", func(recount.Change) error { n++; return nil })
				if err != nil || n != 3 {
					t.Errorf("undo rows of a run that was not finished: got %d, %v; want 3", n, err)
				}
				wantSettled(t, dir, live)
				return
			}
			if err := runChanges(live, firstRun(), correction()); err != nil {
				t.Fatalf("apply again: %v", err)
			}
			wantFile(t, dir, newText)
			wantRuns(t, live, "aaaaaaaaaaaa")
		})
		t.Run("rollback killed before: "+string(at), func(t *testing.T) {
			dir, live := folderWith(t, oldText)
			if err := runChanges(live, firstRun(), correction()); err != nil {
				t.Fatal(err)
			}
			die(t, dir, "rollback", at)
			if happened {
				wantFile(t, dir, oldText)
				wantRuns(t, live, "bbbbbbbbbbbb", "aaaaaaaaaaaa")
			} else {
				wantFile(t, dir, newText)
				wantRuns(t, live, "aaaaaaaaaaaa")
				if err := runChanges(live, backRun(), taken(correction())); err != nil {
					t.Fatalf("roll back again: %v", err)
				}
				wantFile(t, dir, oldText)
			}
			wantFree(t, live)
			if got, want := listing(t, live), []string{"00000001.run", "00000002.run"}; !slices.Equal(got, want) {
				t.Errorf("files of the ledger: got %q, want %q", got, want)
			}
		})
	}
}

// wantSettled sees that the next transaction ends what was broken off, and that
// the run can be taken back.
func wantSettled(t *testing.T, dir string, live *Target) {
	t.Helper()
	wantFree(t, live)
	if got, want := listing(t, live), []string{"00000001.run", "aaaaaaaaaaaa.before"}; !slices.Equal(got, want) {
		t.Errorf("files of the ledger: got %q, want %q", got, want)
	}
	if err := runChanges(live, backRun(), taken(correction())); err != nil {
		t.Fatalf("roll back: %v", err)
	}
	wantFile(t, dir, oldText)
}

func wantFree(t *testing.T, live *Target) {
	t.Helper()
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFileChangedAfterACrashIsUndecided(t *testing.T) {
	for _, at := range []step{stepReplace, stepRecord} {
		t.Run(string(at), func(t *testing.T) {
			dir, live := folderWith(t, oldText)
			die(t, dir, "apply", at)
			path := filepath.Join(dir, "totals.csv")
			if err := os.WriteFile(path, []byte(otherText), 0o644); err != nil {
				t.Fatal(err)
			}
			_, errInfo := live.Info(t.Context())
			_, errRuns := live.Runs(t.Context())
			_, errBegin := live.Begin(t.Context())
			for _, err := range []error{errInfo, errRuns, errBegin} {
				e, ok := errors.AsType[*recount.Error](err)
				if !ok || e.Code != recount.CodeOutcome || !errors.Is(err, recount.ErrUnknown) {
					t.Fatalf("got %v, want %s", err, recount.CodeOutcome)
				}
				for _, name := range []string{".recount/totals.csv/aaaaaaaaaaaa.before", ".recount/totals.csv/intent", ".recount/totals.csv/00000001.run"} {
					if !strings.Contains(e.Next, name) {
						t.Errorf("the advice does not name %s: %s", name, e.Next)
					}
				}
			}
			wantFile(t, dir, otherText)
			// What the advice says leads out of it, either way.
			intent := filepath.Join(dir, ".recount/totals.csv/intent")
			if at == stepReplace {
				if err := os.Remove(intent); err != nil {
					t.Fatal(err)
				}
				wantRuns(t, live)
			} else {
				if err := os.Rename(intent, filepath.Join(dir, ".recount/totals.csv/00000001.run")); err != nil {
					t.Fatal(err)
				}
				wantRuns(t, live, "aaaaaaaaaaaa")
			}
			wantFree(t, live)
		})
	}
}
