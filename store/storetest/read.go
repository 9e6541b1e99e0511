package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"recount"
	"recount/store"
)

var readTests = []test{
	{"an object without bytes is read", testEmpty},
	{"reads at random offsets are right", testRandomReads},
	{"a reader is read at offsets by many at once", testReadsAtOnce},
	{"lists over a thousand names are whole and in order", testLongList},
	{"a reader of a deleted object never reads other bytes", testReadDeleted},
	{"a closed reader does not read", testClosed},
}

func testEmpty(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "empty", "")
	r, err := s.Open(t.Context(), "empty")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = r.Close() }()
	b := make([]byte, 1)
	if n, err := r.ReadAt(b, 0); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read at 0: %d, %v; want EOF", n, err)
	}
	if n, err := r.Read(b); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read: %d, %v; want EOF", n, err)
	}
	if at, err := r.Seek(0, io.SeekEnd); at != 0 || err != nil {
		t.Errorf("seek to the end: %d, %v", at, err)
	}
}

// readSize is of an object that no store reads at once.
const readSize = 3<<20 + 17

func putRandom(t *testing.T, s store.Store, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := random(&b, readSize); err != nil {
		t.Fatal(err)
	}
	put(t, s, name, b.String())
	return b.Bytes()
}

func testRandomReads(t *testing.T, s store.Store, _ func() store.Store) {
	want := putRandom(t, s, "r")
	r, err := s.Open(t.Context(), "r")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = r.Close() }()
	sizes := []int{1, 8, 100, 64 << 10, 64<<10 + 1, 600 << 10}
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 120 {
		at := rnd.IntN(readSize + 10)
		if i%7 == 0 {
			at = readSize - rnd.IntN(70<<10) // footers
		}
		b := make([]byte, sizes[rnd.IntN(len(sizes))])
		rest := want[min(at, readSize):]
		rest = rest[:min(len(rest), len(b))]
		if i%3 == 0 {
			readSeek(t, r, int64(at), b, rest)
			continue
		}
		n, err := r.ReadAt(b, int64(at))
		if !bytes.Equal(b[:n], rest) || (err != nil) != (n < len(b)) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("read %d bytes at %d: got %d, %v; want %d", len(b), at, n, err, len(rest))
		}
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the beginning: got no error")
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("read before the beginning: got no error")
	}
}

func readSeek(t *testing.T, r store.Reader, at int64, b, want []byte) {
	t.Helper()
	if got, err := r.Seek(at, io.SeekStart); err != nil || got != at {
		t.Fatalf("seek to %d: %d, %v", at, got, err)
	}
	n, err := io.ReadFull(r, b)
	if !bytes.Equal(b[:n], want) || (err != nil) != (n < len(b)) {
		t.Fatalf("read %d bytes after a seek to %d: got %d, %v; want %d", len(b), at, n, err, len(want))
	}
	if here, err := r.Seek(0, io.SeekCurrent); err != nil || here != at+int64(n) {
		t.Fatalf("after %d bytes from %d the reader is at %d, %v", n, at, here, err)
	}
}

func testReadsAtOnce(t *testing.T, s store.Store, _ func() store.Store) {
	want := putRandom(t, s, "r")
	r, err := s.Open(t.Context(), "r")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = r.Close() }()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(5, uint64(i)))
			for range 12 {
				b := make([]byte, 10_000)
				at := rnd.IntN(readSize - len(b))
				if n, err := r.ReadAt(b, int64(at)); err != nil || !bytes.Equal(b, want[at:at+len(b)]) {
					t.Errorf("read at %d: %d bytes, %v, or other ones", at, n, err)
				}
			}
		})
	}
	wg.Wait()
}

func testLongList(t *testing.T, s store.Store, _ func() store.Store) {
	const count, writers = 1_050, 16 // more than a page of S3
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("list/hour=%02d/file-%d", i%24, i)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < count; i += writers {
				if err := s.Put(t.Context(), names[i], writes("x")); err != nil {
					t.Errorf("put %q: %v", names[i], err)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(names)
	if got := list(t, s, "list/"); !slices.Equal(got, names) {
		t.Errorf("list holds %d names, want %d in order of names", len(got), count)
	}
	seven := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n[:12] != "list/hour=07" })
	if got := list(t, s, "list/hour=07/"); !slices.Equal(got, seven) {
		t.Errorf("list of one hour holds %d names, want %d", len(got), len(seven))
	}
}

func testReadDeleted(t *testing.T, s store.Store, again func() store.Store) {
	want := putRandom(t, s, "r")
	r, err := s.Open(t.Context(), "r")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = r.Close() }()
	b := make([]byte, 1000)
	if _, err := io.ReadFull(r, b); err != nil || !bytes.Equal(b, want[:1000]) {
		t.Fatalf("read: %v", err)
	}
	if err := again().Delete(t.Context(), "r"); err != nil {
		t.Fatalf("delete: %v", err)
	}
	put(t, s, "r", string(bytes.Repeat([]byte{0}, readSize)))
	for _, at := range []int64{0, 1 << 20, 2 << 20, readSize - 1000} {
		if n, err := r.ReadAt(b, at); err == nil && !bytes.Equal(b[:n], want[at:at+int64(n)]) {
			t.Errorf("read at %d: got bytes of another object", at)
		}
	}
	if _, err := r.Seek(2<<20, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(r, b); err == nil && !bytes.Equal(b[:n], want[2<<20:2<<20+n]) {
		t.Error("read after a seek: got bytes of another object")
	}
	if err := s.Delete(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "r"); !errors.Is(err, recount.ErrNotFound) {
		t.Errorf("open: got %v, want ErrNotFound", err)
	}
}

func testClosed(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "r", "0123456789")
	r, err := s.Open(t.Context(), "r")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if n, err := r.Read(make([]byte, 4)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read after close: %d, %v; want an error", n, err)
	}
}
