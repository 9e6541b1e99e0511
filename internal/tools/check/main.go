// Command check does what a reviewer would ask for first: it looks whether
// generated pages are fresh, formats, lints, tests, and tests again with the
// race detector. It changes files only with -fix. .ci/run calls the same parts.
//
//	go run ./internal/tools/check              everything but the long parts
//	go run ./internal/tools/check -fix         format and renew generated pages
//	go run ./internal/tools/check lint race    these parts alone
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"

	"recount/internal/clock"
)

// linter is the one version that reads .golangci.yml; it comes from the Go
// module proxy.
const linter = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"

// part is one thing that is checked.
type part struct {
	name string
	text string
	long bool // runs only when named
	run  func(c check, ctx context.Context) error
}

var parts = []part{
	{name: "generate", text: "generated pages are fresh", run: check.generate},
	{name: "format", text: "gofumpt and goimports agree", run: check.format},
	{name: "vet", text: "go vet", run: check.vet},
	{name: "lint", text: "golangci-lint", run: check.lint},
	{name: "test", text: "go test ./...", run: check.test},
	{name: "race", text: "go test -race where there are goroutines", run: check.race},
	{name: "fuzz", text: "each fuzz target for a few seconds", long: true, run: check.fuzz},
}

// check is one run of the parts.
type check struct {
	out io.Writer
	fix bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1) //nolint:forbidigo // a program of its own
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	fix := flags.Bool("fix", false, "format files and renew generated pages")
	if err := flags.Parse(args); err != nil {
		return err
	}
	names := flags.Args()
	for _, name := range names {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	c := check{out: out, fix: *fix}
	var failed []string
	for _, p := range parts {
		if len(names) == 0 && p.long || len(names) > 0 && !slices.Contains(names, p.name) {
			continue
		}
		fmt.Fprintf(out, "== %s: %s\n", p.name, p.text)
		start := clock.System{}.Now()
		if err := p.run(c, ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = append(failed, p.name)
			fmt.Fprintf(out, "   %v\n", err)
		}
		fmt.Fprintf(out, "   %.0f s\n", clock.System{}.Now().Sub(start).Seconds())
	}
	if len(failed) > 0 {
		return errors.New("failed: " + strings.Join(failed, ", "))
	}
	return nil
}

// command runs a program with its output passed on.
func (c check) command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// lines runs the Go tool and returns the lines that it prints.
func lines(ctx context.Context, args ...string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out)), nil
}

// generated are the packages whose tests hold generated pages.
var generated = []string{"./internal/doctest", "./cmd/recount"}

func (c check) generate(ctx context.Context) error {
	args := append([]string{"test", "-run", "Stale"}, generated...)
	if c.fix {
		args = append(args, "-update")
	}
	return c.command(ctx, "go", args...)
}

func (c check) format(ctx context.Context) error {
	if c.fix {
		return c.command(ctx, "go", "run", linter, "fmt")
	}
	return c.command(ctx, "go", "run", linter, "fmt", "--diff")
}

func (c check) vet(ctx context.Context) error { return c.command(ctx, "go", "vet", "./...") }

func (c check) lint(ctx context.Context) error {
	return c.command(ctx, "go", "run", linter, "run", "./...")
}

func (c check) test(ctx context.Context) error { return c.command(ctx, "go", "test", "./...") }

// withoutRace are packages that the race detector has nothing to say of: they
// start no goroutine of their own, or only processes.
var withoutRace = []string{
	"recount/internal/tidy", "recount/internal/doctest", "recount/bench/", "recount/examples/", "recount/internal/tools/", "recount/internal/readers",
	"recount/internal/servertest/", "recount/internal/sim/archive", "recount/internal/badworkers", "recount/internal/sandbox",
	"recount/internal/solve", "recount/internal/guess", "recount/internal/diff", "recount/source/payload",
}

func (c check) race(ctx context.Context) error {
	all, err := lines(ctx, "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./...")
	if err != nil {
		return err
	}
	// Short: the part "test" has tried every seed; here each path has to run once.
	args := []string{"test", "-race", "-short", "-timeout", "30m"}
	for _, p := range all {
		if !slices.ContainsFunc(withoutRace, func(w string) bool { return strings.HasPrefix(p+"/", w) || p == w }) {
			args = append(args, p)
		}
	}
	return c.command(ctx, "go", args...)
}

// fuzzTime is enough to meet what a new parser gets wrong at once; long runs are
// started by hand.
const fuzzTime = "3s"

func (c check) fuzz(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "git", "grep", "-l", "--untracked", "-E", "^func Fuzz", "--", "*_test.go").Output()
	if err != nil {
		return fmt.Errorf("look for fuzz targets: %w", err)
	}
	var folders []string
	for file := range strings.FieldsSeq(string(out)) {
		folder := "."
		if i := strings.LastIndexByte(file, '/'); i >= 0 {
			folder = "./" + file[:i]
		}
		if !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	for _, folder := range folders {
		targets, err := lines(ctx, "test", "-list", "^Fuzz", folder)
		if err != nil {
			return err
		}
		for _, target := range targets {
			if !strings.HasPrefix(target, "Fuzz") {
				continue
			}
			if err := c.command(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+target+"$", "-fuzztime", fuzzTime, folder); err != nil {
				return err
			}
		}
	}
	return nil
}
