//go:build linux

package disk_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"recount"
)

// fullFolder names the store's folder to a process whose files cannot grow.
const fullFolder = "RECOUNT_TEST_FULL_FOLDER"

// TestFullDiskLeavesNothing writes in a process of its own, whose limit of file
// sizes stands for a disk without room.
func TestFullDiskLeavesNothing(t *testing.T) {
	if dir := os.Getenv(fullFolder); dir != "" {
		writeTooMuch(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDiskLeavesNothing$", "-test.v")
	cmd.Env = append(os.Environ(), fullFolder+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func writeTooMuch(t *testing.T, dir string) {
	t.Helper()
	const room = 1 << 20
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: room}); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	err := s.Put(t.Context(), "a/full", func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("x", 2*room))
		return err
	})
	e := recount.AsError(err)
	if e.Code != recount.CodeStorage || !strings.Contains(e.What, "full") || e.Next == "" || !strings.HasSuffix(e.Where, "a/full") {
		t.Errorf("put: got %+v", e)
	}
	if _, err := s.Stat(t.Context(), "a/full"); !errors.Is(err, recount.ErrNotFound) {
		t.Errorf("stat: got %v, want ErrNotFound", err)
	}
}
