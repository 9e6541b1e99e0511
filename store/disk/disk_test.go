package disk_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/store"
	"recount/store/disk"
	"recount/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.Store, func() store.Store) {
		dir := filepath.Join(t.TempDir(), "new", "archive")
		again := func() store.Store { return open(t, dir) }
		return again(), again
	})
}

func open(t *testing.T, dir string) *disk.Store {
	t.Helper()
	s, err := disk.Open(dir, func() time.Time { return time.Unix(1718020800, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writes(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestRegistered(t *testing.T) {
	dir := t.TempDir()
	s, err := adapter.Open[store.Store](t.Context(), adapter.Default, adapter.Store, "disk", adapter.Env{Dir: dir}, &disk.Config{Path: "archive"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Place(), filepath.Join(dir, "archive"); got != want {
		t.Errorf("place: got %q, want %q", got, want)
	}
	if _, ok := s.(store.Local); !ok {
		t.Error("the store is not local")
	}
}

func TestSymbolicLinksDoNotLeadOut(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"folder": outside, "file": filepath.Join(outside, "secret"), "up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	for _, name := range []string{"folder/secret", "file"} {
		if _, err := s.Open(t.Context(), name); err == nil {
			t.Errorf("open %q followed the link", name)
		}
		if _, err := s.Path(name); err == nil {
			t.Errorf("path of %q followed the link", name)
		}
	}
	for _, name := range []string{"folder/new", "up/new"} {
		if err := s.Put(t.Context(), name, writes("x")); err == nil {
			t.Errorf("put %q followed the link", name)
		}
	}
	if err := s.List(t.Context(), "", func(name string, _ int64) error { t.Errorf("list shows %q", name); return nil }); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("the folder outside has %d entries, %v", len(entries), err)
	}
}

func TestUnfinishedFilesOfTheDeadAreSweptByTheNextWriter(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "a/x", writes("x")); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "a", ".tmp-00")
	if err := os.WriteFile(dead, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := s.Put(t.Context(), "a/y", func(w io.Writer) error {
		unlock, err := open(t, dir).Lock(t.Context(), "writer")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, "y"); err != nil {
			return err
		}
		return unlock()
	})
	if err != nil {
		t.Errorf("put beside a sweep: %v", err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead writer's file is still there: %v", err)
	}
}

func TestLockSaysWhoHoldsIt(t *testing.T) {
	s := open(t, t.TempDir())
	unlock, err := s.Lock(t.Context(), "s/writer")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unlock() }()
	_, err = s.Lock(t.Context(), "s/writer")
	if err == nil || !strings.Contains(err.Error(), "since 2024-06-10T12:00:00Z") || !strings.Contains(err.Error(), "process ") {
		t.Errorf("got %v, want the holder's process and time", err)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("rights are not tested as root")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := open(t, filepath.Join(file, "archive")).Put(t.Context(), "a", writes("x"))
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeStorage || e.Next == "" || e.Where == "" {
		t.Errorf("archive below a file: got %v, want CodeStorage with what to do", err)
	}
}
