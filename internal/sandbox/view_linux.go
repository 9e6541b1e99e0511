//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// view is what the process will see of the machine's files, under the same
// paths: real folders and files, and the links that lead to them.
type view struct {
	Links map[string]string // path -> target; the path's folder has no link in it
	Binds map[string]access
}

// access is what may be done with a bind. Each includes the one before.
type access int

const (
	mayRead access = iota
	mayRun         // a program
	mayWrite
)

// systemPaths hold the libraries and data that programs of a system share, and
// nothing of its users or settings.
var systemPaths = []string{
	"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/local/lib64",
	"/usr/share", "/etc/ld.so.cache", "/etc/alternatives", "/nix/store", "/gnu/store",
}

// devices are what programs take for granted.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full"}

// mostLinks is where a chain of links is taken for a circle, as in the kernel.
const mostLinks = 40

// add makes the path visible, with the links on its way, and returns where it
// really lies.
func (v *view) add(path string, a access) (string, error) {
	real, rest, links := "/", strings.Split(filepath.Clean(path), "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			real = filepath.Dir(real)
			continue
		}
		next := filepath.Join(real, name)
		info, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			real = next
			continue
		}
		if links++; links > mostLinks {
			return "", fmt.Errorf("%s: too many links", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		v.Links[next] = target
		if filepath.IsAbs(target) {
			real = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	if real == "/" {
		return "", fmt.Errorf("%s is the whole machine", path)
	}
	v.Binds[real] = max(v.Binds[real], a)
	return real, nil
}

// addIf adds a path if there is such a thing.
func (v *view) addIf(path string) error {
	if _, err := v.add(path, mayRead); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// paths lists the binds, each folder before what lies in it. One that a folder
// shows already, with the same rights, is left out: a program in a folder that may
// be written is not.
func (v *view) paths() []string {
	var list []string
	for _, path := range sorted(v.Binds) {
		covered := slices.ContainsFunc(list, func(over string) bool {
			if !strings.HasPrefix(path, over+"/") {
				return false
			}
			if v.Binds[over] == mayWrite {
				return v.Binds[path] != mayRun
			}
			return v.Binds[path] != mayWrite
		})
		if !covered {
			list = append(list, path)
		}
	}
	return list
}

// seen gathers what a process sees, and what its command really is.
func seen(s Spec) (*view, program, error) {
	v := &view{Links: map[string]string{}, Binds: map[string]access{}}
	p, err := findProgram(s, v)
	if err != nil {
		return nil, p, err
	}
	for _, path := range append(slices.Clone(systemPaths), devices...) {
		if err := v.addIf(path); err != nil {
			return nil, p, err
		}
	}
	for _, variable := range s.Env {
		name, value, _ := strings.Cut(variable, "=")
		if name != "LD_LIBRARY_PATH" {
			continue
		}
		for _, path := range filepath.SplitList(value) {
			if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
				continue
			}
			if err := v.addIf(path); err != nil {
				return nil, p, err
			}
		}
	}
	for _, path := range s.Read {
		if path, err = filepath.Abs(path); err != nil {
			return nil, p, err
		}
		if _, err := v.add(path, mayRead); err != nil {
			return nil, p, fmt.Errorf("let the worker read %s: %w", path, err)
		}
	}
	for _, path := range s.Write {
		if path, err = filepath.Abs(path); err != nil {
			return nil, p, err
		}
		if _, err := v.add(path, mayWrite); err != nil {
			return nil, p, fmt.Errorf("let the worker write %s: %w", path, err)
		}
	}
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, p, err
	}
	if p.dir, err = v.add(dir, mayWrite); err != nil {
		return nil, p, fmt.Errorf("let the worker write %s: %w", dir, err)
	}
	return v, p, nil
}
