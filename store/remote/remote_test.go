package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"

	"recount"
	"recount/store"
	"recount/store/remote"
)

func object(t *testing.T, n int64) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(rand.NewChaCha8([32]byte{7}), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAReaderAsksForLittle counts what reads of a footer and of a whole object
// cost.
func TestAReaderAsksForLittle(t *testing.T) {
	want := object(t, 8<<20)
	fetched, requests := int64(0), 0
	r := remote.NewReader("x", int64(len(want)), want[:64<<10], func(at, n int64) (io.ReadCloser, error) {
		requests++
		fetched += n
		return io.NopCloser(bytes.NewReader(want[at : at+n])), nil
	})
	footer := make([]byte, 8)
	for _, at := range []int64{8<<20 - 8, 8<<20 - 4000, 8<<20 - 100_000} {
		if _, err := r.ReadAt(footer, at); err != nil || !bytes.Equal(footer, want[at:at+8]) {
			t.Fatalf("read at %d: %v", at, err)
		}
	}
	if requests != 1 || fetched > 512<<10 {
		t.Errorf("a footer took %d requests for %d bytes, want one for 512 KiB at most", requests, fetched)
	}
	requests = 0
	if all, err := io.ReadAll(r); err != nil || !bytes.Equal(all, want) || requests != 1 {
		t.Errorf("reading all took %d requests, %v; want one", requests, err)
	}
}

// TestAReaderReadsOnAfterABreak lets each piece end early.
func TestAReaderReadsOnAfterABreak(t *testing.T) {
	want := object(t, 1<<20)
	breaks := 0
	fetch := func(at, n int64) (io.ReadCloser, error) {
		if breaks--; breaks >= 0 {
			return io.NopCloser(io.MultiReader(bytes.NewReader(want[at:at+n/2]), broken{})), nil
		}
		return io.NopCloser(bytes.NewReader(want[at : at+n])), nil
	}
	for n := range 3 {
		breaks = n
		if all, err := io.ReadAll(remote.NewReader("x", int64(len(want)), nil, fetch)); err != nil || !bytes.Equal(all, want) {
			t.Errorf("%d breaks: read %d bytes, %v", n, len(all), err)
		}
		breaks = n
		b := make([]byte, 1000)
		if _, err := remote.NewReader("x", int64(len(want)), nil, fetch).ReadAt(b, 5000); err != nil || !bytes.Equal(b, want[5000:6000]) {
			t.Errorf("%d breaks: read at an offset: %v", n, err)
		}
	}
	never := func(int64, int64) (io.ReadCloser, error) { return io.NopCloser(broken{}), nil }
	if _, err := remote.NewReader("x", 10, nil, never).Read(make([]byte, 1)); !errors.Is(err, recount.ErrTransient) {
		t.Errorf("a reader that always breaks: %v, want ErrTransient", err)
	}
	short := func(int64, int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(nil)), nil }
	if _, err := io.ReadAll(remote.NewReader("x", 10, nil, short)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an object that ends early: %v, want ErrUnexpectedEOF", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestASpoolLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	want := object(t, 9<<20)
	s, err := remote.Fill(t.Context(), "x", func(w io.Writer) error { _, err := w.Write(want); return err })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it can be sent again
		if all, err := io.ReadAll(s.Section(0, s.Size())); err != nil || !bytes.Equal(all, want) {
			t.Errorf("the spool reads %d bytes, %v", len(all), err)
		}
	}
	s.Close()
	cause := errors.New("no more")
	if _, err := remote.Fill(t.Context(), "x", func(w io.Writer) error { _, _ = w.Write(want); return cause }); !errors.Is(err, cause) {
		t.Errorf("got %v, want the writer's error", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d scratch files are left, %v", len(left), err)
	}
	t.Setenv("TMPDIR", dir+"/none")
	_, err = remote.Fill(t.Context(), "x", func(w io.Writer) error { _, err := w.Write(want); return err })
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeStorage {
		t.Errorf("without a scratch folder: got %v, want CodeStorage", err)
	}
}

// held is an object that its writer holds, with a digest that nobody computes.
type held struct{ *bytes.Reader }

func (held) SHA256() []byte { return []byte("digest") }

// TestASpoolTakesAnObject takes one as it is, alone: with something written before
// or after it the object would be another.
func TestASpoolTakesAnObject(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	want := object(t, 9<<20)
	take := func(w io.Writer) error { return w.(store.Taker).Take(held{bytes.NewReader(want)}) }
	s, err := remote.Fill(t.Context(), "x", take)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := io.ReadAll(s.Section(1<<20, 2<<20)); err != nil || !bytes.Equal(got, want[1<<20:3<<20]) || s.Size() != 9<<20 || string(s.SHA256()) != "digest" {
		t.Errorf("%d bytes of %d with digest %q, %v", len(got), s.Size(), s.SHA256(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d scratch files were made, %v", len(left), err)
	}
	one := func(w io.Writer) error { _, err := w.Write([]byte("x")); return err }
	for _, both := range [][2]func(io.Writer) error{{take, one}, {one, take}, {take, take}} {
		if _, err := remote.Fill(t.Context(), "x", func(w io.Writer) error { return errors.Join(both[0](w), both[1](w)) }); err == nil {
			t.Error("two objects became one")
		}
	}
}

// TestAPutKnowsItsOutcome runs each history of answers of up to three attempts.
func TestAPutKnowsItsOutcome(t *testing.T) {
	outcomes := []remote.Outcome{remote.Done, remote.Taken, remote.Refused, remote.Unsent, remote.Answered, remote.Lost}
	for _, first := range outcomes {
		for _, then := range outcomes {
			for _, mine := range []error{nil, recount.ErrExists, recount.ErrNotFound, recount.ErrUnreachable} {
				synctest.Test(t, func(t *testing.T) { checkHistory(t, first, then, mine) })
			}
		}
	}
}

var errNo = errors.New("no")

// checkHistory puts where the first answer is first and all others then; mine is
// what lies under the name: nil for ours.
func checkHistory(t *testing.T, first, then remote.Outcome, mine error) {
	t.Helper()
	sent, worst := 0, remote.Unsent
	err := remote.Put{
		Name: "x",
		Send: func(context.Context) error { sent++; return errNo },
		Judge: func(error) remote.Outcome {
			o := then
			if sent == 1 {
				o = first
			}
			worst = max(worst, o)
			return o
		},
		Mine: func(context.Context) (bool, error) {
			if mine == nil || errors.Is(mine, recount.ErrExists) {
				return mine == nil, nil
			}
			return false, mine
		},
		Explain: func(err error) error { return err },
	}.Do(t.Context())
	last := then
	if sent == 1 {
		last = first
	}
	open := worst > remote.Unsent // an answer left open whether the object was put
	var want error
	switch {
	case last == remote.Done:
	case !open && last == remote.Taken:
		want = recount.ErrExists
	case !open:
		want = errNo
	case mine == nil || errors.Is(mine, recount.ErrExists):
		want = mine
	case errors.Is(mine, recount.ErrNotFound) && worst == remote.Answered:
		want = errNo
	default:
		want = recount.ErrUnknown
	}
	if !errors.Is(err, want) || errors.Is(want, errNo) && errors.Is(err, recount.ErrUnknown) {
		t.Errorf("answers %d, then %d, and %v under the name: got %v, want %v", first, then, mine, err, want)
	}
}
