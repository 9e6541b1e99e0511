// Package storetest is the conformance suite of stores: what the archive relies
// on, as tests that every adapter runs. It tests promises, not speed.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"recount"
	"recount/store"
)

// Open returns an empty store; again opens the same objects as another process
// would.
type Open func(t *testing.T) (s store.Store, again func() store.Store)

// test is one promise of a store.
type test struct {
	name string
	run  func(t *testing.T, s store.Store, again func() store.Store)
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	tests := []test{
		{"an object reads back as it was put", testReadBack},
		{"a name is put once", testPutIfAbsent},
		{"of sixteen writers of one name one wins", testRace},
		{"a failing write leaves nothing", testFailingWrite},
		{"a cancelled write leaves nothing", testCancelled},
		{"an object is not visible before it is whole", testInvisible},
		{"what is not there is not found", testNotFound},
		{"lists are in order of names", testList},
		{"objects are read at offsets", testRanges},
		{"a deleted object is gone, twice", testDelete},
		{"names that lead elsewhere are refused", testNames},
		{"a large object is whole", testLarge},
		{"a lock has one holder", testLock},
		{"a place is named", testPlace},
	}
	tests = slices.Concat(tests, putTests, readTests)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, again := open(t)
			tt.run(t, s, again)
		})
	}
}

func put(t *testing.T, s store.Store, name, text string) {
	t.Helper()
	if err := s.Put(t.Context(), name, writes(text)); err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
}

func writes(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func get(t *testing.T, s store.Store, name string) string {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("open %q: %v", name, err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %q: %v", name, err)
	}
	return string(b)
}

func absent(t *testing.T, s store.Store, name string) {
	t.Helper()
	if _, err := s.Stat(t.Context(), name); !errors.Is(err, recount.ErrNotFound) {
		t.Errorf("stat %q: got %v, want ErrNotFound", name, err)
	}
	if _, err := s.Open(t.Context(), name); !errors.Is(err, recount.ErrNotFound) {
		t.Errorf("open %q: got %v, want ErrNotFound", name, err)
	}
	if names := list(t, s, ""); slices.Contains(names, name) {
		t.Errorf("list holds %q, which must not be there", name)
	}
}

func list(t *testing.T, s store.Store, prefix string) []string {
	t.Helper()
	var names []string
	err := s.List(t.Context(), prefix, func(name string, _ int64) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatalf("list %q: %v", prefix, err)
	}
	return names
}

func testReadBack(t *testing.T, s store.Store, again func() store.Store) {
	for name, text := range map[string]string{
		"plain": "hello", "empty": "", "a/b=c/d e/ü.parquet": "\x00\xff\r\n", "a/b=c/two.json": "{}",
	} {
		put(t, s, name, text)
		if got := get(t, s, name); got != text {
			t.Errorf("%q reads %q, want %q", name, got, text)
		}
		if got := get(t, again(), name); got != text {
			t.Errorf("%q reads %q elsewhere, want %q", name, got, text)
		}
		if size, err := s.Stat(t.Context(), name); err != nil || size != int64(len(text)) {
			t.Errorf("stat %q: %d, %v; want %d", name, size, err, len(text))
		}
	}
}

func testPutIfAbsent(t *testing.T, s store.Store, again func() store.Store) {
	put(t, s, "x/one", "first")
	for _, other := range []store.Store{s, again()} {
		if err := other.Put(t.Context(), "x/one", writes("second")); !errors.Is(err, recount.ErrExists) {
			t.Errorf("second put: got %v, want ErrExists", err)
		}
	}
	if got := get(t, s, "x/one"); got != "first" {
		t.Errorf("the object became %q", got)
	}
}

func testRace(t *testing.T, s store.Store, again func() store.Store) {
	const writers = 16
	var wg sync.WaitGroup
	errs := make([]error, writers)
	start := make(chan struct{})
	for i := range writers {
		wg.Go(func() {
			<-start
			errs[i] = again().Put(t.Context(), "new/folder/commit", func(w io.Writer) error {
				_, err := io.WriteString(w, strings.Repeat(fmt.Sprintf("%02d", i), 1000))
				return err
			})
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("writers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case errors.Is(err, recount.ErrUnknown): // the bytes tell
			if get(t, s, "new/folder/commit")[:2] == fmt.Sprintf("%02d", i) {
				winner = i
			}
		case !errors.Is(err, recount.ErrExists):
			t.Errorf("writer %d: got %v, want ErrExists", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("no writer won")
	}
	if got, want := get(t, s, "new/folder/commit"), strings.Repeat(fmt.Sprintf("%02d", winner), 1000); got != want {
		t.Errorf("the object is not what writer %d wrote", winner)
	}
}

func testFailingWrite(t *testing.T, s store.Store, _ func() store.Store) {
	cause := errors.New("no more")
	err := s.Put(t.Context(), "a/half", func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("x", 1<<20)); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("put: got %v, want the writer's own error", err)
	}
	absent(t, s, "a/half")
	if names := list(t, s, ""); len(names) > 0 {
		t.Errorf("list holds %q after a failed put", names)
	}
	put(t, s, "a/half", "whole")
}

func testCancelled(t *testing.T, s store.Store, _ func() store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Put(ctx, "a/cancelled", func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("put: got %v, want context.Canceled", err)
	}
	absent(t, s, "a/cancelled")
	if err := s.Put(ctx, "a/late", writes("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("put after the end: got %v, want context.Canceled", err)
	}
	absent(t, s, "a/late")
}

func testInvisible(t *testing.T, s store.Store, again func() store.Store) {
	err := s.Put(t.Context(), "a/slow", func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("x", 1<<20)); err != nil {
			return err
		}
		absent(t, again(), "a/slow")
		if names := list(t, again(), ""); len(names) > 0 {
			t.Errorf("list holds %q while the object is being written", names)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
}

func testNotFound(t *testing.T, s store.Store, _ func() store.Store) {
	absent(t, s, "none")
	put(t, s, "a/b", "x")
	absent(t, s, "a") // a folder is no object
	absent(t, s, "a/b/c")
}

func testList(t *testing.T, s store.Store, _ func() store.Store) {
	names := []string{"a", "a-b/x", "a.b", "b/1", "b/10", "b/2", "b/sub/1", "b0", "ü"}
	shuffled := slices.Clone(names)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, name := range shuffled {
		put(t, s, name, name)
	}
	for prefix, want := range map[string][]string{
		"": names, "b/": {"b/1", "b/10", "b/2", "b/sub/1"}, "b": {"b/1", "b/10", "b/2", "b/sub/1", "b0"},
		"b/1": {"b/1", "b/10"}, "none/": nil, "a-b/": {"a-b/x"}, "b/sub/1": {"b/sub/1"},
	} {
		if got := list(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("list %q: got %q, want %q", prefix, got, want)
		}
	}
	err := s.List(t.Context(), "", func(name string, size int64) error {
		if size != int64(len(name)) {
			t.Errorf("size of %q: got %d, want %d", name, size, len(name))
		}
		return nil
	})
	if err != nil {
		t.Errorf("list: %v", err)
	}
	stop := errors.New("stop")
	if err := s.List(t.Context(), "", func(string, int64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("list: got %v, want the caller's error", err)
	}
}

func testRanges(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "r", "0123456789")
	r, err := s.Open(t.Context(), "r")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = r.Close() }()
	b := make([]byte, 4)
	if n, err := r.ReadAt(b, 3); err != nil || string(b[:n]) != "3456" {
		t.Errorf("read at 3: %q, %v", b[:n], err)
	}
	if n, err := r.ReadAt(b, 8); !errors.Is(err, io.EOF) || string(b[:n]) != "89" {
		t.Errorf("read at 8: %q, %v; want the rest and EOF", b[:n], err)
	}
	if at, err := r.Seek(-2, io.SeekEnd); err != nil || at != 8 {
		t.Errorf("seek: %d, %v", at, err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "89" {
		t.Errorf("read after seek: %q, %v", rest, err)
	}
}

func testDelete(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "d/x", "x")
	put(t, s, "d/y", "y")
	for range 2 {
		if err := s.Delete(t.Context(), "d/x"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	absent(t, s, "d/x")
	if got := get(t, s, "d/y"); got != "y" {
		t.Errorf("the neighbour became %q", got)
	}
	put(t, s, "d/x", "again")
}

func testNames(t *testing.T, s store.Store, _ func() store.Store) {
	for _, name := range []string{
		"", "/", "/abs", "a//b", "a/", ".", "..", "../x", "a/../../x", "a/./b", "a\x00b", "a\nb", `a\b`, strings.Repeat("n", 1025),
	} {
		if err := s.Put(t.Context(), name, writes("x")); err == nil {
			t.Errorf("put %q: got no error", name)
		}
		if _, err := s.Open(t.Context(), name); err == nil {
			t.Errorf("open %q: got no error", name)
		}
		if _, err := s.Stat(t.Context(), name); err == nil {
			t.Errorf("stat %q: got no error", name)
		}
		if err := s.Delete(t.Context(), name); err == nil {
			t.Errorf("delete %q: got no error", name)
		}
		if _, err := s.Lock(t.Context(), name); err == nil {
			t.Errorf("lock %q: got no error", name)
		}
		if local, ok := s.(store.Local); ok {
			if _, err := local.Path(name); err == nil {
				t.Errorf("path of %q: got no error", name)
			}
		}
	}
	if names := list(t, s, ""); len(names) > 0 {
		t.Errorf("list holds %q", names)
	}
}

func testLarge(t *testing.T, s store.Store, _ func() store.Store) {
	const size = 20<<20 + 1 // several blocks, or parts, of any store
	want := sha256.New()
	err := s.Put(t.Context(), "large", func(w io.Writer) error {
		_, err := io.CopyN(io.MultiWriter(w, want), rand.NewChaCha8([32]byte{1}), size)
		return err
	})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	r, err := s.Open(t.Context(), "large")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = r.Close() }()
	got := sha256.New()
	if n, err := io.Copy(got, r); err != nil || n != size {
		t.Fatalf("read: %d bytes, %v; want %d", n, err, size)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Error("the object is not what was put")
	}
}

func testLock(t *testing.T, s store.Store, again func() store.Store) {
	unlock, err := s.Lock(t.Context(), "x/writer")
	if errors.Is(err, recount.ErrUnsupported) {
		return // the lock is advisory: what fences writers is put-if-absent
	}
	if err != nil {
		t.Fatalf("lock: %v", err)
	}
	if _, err := again().Lock(t.Context(), "x/writer"); !errors.Is(err, recount.ErrLocked) {
		t.Errorf("second lock: got %v, want ErrLocked", err)
	}
	other, err := again().Lock(t.Context(), "y/writer")
	if err != nil {
		t.Fatalf("lock of another name: %v", err)
	}
	if names := list(t, s, ""); len(names) > 0 {
		t.Errorf("list shows locks: %q", names)
	}
	for _, end := range []func() error{unlock, other} {
		if err := end(); err != nil {
			t.Errorf("unlock: %v", err)
		}
	}
	unlock, err = again().Lock(t.Context(), "x/writer")
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Errorf("unlock: %v", err)
	}
}

func testPlace(t *testing.T, s store.Store, _ func() store.Store) {
	if s.Place() == "" {
		t.Error("the store has no place")
	}
}
