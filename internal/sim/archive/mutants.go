package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mutant is the archiver with one place of its source altered. It is built beside
// the source, by an overlay.
type mutant struct {
	name     string
	file     string // below the module's root
	old, new string
}

var mutants = []mutant{
	{"the disk does not sync a file", "store/disk/disk.go", "if err := f.Sync(); err != nil {", "if err := error(nil); err != nil {"},
	{"the disk does not sync the folder of a new name", "store/disk/disk.go", "if err := syncDir(root, path.Dir(name)); err != nil {\n\t\t// The name", "if err := error(nil); err != nil {\n\t\t// The name"},
	{"the disk does not sync the folder of a name that was there", "store/disk/disk.go", "func taken(root Folder, name string) error {\n\tif err := syncDir(root, path.Dir(name)); err != nil {", "func taken(root Folder, name string) error {\n\tif err := error(nil); err != nil {"},
	{"a folder that is there is taken for durable", "store/disk/dir.go", "if there && s.isDurable(full) {", "if there {"},
	{"an answer that was lost is taken for a yes", "internal/archive/put.go", "case readErr == nil && !errors.Is(putErr, recount.ErrUnknown):\n\t\t\treturn name, digest, nil", "case readErr == nil:\n\t\t\treturn name, digest, nil"},
	{"a commit's lost answer is taken for a yes", "internal/archive/put.go", "case readErr == nil && !errors.Is(putErr, recount.ErrUnknown):\n\t\t\treturn digest, nil", "case readErr == nil:\n\t\t\treturn digest, nil"},
	{"what is put is not read back", "internal/archive/put.go", "readErr := a.check(ctx, name, s.length(), digest)", "readErr := error(nil)"},
	{"another's commit is taken for one's own", "internal/archive/put.go", "case readErr == nil && !bytes.Equal(found, object):", "case false && !bytes.Equal(found, object):"},
	{"the source is told before the commit is put", "internal/archive/commit.go", "\tr.attempt = c\n\tdigest, err :=", "\tmaps.Copy(ch.cursor, c.Cursor)\n\t_ = r.acknowledge(ctx)\n\tr.attempt = c\n\tdigest, err :="},
	{"hours before 1970 are rounded up", "internal/archive/archive.go", "if micros%microsPerHour < 0 {", "if micros < 0 && false {"},
	{"what a commit names is taken for a leftover", "internal/archive/expire.go", "return !x.named[name] && x.now", "return x.now"},
	{"the log's cursor is not followed", "internal/archive/chain.go", "maps.Copy(ch.cursor, c.Cursor)", "ch.cursor = maps.Clone(c.Cursor)"},
}

// mutateAll builds and plays one mutant after the other.
func mutateAll(ctx context.Context, o options) (c caught, err error) {
	root, err := moduleRoot()
	if err != nil {
		return c, err
	}
	for _, m := range mutants {
		c.Faults++
		found, by, err := m.caught(ctx, root, o.seed)
		if err != nil {
			return c, fmt.Errorf("mutant: %s: %w", m.name, err)
		}
		if !found {
			say("altered and not found: %s", m.name)
			continue
		}
		c.Caught++
		say("altered and found: %s (%s)", m.name, by)
	}
	return c, nil
}

// moduleRoot is the folder of go.mod, at or above the working folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod is here or above: mutants are built from the source tree")
		}
		dir = parent
	}
}

// altered returns the file's text with its one place altered.
func (m mutant) altered(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%s has %d places like %q, not one", m.file, n, m.old)
	}
	return bytes.Replace(text, []byte(m.old), []byte(m.new), 1), nil
}

// caught builds this program with the altered file and plays scenarios until
// something is found.
func (m mutant) caught(ctx context.Context, root string, seed uint64) (found bool, by string, err error) {
	dir, err := os.MkdirTemp("", "recount-mutant-")
	if err != nil {
		return false, "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	text, err := m.altered(root)
	if err != nil {
		return false, "", err
	}
	program, copied, overlay := filepath.Join(dir, "sim"), filepath.Join(dir, "altered.go"), filepath.Join(dir, "overlay.json")
	table, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, m.file): copied}})
	if err != nil {
		return false, "", err
	}
	if err := errors.Join(os.WriteFile(copied, text, 0o600), os.WriteFile(overlay, table, 0o600)); err != nil {
		return false, "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./internal/sim/archive")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return false, "", fmt.Errorf("%w: %s", err, out)
	}
	for _, skim := range []bool{true, false} { // most are found without a crash, at once
		if found, by, err = playMutant(ctx, program, seed, skim); found || err != nil {
			return found, by, err
		}
	}
	return false, "", nil
}

// playMutant plays scenarios with an altered program until something is found.
func playMutant(ctx context.Context, program string, seed uint64, skim bool) (found bool, by string, err error) {
	var numbers strings.Builder
	for n := range scenariosOfAMutant {
		fmt.Fprintln(&numbers, n)
	}
	play := exec.CommandContext(ctx, program, "-worker", "-first", "-seed", fmt.Sprint(seed), fmt.Sprintf("-skim=%t", skim))
	play.Env = append(os.Environ(), "GOMAXPROCS=1")
	play.Stdin = strings.NewReader(numbers.String())
	out, err := play.StdoutPipe()
	if err != nil {
		return false, "", err
	}
	if err := play.Start(); err != nil {
		return false, "", err
	}
	answers := json.NewDecoder(out)
	for {
		var a answer
		if answers.Decode(&a) != nil {
			// A mutant may also be unable to archive at all, which is found by anybody.
			return play.Wait() != nil, "it does not work", nil //nolint:nilerr // its end tells
		}
		if a.Tally.any() {
			_ = play.Process.Kill()
			_ = play.Wait()
			return true, a.First, nil
		}
	}
}
