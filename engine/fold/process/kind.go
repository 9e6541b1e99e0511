// Package process runs folds that a process computes: Recount writes the events of
// one key after the other to its standard input, as NDJSON or as Arrow batches,
// and reads rows, effects and states from its standard output
// (docs/worker-protocol.md). A process is no part of this program and may do
// whatever it likes: it runs in a sandbox, is waited for no longer than its
// timeout, and nothing that it writes is believed before it was checked.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
	"recount/internal/sandbox"
)

// Options change how workers run; the zero Options are those of the command.
type Options struct {
	// Unsandboxed runs workers without what needs the kernel's help.
	Unsandboxed bool
}

// Kind runs folds of LogicWorker.
type Kind struct {
	options  Options
	mu       sync.Mutex
	programs map[string]program // by folder and command
	said     map[string]hello   // by digest of the logic, fields and key
}

// New returns the kind.
func New(o Options) *Kind {
	return &Kind{options: o, programs: map[string]program{}, said: map[string]hello{}}
}

// Name returns LogicWorker.
func (*Kind) Name() string { return recount.LogicWorker }

// Close has nothing to end: processes live as long as their run.
func (*Kind) Close() error { return nil }

// Describe starts the worker, reads its first line and ends it.
func (k *Kind) Describe(ctx context.Context, logic recount.Logic, fields []recount.Field) (run.Description, error) {
	id := logicID(logic, fields)
	k.mu.Lock()
	said, ok := k.said[id]
	k.mu.Unlock()
	if ok && logic.Digest != "" {
		return said.Description, nil
	}
	scratch, err := os.MkdirTemp("", "recount-worker-")
	if err != nil {
		return run.Description{}, fmt.Errorf("make a folder for the worker: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	s := &steppers{kind: k, logic: logic, fields: fields, scratch: scratch}
	c, h, err := s.start(ctx, 0, run.Wants{})
	if err != nil {
		return run.Description{}, err
	}
	c.end()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.said[id] = h
	return h.Description, nil
}

func logicID(logic recount.Logic, fields []recount.Field) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%q\n", logic.Digest, logic.By)
	for _, f := range fields {
		fmt.Fprintf(&b, "%q %s\n", f.Name, f.Type)
	}
	return b.String()
}

// program returns the program of a worker, which is looked for once.
func (k *Kind) program(ctx context.Context, w recount.Worker) (program, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := w.Dir + "\x00" + strings.Join(w.Command, "\x00")
	if p, ok := k.programs[id]; ok {
		return p, nil
	}
	p, err := resolve(ctx, w)
	if err == nil {
		k.programs[id] = p
	}
	return p, err
}

// Steppers returns what makes the steppers of a run: one process each.
func (k *Kind) Steppers(logic recount.Logic, spec run.Spec) run.Steppers {
	return &steppers{
		kind: k, logic: logic, fields: spec.Fields, stream: spec.Stream, scratch: spec.Scratch, at: spec.Hit.From,
		bucket: spec.Bucket.Size > 0, shake: spec.Shake,
	}
}

// steppers start the processes of a run.
type steppers struct {
	kind    *Kind
	logic   recount.Logic
	fields  []recount.Field
	stream  string
	scratch string
	at      time.Time
	bucket  bool
	shake   engine.Shake

	mu      sync.Mutex
	started int
}

// New starts process n and waits for its first line.
func (s *steppers) New(ctx context.Context, n int, w run.Wants) (run.Stepper, error) {
	c, h, err := s.start(ctx, n, w)
	if err != nil {
		return nil, err
	}
	said, known := s.kind.known(s.logic, s.fields)
	if known && !sameHello(said, h) {
		return nil, c.unusable("its first line is another one than before: it must say the same each time that it is started")
	}
	if w.State && !h.State {
		return nil, c.unusable("it cannot give out the state of a key (its first line says no `\"state\": true`), and this replay needs it")
	}
	keys, err := s.keys()
	if err != nil {
		c.end()
		return nil, err
	}
	var made run.Stepper
	if h.format == formatArrow {
		made, err = newArrow(c, h, keys, w)
	} else {
		made, err = newLines(c, h, keys, w)
	}
	if err != nil {
		c.end()
		return nil, err
	}
	return made, nil
}

func (s *steppers) keys() (keys, error) {
	k := keys{bucket: s.bucket, json: map[string]bool{}}
	for _, name := range s.logic.By {
		i := slices.IndexFunc(s.fields, func(f recount.Field) bool { return f.Name == name })
		if i < 0 {
			return k, fmt.Errorf("start a worker: its key has the field %q, which the source has not", name)
		}
		k.by = append(k.by, s.fields[i])
	}
	for _, f := range s.fields {
		k.json[f.Name] = f.Type.Kind == recount.KindJSON
	}
	return k, nil
}

func (k *Kind) known(logic recount.Logic, fields []recount.Field) (hello, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, ok := k.said[logicID(logic, fields)]
	return h, ok && logic.Digest != ""
}

func sameHello(a, b hello) bool {
	return fmt.Sprint(a) == fmt.Sprint(b)
}

// mostReply bounds a worker's first line.
const mostReply = 1 << 20

// start starts a process in a folder of its own and exchanges the first lines.
func (s *steppers) start(ctx context.Context, n int, w run.Wants) (*child, hello, error) {
	if s.logic.Worker == nil {
		return nil, hello{}, errors.New("start a worker: its logic names none")
	}
	worker := *s.logic.Worker
	p, err := s.kind.program(ctx, worker)
	if err != nil {
		return nil, hello{}, err
	}
	around, folder := surroundings(n, s.at, s.shake)
	dir, err := s.folder(folder)
	if err != nil {
		return nil, hello{}, err
	}
	if err := copyFiles(worker, dir); err != nil {
		return nil, hello{}, err
	}
	home := filepath.Join(dir, ".home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, hello{}, fmt.Errorf("make a folder for the worker: %w", err)
	}
	command := append([]string(nil), p.command...)
	if !filepath.IsAbs(command[0]) {
		command[0] = filepath.Join(dir, command[0])
	}
	spec := sandbox.Spec{
		Command: command, Dir: dir, Read: p.read, MemoryMiB: worker.MemoryMiB, Clock: around.Clock, Seed: around.Seed,
		Host: around.Host, PID: around.PID, Processors: around.Processors,
		Unsandboxed: s.kind.options.Unsandboxed,
		Env:         append(append(around.Env, p.env...), "HOME="+home, "TMPDIR="+home, "PATH="+filepath.Dir(command[0])+":/usr/local/bin:/usr/bin:/bin"),
	}
	timeout := worker.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	c, err := launch(ctx, spec, p.name, timeout)
	if err != nil {
		if _, whole := errors.AsType[*recount.Error](err); whole {
			return nil, hello{}, err
		}
		return nil, hello{}, notStarted(p.name, err)
	}
	h, err := s.greet(c, around.Seed, w)
	return c, h, err
}

// folder makes a new folder: a stepper that follows a poisoned one gets another.
func (s *steppers) folder(name string) (string, error) {
	s.mu.Lock()
	s.started++
	number := s.started
	s.mu.Unlock()
	dir := filepath.Join(s.scratch, fmt.Sprintf("%s-%d", name, number))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the worker: %w", err)
	}
	return dir, nil
}

// greet exchanges the first lines.
func (s *steppers) greet(c *child, seed uint64, w run.Wants) (hello, error) {
	defer c.rests()
	// A start loads libraries, which takes longer than an answer.
	c.watch.Reset(3 * c.timeout)
	line, err := jsonLine(greet(s.stream, s.logic, s.fields, seed, w))
	if err != nil {
		c.end()
		return hello{}, err
	}
	// A write that fails is no error: why the worker does not read is found where
	// its answer is missing.
	_, _ = c.stdin.Write(line)
	got, err := c.line(mostReply)
	switch {
	case errors.Is(err, errLong):
		return hello{}, c.stray(got)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return hello{}, c.cutOff(got)
	case err != nil:
		return hello{}, c.gone()
	}
	h, err := readReply(got, s.fields, s.logic.By)
	if errors.Is(err, errProtocol) {
		return hello{}, c.stray(got)
	}
	if err != nil {
		return hello{}, c.unusable("%v", err)
	}
	return h, nil
}

// Run folds the events of a spec with a process for each thread.
func (k *Kind) Run(ctx context.Context, logic recount.Logic, spec run.Spec) (run.Result, error) {
	return run.Execute(ctx, spec, k.Steppers(logic, spec))
}
