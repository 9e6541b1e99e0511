package workertest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/worker"
	"recount/worker/workertest"
)

type visit struct {
	Page string
	Pays worker.Decimal `recount:"pays,zero"`
	At   time.Time      `recount:"time"`
}

type visits struct {
	Pages map[string]int
	Sum   worker.Decimal
}

type total struct {
	Day   time.Time      `recount:"day,date"`
	Pages int            // how many
	Sum   worker.Decimal `recount:"sum,decimal(10,2)"`
}

var fold = worker.Fold[visits, visit, total]{
	Start: func(*worker.Context) visits { return visits{Pages: map[string]int{}} },
	Step: func(c *worker.Context, s *visits, v *visit) error {
		if v.Page == "" {
			return fmt.Errorf("a visit of no page at %s", v.At.Format(time.TimeOnly))
		}
		s.Pages[v.Page]++
		s.Sum = s.Sum.Add(v.Pays)
		if s.Pages[v.Page] == 2 {
			c.Effect("coupon", v.Page, map[string]any{"visits": 2, "by": c.Key()[0].Text})
		}
		return nil
	},
	Rows: func(c *worker.Context, s *visits, emit func(total)) {
		emit(total{Day: c.Bucket(), Pages: len(s.Pages), Sum: s.Sum})
	},
}

var stream = workertest.Stream{
	By:     []string{"user"},
	Fields: map[string]string{"user": "string", "page": "string", "pays": "decimal(10,2)"},
	Bucket: recount.Bucket{Size: 24 * time.Hour},
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

var events = []workertest.Event{
	{"id": "a", "user": "ann", "page": "home", "pays": "1.50", "time": at("2024-06-10T12:00:00Z")},
	{"id": "b", "user": "bob", "page": "home", "pays": 2, "time": "2024-06-10T12:00:00Z"},
	{"id": "c", "user": "ann", "page": "shop", "time": "2024-06-10T23:59:59Z"},
	{"id": "d", "user": "ann", "page": "home", "time": "2024-06-11T00:00:00Z"},
	{"user": "bob", "page": "", "time": "2024-06-12T00:00:00Z"},
	{"user": "bob", "page": "home", "pays": worker.MustDecimal("0.25"), "time": "2024-06-10T12:00:01Z"},
}

func TestReplay(t *testing.T) {
	got := workertest.Replay(t, fold, stream, events)
	const want = `user,day,pages,sum
ann,2024-06-10,2,1.50
ann,2024-06-11,1,0.00
bob,2024-06-10,1,2.25
effect coupon home at event 6: {"by":"bob","visits":2}
left out bob at event 5: a visit of no page at 00:00:00
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(got.States) != 3 || !strings.HasSuffix(got.States[0].Text, ` {"Pages":{"home":1,"shop":1},"Sum":"1.50"}`) {
		t.Errorf("states: got %v", got.States)
	}
}

func TestRecordedEventsGiveTheGoldenRows(t *testing.T) {
	lines := workertest.Read(t, "testdata/visits.jsonl")
	workertest.Golden(t, "testdata/visits.golden", workertest.Replay(t, fold, stream, lines))
	workertest.Golden(t, "testdata/visits.golden", workertest.Replay(t, fold, stream, workertest.Read(t, "testdata/visits.csv")))
}

// heard is a testing.TB that remembers what failed.
type heard struct {
	testing.TB
	text []string
}

func (h *heard) Helper() {}
func (h *heard) Errorf(format string, args ...any) {
	h.text = append(h.text, fmt.Sprintf(format, args...))
}

func (h *heard) Fatalf(format string, args ...any) {
	h.Errorf(format, args...)
	runtime.Goexit()
}

// fails runs f with a testing.TB and returns what failed.
func fails(t *testing.T, f func(tb testing.TB)) string {
	t.Helper()
	h, done := &heard{TB: t}, make(chan struct{})
	go func() {
		defer close(done)
		f(h)
	}()
	<-done
	return strings.Join(h.text, "\n")
}

type bag struct{ Items map[string]bool }

type item struct{ Page string }

type list struct{ Pages string }

func badFold(step func(*worker.Context, *bag, *item), rows func(*worker.Context, *bag) string) worker.Fold[bag, item, list] {
	return worker.Fold[bag, item, list]{
		Start: func(*worker.Context) bag { return bag{Items: map[string]bool{}} },
		Step:  func(c *worker.Context, s *bag, e *item) error { step(c, s, e); return nil },
		Rows:  func(c *worker.Context, s *bag, emit func(list)) { emit(list{Pages: rows(c, s)}) },
	}
}

func TestFoldsThatDependOnSomethingElseAreFound(t *testing.T) {
	keep := func(_ *worker.Context, s *bag, e *item) { s.Items[e.Page] = true }
	var calls int
	var before *item
	for name, f := range map[string]worker.Fold[bag, item, list]{
		"map order": badFold(keep, func(_ *worker.Context, s *bag) (pages string) {
			for p := range s.Items {
				pages += p
			}
			return pages
		}),
		"a count of its own": badFold(keep, func(*worker.Context, *bag) string { calls++; return fmt.Sprint(calls) }),
		"chance":             badFold(keep, func(c *worker.Context, _ *bag) string { return fmt.Sprint(c.Rand().IntN(1 << 30)) }),
		"rows that change the state": badFold(keep, func(_ *worker.Context, s *bag) string {
			s.Items[fmt.Sprint(len(s.Items))] = true
			return fmt.Sprint(len(s.Items))
		}),
		"an event that is kept": badFold(func(_ *worker.Context, s *bag, e *item) {
			if before != nil {
				s.Items["after "+before.Page] = true
			}
			before = e
		}, func(_ *worker.Context, s *bag) string { return fmt.Sprint(len(s.Items)) }),
	} {
		said := fails(t, func(tb testing.TB) { workertest.Replay(tb, f, stream, events) })
		if !strings.Contains(said, "not deterministic") || !strings.Contains(said, "column pages of row") && !strings.Contains(said, "state of key") {
			t.Errorf("%s: got %q", name, said)
		}
	}
}

func TestWhatIsWrongInATestIsSaid(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	replay := func(s workertest.Stream, events ...workertest.Event) func(tb testing.TB) {
		return func(tb testing.TB) { workertest.Replay(tb, fold, s, events) }
	}
	for _, c := range []struct {
		want string
		run  func(tb testing.TB)
	}{
		{`event 1: it has a column "pge", which the stream does not declare`, replay(stream, workertest.Event{"pge": "x"})},
		{`event 1: pays: "a" is no decimal`, replay(stream, workertest.Event{"pays": "a"})},
		{`event 1: it has no time, so that its bucket is not known`, replay(stream, workertest.Event{"user": "ann"})},
		{`field user: unknown type "text"`, replay(workertest.Stream{Fields: map[string]string{"user": "text"}})},
		{`the source has no field page`, replay(workertest.Stream{Fields: map[string]string{"user": "string"}})},
		{`".txt" is neither .jsonl nor .csv`, func(tb testing.TB) { workertest.Read(tb, file("a.txt", "")) }},
		{`event 2: unexpected EOF`, func(tb testing.TB) { workertest.Read(tb, file("a.jsonl", "{}\n{")) }},
		{`RECOUNT_UPDATE=1 go test writes it`, func(tb testing.TB) { workertest.Golden(tb, filepath.Join(dir, "none"), workertest.Result{}) }},
		{`a.golden:1: got "", want "x"`, func(tb testing.TB) { workertest.Golden(tb, file("a.golden", "x"), workertest.Result{}) }},
	} {
		if said := fails(t, c.run); !strings.Contains(said, c.want) {
			t.Errorf("got %q, want %q in it", said, c.want)
		}
	}
}
