package fakestore_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"recount"
	"recount/internal/sim/archive/fakestore"
	"recount/store"
	"recount/store/storetest"
)

// TestConformance: undisturbed it is a store like any other.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) (store.Store, func() store.Store) {
		s := fakestore.New(0)
		return s, func() store.Store { return s.View() }
	})
}

func put(ctx context.Context, s store.Store, text string) error {
	return s.Put(ctx, "a", func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// TestOutcomes: what an answer says, and what is there at last.
func TestOutcomes(t *testing.T) {
	for outcome, want := range map[fakestore.Outcome]struct {
		err  error
		kept string
	}{
		fakestore.Done:   {nil, "text"},
		fakestore.Failed: {recount.ErrTransient, ""},
		fakestore.Lost:   {recount.ErrUnknown, "text"},
		fakestore.Unsent: {recount.ErrUnknown, ""},
		fakestore.Late:   {recount.ErrUnknown, "text"},
		fakestore.Bent:   {nil, "teyt"},
	} {
		s := fakestore.New(0)
		s.Hook = func(op fakestore.Op) (v fakestore.Verdict) {
			if op.Kind == fakestore.Complete {
				v.Outcome = outcome
			}
			return v
		}
		if err := put(t.Context(), s, "text"); !errors.Is(err, want.err) {
			t.Errorf("outcome %d: got %v, want %v", outcome, err, want.err)
		}
		if _, there := s.Files()["a"]; there == (outcome == fakestore.Late) && there {
			t.Errorf("outcome %d: it is there at once", outcome)
		}
		s.Settle()
		if got := string(s.Files()["a"]); got != want.kept {
			t.Errorf("outcome %d: got %q, want %q", outcome, got, want.kept)
		}
	}
}

// TestACrashLeavesWhatWasOnItsWay: a request that was sent comes, comes later or
// never does.
func TestACrashLeavesWhatWasOnItsWay(t *testing.T) {
	s := fakestore.New(0)
	seen := map[string]int{}
	s.Hook = func(op fakestore.Op) (v fakestore.Verdict) {
		if op.Kind != fakestore.Complete {
			return v
		}
		for seed := range uint64(100) {
			image := s.Image(rand.New(rand.NewPCG(seed, 1)))
			_, at := image.Files()["a"]
			image.Settle()
			switch _, last := image.Files()["a"]; {
			case at:
				seen["at once"]++
			case last:
				seen["later"]++
			default:
				seen["never"] += image.Orphans()
			}
		}
		return v
	}
	if err := put(t.Context(), s, "text"); err != nil {
		t.Fatal(err)
	}
	if seen["at once"] == 0 || seen["later"] == 0 || seen["never"] == 0 {
		t.Errorf("crashes leave only %v", seen)
	}
}

// TestListsAreBehind: what was put is listed some requests later.
func TestListsAreBehind(t *testing.T) {
	s := fakestore.New(3)
	if err := put(t.Context(), s, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, 0, 1} {
		got := 0
		if err := s.List(t.Context(), "", func(string, int64) error { got++; return nil }); err != nil || got != want {
			t.Errorf("got %d objects (%v), want %d", got, err, want)
		}
	}
}
