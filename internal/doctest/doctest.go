// Package doctest runs the console blocks of Markdown pages and compares what
// comes out with what the page says, so that no page shows what is not so. It
// builds nothing: the commands of a page are found by PATH.
//
// A block begins with ```console. A line that begins with "$ " is a command for
// sh; one that ends in a backslash goes on in the next. The lines after it are
// its output, standard error included, as a terminal shows them; a command that
// fails is followed by a line such as "(exit 13)". All blocks of a page share one
// fresh folder. Comments before a block steer it:
//
//	<!-- doctest: dir=examples/seed -->   a new folder with a copy of that one
//	<!-- doctest: skip=why it cannot run --> the next block is not run
//	<!-- doctest: needs=node -->          nor any block of the page from here on, where there is no such program
//
// In expected output a line "..." stands for any lines, and "..." inside of a
// line for any text. What differs from run to run is compared by its form alone:
// hexadecimal ids of seven digits or more, durations such as 1.2 s and 31 ms,
// and times within two days of now.
package doctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/internal/clock"
)

// Options say how pages are run.
type Options struct {
	// Root is the top of the tree: dir= starts there.
	Root string
	// Env is added to a small environment of our own.
	Env []string
	// Update rewrites the output of commands that came out otherwise.
	Update bool
	Clock  clock.Clock
}

// commandTimeout is far above what a page's command may take.
const commandTimeout = 2 * time.Minute

// Check runs the blocks of each page, a path below Root, as a subtest.
func Check(t *testing.T, opts Options, pages ...string) {
	t.Helper()
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			file := filepath.Join(opts.Root, filepath.FromSlash(page))
			text, err := os.ReadFile(file) //nolint:gosec // a page of the tree
			if err != nil {
				t.Fatal(err)
			}
			doc, err := Parse(string(text))
			if err != nil {
				t.Fatalf("%s: %v", page, err)
			}
			r := run{t: t, opts: opts, page: page}
			for i := range doc.Blocks {
				r.block(&doc.Blocks[i])
			}
			if opts.Update && doc.String() != string(text) {
				if err := os.WriteFile(file, []byte(doc.String()), 0o644); err != nil { //nolint:gosec // pages are read by all
					t.Fatal(err)
				}
			}
		})
	}
}

// run is one page's run.
type run struct {
	t    *testing.T
	opts Options
	page string
	dir  string // made when the first block needs it
}

func (r *run) block(b *Block) {
	if b.Skip != "" {
		r.t.Logf("%s:%d: not run: %s", r.page, b.Line, b.Skip)
		return
	}
	if b.Needs != "" {
		if _, err := exec.LookPath(b.Needs); err != nil {
			r.t.Skipf("%s:%d: not run from here on: there is no %s in PATH", r.page, b.Line, b.Needs)
		}
	}
	if b.Dir != "" || r.dir == "" {
		r.dir = r.t.TempDir()
	}
	if b.Dir != "" {
		if err := os.CopyFS(r.dir, os.DirFS(filepath.Join(r.opts.Root, filepath.FromSlash(b.Dir)))); err != nil {
			r.t.Fatalf("%s:%d: copy %s: %v", r.page, b.Line, b.Dir, err)
		}
	}
	for i := range b.Commands {
		c := &b.Commands[i]
		got := r.command(c)
		if r.t.Failed() && got == nil {
			return
		}
		if Match(c.Output, got, r.opts.Clock.Now()) {
			continue
		}
		if r.opts.Update {
			c.Output = got
			continue
		}
		r.t.Errorf("%s:%d: $ %s\n%s", r.page, c.Line, c.Text, Diff(c.Output, got, r.opts.Clock.Now()))
	}
}

// command runs one command and returns its lines, or nil after a failure of the
// test itself.
func (r *run) command(c *Command) []string {
	ctx, cancel := context.WithTimeout(r.t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", c.Text) //nolint:gosec // the pages are ours
	cmd.Dir = r.dir
	cmd.WaitDelay = time.Second
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + os.TempDir(), "TZ=UTC", "LC_ALL=C.UTF-8",
		"NO_COLOR=1", "COLUMNS=100", "TERM=dumb", "USER=you", "PWD=" + r.dir,
	}, r.opts.Env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	lines := splitLines(out.String())
	var exit *exec.ExitError
	switch {
	case err == nil:
	case ctx.Err() != nil:
		r.t.Errorf("%s:%d: $ %s: did not end in %s; so far:\n%s", r.page, c.Line, c.Text, commandTimeout, out.String())
		return nil
	case errors.As(err, &exit):
		lines = append(lines, fmt.Sprintf("(exit %d)", exit.ExitCode()))
	default:
		r.t.Errorf("%s:%d: $ %s: %v", r.page, c.Line, c.Text, err)
		return nil
	}
	return lines
}

// splitLines drops spaces at the ends of lines and empty lines at the end.
func splitLines(s string) []string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
