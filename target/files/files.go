// Package files keeps live results in a CSV file with a header. A correction
// replaces the file as a whole, by one rename; every byte that is not part of a
// changed field stays. It is no spreadsheet: values are texts, nothing is
// trimmed or guessed. The ledger lies beside the file, in .recount; whoever
// comes after a crash finishes or drops what was begun, by the digest that the
// file has. Reading writes nothing.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/internal/refusal"
)

// name is the adapter's, in recount.yaml and in identities.
const name = "files"

func init() {
	adapter.Register(adapter.Declare(adapter.Target, name, "The live results lie in a CSV file with a header.", Open))
}

// Config is the block `files` of a target.
type Config struct {
	Path      string `json:"path" doc:"The CSV file, relative to the project folder; its first line names the columns."`
	Delimiter string `json:"delimiter" doc:"The character between two fields." default:","`
}

// Target is one CSV file. It is safe for concurrent use.
type Target struct {
	place     string // the path as configured: what a person types
	path      string // where the file is
	delimiter byte
	now       func() time.Time
	// before, where set, is called before each step of a commit; tests end the
	// process there.
	before func(step) error
}

// Open checks the block; it touches no file.
func Open(_ context.Context, env adapter.Env, config Config) (target.Target, error) {
	return open(env, config)
}

func open(env adapter.Env, config Config) (*Target, error) {
	fault := func(what, why, next string) error {
		return &recount.Error{Code: recount.CodeConfig, What: what, Where: "target: files:", Why: why, Next: next}
	}
	if strings.TrimSpace(config.Path) == "" {
		return nil, fault("the target names no file", "path: is empty", "write files: {path: existing_results.csv}")
	}
	if config.Delimiter == "" {
		config.Delimiter = ","
	}
	if len(config.Delimiter) != 1 || strings.ContainsAny(config.Delimiter, "\"\r\n\x00") || config.Delimiter[0] >= 0x80 {
		return nil, fault(fmt.Sprintf("delimiter %q cannot be used", config.Delimiter),
			"it has to be one ASCII character, and neither a quote nor a line end", `write delimiter: ";" or leave it out for a comma`)
	}
	if env.Table != "" && env.Table != config.Path {
		return nil, fault("a file has no second table", fmt.Sprintf("table: says %q, the file is %q", env.Table, config.Path),
			"leave table: out; the table's name is the path")
	}
	t := &Target{place: config.Path, path: config.Path, delimiter: config.Delimiter[0], now: env.Now}
	if !filepath.IsAbs(t.path) {
		t.path = filepath.Join(env.Dir, t.path)
	}
	return t, nil
}

// file returns the path of the file itself: where the configured one is a
// symbolic link, what it leads to, so that a correction replaces that and not
// the link, and all who correct it share one ledger.
func (t *Target) file() (string, error) {
	path, err := filepath.EvalSymlinks(t.path)
	if err != nil {
		return "", t.unreadable(err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", t.unreadable(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", t.unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return "", t.broken("it is no file, but a " + kindOf(info.Mode()))
	}
	return path, nil
}

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "folder"
	}
	return "device or pipe"
}

// Info describes the table.
func (t *Target) Info(ctx context.Context) (recount.TableInfo, error) {
	if err := ctx.Err(); err != nil {
		return recount.TableInfo{}, err
	}
	path, err := t.file()
	if err != nil {
		return recount.TableInfo{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return recount.TableInfo{}, t.unreadable(err)
	}
	defer closeQuietly(f)
	d, err := t.readHeader(f)
	if err != nil {
		return recount.TableInfo{}, err
	}
	l := t.ledger(path)
	uuid, err := l.uuid()
	if err != nil {
		return recount.TableInfo{}, err
	}
	entries, err := l.entries(ctx)
	if err != nil {
		return recount.TableInfo{}, err
	}
	return t.info(d, uuid, lastRun(entries))
}

// Runs lists the runs, newest first.
func (t *Target) Runs(ctx context.Context) ([]recount.Run, error) {
	path, err := t.file()
	if err != nil {
		return nil, err
	}
	entries, err := t.ledger(path).entries(ctx)
	if err != nil {
		return nil, err
	}
	return runs(entries), nil
}

// Undo lists a run's changes.
func (t *Target) Undo(ctx context.Context, run string, each func(recount.Change) error) error {
	path, err := t.file()
	if err != nil {
		return err
	}
	l := t.ledger(path)
	for try := 0; ; try++ {
		entries, err := l.entries(ctx)
		if err != nil {
			return err
		}
		found := find(entries, run)
		if found == nil {
			return refusal.NoRun(t.place, run, "the ledger beside the file has no such run")
		}
		err = l.readUndo(ctx, found.file, each)
		// The record may just have got its final name.
		if try > 0 || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// CanWrite says whether the file could be replaced.
func (t *Target) CanWrite(context.Context) (bool, error) {
	path, err := t.file()
	if err != nil {
		return false, err
	}
	return mayWrite(filepath.Dir(path)), nil
}

// Close has nothing to close.
func (t *Target) Close() error { return nil }

func closeQuietly(f *os.File) { _ = f.Close() } // of files that were only read
