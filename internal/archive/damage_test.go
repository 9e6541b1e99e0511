package archive_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recount"
	"recount/internal/archive"
	"recount/store/disk"
)

// TestDamageIsFoundBeforeARowIsUsed damages each object of an archive in each
// way: reading the log, staging or verifying must say so with CodeDamaged.
func TestDamageIsFoundBeforeARowIsUsed(t *testing.T) {
	dir := t.TempDir()
	src := newSource(600)
	src.add(src.partitions["1"][0]) // a repeat, so that there are marks
	mustRun(t, openDisk(t, dir), options(src))
	src.add(event(9001, noon))
	mustRun(t, openDisk(t, dir), options(src))
	var objects []string
	err := filepath.WalkDir(dir, func(file string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
			objects = append(objects, file)
		}
		return err
	})
	if err != nil || len(objects) < 4 {
		t.Fatalf("objects: %v, %v", objects, err)
	}
	for i, file := range objects {
		whole := contentOf(t, file)
		other := contentOf(t, objects[(i+1)%len(objects)])
		rel, _ := filepath.Rel(dir, file)
		for name, damaged := range map[string][]byte{
			"a flipped bit at the start":  flipped(whole, 0),
			"a flipped bit in the middle": flipped(whole, len(whole)/2),
			"a flipped bit at the end":    flipped(whole, len(whole)-1),
			"cut in half":                 whole[:len(whole)/2],
			"empty":                       {},
			"a byte too long":             append(append([]byte{}, whole...), 0),
			"swapped with another":        other,
		} {
			write(t, file, damaged)
			if found := use(t, dir); found != recount.CodeDamaged && !lastCommit(rel, objects, dir) {
				t.Errorf("%s, %s: got code %q, want %s", rel, name, found, recount.CodeDamaged)
			} else if found == "" {
				t.Errorf("%s, %s: nothing was found", rel, name)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		// Without its last commit an archive is an older one, and whole.
		if found := use(t, dir); found != recount.CodeDamaged && !lastCommit(rel, objects, dir) {
			t.Errorf("%s, gone: got code %q, want %s", rel, found, recount.CodeDamaged)
		}
		write(t, file, whole)
	}
	if found := use(t, dir); found != "" {
		t.Errorf("the archive as it was: got code %q, want none", found)
	}
}

func openDisk(t *testing.T, dir string) *archive.Archive {
	t.Helper()
	s, err := disk.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return open(s)
}

// use reads the archive as a replay does: log, then files.
func use(t *testing.T, dir string) recount.Code {
	t.Helper()
	a := openDisk(t, dir)
	snap, err := a.Snapshot(t.Context(), "orders")
	if err != nil {
		return code(err)
	}
	_, err = a.Stage(t.Context(), archive.StageOptions{Snapshot: snap, Files: snap.Files, Fields: fields, Dir: t.TempDir()})
	return code(err)
}

// lastCommit says whether the object is the newest commit, which nothing names.
func lastCommit(rel string, objects []string, dir string) bool {
	newest := ""
	for _, o := range objects {
		if r, err := filepath.Rel(dir, o); err == nil && strings.Contains(r, "commits") {
			newest = max(newest, r)
		}
	}
	return rel == newest
}

func contentOf(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file) //nolint:gosec // made above
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.Chmod(file, 0o600); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flipped(b []byte, at int) []byte {
	out := append([]byte{}, b...)
	out[at] ^= 0x10
	return out
}
