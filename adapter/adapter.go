// Package adapter lets every source, store, engine and target describe itself
// once: the declaration gives its block in recount.yaml, the check of that
// block, its reference page and its constructor. The package knows no port and
// no adapter.
package adapter

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"recount"
)

// Port names a family of adapters.
type Port string

// The ports.
const (
	Source Port = "source"
	Store  Port = "store"
	Engine Port = "engine"
	Target Port = "target"
)

// Env is what an adapter is given besides its own block.
type Env struct {
	// Dir is the project folder: relative paths start there.
	Dir string
	// Stream is the name of a source's stream.
	Stream string
	// Mapping turns payloads into events; sources only.
	Mapping recount.Mapping
	// Table is the target's table; empty where the adapter has only one.
	Table string
	// Now tells the time; sources need it for their watermark.
	Now func() time.Time
	// Objects opens what lies below a URL of a store, or in a folder; nil where the
	// program has no stores.
	Objects func(ctx context.Context, url string) (Objects, error)
	// Unsandboxed lets engines run workers without isolation.
	Unsandboxed bool
}

// Spec describes one adapter. Make one with Declare.
type Spec struct {
	Port    Port
	Name    string // the key of its block in recount.yaml
	Summary string // one sentence, for the reference page
	config  reflect.Type
	open    func(ctx context.Context, env Env, config any) (any, error)
}

// Declare describes an adapter whose block decodes into C and which opens as P.
// C is a struct; each field has a json tag (its key), a doc tag (one sentence)
// and, where it applies, secret:"true" and default:"…". The keys of an embedded
// struct are the block's own.
func Declare[P, C any](port Port, name, summary string, open func(ctx context.Context, env Env, config C) (P, error)) Spec {
	return Spec{
		Port: port, Name: name, Summary: summary, config: reflect.TypeFor[C](),
		open: func(ctx context.Context, env Env, config any) (any, error) {
			c, ok := config.(*C)
			if !ok {
				return nil, fmt.Errorf("open %s %s: config is %T", port, name, config)
			}
			return open(ctx, env, *c)
		},
	}
}

// NewConfig returns a pointer to an empty block, to be decoded into.
func (s Spec) NewConfig() any { return reflect.New(s.config).Interface() }

// Key is one key of an adapter's block.
type Key struct {
	Name    string
	Type    string
	Doc     string
	Default string
	Secret  bool
}

// Keys lists the keys of the block, in the order of the struct.
func (s Spec) Keys() []Key {
	var keys []Key
	for _, f := range reflect.VisibleFields(s.config) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		keys = append(keys, Key{
			Name: name, Type: f.Type.String(), Doc: f.Tag.Get("doc"),
			Default: f.Tag.Get("default"), Secret: f.Tag.Get("secret") == "true",
		})
	}
	return keys
}

// Registry holds the adapters that a program was linked with. It is safe for
// concurrent use.
type Registry struct {
	mu    sync.RWMutex
	specs map[Port]map[string]Spec
}

// Default is the registry that adapters register themselves in when they are
// imported. A program may use one of its own instead.
var Default = &Registry{}

// Register adds spec to Default; a name taken twice is a programming error and
// panics at start.
func Register(spec Spec) {
	if err := Default.Add(spec); err != nil {
		panic(err)
	}
}

// Add adds spec, or says that its name is taken.
func (r *Registry) Add(spec Spec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.specs == nil {
		r.specs = map[Port]map[string]Spec{}
	}
	if r.specs[spec.Port] == nil {
		r.specs[spec.Port] = map[string]Spec{}
	}
	if _, taken := r.specs[spec.Port][spec.Name]; taken {
		return fmt.Errorf("register %s %q: the name is taken", spec.Port, spec.Name)
	}
	r.specs[spec.Port][spec.Name] = spec
	return nil
}

// Lookup returns the adapter of that name.
func (r *Registry) Lookup(port Port, name string) (Spec, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.specs[port][name]
	return s, ok
}

// Names lists the adapters of a port, sorted.
func (r *Registry) Names(port Port) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var names []string
	for name := range r.specs[port] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open opens the adapter of that name as P. config comes from its NewConfig.
func Open[P any](ctx context.Context, r *Registry, port Port, name string, env Env, config any) (P, error) {
	var none P
	spec, ok := r.Lookup(port, name)
	if !ok {
		return none, fmt.Errorf("open %s %q: %w", port, name, recount.ErrNotFound)
	}
	opened, err := spec.open(ctx, env, config)
	if err != nil {
		return none, err
	}
	p, ok := opened.(P)
	if !ok {
		return none, fmt.Errorf("open %s %q: it is a %T", port, name, opened)
	}
	return p, nil
}
