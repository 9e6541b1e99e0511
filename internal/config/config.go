// Package config reads recount.yaml: strictly, all mistakes at once, each with
// its place and the nearest name that is known. It opens no adapter, and never
// holds what a secret's reference leads to: an adapter's block keeps `env:NAME`
// until Resolve makes a copy for the one who opens it.
package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "time/tzdata" // zones must be known where the machine has no zone files

	"github.com/goccy/go-yaml/ast"

	"recount"
	"recount/adapter"
)

// FileName is the name of a project's configuration.
const FileName = "recount.yaml"

// DefaultMaxChanges is the limit of rows that one plan may change.
const DefaultMaxChanges = 1_000_000

// Project is one recount.yaml that was read without a mistake.
type Project struct {
	Dir          string
	Archive      ArchiveConfig
	Sources      map[string]Source
	Calculations map[string]Calculation
	Lookups      map[string]Lookup

	source []byte
	getenv func(string) (string, bool)
	places map[any]map[string]pos // of the texts of each Config
}

// ArchiveConfig says where the archive lies.
type ArchiveConfig struct {
	Adapter string // a store
	Config  any    // pointer from the adapter's NewConfig
	URL     string // as the file spells it
}

// Source is one entry of `sources`. Its name is the stream's.
type Source struct {
	Name          string
	Adapter       string
	Config        any // pointer from the adapter's NewConfig
	Mapping       recount.Mapping
	Lateness      time.Duration
	Flush         time.Duration // how long events of a live run wait for their commit
	QuarantineMax int64
	// Retention is how long events are kept; zero: all are.
	Retention time.Duration
	Upcasts   []Upcast
	Line      int
}

// Calculation is one entry of `calculations`.
type Calculation struct {
	recount.Calculation
	Target  Target
	Effects *Effects // nil: nothing is said of them
	Shadow  *Shadow  // nil: the logic is no worker that runs by itself
	Lookups []LookupUse
	Types   *Types // nil: types are not looked at
	As      string // the one version that was asked for; empty: each for its time
	Line    int
}

// Target is the live table of a calculation.
type Target struct {
	Adapter string
	Config  any // pointer from the adapter's NewConfig
	Table   string
	// Apply is the block of `apply`, nil where there is none: apply and rollback
	// connect by it, all else by Config.
	Apply *Apply
}

// Apply is how apply and rollback connect, where that differs from reading.
type Apply struct {
	Config any // Target.Config with the keys of `apply` laid over it
}

// Calculation returns the calculation of that name, or CodeUnknownName.
func (p *Project) Calculation(name string) (Calculation, error) {
	if c, ok := p.Calculations[name]; ok {
		return c, nil
	}
	return Calculation{}, unknownName("calculation", name, slices.Sorted(maps.Keys(p.Calculations)))
}

// Source returns the source of that name, or CodeUnknownName.
func (p *Project) Source(name string) (Source, error) {
	if s, ok := p.Sources[name]; ok {
		return s, nil
	}
	return Source{}, unknownName("source", name, slices.Sorted(maps.Keys(p.Sources)))
}

func unknownName(what, name string, known []string) error {
	next := "use a name that stands under " + what + "s in " + FileName
	if near := recount.Nearest(name, known); near != "" {
		next = "did you mean " + near + "?"
	}
	why := FileName + " has no " + what + "s"
	if len(known) > 0 {
		why = FileName + " has: " + strings.Join(known, ", ")
	}
	return &recount.Error{
		Code: recount.CodeUnknownName, What: "there is no " + what + " " + clip(name), Where: FileName, Why: why, Next: next,
	}
}

// loader turns the tree into a Project.
type loader struct {
	r       *reader
	reg     *adapter.Registry
	project *Project
}

// Load reads the recount.yaml of dir. Adapters are looked up in reg, references
// in getenv and, for files, in dir. Its error is always a *recount.Error whose
// Err are Problems, unless the file itself cannot be read. References outside of
// adapters' blocks are resolved here; those inside by Resolve.
func Load(dir string, reg *adapter.Registry, getenv func(string) (string, bool)) (*Project, error) {
	source, err := read(dir)
	if err != nil {
		return nil, err
	}
	return parse(source, dir, reg, getenv)
}

func parse(source []byte, dir string, reg *adapter.Registry, getenv func(string) (string, bool)) (*Project, error) {
	source = bytes.TrimPrefix(source, []byte("\ufeff")) // some editors begin a file so
	if getenv == nil {
		getenv = func(string) (string, bool) { return "", false }
	}
	l := loader{
		r:   &reader{dir: dir, getenv: getenv, anchors: map[string]ast.Node{}},
		reg: reg,
		project: &Project{
			Dir: dir, Sources: map[string]Source{}, Calculations: map[string]Calculation{}, Lookups: map[string]Lookup{},
			source: source, getenv: getenv, places: map[any]map[string]pos{},
		},
	}
	if root, ok := l.r.parse(source); ok {
		l.root(root)
	}
	if err := report(l.r.problems, source); err != nil {
		return nil, err
	}
	return l.project, nil
}

func read(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, FileName)) //nolint:gosec // the project folder is the user's own
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noConfig(dir)
	}
	if err == nil {
		defer f.Close() //nolint:errcheck // only read
		var source []byte
		if source, err = io.ReadAll(io.LimitReader(f, maxBytes+1)); err == nil {
			return source, nil
		}
	}
	return nil, &recount.Error{
		Code: recount.CodeNoConfig, What: FileName + " cannot be read", Where: filepath.Join(dir, FileName),
		Why: cause(err).Error(), Next: "make the file readable, or name another folder with -C DIR", Err: err,
	}
}

func noConfig(dir string) error {
	e := &recount.Error{
		Code: recount.CodeNoConfig, What: "there is no " + FileName + " here", Where: dir,
		Why:  "every command works in a project folder, and " + FileName + " makes one",
		Next: "make one with: recount init, or name the folder that has one with -C DIR", Err: recount.ErrNotFound,
	}
	if _, err := os.Stat(filepath.Join(dir, "recount.yml")); err == nil {
		e.Why = "there is a recount.yml; the name that is read is " + FileName
		e.Next = "rename it: mv recount.yml " + FileName
	}
	return e
}

func (l *loader) root(root value) {
	found := root.block(rootBlock, false)
	if found == nil {
		return
	}
	if v, ok := found["version"]; ok {
		if n, ok := v.integer(0, 1<<31); ok && n != 1 {
			v.r.problemAs(recount.CodeUnsupported, nextMend, v.value.at(), "version: this program reads version 1, not %d", n)
		}
	}
	if v, ok := found["archive"]; ok {
		l.archive(v.value)
	}
	if v, ok := found["sources"]; ok {
		for _, e := range v.entries() {
			l.named(e, "source", l.source)
		}
	}
	if v, ok := found["lookups"]; ok {
		for _, e := range v.entries() {
			l.named(e, "lookup", l.lookup)
		}
	}
	if v, ok := found["calculations"]; ok {
		for _, e := range v.entries() {
			l.named(e, "calculation", l.calculation)
		}
	}
}

// named calls load for an entry whose name can be typed in a shell, can be a
// folder's name and cannot be taken for the archive's own folder.
func (l *loader) named(e entry, what string, load func(entry)) {
	if !plainName(e.key) {
		l.r.problem(e.at, "a %s cannot be named %q: use letters, digits, _ - and ., beginning with a letter or digit, at most 100", what, clip(e.key))
		return
	}
	load(e)
}

func plainName(name string) bool {
	const longest = 100
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("_-.", c)) {
			return false
		}
	}
	return name != "" && len(name) <= longest
}
