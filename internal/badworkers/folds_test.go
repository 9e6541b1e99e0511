package badworkers

import (
	crand "crypto/rand"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"recount/worker"
)

// happening is an event as the Go folds see it.
type happening struct {
	ID     string
	Value  worker.Decimal
	Weight float64
	Tag    string
	At     time.Time `recount:"time"`
}

type history struct {
	Events []happening
	Drawn  string
}

type row struct{ Out string }

// folds are the Go folds by name: each makes a row of a key's events.
var folds = map[string]func(c *worker.Context, h *history) string{
	"clock":     func(*worker.Context, *history) string { return time.Now().Format(time.RFC3339Nano) },
	"clock_day": func(*worker.Context, *history) string { return time.Now().UTC().Format(time.DateOnly) },
	"random":    func(*worker.Context, *history) string { return strconv.Itoa(rand.Int()) },
	"crypto":    func(*worker.Context, *history) string { return crand.Text() },
	"map_order": func(_ *worker.Context, h *history) string {
		return strings.Join(slices.Collect(maps.Keys(h.tags())), ",")
	},
	"map_sum":    func(_ *worker.Context, h *history) string { return h.sumOfMap() },
	"select":     func(_ *worker.Context, h *history) string { return h.selected() },
	"race":       func(_ *worker.Context, h *history) string { return h.raced() },
	"address":    func(_ *worker.Context, h *history) string { return fmt.Sprintf("%p", h) },
	"hostname":   func(*worker.Context, *history) string { name, err := os.Hostname(); return fmt.Sprint(name, err) },
	"pid":        func(*worker.Context, *history) string { return strconv.Itoa(os.Getpid()) },
	"env":        func(*worker.Context, *history) string { return os.Getenv("USER") },
	"folder":     func(*worker.Context, *history) string { dir, err := os.Getwd(); return fmt.Sprint(dir, err) },
	"temporary":  func(*worker.Context, *history) string { return temporary() },
	"local_hour": func(_ *worker.Context, h *history) string { return h.Events[0].At.Local().Format("15:04") },
	"processors": func(*worker.Context, *history) string { return strconv.Itoa(runtime.NumCPU()) },
	"gomaxprocs": func(_ *worker.Context, h *history) string { return h.dealtOut(runtime.GOMAXPROCS(0)) },
	"leak":       func(*worker.Context, *history) string { leaked++; return strconv.Itoa(leaked) },
	"last_tag":   func(_ *worker.Context, h *history) string { last := lastTag; lastTag = h.Events[0].Tag; return last },
	"collector":  func(*worker.Context, *history) string { return collected() },
	"finalizer":  func(*worker.Context, *history) string { return finalized() },
	"mtime":      func(*worker.Context, *history) string { return mtime() },
	"own_file":   func(*worker.Context, *history) string { return counted() },
	"log_order":  func(_ *worker.Context, h *history) string { return h.Events[len(h.Events)-1].ID },
	"float_sum":  func(_ *worker.Context, h *history) string { return h.sum() },
	"drawn":      func(_ *worker.Context, h *history) string { return h.Drawn },

	"good_total": func(_ *worker.Context, h *history) string { return h.total() },
	"good_now":   func(c *worker.Context, h *history) string { return c.Now().Format(time.RFC3339Nano) + h.Events[0].ID },
	"good_sorted": func(_ *worker.Context, h *history) string {
		return strings.Join(slices.Sorted(maps.Keys(h.tags())), ",")
	},
	"good_chance":  func(c *worker.Context, _ *history) string { return ownChance(c) },
	"good_workers": func(_ *worker.Context, h *history) string { return h.inOrder() },
	"good_utc":     func(_ *worker.Context, h *history) string { return h.Events[0].At.UTC().Format(time.DateOnly) },
	"good_order":   func(_ *worker.Context, h *history) string { return h.sum() + h.Events[len(h.Events)-1].ID },
}

func init() {
	for name, out := range folds {
		worker.Register(name, worker.Fold[history, happening, row]{
			Step: func(c *worker.Context, h *history, e *happening) error {
				h.Events = append(h.Events, *e)
				if name == "drawn" {
					h.Drawn = strconv.Itoa(c.Rand().IntN(1 << 30))
				}
				return nil
			},
			Rows: func(c *worker.Context, h *history, emit func(row)) { emit(row{out(c, h)}) },
		})
	}
}

func (h *history) tags() map[string]int {
	tags := map[string]int{}
	for _, e := range h.Events {
		tags[e.Tag]++
	}
	return tags
}

func (h *history) sum() string {
	sum := 0.0
	for _, e := range h.Events {
		sum += e.Weight
	}
	return strconv.FormatFloat(sum, 'g', -1, 64)
}

func (h *history) total() string {
	var total worker.Decimal
	for _, e := range h.Events {
		total = total.Add(e.Value)
	}
	return total.String()
}

// sumOfMap adds doubles in the order of a map.
func (h *history) sumOfMap() string {
	byID := map[string]float64{}
	for _, e := range h.Events {
		byID[e.ID] = e.Weight
	}
	sum := 0.0
	for _, w := range byID {
		sum += w
	}
	return strconv.FormatFloat(sum, 'g', -1, 64)
}

func (h *history) selected() string {
	var out []string
	for range h.Events {
		a, b := make(chan string, 1), make(chan string, 1)
		a <- "a"
		b <- "b"
		select {
		case s := <-a:
			out = append(out, s)
		case s := <-b:
			out = append(out, s)
		}
	}
	return strings.Join(out, "")
}

// raced lists results in the order in which goroutines come to them.
func (h *history) raced() string {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var out []string
	for range 8 {
		for _, e := range h.Events {
			wg.Go(func() {
				for range len(e.ID) {
					runtime.Gosched()
				}
				mu.Lock()
				defer mu.Unlock()
				out = append(out, e.ID)
			})
		}
	}
	wg.Wait()
	return strings.Join(out, ",")
}

// inOrder does the same and puts each result where it belongs.
func (h *history) inOrder() string {
	out := make([]string, len(h.Events))
	var wg sync.WaitGroup
	for i, e := range h.Events {
		wg.Go(func() {
			out[i] = e.Tag + e.Value.String()
		})
	}
	wg.Wait()
	slices.Sort(out)
	return strings.Join(out, ",")
}

// dealtOut adds doubles up in n shares.
func (h *history) dealtOut(n int) string {
	sums := make([]float64, n)
	for i, e := range h.Events {
		sums[i%n] += e.Weight
	}
	sum := 0.0
	for _, s := range sums {
		sum += s
	}
	return strconv.FormatFloat(sum, 'g', -1, 64)
}

// What leaks from key to key. A fold runs on several threads at once.
var (
	leaked  int
	lastTag string
)

func temporary() string {
	f, err := os.CreateTemp("", "name")
	if err != nil {
		return err.Error()
	}
	_ = f.Close()
	return filepath.Base(f.Name())
}

func collected() string {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprint(m.HeapAlloc, m.Mallocs)
}

var ended = make(chan int, 1<<16)

func finalized() string {
	for i := range 64 {
		garbage := make([]byte, 1<<16)
		runtime.AddCleanup(&garbage[0], func(n int) { ended <- n }, i)
	}
	runtime.GC()
	return strconv.Itoa(len(ended))
}

func mtime() string {
	info, err := os.Stat(".")
	if err != nil {
		return err.Error()
	}
	return info.ModTime().Format(time.RFC3339Nano)
}

var fileMu sync.Mutex

// counted counts keys in a file of its own.
func counted() string {
	fileMu.Lock()
	defer fileMu.Unlock()
	text, _ := os.ReadFile("count")
	if err := os.WriteFile("count", append(text, 'x'), 0o600); err != nil {
		return err.Error()
	}
	return strconv.Itoa(len(text))
}

// ownChance draws from a seed that is the key.
func ownChance(c *worker.Context) string {
	h := fnv.New64a()
	for _, v := range c.Key() {
		_, _ = h.Write([]byte(v.Text))
	}
	return strconv.Itoa(rand.New(rand.NewPCG(h.Sum64(), 1)).IntN(1000)) //nolint:gosec // numbers that come again are the point
}
