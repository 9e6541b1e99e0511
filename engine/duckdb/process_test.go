package duckdb

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

func TestMain(m *testing.M) { RunTests(m) }

func TestAChildStartsNoChild(t *testing.T) {
	t.Setenv(childMark, "1")
	e := New()
	defer func() { _ = e.Close() }()
	_, err := e.Check(t.Context(), recount.Logic{Kind: "sql", Text: "SELECT 1 AS x"}, nil)
	var known *recount.Error
	if !errors.As(err, &known) || known.Code != recount.CodeEngine || !strings.Contains(known.Why, "duckdb.Child") {
		t.Errorf("check in a child: got %v, want %s that names duckdb.Child", err, recount.CodeEngine)
	}
}

func TestOnlyTheEngineAsksForAChild(t *testing.T) {
	var out bytes.Buffer
	for _, args := range [][]string{nil, {"plan"}, {childArg}, {childArg, "x"}} {
		if handled, _ := Child(args, strings.NewReader(""), &out, &out); handled {
			t.Errorf("Child(%q) without the engine's mark: got handled", args)
		}
	}
	t.Setenv(childMark, "1")
	if handled, exit := Child([]string{childArg}, strings.NewReader(""), &out, &out); !handled || exit != 0 {
		t.Errorf("Child with an input that ends: got %t, %d, want true, 0", handled, exit)
	}
	if got := out.String(); got != "{\"engine\":1}\n" {
		t.Errorf("greeting: got %q", got)
	}
}

func TestTheChildHasNoEnvironment(t *testing.T) {
	t.Setenv("RECOUNT_TEST_SECRET", "hunter2")
	p, err := start()
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	for _, v := range p.cmd.Env {
		if strings.Contains(v, "hunter2") {
			t.Errorf("the child is given %s", v)
		}
	}
}

func TestAClosedEngineIsNotUsed(t *testing.T) {
	e := New()
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	if err := e.CheckCondition(t.Context(), "true", nil); err == nil {
		t.Error("check after Close: got no error")
	}
}

func TestChecksAtOnce(t *testing.T) {
	e := New()
	defer func() { _ = e.Close() }()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := e.CheckCondition(t.Context(), "id = 'a'", nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.CheckCondition(ctx, "id = 'a'", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("check under a cancelled context: got %v", err)
	}
	if err := e.CheckCondition(t.Context(), "id = 'a'", nil); err != nil {
		t.Errorf("check after a cancelled one: %v", err)
	}
}

func TestCrashedQuotesTheFirstWords(t *testing.T) {
	w := &words{}
	for range 1000 {
		if _, err := w.Write([]byte("terminate called\n\n  SIGABRT: abort\nrest\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.String(); got != "terminate called | SIGABRT: abort | rest | terminate called | SIGABRT: abort" {
		t.Errorf("words: got %q", got)
	}
}

func TestAChildWhosePipeClosesEnds(t *testing.T) {
	e := New()
	defer func() { _ = e.Close() }()
	opened, err := e.Open(t.Context(), engine.Input{Stream: "s", Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := opened.(*session)
	if !ok {
		t.Fatalf("session is a %T", opened)
	}
	defer func() { _ = s.Close() }()
	const forever = "SELECT a.range % 7 AS k, sum(a.range * b.range % 11) AS v FROM range(100000000) a, range(100000000) b GROUP BY 1"
	if err := s.child.enc.Encode(request{Run: &runRequest{Variant: engine.Variant{
		Logic: recount.Logic{Kind: "sql", Text: forever}, Key: []string{"k"}, Columns: []string{"v"},
	}, Out: s.out("rows")}}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = s.child.in.Close() })
	ended := make(chan error, 1)
	go func() { ended <- s.child.cmd.Wait() }()
	select {
	case <-ended: //nolint:errcheck // that it ended is all
	case <-time.After(5 * time.Second):
		t.Error("the child still runs 5 s after its pipe was closed")
	}
}
