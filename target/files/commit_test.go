//go:build unix

package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"recount"
)

func contextOf() context.Context { return context.Background() }

func TestBytesThatAreNotPartOfAChangeStay(t *testing.T) {
	update := func(key, before, after string) recount.Change {
		return recount.Change{Action: recount.ActionUpdate, Key: vals(key), Before: vals(before), After: vals(after)}
	}
	insert := func(key, after string) recount.Change {
		return recount.Change{Action: recount.ActionInsert, Key: vals(key), After: vals(after)}
	}
	remove := func(key, before string) recount.Change {
		return recount.Change{Action: recount.ActionDelete, Key: vals(key), Before: vals(before)}
	}
	for _, c := range []struct {
		name, before, after string
		changes             []recount.Change
	}{
		{"a plain field", "id,total\na,1\nb,2\n", "id,total\na,10\nb,2\n", []recount.Change{update("a", "1", "10")}},
		{"a quoted field stays quoted", "id,total\n\"a\",\"1\"\n", "id,total\n\"a\",\"10\"\n", []recount.Change{update("a", "1", "10")}},
		{"quotes where they are needed", "id,total\na,1\n", "id,total\na,\"1,0\"\"\n\"\n", []recount.Change{update("a", "1", "1,0\"\n")}},
		{
			"line ends of both kinds", "id,total\r\na,1\nb,2\r\nc,3\n", "id,total\r\na,10\nb,20\r\nc,3\nd,4\r\n",
			[]recount.Change{update("a", "1", "10"), update("b", "2", "20"), insert("d", "4")},
		},
		{"a mark at the beginning", bom + "id,total\na,1\n", bom + "id,total\na,10\n", []recount.Change{update("a", "1", "10")}},
		{"no last line end", "id,total\na,1\nb,2", "id,total\na,1\nb,20", []recount.Change{update("b", "2", "20")}},
		{"no last line end, and a new row", "id,total\na,1", "id,total\na,1\nb,2\nc,3", []recount.Change{insert("b", "2"), insert("c", "3")}},
		{"no last line end, and its row goes", "id,total\na,1\nb,2", "id,total\na,1\n", []recount.Change{remove("b", "2")}},
		{"a header alone", "id,total", "id,total\na,1", []recount.Change{insert("a", "1")}},
		{"blank lines", "id,total\n\na,1\n\n\r\nb,2\n\n", "id,total\n\na,10\n\n\r\n\n", []recount.Change{update("a", "1", "10"), remove("b", "2")}},
		{
			"other columns, of any encoding", "x,id,y,total\n\xff\xfe,a,\"q\"\"\n\",1\n\xe9,b, ,2\n", "x,id,y,total\n\xff\xfe,a,\"q\"\"\n\",10\n\xe9,b, ,2\n,c,,3\n",
			[]recount.Change{update("a", "1", "10"), insert("c", "3")},
		},
		{"columns in another order", "total,id\n1,a\n", "total,id\n10,a\n3,c\n", []recount.Change{update("a", "1", "10"), insert("c", "3")}},
		{"an empty field", "id,total\na,\n", "id,total\na,1\n", []recount.Change{update("a", "", "1")}},
		{"a field emptied", "id,total\na,1\n", "id,total\na,\n", []recount.Change{update("a", "1", "")}},
		{
			"NULL is the empty field", "id,total\na,1\n", "id,total\na,\n",
			[]recount.Change{{Action: recount.ActionUpdate, Key: vals("a"), Before: vals("1"), After: []recount.Value{recount.Null}}},
		},
		{"all rows go", "id,total\na,1\nb,2\n", "id,total\n", []recount.Change{remove("a", "1"), remove("b", "2")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, live := folderWith(t, c.before)
			first := firstRun()
			if err := runChanges(live, first, c.changes); err != nil {
				t.Fatal(err)
			}
			wantFile(t, dir, c.after)
			if err := runChanges(live, backRun(), taken(c.changes)); err != nil {
				t.Fatal(err)
			}
			wantFile(t, dir, c.before) // byte for byte, whatever the changes were
			if got := listing(t, live); slices.ContainsFunc(got, func(n string) bool { return strings.HasSuffix(n, keptEnd) }) {
				t.Errorf("the kept file outlived its rollback: %q", got)
			}
		})
	}
}

func TestInsertsAreAppendedInKeyOrder(t *testing.T) {
	dir, live := folderWith(t, "id,total\nm,1\n")
	ctx := t.Context()
	tx, err := live.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var changes []recount.Change
	for _, k := range []string{"z", "b", "n", "a"} {
		changes = append(changes, recount.Change{Action: recount.ActionInsert, Key: vals(k), After: vals("2")})
	}
	if _, err := tx.Write(ctx, shape.key, shape.columns, changes); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Record(ctx, firstRun(), changes), tx.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	wantFile(t, dir, "id,total\nm,1\na,2\nb,2\nn,2\nz,2\n")
}

func TestRollbackAfterOthersWroteTakesBackItsRowsAlone(t *testing.T) {
	dir, live := folderWith(t, oldText)
	if err := runChanges(live, firstRun(), correction()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "totals.csv")
	if err := os.WriteFile(path, []byte(strings.Replace(newText, "c,3,z", "c,33,\"zz\"", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := runChanges(live, backRun(), taken(correction())); err != nil {
		t.Fatal(err)
	}
	wantFile(t, dir, "id,total,note\na,1,\"x\"\nc,33,\"zz\"\nb,2,\n")
}

func TestDamagedKeptFileIsNotBroughtBack(t *testing.T) {
	dir, live := folderWith(t, oldText)
	if err := runChanges(live, firstRun(), correction()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".recount/totals.csv/aaaaaaaaaaaa.before"), []byte("id,total,note\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := runChanges(live, backRun(), taken(correction())); err != nil {
		t.Fatal(err)
	}
	wantFile(t, dir, "id,total,note\na,1,\"x\"\nc,3,z\nb,2,\n")
}

func TestFileWrittenDuringACommitIsNotReplaced(t *testing.T) {
	for _, at := range []step{stepNew, stepKeep, stepIntent, stepCompare} {
		t.Run(string(at), func(t *testing.T) {
			dir, live := folderWith(t, oldText)
			live.before = func(s step) error {
				if s != at {
					return nil
				}
				return os.WriteFile(filepath.Join(dir, "totals.csv"), []byte(otherText), 0o644)
			}
			err := runChanges(live, firstRun(), correction())
			e, ok := errors.AsType[*recount.Error](err)
			if !ok || e.Code != recount.CodeStale || !errors.Is(err, recount.ErrMoved) {
				t.Fatalf("got %v, want %s", err, recount.CodeStale)
			}
			wantFile(t, dir, otherText)
			wantRuns(t, live)
			wantFree(t, live)
			if got := listing(t, live); len(got) != 0 {
				t.Errorf("left in the ledger: %q", got)
			}
		})
	}
}

func TestRefusedWritesChangeNothing(t *testing.T) {
	for _, fault := range []struct {
		err  error
		code recount.Code
	}{{syscall.ENOSPC, recount.CodeStorage}, {syscall.EIO, recount.CodeStorage}, {syscall.EACCES, recount.CodeReadOnly}, {syscall.EROFS, recount.CodeReadOnly}} {
		for _, at := range steps[:slices.Index(steps, stepReplace)+1] {
			t.Run(fault.err.Error()+" at: "+string(at), func(t *testing.T) {
				dir, live := folderWith(t, oldText)
				live.before = func(s step) error {
					if s == at {
						return &os.PathError{Op: "write", Path: "new", Err: fault.err}
					}
					return nil
				}
				err := runChanges(live, firstRun(), correction())
				e, ok := errors.AsType[*recount.Error](err)
				if !ok || e.Code != fault.code || e.What == "" || e.Where == "" || e.Why == "" || e.Next == "" {
					t.Fatalf("got %v, want %s with all its parts", err, fault.code)
				}
				wantFile(t, dir, oldText)
				wantRuns(t, live)
				if got := listing(t, live); len(got) != 0 {
					t.Errorf("left in the ledger: %q", got)
				}
				live.before = nil
				if err := runChanges(live, firstRun(), correction()); err != nil {
					t.Fatalf("apply again: %v", err)
				}
				wantFile(t, dir, newText)
			})
		}
	}
}

func TestFaultsAfterTheCommit(t *testing.T) {
	for at, unknown := range map[step]bool{stepSync: true, stepRecord: false, stepClear: false} {
		t.Run(string(at), func(t *testing.T) {
			dir, live := folderWith(t, oldText)
			live.before = func(s step) error {
				if s == at {
					return syscall.EIO
				}
				return nil
			}
			err := runChanges(live, firstRun(), correction())
			if errors.Is(err, recount.ErrUnknown) != unknown || !unknown && err != nil {
				t.Errorf("got %v; want an unknown outcome: %v", err, unknown)
			}
			wantFile(t, dir, newText)
			wantRuns(t, live, "aaaaaaaaaaaa")
			wantFree(t, live)
			wantRuns(t, live, "aaaaaaaaaaaa")
		})
	}
}

func TestModeAndOwnerStay(t *testing.T) {
	dir, live := folderWith(t, oldText)
	path := filepath.Join(dir, "totals.csv")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	const uid, gid = 12345, 23456
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := runChanges(live, firstRun(), correction()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o640 {
		t.Errorf("mode: got %v, want -rw-r-----", info.Mode())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); root && ok && (st.Uid != uid || st.Gid != gid) {
		t.Errorf("owner: got %d:%d, want %d:%d", st.Uid, st.Gid, uid, gid)
	}
}

func TestSymbolicLinkStays(t *testing.T) {
	dir, live := folderWith(t, oldText)
	path, real := filepath.Join(dir, "totals.csv"), filepath.Join(dir, "data", "real.csv")
	if err := errors.Join(os.Mkdir(filepath.Dir(real), 0o755), os.Rename(path, real), os.Symlink("data/real.csv", path)); err != nil {
		t.Fatal(err)
	}
	if err := runChanges(live, firstRun(), correction()); err != nil {
		t.Fatal(err)
	}
	wantFile(t, dir, newText)
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", info.Mode(), err)
	}
	if !exists(filepath.Join(dir, "data", ".recount", "real.csv", "00000001.run")) {
		t.Error("the ledger does not lie beside the file that the link leads to")
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	_, live := folderWith(t, oldText)
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = live.Begin(t.Context())
	if err == nil || !errors.Is(err, recount.ErrLocked) || !strings.Contains(err.Error(), "process ") || !strings.Contains(err.Error(), "since 2024-06-11T09:00:00Z") {
		t.Errorf("got %v, want a refusal that names process and time", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFree(t, live)
}

func TestRollbackThatWritesSomethingElseIsNotTakenForTheOldFile(t *testing.T) {
	dir, live := folderWith(t, oldText)
	change := correction()[:1]
	if err := runChanges(live, firstRun(), change); err != nil {
		t.Fatal(err)
	}
	other := taken(change)
	other[0].After = vals("11")
	if err := runChanges(live, backRun(), other); err != nil {
		t.Fatal(err)
	}
	wantFile(t, dir, strings.Replace(oldText, "a,1,", "a,11,", 1))
}
