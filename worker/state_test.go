package worker_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"recount"
	"recount/worker"
)

type none struct {
	K string
}

type row struct{ State string }

// kept runs a fold whose state is a T: it takes the state out and puts it back.
func kept[T any](t *testing.T, make func() T) (worker.Program, string, string, error) {
	t.Helper()
	f := worker.Fold[T, none, row]{
		Start: func(*worker.Context) T { return make() },
		Step:  func(*worker.Context, *T, *none) error { return nil },
		Rows:  func(_ *worker.Context, s *T, emit func(row)) { emit(row{State: fmt.Sprintf("%q", fmt.Sprint(*s))}) },
	}
	p, err := f.Bind([]recount.Field{{Name: "k", Type: recount.Type{Kind: recount.KindString}}}, []string{"k"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Machine(1, []string{"state"})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Begin(nil, worker.NoTime, nil); err != nil {
		t.Fatal(err)
	}
	before, err := m.Rows(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.State()
	if err != nil {
		return p, "", "", err
	}
	if err := m.Begin(nil, worker.NoTime, text); err != nil {
		return p, string(text), "", err
	}
	after, err := m.Rows(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after[0][0], before[0][0]; got != want {
		t.Errorf("a state that came back: got %s, want %s", got, want)
	}
	return p, string(text), after[0][0].Text, nil
}

type sketch struct{ n uint32 }

func (s sketch) MarshalBinary() ([]byte, error) {
	return binary.BigEndian.AppendUint32(nil, s.n), nil
}

func (s *sketch) UnmarshalBinary(b []byte) error {
	if len(b) != 4 {
		return errors.New("four bytes are wanted")
	}
	s.n = binary.BigEndian.Uint32(b)
	return nil
}

type tree struct {
	Sum  worker.Decimal
	Kids []*tree `json:"kids,omitempty"`
}

func TestStatesComeBackWhole(t *testing.T) {
	_, first, _, err := kept(t, func() map[string]worker.Decimal { return map[string]worker.Decimal{"a": worker.MustDecimal("1.50")} })
	if err != nil || !strings.HasSuffix(first, ` {"a":"1.50"}`) {
		t.Errorf("a map: got %s, %v", first, err)
	}
	if _, text, _, err := kept(t, func() sketch { return sketch{7} }); err != nil || !strings.HasSuffix(text, " AAAABw==") {
		t.Errorf("a state with a binary form: got %s, %v", text, err)
	}
	if _, _, _, err := kept(t, func() struct{ N worker.Null[int] } { return struct{ N worker.Null[int] }{worker.Some(3)} }); err != nil {
		t.Error(err)
	}
	if p, _, _, err := kept(t, func() tree { return tree{Sum: worker.MustDecimal("1.0")} }); err != nil || p.StateShape() == "" {
		t.Errorf("a type that holds itself: %v", err)
	}
	if _, text, _, err := kept(t, func() string { return `a \ufffd that is spelled out, and �` }); err != nil || text == "" {
		t.Errorf("a text with a replacement character: %v", err)
	}
}

func TestStatesThatWouldNotComeBackAreNotKept(t *testing.T) {
	check := func(p worker.Program, _, _ string, err error) string {
		if err == nil || p.StateShape() != "" && !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("got shape %q and error %v", p.StateShape(), err)
		}
		return fmt.Sprint(err)
	}
	for want, got := range map[string]string{
		"State.n is not exported":                check(kept(t, func() struct{ n int } { return struct{ n int }{1} })),
		"State.F is a func(), which JSON cannot": check(kept(t, func() struct{ F func() } { return struct{ F func() }{} })),
		"State[] is a interface {}":              check(kept(t, func() []any { return nil })),
		"State[].N is left out of JSON": check(kept(t, func() []struct {
			N int `json:"-"`
		} {
			return nil
		})),
		"a text that is not UTF-8": check(kept(t, func() string { return "\xff" })),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", got, want)
		}
	}
}

func TestAStateOfAnotherTypeIsRefused(t *testing.T) {
	type one struct{ A, B int }
	type two struct{ A int64 }
	_, text, _, err := kept(t, func() one { return one{1, 2} })
	if err != nil {
		t.Fatal(err)
	}
	f := worker.Fold[two, none, row]{
		Step: func(*worker.Context, *two, *none) error { return nil },
		Rows: func(*worker.Context, *two, func(row)) {},
	}
	if _, err := f.Bind(nil, nil); err == nil {
		t.Fatal("a fold whose event has a column that there is not: got no error")
	}
	p, err := f.Bind([]recount.Field{{Name: "k", Type: recount.Type{Kind: recount.KindString}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Machine(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, opening := range []string{text, "", "{}", p.StateShape() + " {", p.StateShape() + ` {"B":1}`, p.StateShape() + ` {"A":"x"}`, strings.Repeat("0", 12) + " {}"} {
		if err := m.Begin(nil, worker.NoTime, []byte(opening)); !errors.Is(err, worker.ErrState) {
			t.Errorf("opening %q: got %v, want ErrState", opening, err)
		}
	}
}
