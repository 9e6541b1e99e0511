package fakefs_test

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"recount"
	"recount/internal/sim/archive/fakefs"
	"recount/store"
	"recount/store/disk"
	"recount/store/storetest"
)

func open(t *testing.T, system *fakefs.System) *disk.Store {
	t.Helper()
	s, err := disk.OpenOn(system, "/new/archive", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s store.Store, name string) error {
	t.Helper()
	return s.Put(t.Context(), name, func(w io.Writer) error {
		_, err := io.WriteString(w, "some bytes")
		return err
	})
}

// TestConformance: to the store it is a file system like any other.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.Store, func() store.Store) {
		system := fakefs.New(true)
		again := func() store.Store { return open(t, system) }
		return again(), again
	})
}

func TestWhatWasPutIsThereAfterAnyCrash(t *testing.T) {
	system := fakefs.New(true)
	if err := put(t, open(t, system), "a/b/c"); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fakefs.Mode{fakefs.All, fakefs.None, fakefs.Some} {
		files := system.Image(mode, rand.New(rand.NewPCG(1, 1))).Files()
		if got := string(files["/new/archive/a/b/c"]); got != "some bytes" || len(files) != 1 {
			t.Errorf("%s: got %q", mode, files)
		}
	}
}

// TestWhatWasNotSyncedIsLost leaves out one sync after the other.
func TestWhatWasNotSyncedIsLost(t *testing.T) {
	for _, kind := range []string{fakefs.Sync, fakefs.SyncDir} {
		system := fakefs.New(true)
		system.Hook = func(op fakefs.Op) fakefs.Verdict { return fakefs.Verdict{Skip: op.Kind == kind} }
		if err := put(t, open(t, system), "a"); err != nil {
			t.Fatal(err)
		}
		killed := system.Image(fakefs.All, nil)
		if got := string(killed.Files()["/new/archive/a"]); got != "some bytes" {
			t.Errorf("no %s: the process alone was killed, and %q is there", kind, got)
		}
		if got := string(killed.Image(fakefs.None, nil).Files()["/new/archive/a"]); got != "" {
			t.Errorf("no %s: after a kill and a power cut %q is there", kind, got)
		}
		if got := string(system.Image(fakefs.None, nil).Files()["/new/archive/a"]); got != "" {
			t.Errorf("no %s: %q is there", kind, got)
		}
		seen := map[string]bool{}
		for seed := range uint64(200) {
			files := system.Image(fakefs.Some, rand.New(rand.NewPCG(seed, 1))).Files()
			content, there := files["/new/archive/a"]
			if !there {
				content = []byte("missing")
			}
			seen[string(content)] = true
		}
		if len(seen) < 2 || kind == fakefs.Sync && (len(seen) < 5 || !seen[""]) {
			t.Errorf("no %s: crashes leave only %q", kind, slices.Sorted(maps.Keys(seen)))
		}
	}
}

func TestAFailedSyncIsNoSync(t *testing.T) {
	system := fakefs.New(true)
	system.Hook = func(op fakefs.Op) fakefs.Verdict {
		if op.Kind == fakefs.Sync {
			return fakefs.Verdict{Err: syscall.EIO}
		}
		return fakefs.Verdict{}
	}
	if err := put(t, open(t, system), "a"); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
	if files := system.Files(); len(files) > 0 || len(system.Bad()) > 0 {
		t.Errorf("the file is there: %q %q", files, system.Bad())
	}
}

// TestWhatAKilledWriterLeftIsMadeDurable kills a writer before each of its
// operations; the next one puts the same, is told that it is durable, and then the
// power is cut.
func TestWhatAKilledWriterLeftIsMadeDurable(t *testing.T) {
	var images []*fakefs.System
	system := fakefs.New(true)
	view := system.View()
	view.Hook = func(fakefs.Op) fakefs.Verdict {
		images = append(images, system.Image(fakefs.All, nil))
		return fakefs.Verdict{}
	}
	if err := put(t, open(t, view), "a/b/c"); err != nil {
		t.Fatal(err)
	}
	for i, left := range images {
		if err := put(t, open(t, left), "a/b/c"); err != nil && !errors.Is(err, recount.ErrExists) {
			t.Fatalf("killed before operation %d: %v", i, err)
		}
		if got := string(left.Image(fakefs.None, nil).Files()["/new/archive/a/b/c"]); got != "some bytes" {
			t.Errorf("killed before operation %d: got %q", i, got)
		}
	}
}

// TestATakenNameWhoseFolderCannotBeSyncedIsUnknown: nobody may build on it.
func TestATakenNameWhoseFolderCannotBeSyncedIsUnknown(t *testing.T) {
	system := fakefs.New(true)
	if err := put(t, open(t, system), "a/b"); err != nil {
		t.Fatal(err)
	}
	view := system.View()
	view.Hook = func(op fakefs.Op) (v fakefs.Verdict) {
		if op.Kind == fakefs.SyncDir && op.Path == "/new/archive/a" {
			v.Err = syscall.EIO
		}
		return v
	}
	if err := put(t, open(t, view), "a/b"); !errors.Is(err, recount.ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
}
