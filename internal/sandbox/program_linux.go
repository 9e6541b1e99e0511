//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is what is executed in the end: no script, but its interpreter.
type program struct {
	path string // as it was named, absolute
	args []string
	runs []string // the real files that are executed: the program and its loader
	dir  string   // the real folder that it may write
}

// mostScripts is how many scripts may be the interpreter of one another.
const mostScripts = 4

// findProgram finds what the command runs, and makes it visible.
func findProgram(s Spec, v *view) (program, error) {
	args := slices.Clone(s.Command)
	if len(args) == 0 || args[0] == "" {
		return program{}, errors.New("start a worker: its command is empty")
	}
	for range mostScripts {
		path, err := lookPath(args[0], s.Dir)
		if err != nil {
			return program{}, fmt.Errorf("start %s: %w", args[0], err)
		}
		head, err := headOf(path)
		if err != nil {
			return program{}, fmt.Errorf("start %s: %w", args[0], err)
		}
		if !bytes.HasPrefix(head, []byte("#!")) {
			p := program{path: path, args: seeded(args, s.Seed)}
			return p, p.show(v)
		}
		if _, err := v.add(path, mayRead); err != nil {
			return program{}, fmt.Errorf("start %s: %w", args[0], err)
		}
		by := interpreter(head)
		if len(by) == 0 {
			return program{}, fmt.Errorf("start %s: its first line names no interpreter", args[0])
		}
		args = slices.Concat(by, []string{path}, args[1:])
	}
	return program{}, fmt.Errorf("start %s: its interpreter is a script of a script", s.Command[0])
}

// seeded gives a program its seed where that has to be told: Node's Math.random
// begins with what the processor's own counter says.
func seeded(args []string, seed uint64) []string {
	if name := filepath.Base(args[0]); name != "node" && name != "nodejs" {
		return args
	}
	const positive = 1<<31 - 1
	return slices.Insert(slices.Clone(args), 1, fmt.Sprintf("--random-seed=%d", seed&positive|1))
}

func lookPath(name, dir string) (string, error) {
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		return filepath.Abs(filepath.Join(dir, name))
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	return behindShim(path), nil
}

// behindShim asks a version manager which program its shim, a script that starts
// it, would start. Any other path is returned as it is.
func behindShim(path string) string {
	shims, name := filepath.Split(path)
	if filepath.Base(shims) != "shims" {
		return path
	}
	home := filepath.Dir(filepath.Clean(shims))
	for _, manager := range []string{"pyenv", "nodenv", "rbenv", "asdf"} {
		for _, by := range []string{filepath.Join(home, "bin", manager), filepath.Join(home, "libexec", manager)} {
			//nolint:noctx // it reads a few small files
			said, err := exec.Command(by, "which", name).Output()
			if found := strings.TrimSpace(string(said)); err == nil && filepath.IsAbs(found) {
				return found
			}
		}
	}
	return path
}

// headOf returns the start of a file, its first line if it is a script.
func headOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	head := make([]byte, 4<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:n], nil
}

// interpreter reads a script's first line. The program env, which only looks for
// another one, is left out.
func interpreter(head []byte) []string {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	by := strings.Fields(string(line))
	if len(by) == 0 || filepath.Base(by[0]) != "env" {
		return by
	}
	by = by[1:]
	if len(by) > 0 && by[0] == "-S" {
		by = by[1:]
	}
	return by
}

// show makes the program visible, with its loader and what is installed beside
// it.
func (p *program) show(v *view) error {
	real, err := v.add(p.path, mayRun)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.path, err)
	}
	p.runs = []string{real}
	for _, path := range []string{p.path, real} {
		for _, beside := range installed(path) {
			if err := v.addIf(beside); err != nil {
				return err
			}
		}
	}
	loader, err := loaderOf(real)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.path, err)
	}
	if loader == "" {
		return nil
	}
	if loader, err = v.add(loader, mayRun); err != nil {
		return fmt.Errorf("start %s: its loader: %w", p.path, err)
	}
	p.runs = append(p.runs, loader)
	return nil
}

// installed lists where a program that was installed in a folder of its own, such
// as a Python or its virtual environment, has its libraries.
func installed(path string) []string {
	bin := filepath.Dir(path)
	prefix := filepath.Dir(bin)
	if filepath.Base(bin) != "bin" || slices.Contains([]string{"/", "/usr", "/usr/local"}, prefix) {
		return nil
	}
	var list []string
	for _, name := range []string{"lib", "lib64", "libexec", "share", "pyvenv.cfg"} {
		list = append(list, filepath.Join(prefix, name))
	}
	return list
}

// loaderOf returns the loader that an executable names; none if it is static.
func loaderOf(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	for _, part := range f.Progs {
		if part.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(part.Open())
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(name), "\x00"), nil
	}
	return "", nil
}
