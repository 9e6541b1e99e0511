package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"recount"
	"recount/internal/fault"
	"recount/store"
	"recount/store/disk"
	"recount/store/mem"
	"recount/store/storetest"
)

// TestWithoutFaults proves that the wrapper itself keeps every promise.
func TestWithoutFaults(t *testing.T) {
	storetest.Run(t, func(*testing.T) (store.Store, func() store.Store) {
		s := &mem.Store{}
		return fault.Wrap(s, nil), func() store.Store { return fault.Wrap(s, nil) }
	})
}

func stores(t *testing.T) map[string]store.Store {
	t.Helper()
	d, err := disk.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]store.Store{"disk": d, "mem": &mem.Store{}}
}

func put(ctx context.Context, s store.Store, name, text string) error {
	return s.Put(ctx, name, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func TestAPutThatGoesWrongIsWholeOrAbsent(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Fail, fault.Lost, fault.Hang, fault.Short, fault.Crash, fault.After} {
		for name, under := range stores(t) {
			t.Run(fmt.Sprintf("%s %d", name, kind), func(t *testing.T) {
				patience := time.Minute
				if kind == fault.Hang {
					patience = 20 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := put(ctx, fault.Wrap(under, fault.Nth(1, kind)), "a/x", "whole")
				if err == nil {
					t.Fatal("put: got no error")
				}
				done := kind == fault.Lost || kind == fault.After
				if kind == fault.Lost != errors.Is(err, recount.ErrUnknown) {
					t.Errorf("put: got %v", err)
				}
				size, err := under.Stat(t.Context(), "a/x")
				if done && (err != nil || size != 5) || !done && !errors.Is(err, recount.ErrNotFound) {
					t.Errorf("the object has %d bytes, %v", size, err)
				}
			})
		}
	}
}

func TestAProcessThatIsGoneDoesNothing(t *testing.T) {
	under := &mem.Store{}
	s := fault.Wrap(under, fault.Nth(2, fault.Crash))
	if err := put(t.Context(), s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := put(t.Context(), s, "b", "2"); !errors.Is(err, fault.ErrInjected) {
			t.Errorf("put: got %v", err)
		}
	}
	if names := under.Names(); len(names) != 1 || !s.Gone() {
		t.Errorf("the store holds %q", names)
	}
}

func TestReadsComeShort(t *testing.T) {
	under := &mem.Store{}
	if err := put(t.Context(), under, "a", "0123456789"); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[fault.Kind]error{fault.Short: nil, fault.Fail: fault.ErrInjected} {
		r, err := fault.Wrap(under, fault.Nth(2, kind)).Open(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if !errors.Is(err, want) || len(b) >= 10 {
			t.Errorf("kind %d: read %q, %v", kind, b, err)
		}
	}
}
