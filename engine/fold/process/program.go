package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"recount"
)

// program is a worker's command as it is started: the program's own path, and
// what of this machine it reads besides the project's files.
type program struct {
	command []string
	read    []string
	env     []string
	name    string // as the configuration spells it
}

// isPython tells Python's interpreters, which are found by asking them: what
// stands in PATH may be a script that looks for the real one.
var isPython = regexp.MustCompile(`^python[0-9.]*$`)

// resolve finds the program of a worker.
func resolve(ctx context.Context, w recount.Worker) (program, error) {
	p := program{command: slices.Clone(w.Command), name: tidy(strings.Join(w.Command, " "))}
	if len(w.Command) == 0 {
		return p, errors.New("a worker without a command")
	}
	word := w.Command[0]
	path, err := find(w.Dir, word)
	if err != nil {
		return p, notStarted(p.name, err)
	}
	if slices.Contains(w.Files, filepath.Clean(word)) && !inVenv(path) {
		// A file of the project: it is copied with the others.
		p.command[0] = "./" + filepath.ToSlash(filepath.Clean(word))
		return p, nil
	}
	p.command[0] = path
	if !isPython.MatchString(filepath.Base(path)) {
		return p, nil
	}
	found, err := askPython(ctx, path)
	if ended := context.Cause(ctx); ended != nil {
		return p, ended
	}
	if err != nil {
		return p, notStarted(p.name, fmt.Errorf("%s is no Python that runs: %w", tidy(path), err))
	}
	p.command[0], p.read = found.Executable, found.Read
	if found.UserBase != "" {
		p.env = append(p.env, "PYTHONUSERBASE="+found.UserBase)
	}
	return p, nil
}

// find returns the path of a program: a path with a separator starts at the
// project's folder, all others are looked for in PATH.
func find(dir, word string) (string, error) {
	if !strings.ContainsRune(word, filepath.Separator) {
		path, err := exec.LookPath(word)
		if errors.Is(err, exec.ErrNotFound) {
			// A file of the project needs no ./ before it.
			if own := filepath.Join(dir, word); executable(own) == nil {
				return own, nil
			}
			return "", fmt.Errorf("there is no program %q in PATH", clip(word))
		}
		if err != nil {
			return "", fmt.Errorf("program %q: %w", clip(word), cause(err))
		}
		return filepath.Abs(path)
	}
	path := word
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if err := executable(path); err != nil {
		return "", fmt.Errorf("program %q: %w", clip(word), err)
	}
	return path, nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return cause(err)
	case info.IsDir():
		return errors.New("it is a folder")
	case info.Mode()&0o111 == 0:
		return errors.New("it is not executable")
	}
	return nil
}

// cause is an error without the path that the sentence around it names.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if e, ok := errors.AsType[*exec.Error](err); ok {
		return e.Err
	}
	return err
}

func notStarted(name string, err error) error {
	return &recount.Error{
		Code: recount.CodeWorker, What: "the worker cannot be started", Where: name, Why: err.Error(), Err: err,
		Next: "mend `command` in recount.yaml, or install the program that it names",
	}
}

// inVenv says that a program lies in a virtual environment of Python, which works
// at its own place alone.
func inVenv(path string) bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(path)), "pyvenv.cfg"))
	return err == nil
}

// python is where a Python interpreter and its packages lie.
type python struct {
	Executable string   `json:"executable"`
	Read       []string `json:"read"`
	UserBase   string   `json:"user_base"`
}

// pythonSays runs without the site's packages, so that none of their code runs
// out of the sandbox.
const pythonSays = `
import json, os, sys, sysconfig
read = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.dirname(os.path.realpath(sys.executable))}
read |= {p for p in sysconfig.get_paths().values()} | {p for p in sys.path if p}
venv = os.path.dirname(os.path.dirname(sys.executable))
if os.path.exists(os.path.join(venv, "pyvenv.cfg")):
    read.add(venv)
user = None
try:
    import site
    user = site.getuserbase()
    if os.path.isdir(site.getusersitepackages()):
        read.add(site.getusersitepackages())
    else:
        user = None
    read |= set(site.getsitepackages([sys.prefix, sys.base_prefix]))
except Exception:
    user = None
broad = {"/", "/usr", "/usr/local", "/usr/bin", "/usr/local/bin", "/bin", os.path.expanduser("~")}
print(json.dumps({"executable": sys.executable, "read": sorted(p for p in read if os.path.exists(p) and p not in broad), "user_base": user or ""}))
`

func askPython(ctx context.Context, path string) (python, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var p python
	out, err := exec.CommandContext(ctx, path, "-I", "-S", "-c", pythonSays).Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok && len(e.Stderr) > 0 {
			lines := &tail{}
			_, _ = lines.Write(e.Stderr)
			return p, fmt.Errorf("%w: %s", err, strings.Join(lines.lines(), "\n"))
		}
		return p, err
	}
	if err := json.Unmarshal(out, &p); err != nil || p.Executable == "" {
		return p, errors.New("it does not say where it lies")
	}
	return p, nil
}

// copyFiles copies the project's files that a worker reads into its own folder, so
// that it sees no other file of the project and changes none.
func copyFiles(w recount.Worker, dir string) error {
	for _, name := range w.Files {
		if inVenv(filepath.Join(w.Dir, name)) {
			continue
		}
		if err := copyFile(w.Dir, name, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("copy %q for the worker: %w", name, err)
		}
	}
	return nil
}

func copyFile(dir, name, to string) (err error) {
	if !filepath.IsLocal(name) {
		return errors.New("it leads out of the project")
	}
	in, err := os.Open(filepath.Join(dir, name)) //nolint:gosec // the configuration names it
	if err != nil {
		return cause(err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return cause(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm()|0o600) //nolint:gosec // in the worker's own folder
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
