package sandbox_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"recount/internal/sandbox"
)

// ran is what became of a process.
type ran struct {
	out, errs string
	exit      sandbox.Exit
}

func run(t *testing.T, s sandbox.Spec, input string) ran {
	t.Helper()
	var said bytes.Buffer
	s.Stderr = &said
	if s.Dir == "" {
		s.Dir = t.TempDir()
	}
	p, err := sandbox.Start(t.Context(), s)
	if err != nil {
		t.Fatalf("start %v: %v", s.Command, err)
	}
	if _, err := io.WriteString(p.Stdin, input); err != nil {
		t.Logf("write input: %v", err)
	}
	_ = p.Stdin.Close()
	out, err := io.ReadAll(p.Stdout)
	if err != nil {
		t.Fatalf("read output: %v", err)
	}
	exit, err := p.Wait()
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return ran{string(out), said.String(), exit}
}

func TestARunningProcessHasItsStreams(t *testing.T) {
	got := run(t, sandbox.Spec{Command: []string{"cat"}}, "hello\n")
	if got.out != "hello\n" || got.exit.Code != 0 {
		t.Errorf("cat: got %+v, want its input", got)
	}
}

func TestThisMachineIsolates(t *testing.T) {
	s := sandbox.Supported(t.Context(), t.TempDir())
	t.Logf("%+v", s)
	if s.Err != nil && runtime.GOOS == "linux" {
		t.Errorf("a sandbox: got %v", s.Err)
	}
}
