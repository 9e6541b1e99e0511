package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

// defaultWorkerTimeout is how long a worker may take for one answer where nobody
// says otherwise.
const defaultWorkerTimeout = time.Minute

// worker reads how a process is started. Its digest is over the command, and the
// name and content of each file of the project that the command or files names.
func (l *loader) worker(v value) (recount.Logic, bool) {
	found := v.block(workerBlock, false)
	if found == nil {
		return recount.Logic{}, false
	}
	w := &recount.Worker{Timeout: defaultWorkerTimeout}
	var err error
	if w.Dir, err = filepath.Abs(l.project.Dir); err != nil {
		v.problem("%v", cause(err))
		return recount.Logic{}, false
	}
	before := len(v.r.problems)
	if command, ok := found["command"]; ok {
		for _, item := range command.items() {
			if word, ok := item.word(); ok {
				w.Command = append(w.Command, word)
			}
		}
		if len(w.Command) == 0 && len(v.r.problems) == before {
			command.problem("it names no program")
		}
	}
	if d, ok := found["timeout"]; ok {
		if w.Timeout, ok = d.duration(); ok && w.Timeout <= 0 {
			d.problem("it must be longer than 0")
		}
	}
	if m, ok := found["memory"]; ok {
		if text, shown, ok := m.text(); ok {
			n, err := recount.ParseSize(text)
			if err != nil {
				m.problem("%q: %v", clip(shown), err)
			}
			w.MemoryMiB = int(n >> 20)
		}
	}
	if w.Files, err = l.workerFiles(w.Command, found); err != nil {
		v.r.problemAs(recount.CodeLogicFile, "write the worker's files, or mend the paths", v.at(), "%s: %v", v.path, err)
	}
	if len(v.r.problems) > before {
		return recount.Logic{}, false
	}
	digest, err := workerDigest(*w)
	if err != nil {
		v.r.problemAs(recount.CodeLogicFile, "write the worker's files, or mend the paths", v.at(), "%s: %v", v.path, err)
		return recount.Logic{}, false
	}
	name := w.Command[0]
	if len(w.Files) > 0 {
		name = w.Files[0]
	}
	return recount.Logic{Kind: recount.LogicWorker, Path: name, Digest: digest, Worker: w}, true
}

// workerFiles lists the files of the project that the command names, then those
// of the patterns, in byte order, each once.
func (l *loader) workerFiles(command []string, found map[string]entry) ([]string, error) {
	var files []string
	for _, word := range command {
		if info, err := os.Stat(Path(l.project.Dir, word)); err == nil && info.Mode().IsRegular() && filepath.IsLocal(word) {
			files = append(files, filepath.Clean(word))
		}
	}
	entry, ok := found["files"]
	if !ok {
		return files, nil
	}
	var more []string
	for _, item := range entry.items() {
		pattern, ok := item.word()
		if !ok {
			continue
		}
		if !filepath.IsLocal(pattern) {
			return nil, fmt.Errorf("%q leads out of the project", clip(pattern))
		}
		matches, err := fs.Glob(os.DirFS(l.project.Dir), filepath.ToSlash(filepath.Clean(pattern)))
		if err != nil {
			return nil, fmt.Errorf("%q is no pattern: %w", clip(pattern), err)
		}
		if len(matches) == 0 {
			return nil, fmt.Errorf("no file matches %q", clip(pattern))
		}
		more = append(more, matches...)
	}
	slices.Sort(more)
	for _, name := range slices.Compact(more) {
		if !slices.Contains(files, name) {
			files = append(files, name)
		}
	}
	return files, nil
}

func workerDigest(w recount.Worker) (string, error) {
	sum := sha256.New()
	for _, word := range w.Command {
		fmt.Fprintf(sum, "command %d %s\n", len(word), word)
	}
	for _, name := range w.Files {
		digest, err := fileDigest(w.Dir, name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(sum, "file %d %s %s\n", len(name), name, digest)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// goFold reads the name of a fold of this program. Its digest is the program's: the
// code of a fold reaches as far as the program does.
func (l *loader) goFold(v value) (recount.Logic, bool) {
	name, ok := v.word()
	if !ok {
		return recount.Logic{}, false
	}
	program, err := programDigest()
	if err != nil {
		v.problem("this program cannot be read: %v", err)
		return recount.Logic{}, false
	}
	sum := sha256.Sum256([]byte(program + " " + name))
	return recount.Logic{Kind: recount.LogicGo, Text: name, Path: "go: " + name, Digest: hex.EncodeToString(sum[:])}, true
}

var programDigest = sync.OnceValues(func() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", cause(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", cause(err)
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", cause(err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
})

// by reads the fields of a fold's key; without it they are those of the
// calculation's key that are fields of the source.
func (l *loader) by(c *Calculation, logic *recount.Logic, found map[string]entry) {
	v, given := found["by"]
	if logic == nil || !logic.Fold() {
		if given && logic != nil && logic.Kind != "" {
			v.r.problem(v.at, "%s: it is the key of a fold; %s folds nothing", v.path, logic.Kind)
		}
		return
	}
	if seq, ok := v.node.(*ast.SequenceNode); given && ok && len(seq.Values) == 0 {
		logic.By = []string{} // all events of a bucket, or all, are folded together
	} else if given {
		logic.By = texts(v.value)
	} else if logic != &c.Logic && c.Logic.Fold() {
		logic.By = c.Logic.By
	} else {
		logic.By = l.keyFields(c)
	}
	for _, name := range logic.By {
		if source, ok := l.project.Sources[c.Source]; ok && !slices.ContainsFunc(source.Mapping.Fields, func(f recount.Field) bool { return f.Name == name }) {
			v.r.problem(v.at, "%s: %q is no field of source %s", v.path, clip(name), c.Source)
		}
	}
	if source, ok := l.project.Sources[c.Source]; ok && len(logic.By) == 0 && !given {
		l.r.problem(pos{line: c.Line}, "calculations.%s: by is missing: none of the key's columns is a field of source %s, so it is not known which events are folded together; by: [] folds all", c.Name, source.Name)
	}
}

func (l *loader) keyFields(c *Calculation) []string {
	var by []string
	source := l.project.Sources[c.Source]
	for _, name := range c.Key {
		if slices.ContainsFunc(source.Mapping.Fields, func(f recount.Field) bool { return f.Name == name }) {
			by = append(by, name)
		}
	}
	return by
}
