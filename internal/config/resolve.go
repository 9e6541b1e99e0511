package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"recount"
)

// maxSecret bounds a secret's file.
const maxSecret = 64 << 10

// resolve returns what a text stands for: env:NAME an environment variable,
// file:PATH a file's content without its last line end, anything else itself.
// Its errors name the reference and never what it leads to.
func resolve(text, dir string, getenv func(string) (string, bool)) (string, error) {
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		got, set := getenv(name)
		if !set {
			return "", fmt.Errorf("the environment variable %s is not set", clip(name))
		}
		return got, nil
	}
	path, ok := strings.CutPrefix(text, "file:")
	if !ok {
		return text, nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.Open(path) //nolint:gosec // the configuration's author names the file
	if err != nil {
		return "", fmt.Errorf("the file of %s cannot be read: %w", clip(text), cause(err))
	}
	defer f.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("the file of %s cannot be read: %w", clip(text), cause(err))
	}
	if len(content) > maxSecret {
		return "", fmt.Errorf("the file of %s has over %d bytes", clip(text), maxSecret)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), nil
}

// cause takes the path out of a file error: messages show it as it was written.
func cause(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// Resolve returns a copy of an adapter's block in which every reference is
// replaced by what it stands for. config is one of the Config pointers of p, and
// is left as it is, so that nothing that prints a Project can show a secret.
// Call it just before adapter.Open: a command that opens no adapter needs no
// secret. All references that lead nowhere are reported at once (CodeSecret).
func (p *Project) Resolve(config any) (any, error) {
	if config == nil {
		return nil, nil
	}
	original := reflect.ValueOf(config)
	if original.Kind() != reflect.Pointer || original.IsNil() {
		return nil, fmt.Errorf("resolve a block: %T is no pointer to one", config)
	}
	r := resolver{p: p, places: p.places[config]}
	resolved := reflect.New(original.Type().Elem())
	resolved.Elem().Set(r.copyOf("", original.Elem()))
	if err := report(r.problems, p.source); err != nil {
		return nil, err
	}
	return resolved.Interface(), nil
}

type resolver struct {
	p        *Project
	places   map[string]pos
	problems Problems
}

// copyOf is a deep copy of what decode can fill, with references resolved.
func (r *resolver) copyOf(path string, v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() { //nolint:exhaustive // kinds without texts are copied as they are
	case reflect.String:
		text, err := resolve(v.String(), r.p.Dir, r.p.getenv)
		if err != nil {
			at := r.places[path]
			r.problems = append(r.problems, Problem{
				Code: recount.CodeSecret, Line: at.line, Column: at.column,
				Text: fmt.Sprintf("%s: %v", path, err), Next: nextReference,
			})
		}
		out.SetString(text)
	case reflect.Struct:
		out.Set(v)
		for _, f := range reflect.VisibleFields(v.Type()) {
			if key := keyOf(f); key != "" {
				out.FieldByIndex(f.Index).Set(r.copyOf(join(path, key), v.FieldByIndex(f.Index)))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(r.copyOf(fmt.Sprintf("%s[%d]", path, i+1), v.Index(i)))
		}
	case reflect.Map:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.MakeMap(v.Type()))
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			out.SetMapIndex(k, r.copyOf(join(path, k.String()), v.MapIndex(k)))
		}
	case reflect.Pointer:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(r.copyOf(path, v.Elem()))
	default:
		out.Set(v)
	}
	return out
}
