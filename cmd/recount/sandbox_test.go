package main

import (
	"fmt"
	"io"
	"testing"

	"recount/internal/sandbox"
)

// BenchmarkSandbox is what it costs to start and end a process where this whole
// program, with the engine in it, is what builds the sandbox.
func BenchmarkSandbox(b *testing.B) {
	for _, plain := range []bool{true, false} {
		b.Run(fmt.Sprintf("unsandboxed=%v", plain), func(b *testing.B) {
			dir := b.TempDir()
			for b.Loop() {
				p, err := sandbox.Start(b.Context(), sandbox.Spec{Command: []string{"/bin/true"}, Dir: dir, Unsandboxed: plain})
				if err != nil {
					b.Fatal(err)
				}
				_ = p.Stdin.Close()
				_, _ = io.Copy(io.Discard, p.Stdout)
				if exit, err := p.Wait(); err != nil || exit.Code != 0 {
					b.Fatalf("got %+v, %v", exit, err)
				}
			}
		})
	}
}
