//go:build amd64 || arm64

package sandbox_test

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"recount/internal/sandbox"
	"recount/internal/sandbox/escape"
)

// once starts a process and waits for its end.
func once(tb testing.TB, s sandbox.Spec) {
	tb.Helper()
	s.Dir, s.Stderr = os.TempDir(), os.Stderr
	p, err := sandbox.Start(tb.Context(), s)
	if err != nil {
		tb.Fatal(err)
	}
	_ = p.Stdin.Close()
	_, _ = io.Copy(io.Discard, p.Stdout)
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		tb.Fatalf("got %+v, %v", exit, err)
	}
}

// BenchmarkStart is what it costs to start and end a process, with the builder a
// small program; cmd/recount has the same with the whole command.
func BenchmarkStart(b *testing.B) {
	for _, plain := range []bool{true, false} {
		b.Run(fmt.Sprintf("unsandboxed=%v", plain), func(b *testing.B) {
			for b.Loop() {
				once(b, sandbox.Spec{Command: []string{"/bin/true"}, Unsandboxed: plain})
			}
		})
	}
}

// BenchmarkCalls is what a process's reading of the clock and its chance cost.
func BenchmarkCalls(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for _, what := range []string{escape.CallClock, escape.CallRandom} {
		b.Run(what, func(b *testing.B) {
			once(b, sandbox.Spec{
				Command: []string{self, escape.CallsArg, what, fmt.Sprint(b.N)}, Clock: time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC),
			})
		})
	}
}
