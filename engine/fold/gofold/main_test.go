package gofold_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"recount"
	"recount/engine/duckdb"
	"recount/engine/enginetest/meanings"
	"recount/engine/fold/gofold"
	"recount/internal/sandbox"
	"recount/worker"
)

// TestMain lets the test binary be what folds run in.
func TestMain(m *testing.M) {
	if handled, exit := sandbox.Child(os.Args[1:]...); handled {
		os.Exit(exit)
	}
	if handled, exit := duckdb.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	registerAll()
	registerMisbehaving()
	meanings.Register()
	gofold.RunTests(m)
}

type order struct {
	Value worker.Decimal
	Type  string
	At    time.Time `recount:"time"`
}

type sum struct {
	Total worker.Decimal
	N     int
	Trace []string
}

type totals struct {
	Total worker.Decimal `recount:"total,decimal(38,2)"`
	N     int
}

// registerAll registers one good fold and those that go wrong at the event whose
// type says so.
func registerAll() {
	var kept []byte
	worker.Register("orders", worker.Fold[sum, order, totals]{
		Step: func(c *worker.Context, s *sum, o *order) error {
			s.Total, s.N = s.Total.Add(o.Value), s.N+1
			switch o.Type {
			case "error":
				return errors.New("an event that is refused")
			case "panic":
				var none map[string]int
				none[o.Type]++ //nolint:staticcheck // it panics: that is what it is for
			case "overflow":
				s.Total = worker.MustDecimal(strings.Repeat("9", 38)).Add(worker.NewDecimal(1, 0))
			case "exit":
				fmt.Fprintln(os.Stderr, "these are the last words")
				syscall.Exit(7) // as os.Exit does
			case "fatal": // a panic that no step can catch
				go func() { panic("in another goroutine") }()
				<-make(chan struct{}) // the fold does not go on meanwhile
			case "print":
				fmt.Fprintln(os.Stdout, "{\"result\":{}}")
			case "hang":
				<-make(chan struct{})
			case "loop":
				for n := 0; n >= 0; n &= 1 {
				}
			case "memory":
				for {
					kept = append(kept, make([]byte, 64<<20)...)
					for i := 0; i < len(kept); i += 4096 {
						kept[i] = 1
					}
				}
			case "mail":
				c.Effect("mail", o.Value.String(), map[string]any{"n": s.N})
			}
			return nil
		},
		Rows: func(_ *worker.Context, s *sum, emit func(totals)) { emit(totals{Total: s.Total, N: s.N}) },
	})
	// What a worker may ask of its place, as a row.
	type asked struct{ Answer string }
	worker.Register("place", worker.Fold[sum, order, asked]{
		Step: func(*worker.Context, *sum, *order) error { return nil },
		Rows: func(c *worker.Context, _ *sum, emit func(asked)) {
			secret := os.Getenv("RECOUNT_TEST_SECRET")
			emit(asked{Answer: fmt.Sprint(os.Getenv("TZ"), " ", os.Getenv("LANG"), " ", os.Getenv("HOSTNAME"), " ", os.Getenv("GOMAXPROCS"), " ", c.Rand().IntN(1000), secret)})
		},
	})
}

func text(values []recount.Value) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, v.String())
	}
	return strings.Join(parts, ",")
}
