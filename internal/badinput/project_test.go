package badinput

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/adapter"
	"recount/cli"
	"recount/cli/views"
	"recount/internal/archive"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
	"recount/source/kafka"
	"recount/store"
	"recount/store/disk"
	"recount/store/s3"
)

// canary stands in every password of these tests, and in no message.
const canary = "wJalrXUtnFEMI-canary"

// asRecount makes the test binary be the program, for what a test cannot do to
// itself.
const asRecount = "RECOUNT_TEST_AS_RECOUNT"

func TestMain(m *testing.M) {
	if os.Getenv(asRecount) != "" {
		limitFiles()
		os.Exit(cli.Main(context.Background(), os.Args[1:], environment(clock.System{}, ".", os.Stdout, os.Stderr)))
	}
	// They wait most of the time.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(withCredentials(m))
}

func environment(c clock.Clock, dir string, out, err interface{ Write([]byte) (int, error) }) cli.Env {
	return cli.Env{
		Stdin: strings.NewReader(""), Stdout: out, Stderr: err, Dir: dir, Getenv: os.LookupEnv,
		Terminal: func(any) (int, bool) { return 0, false }, Clock: c, User: "operator", Registry: adapter.Default,
		Build: views.Build{Version: "test"}, Exit: func(int) {},
	}
}

// project is a folder with a recount.yaml of one source, orders.
type project struct {
	t       *testing.T
	dir     string
	archive string // a folder, or a URL
	clock   *wall
	sent    map[string]*kgo.Record // by partition@offset: what the archive must hold in the end
	lossy   bool                   // the bus lost positions before they were archived
}

// wall is the machine's clock, which somebody sets.
type wall struct{ ahead atomic.Int64 }

func (w *wall) Now() time.Time { return clock.System{}.Now().Add(time.Duration(w.ahead.Load())) }

// settings are what one test's recount.yaml has besides the rest.
type settings struct {
	archive    string // empty: a folder of the project
	event      string // empty: id and time of the payload
	kafka      string // further keys of the block
	quarantine int
}

// newProject makes a project whose source is a topic.
func newProject(t *testing.T, b *broker, topic string, set settings) *project {
	t.Helper()
	p := &project{t: t, dir: t.TempDir(), archive: set.archive, clock: &wall{}, sent: map[string]*kgo.Record{}}
	p.configure(b, topic, set)
	return p
}

func (p *project) configure(b *broker, topic string, set settings) {
	p.t.Helper()
	place := p.archive
	if place == "" {
		place, p.archive = "archive", filepath.Join(p.dir, "archive")
	}
	if place == filepath.Join(p.dir, "archive") {
		place = "archive"
	}
	if set.event == "" {
		set.event = "id: id, time: at"
	}
	text := fmt.Sprintf(`version: 1
archive: %q
sources:
  orders:
    kafka: {brokers: [%q], topics: [%s]%s}
    event: {%s}
    fields: {n: int64}
    flush: 1s
    quarantine: {max: %d}
calculations: {}
`, place, b.addr, topic, set.kafka, set.event, set.quarantine)
	if err := os.WriteFile(filepath.Join(p.dir, "recount.yaml"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// outcome is what a command left: its exit code, and what it wrote.
type outcome struct {
	exit           int
	stdout, stderr string
}

// run runs a command to its end.
func (p *project) run(args ...string) outcome {
	p.t.Helper()
	l := p.start(args...)
	return l.ended()
}

// running is a command at work.
type running struct {
	t              *testing.T
	args           []string
	signals        chan os.Signal
	stdout, stderr screen
	done           chan int
}

// screen is what a command wrote so far. It is safe for concurrent use.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (p *project) start(args ...string) *running {
	r := &running{t: p.t, args: args, signals: make(chan os.Signal, 2), done: make(chan int, 1)}
	env := environment(p.clock, p.dir, &r.stdout, &r.stderr)
	env.Signals = r.signals
	go func() { r.done <- cli.Main(context.Background(), args, env) }()
	p.t.Cleanup(func() { // one that a failed test leaves
		select {
		case r.signals <- os.Interrupt:
		default:
		}
	})
	return r
}

// interrupt asks the command to end, and returns how it did.
func (r *running) interrupt() outcome {
	r.t.Helper()
	r.signals <- os.Interrupt
	o := r.ended()
	o.fails(r.t, recount.CodeInterrupted, "run the same command again")
	return o
}

// ended waits for the command's own end.
func (r *running) ended() outcome {
	r.t.Helper()
	select {
	case exit := <-r.done:
		o := outcome{exit: exit, stdout: r.stdout.String(), stderr: r.stderr.String()}
		r.t.Logf("recount %s: exit %d\n%s%s", strings.Join(r.args, " "), exit, o.stdout, o.stderr)
		if strings.Contains(o.stdout+o.stderr, canary) {
			r.t.Errorf("a secret stands in the output")
		}
		return o
	case <-time.After(patience):
		r.t.Fatalf("recount %v does not end; it wrote %s%s", r.args, &r.stdout, &r.stderr)
		return outcome{}
	}
}

// says waits until a command has written something.
func (r *running) says(text string) {
	r.t.Helper()
	wait(r.t, fmt.Sprintf("it says %q", text), func() bool {
		if len(r.done) > 0 {
			r.t.Fatalf("recount %v ended: %s%s", r.args, &r.stdout, &r.stderr)
		}
		return strings.Contains(flat(r.stderr.String()), text)
	})
}

// patience is how long anything may take on a busy machine.
const patience = 2 * time.Minute

// wait waits for a condition.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(patience)
	for !holds() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("%s: the test ended before", what)
		case <-late:
			t.Fatalf("%s: not so after %s", what, patience)
		}
	}
}

var spaces = regexp.MustCompile(`\s+`)

// flat puts wrapped lines together.
func flat(text string) string { return spaces.ReplaceAllString(text, " ") }

var errorForm = regexp.MustCompile(`error (RC\d{4}): (.+) where: (.+) why: (.+) changed: (.+) next: (.+) page: (\S+)`)

// fails checks that a command ended with an error of all its parts, under a code
// and with its exit, and returns them by name. next is a part of what to do.
func (o outcome) fails(t *testing.T, code recount.Code, next string) map[string]string {
	t.Helper()
	found := errorForm.FindStringSubmatch(flat(o.stderr))
	if found == nil {
		t.Fatalf("exit %d without an error of four parts: %s", o.exit, o.stderr)
	}
	parts := map[string]string{}
	for i, name := range []string{"code", "what", "where", "why", "changed", "next", "page"} {
		parts[name] = found[i+1]
	}
	if parts["code"] != string(code) || o.exit != code.Exit() {
		t.Fatalf("got %s and exit %d, want %s and %d", parts["code"], o.exit, code, code.Exit())
	}
	if !strings.Contains(parts["next"], next) {
		t.Errorf("next: got %q, want %q in it", parts["next"], next)
	}
	return parts
}

// refused is fails of a command that changed nothing, and is true about it.
func (p *project) refused(code recount.Code, next string, args ...string) map[string]string {
	p.t.Helper()
	before := p.commits()
	parts := p.run(args...).fails(p.t, code, next)
	if parts["changed"] != "nothing" {
		p.t.Errorf("changed: got %q, want nothing", parts["changed"])
	}
	if now := p.commits(); now != before {
		p.t.Errorf("commits: %d before and %d now", before, now)
	}
	return parts
}

func (p *project) ok(args ...string) outcome {
	p.t.Helper()
	o := p.run(args...)
	if o.exit != 0 {
		p.t.Fatalf("recount %v: exit %d: %s", args, o.exit, o.stderr)
	}
	return o
}

func (p *project) store() store.Store {
	p.t.Helper()
	var s store.Store
	var err error
	if strings.HasPrefix(p.archive, "s3:") {
		s, err = s3.Open(p.t.Context(), p.archive)
	} else {
		s, err = disk.Open(p.archive, clock.System{}.Now)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// snapshot is the archive as it stands; the zero one where there is none.
func (p *project) snapshot() recount.Snapshot {
	s, err := archive.Open(p.store(), clock.System{}).Snapshot(p.t.Context(), "orders")
	if err != nil {
		return recount.Snapshot{}
	}
	return s
}

func (p *project) commits() int64 { return p.snapshot().Commit }

// events counts what is in the archive.
func (p *project) events() (n int) {
	for _, f := range p.snapshot().Files {
		n += int(f.Rows)
	}
	return n
}

// whole checks that the archive holds what was sent, each once and as it was
// sent, but for what was lost, and that verify says so too.
func (p *project) whole(lost ...string) {
	p.t.Helper()
	want := maps.Clone(p.sent)
	for _, at := range lost {
		delete(want, at)
	}
	for _, f := range p.snapshot().Files {
		p.each(f.Name, func(e eventfile.Stored) {
			at := e.Partition + "@" + recount.ShortPosition(e.Position)
			r, ok := want[at]
			if !ok {
				p.t.Errorf("%s is in the archive twice, or was not sent", at)
				return
			}
			delete(want, at)
			if !bytes.Equal(e.Data, r.Value) || !bytes.Equal(e.Key, r.Key) || headers(e.Headers) != sentHeaders(r.Headers) {
				p.t.Errorf("%s: got key %.40q, %d bytes, headers %s, want key %.40q, %d bytes, %s",
					at, e.Key, len(e.Data), headers(e.Headers), r.Key, len(r.Value), sentHeaders(r.Headers))
			}
		})
	}
	if len(want) > 0 {
		p.t.Errorf("%d events of %d are missing", len(want), len(p.sent))
	}
	o := p.ok("archive", "verify")
	if strings.Contains(o.stdout, "hole") || strings.Contains(o.stdout, "overlap") || p.lossy != strings.Contains(o.stdout, "lost") {
		p.t.Errorf("verify: got %s", o.stdout)
	}
}

func (p *project) each(name string, do func(eventfile.Stored)) {
	p.t.Helper()
	r, err := p.store().Open(p.t.Context(), name)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	f, err := eventfile.Open(r)
	if err != nil {
		p.t.Fatal(err)
	}
	for group := range f.Groups() {
		events, err := f.Events(group, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, e := range events {
			do(e)
		}
	}
}

func headers(list []recount.Header) string {
	var b strings.Builder
	for _, h := range list {
		fmt.Fprintf(&b, "%q=%q ", h.Name, h.Value)
	}
	return b.String()
}

func sentHeaders(list []kgo.RecordHeader) string {
	var same []recount.Header
	for _, h := range list {
		same = append(same, recount.Header{Name: h.Key, Value: h.Value})
	}
	return headers(same)
}

var _ = kafka.Open // its adapter registers itself
