// Package command is the whole recount command, for programs that bring folds of
// their own:
//
//	func main() {
//		worker.Register("balances", balances)
//		command.Main()
//	}
//
// It only gathers what the process offers and hands it to cli, and is the one
// place that ends the process.
package command

import (
	"context"
	"io"
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
	"recount/engine/fold/gofold"
	"recount/internal/clock"
	"recount/internal/sandbox"
)

// Main is the command: it reads the program's arguments and ends the process. It is
// called at the end of main, after folds were registered, and nothing else in main
// may look at the arguments, standard input or standard output: the command starts
// the same program again for what is to run isolated.
func Main() {
	if handled, exit := Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	os.Exit(run())
}

// children are the second lives of a program, each of which says by its arguments
// and environment whether it is meant.
var children = []func(args []string, stdin io.Reader, stdout, stderr io.Writer) (handled bool, exit int){
	isolated,     // where workers run
	gofold.Child, // folds that the program was built with
	duckdb.Child, // SQL
}

// isolated is what the sandbox starts, before it is another program.
func isolated(args []string, _ io.Reader, _, _ io.Writer) (handled bool, exit int) {
	return sandbox.Child(args...)
}

// Child does what a parent of the same program asks for, if one does. Main calls
// it; TestMain of a program whose tests run the command does too, and exits with
// the code where it was handled.
func Child(args []string, stdin io.Reader, stdout, stderr io.Writer) (handled bool, exit int) {
	for _, child := range children {
		if handled, exit := child(args, stdin, stdout, stderr); handled {
			return true, exit
		}
	}
	return false, 0
}

// Garbage is collected late: a command lives for seconds, and rows that are
// compared stay. Past softLimit it is collected as always.
const (
	lateGC    = 400
	softLimit = 160 << 20
)

// run is Main without the exit.
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
