package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"recount"
	"recount/internal/fault"
	"recount/store"
)

var putTests = []test{
	{"odd names are names", testOddNames},
	{"a taken name keeps its object, whatever is put", testTaken},
	{"a large write that fails leaves nothing", testLargeFails},
	{"a large write that is cancelled leaves nothing", testLargeCancelled},
	{"many write and read at once", testMany},
	{"an object that its writer holds reads back", testHeld},
}

// whole is an object that its writer holds.
type whole struct{ *bytes.Reader }

func (o whole) Size() int64 { return o.Reader.Size() }

func (o whole) SHA256() []byte {
	sum := sha256.New()
	_, _ = io.Copy(sum, io.NewSectionReader(o, 0, o.Size()))
	return sum.Sum(nil)
}

func testHeld(t *testing.T, s store.Store, again func() store.Store) {
	large := make([]byte, 17<<20)
	for i := range large {
		large[i] = byte(i >> 8)
	}
	for name, object := range map[string][]byte{"none": {}, "small": []byte("hello"), "large": large} {
		put := func() error {
			return s.Put(t.Context(), name, func(w io.Writer) error {
				o := whole{bytes.NewReader(object)}
				if t, ok := w.(store.Taker); ok {
					return t.Take(o)
				}
				_, err := io.Copy(w, o)
				return err
			})
		}
		if err := put(); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
		if got := get(t, again(), name); got != string(object) {
			t.Errorf("%s: %d bytes read back, not the %d that were put", name, len(got), len(object))
		}
		if err := put(); !errors.Is(err, recount.ErrExists) {
			t.Errorf("put %s again: %v, want ErrExists", name, err)
		}
	}
}

func testOddNames(t *testing.T, s store.Store, again func() store.Store) {
	names := []string{
		"with space/a b", "plus+plus", "percent%20/%2F%", "equals=a/b==c", "ampersand&x?y#z", "quotes'\"", "semi;comma,", "~tilde!(x)[y]{z}@$*|<>^`",
		"日本語/ключ", "e\u0301/\u00e9", "\U0001F4A9", "trailing space ", "dots..x/...", "UPPER/upper", "upper/upper", strings.Repeat("long/", 40) + "name",
	}
	for _, name := range names {
		put(t, s, name, name)
	}
	for _, name := range names {
		if got := get(t, again(), name); got != name {
			t.Errorf("%q reads %q", name, got)
		}
	}
	listed := map[string]bool{}
	for _, name := range list(t, s, "") {
		listed[name] = true
	}
	for _, name := range names {
		if !listed[name] {
			t.Errorf("list does not hold %q", name)
		}
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
		absent(t, s, name)
	}
}

func testTaken(t *testing.T, s store.Store, again func() store.Store) {
	put(t, s, "x/taken", "first")
	cause := errors.New("no more")
	for what, write := range map[string]func(io.Writer) error{
		"empty": func(io.Writer) error { return nil },
		"large": func(w io.Writer) error { return random(w, 20<<20) },
		"fails": func(w io.Writer) error { return errors.Join(random(w, 1<<20), cause) },
	} {
		err := again().Put(t.Context(), "x/taken", write)
		if !errors.Is(err, recount.ErrExists) && !errors.Is(err, cause) {
			t.Errorf("%s: got %v, want ErrExists", what, err)
		}
		if got := get(t, s, "x/taken"); got != "first" {
			t.Fatalf("%s: the object became %d other bytes", what, len(got))
		}
	}
}

// random writes n bytes that do not repeat.
func random(w io.Writer, n int64) error {
	_, err := io.CopyN(w, rand.NewChaCha8([32]byte{2}), n)
	return err
}

func testLargeFails(t *testing.T, s store.Store, again func() store.Store) {
	cause := errors.New("no more")
	err := s.Put(t.Context(), "a/half", func(w io.Writer) error { return errors.Join(random(w, 18<<20), cause) })
	if !errors.Is(err, cause) {
		t.Errorf("put: got %v, want the writer's own error", err)
	}
	absent(t, again(), "a/half")
	put(t, s, "a/half", "whole")
}

func testLargeCancelled(t *testing.T, s store.Store, again func() store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Put(ctx, "a/cancelled", func(w io.Writer) error {
		err := random(w, 18<<20)
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("put: got %v, want context.Canceled", err)
	}
	absent(t, again(), "a/cancelled")
}

func testMany(t *testing.T, s store.Store, again func() store.Store) {
	const writers, each = 8, 8
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			mine := again()
			for j := range each {
				name := fmt.Sprintf("many/%d/%d", i, j)
				err := mine.Put(t.Context(), name, writes(name))
				size, statErr := s.Stat(t.Context(), name)
				if err != nil || statErr != nil || size != int64(len(name)) {
					t.Errorf("%s: put %v, stat %d bytes, %v", name, err, size, statErr)
				}
			}
		})
	}
	wg.Wait()
	if names := list(t, s, "many/"); len(names) != writers*each {
		t.Errorf("list holds %d names, want %d", len(names), writers*each)
	}
}

// Faults puts through a wrapper whose calls go wrong, and looks what became of
// the object: it is there whole or not at all, as the error says.
func Faults(t *testing.T, open Open) {
	t.Helper()
	for name, kind := range map[string]fault.Kind{
		"fails": fault.Fail, "lost": fault.Lost, "hangs": fault.Hang, "short": fault.Short, "crash": fault.Crash, "after": fault.After,
	} {
		t.Run(name, func(t *testing.T) {
			under, _ := open(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if kind == fault.Hang {
				cancel() // a call that hangs ends with its context
			}
			err := fault.Wrap(under, fault.Nth(1, kind)).Put(ctx, "a/x", writes("whole"))
			if err == nil || errors.Is(err, recount.ErrUnknown) != (kind == fault.Lost) {
				t.Errorf("put: got %v", err)
			}
			if kind == fault.Lost || kind == fault.After {
				if got := get(t, under, "a/x"); got != "whole" {
					t.Errorf("the object reads %q", got)
				}
				return
			}
			absent(t, under, "a/x")
			put(t, fault.Wrap(under, nil), "a/x", "again")
		})
	}
}

// Truth checks what a put over a bad network says of itself. bad is a store whose
// requests go wrong, good the same store without; name is free, or taken by an
// object of other bytes.
func Truth(t *testing.T, bad, good store.Store, name string, text []byte, taken bool) {
	t.Helper()
	err := bad.Put(t.Context(), name, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	there := false
	if r, openErr := good.Open(t.Context(), name); openErr == nil {
		found, readErr := io.ReadAll(r)
		_ = r.Close()
		if readErr != nil {
			t.Fatalf("read %q: %v", name, readErr)
		}
		if there = bytes.Equal(found, text); !there && !taken {
			t.Errorf("put said %v, and the object has %d bytes of %d", err, len(found), len(text))
		}
	} else if !errors.Is(openErr, recount.ErrNotFound) || taken {
		t.Fatalf("open %q: %v", name, openErr)
	}
	switch {
	case errors.Is(err, recount.ErrUnknown): // as nobody says anything, nobody lies
	case err == nil && !there:
		t.Error("put said yes, and the object is not there")
	case errors.Is(err, recount.ErrExists) && there:
		t.Errorf("put said %v of its own object", err)
	case errors.Is(err, recount.ErrExists) && !taken:
		t.Errorf("put said %v of a free name", err)
	case err != nil && there:
		t.Errorf("put said no (%v), and the object is there", err)
	}
}
