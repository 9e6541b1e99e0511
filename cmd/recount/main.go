// Command recount repairs wrong results of event-driven systems from archived
// events. It only gathers what the process offers and hands it to cli; it is the
// one place that ends the process.
package main

import (
	"context"
	"os"
	"os/signal"
	"os/user"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/term"

	"recount/adapter"
	_ "recount/adapters/all"
	"recount/cli"
	"recount/cli/views"
	"recount/engine/duckdb"
	"recount/internal/clock"
	"recount/internal/sandbox"
)

func main() {
	// The engine runs SQL in a process of its own: this program once more.
	if handled, exit := duckdb.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	// So is the place in which a worker runs.
	if handled, exit := sandbox.Child(os.Args[1:]...); handled {
		os.Exit(exit)
	}
	os.Exit(run())
}

// Garbage is collected late: a command lives for seconds, and rows that are
// compared stay. Past softLimit it is collected as always.
const (
	lateGC    = 400
	softLimit = 160 << 20
)

// run is main without the exit, so that tests can run the command.
func run() int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(lateGC)
		debug.SetMemoryLimit(softLimit)
	}
	dir, err := os.Getwd()
	if err != nil {
		// Absolute paths and -C still work.
		dir = "."
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// A pipe whose reader is gone gives an error instead of the end, so that an
	// apply whose receipt nobody reads ends well. Notify, not Ignore: children
	// would inherit the latter.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return cli.Main(context.Background(), os.Args[1:], cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Dir: dir, Getenv: os.LookupEnv,
		Terminal: terminal, Clock: clock.System{}, User: userName(), Registry: adapter.Default, Build: build(),
		Signals: signals, Exit: os.Exit,
	})
}

// terminal says whether a stream is a terminal, and its columns.
func terminal(stream any) (columns int, yes bool) {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, true
	}
	return columns, true
}

// userName is who asks, as ledger and plans record it.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	name, _ := os.LookupEnv("USER")
	return name
}

// build says which program this is, from what the Go tool recorded in it.
func build() views.Build {
	b := views.Build{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
