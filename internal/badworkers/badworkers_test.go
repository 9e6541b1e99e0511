// Package badworkers has tests alone: workers that depend on what they must not,
// each of which the certificate of determinism has to find, and some that are as
// they should be, of which it must find none.
package badworkers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"recount"
	"recount/command"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
	"recount/engine/fold"
	"recount/engine/fold/gofold"
	"recount/engine/fold/process"
	"recount/internal/replay"
)

func TestMain(m *testing.M) {
	if handled, exit := command.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	os.Exit(m.Run())
}

// bad is a worker that must be found.
type bad struct {
	name string
	// by are the shakes of which at least one has to find it.
	by []string
	// alone says that a run with nothing varied may find it, too.
	alone bool
}

func by(name string, shakes ...string) bad { return bad{name: name, by: shakes} }

// itself is a worker that differs from run to run, whatever is varied.
func itself(name string, shakes ...string) bad { return bad{name, shakes, true} }

// keyed are the shakes that deal keys out otherwise.
var keyed = []string{"threads", "files"}

var badGo = []bad{
	itself("clock", "clock"), by("clock_day", "clock"), itself("random", "seed"), itself("crypto", "seed"), itself("map_order", "seed"), itself("map_sum", "seed"),
	itself("select", "seed"), itself("race", "threads", "cores"), itself("address", "threads", "batches", "files"), by("hostname", "machine"), by("pid", "machine"), by("env", "machine"), itself("folder", "machine"),
	itself("temporary", "seed"), by("local_hour", "zone"), by("processors", "cores"), by("gomaxprocs", "cores"), itself("leak", keyed...), itself("last_tag", keyed...),
	itself("collector", "threads"), itself("finalizer", "threads"), itself("mtime", "clock"), itself("own_file", keyed...), by("log_order", "interleave"), by("float_sum", "interleave"),
	by("drawn", "seed"),
}

var badRaw = []bad{
	itself("clock", "clock"), by("clock_day", "clock"), by("today", "clock"), itself("monotonic", "clock"), by("age", "clock"), itself("random", "seed"), itself("sample", "seed"), itself("uuid4", "seed"),
	itself("secrets", "seed"), itself("urandom", "seed"), by("set_order", "seed"), by("dict_of_set", "seed"), by("hash", "seed"), itself("identity", "seed"), itself("repr", "seed"),
	by("local_day", "zone"), by("local_hour", "zone"), by("language", "locale"), by("locale", "locale"), by("hostname", "machine"), by("pid", "machine"), by("user", "machine"),
	by("environment", "machine"), itself("folder", "machine"), itself("temporary", "seed"), by("leak", keyed...), by("cache", keyed...), by("own_file", keyed...), by("group_number", keyed...), by("seed", "seed"),
	by("processors", "cores"), by("split_by_processors", "cores"), itself("thread_race", "threads", "seed"), itself("memory", "threads"), itself("collector", "threads", "batches"), itself("mtime", "clock"),
	by("log_order", "interleave"), by("float_order", "interleave"), by("first_seen", "interleave"),
}

var badPackage = []bad{by("random_of_the_package", "seed"), by("raw_clock", "clock"), by("set_of_texts", "seed")}

var badSQL = map[string]bad{
	`SELECT user_id, string_agg(id ORDER BY tag) AS out FROM events GROUP BY 1`:                 itself("ties", "files"),
	`SELECT user_id, last(id ORDER BY date_trunc('hour', time)) AS out FROM events GROUP BY 1`:  itself("last of an hour", "files"),
	`SELECT user_id, first(id ORDER BY date_trunc('hour', time)) AS out FROM events GROUP BY 1`: itself("first of an hour", "files"),
}

var (
	goodGo      = []string{"good_total", "good_sorted", "good_chance", "good_workers", "good_utc"}
	goodRaw     = []string{"good_sum", "good_sorted", "good_fsum", "good_utc", "good_chance"}
	goodPackage = []string{"good_now"}
	// ordered are good where the events of a key have a declared order.
	orderedGo, orderedRaw = []string{"good_order", "good_now", "float_sum", "log_order"}, []string{"good_order", "float_order", "log_order"}
)

var goodSQL = map[string]string{
	"total":      `SELECT user_id, CAST(sum(value) AS VARCHAR) AS out FROM events GROUP BY 1`,
	"in order":   `SELECT user_id, string_agg(id ORDER BY position, id) AS out FROM events GROUP BY 1`,
	"last event": `SELECT user_id, last(id ORDER BY position, id) AS out FROM events GROUP BY 1`,
}

// lab is an engine over one archive.
type lab struct {
	engine engine.Engine
	// plain has no declared order, ordered has one.
	plain, ordered engine.Input
	dir            string // of the Python workers
}

var at12 = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func newLab(t *testing.T) *lab {
	t.Helper()
	e := fold.New(gofold.New(gofold.Options{}), process.New(process.Options{})).Over(duckdb.New())
	t.Cleanup(func() {
		if c, ok := e.(interface{ Close() error }); ok {
			_ = c.Close()
		}
	})
	typed := func(name, kind string) recount.Field {
		kinded, err := recount.ParseType(kind)
		if err != nil {
			t.Fatal(err)
		}
		return recount.Field{Name: name, Type: kinded}
	}
	b := enginetest.NewBuilder(t, typed("user_id", "string"), typed("value", "decimal(18,2)"), typed("weight", "double"), typed("tag", "string"), typed("n", "int64"))
	const users, files, each = 40, 3, 160
	n := 0
	for range files {
		var events []enginetest.Event
		for range each {
			partition := n % 3
			weight := 1 / float64(3+n%17)
			events = append(events, enginetest.Event{Event: recount.Event{
				ID: fmt.Sprintf("e%d", n), Partition: fmt.Sprintf("p%d", partition), Position: recount.PadPosition(fmt.Sprint(n / 3)),
				Time: at12.Add(time.Duration(n*7) * time.Second), IngestTime: at12.Add(time.Duration(n*7) * time.Second), Data: []byte("{}"),
				Fields: []recount.Value{
					recount.Text(fmt.Sprintf("u%02d", n%users)), recount.Text(fmt.Sprintf("%d.%02d", n%13, n%100)), recount.Text(fmt.Sprint(weight)),
					recount.Text(fmt.Sprintf("t%d", n%7)), recount.Text(fmt.Sprint(n)),
				},
			}})
			n++
		}
		b.Add(events...)
	}
	l := &lab{engine: e, plain: b.Input(at12, at12.Add(2*time.Hour)), ordered: b.Input(at12, at12.Add(2*time.Hour)), dir: t.TempDir()}
	l.ordered.Order = "n"
	for _, input := range []*engine.Input{&l.plain, &l.ordered} {
		input.Limits.Threads = 2
	}
	l.copyPython(t)
	return l
}

func (l *lab) copyPython(t *testing.T) {
	t.Helper()
	for from, to := range map[string]string{"testdata": "", "../../python/src/recount": "recount"} {
		files, err := filepath.Glob(filepath.Join(from, "*.py"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no Python in %s: %v", from, err)
		}
		if err := os.MkdirAll(filepath.Join(l.dir, to), 0o750); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file) //nolint:gosec // of the tree
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(l.dir, to, filepath.Base(file)), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (l *lab) goFold(name string) recount.Logic {
	return recount.Logic{Kind: recount.LogicGo, Text: name, Path: "go: " + name, Digest: "go " + name, By: []string{"user_id"}}
}

func (l *lab) python(program, name string) recount.Logic {
	files := []string{program}
	for _, pattern := range []string{"*.py", "recount/*.py"} {
		found, _ := filepath.Glob(filepath.Join(l.dir, pattern))
		for _, f := range found {
			if rel, err := filepath.Rel(l.dir, f); err == nil && !slices.Contains(files, rel) {
				files = append(files, rel)
			}
		}
	}
	return recount.Logic{
		Kind: recount.LogicWorker, Path: "worker: python3 " + program + " " + name, Digest: program + " " + name, By: []string{"user_id"},
		Worker: &recount.Worker{Command: []string{"python3", program, name}, Dir: l.dir, Files: files, Timeout: 2 * time.Minute},
	}
}

func sql(text string) recount.Logic {
	return recount.Logic{Kind: recount.LogicSQL, Text: text, Path: "logic.sql"}
}

// certify certifies a logic; only, where not nil, names the shakes that are tried,
// and steady leaves all of them out.
func (l *lab) certify(t *testing.T, input engine.Input, logic recount.Logic, only []string, steady bool) replay.Certified {
	t.Helper()
	input.Scratch = t.TempDir()
	session, err := l.engine.Open(t.Context(), input)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() {
		if err := session.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	v := engine.Variant{Logic: logic, Key: []string{"user_id"}, Columns: []string{"out"}, Dedupe: true}
	done, err := replay.Certify(t.Context(), chosen{session, only, steady}, v, t.TempDir(), recount.Quiet{})
	if err != nil {
		t.Fatalf("certify: %v", err)
	}
	if done.Rows != 40 {
		t.Errorf("rows: got %d, want 40", done.Rows)
	}
	return done
}

// chosen is a session that runs some shakes, and passes over the others.
type chosen struct {
	engine.Session
	only   []string // nil: all
	steady bool     // no shake reaches the engine
}

func (c chosen) Run(ctx context.Context, v engine.Variant) (engine.Rows, error) {
	name := v.Shake.String()
	if c.only != nil && name != "nothing" && !slices.Contains(c.only, name) {
		return nil, skipped
	}
	if c.steady {
		v.Shake = engine.Shake{}
	}
	return c.Session.Run(ctx, v)
}

// skipped stands for a run that a test leaves out.
var skipped = &recount.Error{Code: recount.CodeWorker, What: "left out"}

// found lists the shakes that found something.
func found(done replay.Certified) (names []string) {
	for _, r := range done.Runs {
		if !r.Same && !strings.HasPrefix(r.Failed, skipped.What) {
			names = append(names, r.Varied)
		}
	}
	return names
}

// summary is the line that the test prints.
type summary struct {
	mu     sync.Mutex
	Bad    int `json:"bad"`
	Found  int `json:"found"`
	Good   int `json:"good"`
	Alarms int `json:"alarms"`
}

func (l *lab) allBad() (list []struct {
	bad
	logic recount.Logic
},
) {
	add := func(b bad, logic recount.Logic) {
		list = append(list, struct {
			bad
			logic recount.Logic
		}{b, logic})
	}
	for _, b := range badGo {
		add(b, l.goFold(b.name))
	}
	for _, b := range badRaw {
		add(b, l.python("bad.py", b.name))
	}
	for _, b := range badPackage {
		add(b, l.python("package.py", b.name))
	}
	for text, b := range badSQL {
		add(b, sql(text))
	}
	return list
}

// TestEveryBadWorkerIsFound also says that no good one is.
func TestEveryBadWorkerIsFound(t *testing.T) {
	l := newLab(t)
	var s summary
	t.Run("workers", func(t *testing.T) { // returns when all its tests have ended
		l.bad(t, &s)
		l.good(t, &s)
	})
	line, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(string(line))
}

func (l *lab) bad(t *testing.T, s *summary) {
	for _, b := range l.allBad() {
		s.Bad++
		t.Run(b.logic.Kind+"/"+b.name, func(t *testing.T) {
			t.Parallel()
			done := l.certify(t, l.plain, b.logic, b.by, false)
			names := found(done)
			hit := slices.ContainsFunc(names, func(name string) bool { return name == "nothing" && b.alone || slices.Contains(b.by, name) })
			if !hit {
				t.Fatalf("found by %v, want by one of %v (also by itself: %t)", names, b.by, b.alone)
			}
			for _, r := range done.Runs {
				if r.First != nil && (len(r.First.Key) != 1 || r.First.Column != "out" || r.First.Was == nil || r.First.Is == nil || *r.First.Was == *r.First.Is) {
					t.Errorf("%s: the first difference is %+v, want a key, the column out, and two values", r.Varied, *r.First)
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.Found++
		})
	}
}

func (l *lab) good(t *testing.T, s *summary) {
	check := func(input engine.Input, name string, logic recount.Logic) {
		s.Good++
		t.Run("good "+logic.Kind+"/"+name, func(t *testing.T) {
			t.Parallel()
			done := l.certify(t, input, logic, nil, false)
			if names := found(done); len(names) > 0 {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.Alarms++
				for _, r := range done.Runs {
					if !r.Same {
						t.Errorf("%s: %d rows differ, first %+v %s", r.Varied, r.Rows, r.First, r.Failed)
					}
				}
			}
		})
	}
	for _, name := range goodGo {
		check(l.plain, name, l.goFold(name))
	}
	for _, name := range goodRaw {
		check(l.plain, name, l.python("bad.py", name))
	}
	for _, name := range goodPackage {
		check(l.plain, name, l.python("package.py", name))
	}
	for _, name := range orderedGo {
		check(l.ordered, name, l.goFold(name))
	}
	for _, name := range orderedRaw {
		check(l.ordered, name, l.python("bad.py", name))
	}
	for name, text := range goodSQL {
		check(l.plain, name, sql(text))
	}
}

// TestWithoutShakesNoneIsFound is the fault that shows that the shakes find them:
// where nothing is varied, a worker that is not wild by itself looks well.
func TestWithoutShakesNoneIsFound(t *testing.T) {
	l := newLab(t)
	for _, b := range l.allBad() {
		if b.alone {
			continue
		}
		t.Run(b.logic.Kind+"/"+b.name, func(t *testing.T) {
			t.Parallel()
			if names := found(l.certify(t, l.plain, b.logic, []string{}, true)); len(names) > 0 {
				t.Errorf("found by %v, though nothing was varied", names)
			}
		})
	}
}
