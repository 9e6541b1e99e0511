package duckdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"

	"recount"
)

const (
	childArg = "__engine"
	// childMark stands in the child's environment alone. A program that has it
	// starts no child of its own, so that one which forgets to call Child does
	// not start itself without end.
	childMark = "RECOUNT_ENGINE_CHILD"
)

// process is a running child. One goroutine uses it at a time.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	enc     *json.Encoder
	dec     *json.Decoder
	said    *words
	ended   chan struct{} // closed when the child has been waited for
	greeted bool
	dead    atomic.Bool
}

// start starts a child and does not wait for its greeting.
func start() (*process, error) {
	if os.Getenv(childMark) != "" {
		return nil, errForgotten()
	}
	self, err := executable()
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	cmd := exec.Command(self, childArg) //nolint:noctx // its life is the engine's, not one call's; call kills it when a context ends
	cmd.Env = []string{childMark + "=1", "GOTRACEBACK=none"}
	// Where the loader finds libstdc++ is no secret, and the child needs it.
	if libraries := os.Getenv("LD_LIBRARY_PATH"); libraries != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+libraries)
	}
	cmd.Dir = os.TempDir()
	if _, err := os.Stat(cmd.Dir); err != nil { // starting would blame the program
		return nil, &recount.Error{
			Code: recount.CodeStorage, What: "there is no scratch folder", Where: cmd.Dir, Why: err.Error(), Err: err,
			Next: "make that folder, or name another one with TMPDIR, then run the command again",
		}
	}
	harden(cmd)
	p := &process{cmd: cmd, said: &words{}, ended: make(chan struct{})}
	cmd.Stderr = p.said
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	p.enc = json.NewEncoder(p.in)
	p.dec = json.NewDecoder(bufio.NewReader(out))
	return p, nil
}

// call sends a request and waits for its answer. If ctx ends first, the child is
// killed: DuckDB may be in the middle of anything.
func (p *process) call(ctx context.Context, r request, value any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.broken() {
		return errors.New("use engine: its process has ended")
	}
	stop := context.AfterFunc(ctx, p.kill)
	got, err := p.exchange(r)
	if !stop() {
		p.end()
		return ctx.Err()
	}
	if err != nil {
		return p.crashed(err)
	}
	if got.Error != nil {
		e := got.Error
		return &recount.Error{Code: e.Code, What: e.What, Where: e.Where, Why: e.Why, Next: e.Next}
	}
	if err := json.Unmarshal(got.Value, value); err != nil {
		p.end()
		return fmt.Errorf("read answer of engine: %w", err)
	}
	return nil
}

func (p *process) exchange(r request) (answer, error) {
	var got answer
	if !p.greeted {
		var hello greeting
		if err := p.dec.Decode(&hello); err != nil || hello.Engine != protocol {
			return got, errNoGreeting
		}
		p.greeted = true
	}
	if err := p.enc.Encode(r); err != nil {
		return got, fmt.Errorf("write request: %w", err)
	}
	if err := p.dec.Decode(&got); err != nil {
		return got, fmt.Errorf("read answer: %w", err)
	}
	return got, nil
}

var errNoGreeting = errors.New("the child did not greet")

// crashed turns a broken pipe into what happened to the child.
func (p *process) crashed(cause error) error {
	p.end()
	state := p.cmd.ProcessState
	if errors.Is(cause, errNoGreeting) && (state == nil || state.Success() || p.said.empty()) {
		return errForgotten()
	}
	why := "its process ended"
	if state != nil {
		why = "its process ended: " + state.String()
	}
	if last := p.said.String(); last != "" {
		why += "; it said: " + last
	}
	return &recount.Error{
		Code: recount.CodeEngine, What: "the engine stopped while it ran the SQL", Why: why, Err: cause,
		Next: "run the command again; if the machine was short of memory, give it more or replay a shorter window",
	}
}

func errForgotten() error {
	return &recount.Error{
		Code: recount.CodeEngine, What: "the engine's process cannot start",
		Why:  "this program does not call duckdb.Child first of all in main, or duckdb.RunTests in TestMain",
		Next: "call it there: the engine runs in a second process of the same program",
	}
}

func (p *process) broken() bool { return p.dead.Load() }

func (p *process) kill() { _ = p.cmd.Process.Kill() }

// end kills the child, if it still runs, and waits for it. It may be called twice.
func (p *process) end() {
	if p.dead.Swap(true) {
		<-p.ended
		return
	}
	_ = p.in.Close()
	p.kill()
	_ = p.cmd.Wait()
	close(p.ended)
}

// words keeps the first bytes that were written to it: a child says nothing
// until it dies, and its cause of death comes before the dump of its stack.
type words struct {
	mu    sync.Mutex
	first []byte
}

const wordsBytes = 2 << 10

func (t *words) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = append(t.first, b[:min(len(b), wordsBytes-len(t.first))]...)
	return len(b), nil
}

func (t *words) empty() bool { return t.String() == "" }

// String returns the first lines as one.
func (t *words) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for line := range bytes.Lines(t.first) {
		if s := strings.TrimSpace(string(line)); s != "" {
			lines = append(lines, s)
		}
	}
	const most = 5
	return strings.Join(lines[:min(len(lines), most)], " | ")
}
