// Command incidents plays random incidents through the product: random histories
// of events, faults of a worker, edits by other people and live traffic. A naive
// oracle, which goes through events one by one, says what must become of every
// row; a right row that is made wrong is a wrong write, and there must be none.
//
// Many histories, each with keys and events of its own, share one project, since
// a plan costs a second however many rows it has.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	_ "modernc.org/sqlite"

	"recount/adapter"
	_ "recount/adapters/all"
)

func main() {
	// The engines run logic in processes of their own: this program once more.
	if handled, exit := child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	s := sim{registry: adapter.Default, say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	flag.IntVar(&s.histories, "histories", 20_000, "histories to play")
	flag.Uint64Var(&s.seed, "seed", 1, "the seed that all is drawn from")
	flag.IntVar(&s.perBatch, "of", 300, "histories of one project")
	flag.IntVar(&s.batch, "batch", -1, "play this batch alone")
	flag.IntVar(&s.history, "history", -1, "play this history of the batch alone")
	flag.BoolVar(&s.folds, "folds", false, "let folds of this program be the logic, where SQL is not needed")
	flag.IntVar(&s.apart, "apart", 20, "with -folds, one in so many batches runs its folds in processes of their own; 0: none")
	flag.StringVar(&s.keep, "keep", "", "folder in which the last project is left behind")
	dsn := flag.String("postgres", "", "play on this empty PostgreSQL database instead of on SQLite files; one batch, with -batch")
	flag.Parse()
	if *dsn != "" {
		s.dsn = func() string { return *dsn }
	}
	began := time.Now()
	t, err := s.run(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim/incidents:", err)
		os.Exit(1)
	}
	fmt.Print(t.summary())
	line, err := json.Marshal(struct {
		Sim string `json:"sim"`
		tally
		Seed    uint64  `json:"seed"`
		Seconds float64 `json:"seconds"`
		Cores   int     `json:"cores"`
	}{"incidents", t, s.seed, time.Since(began).Round(time.Second / 10).Seconds(), runtime.NumCPU()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim/incidents:", err)
		os.Exit(1)
	}
	fmt.Println(string(line))
	if !t.sound() {
		os.Exit(1)
	}
}
