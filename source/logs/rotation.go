package logs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount"
	"recount/source"
)

// log is one partition: the file that is written now and those it was before.
type log struct {
	path      string
	partition string
}

// match lists the logs in the order of their partitions' names, those that the
// cursor knows among them: between two acts of a rotation a log has no file of its
// own name.
func (s *Source) match(cursor source.Cursor) ([]log, error) {
	byName := map[string]log{}
	for _, pattern := range s.config.Paths {
		path := pattern
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.env.Dir, path)
		}
		names, err := filepath.Glob(path)
		if err != nil {
			return nil, s.fault(pattern, err)
		}
		for _, name := range names {
			if base := current(name); base != name && (slices.Contains(names, base) || cursor[s.partition(base)] != "") {
				continue // a rotated file of another log
			}
			byName[s.partition(name)] = log{path: name, partition: s.partition(name)}
		}
	}
	for partition := range cursor {
		if _, found := byName[partition]; !found {
			path := filepath.FromSlash(partition)
			if !filepath.IsAbs(path) {
				path = filepath.Join(s.env.Dir, path)
			}
			byName[partition] = log{path: path, partition: partition}
		}
	}
	if len(byName) == 0 {
		return nil, &recount.Error{
			Code: recount.CodeSourceFile, What: "no log was found", Where: s.where(),
			Why: "no file matches " + strings.Join(s.config.Paths, ", "), Next: "correct paths:, or wait until the first line is written",
		}
	}
	found := make([]log, 0, len(byName))
	for _, l := range byName {
		found = append(found, l)
	}
	slices.SortFunc(found, func(a, b log) int { return strings.Compare(a.partition, b.partition) })
	return found, nil
}

func (s *Source) partition(path string) string {
	if relative, err := filepath.Rel(s.env.Dir, path); err == nil && filepath.IsLocal(relative) {
		path = relative
	}
	return filepath.ToSlash(path)
}

// What rotation adds to a name: app.log.1, app.log-20260101.gz, and before the
// ending app.1.log, app-2026-01-01.log.
var (
	rotatedEnd    = regexp.MustCompile(`^(.+?)[.-]\d[\dTZ:._-]*(?:\.gz|\.zst)?$`)
	rotatedMiddle = regexp.MustCompile(`^(.+?)[.-]\d[\dTZ:._-]*(\.[A-Za-z]+)(?:\.gz|\.zst)?$`)
)

// current returns the name that a rotated file had when it was written; other
// names stay as they are.
func current(path string) string {
	dir, name := filepath.Split(path)
	if m := rotatedEnd.FindStringSubmatch(name); m != nil {
		return dir + m[1]
	}
	if m := rotatedMiddle.FindStringSubmatch(name); m != nil {
		return dir + m[1] + m[2]
	}
	return path
}

// opened is one file of a log.
type opened struct {
	f    *os.File
	info os.FileInfo
	r    io.ReadCloser // what the file says, unpacked
}

// openAll opens the files of a log, the oldest first and the one that is written
// now last. They are those of one moment: where the names moved meanwhile, it looks
// again.
func openAll(path string) ([]*opened, error) {
	const attempts = 10
	for range attempts {
		names, err := names(path)
		if err != nil {
			return nil, err
		}
		files := make([]*opened, 0, len(names))
		for _, name := range names {
			o, err := open(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				closeAll(files)
				return nil, err
			}
			files = append(files, o)
		}
		if still(files, path) {
			return files, nil
		}
		closeAll(files)
	}
	return nil, fmt.Errorf("its files are renamed all the time: %w", recount.ErrTransient)
}

// names lists the files of a log by age. A file that is written now is the last,
// whatever its time says.
func names(path string) ([]string, error) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	type aged struct {
		name string
		at   time.Time
	}
	var list []aged
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if name != path && current(name) != path {
			continue
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		list = append(list, aged{name, info.ModTime()})
	}
	slices.SortFunc(list, func(a, b aged) int {
		if a.name == path || b.name == path {
			return cmp.Compare(boolInt(a.name == path), boolInt(b.name == path))
		}
		return cmp.Or(a.at.Compare(b.at), strings.Compare(b.name, a.name)) // app.log.2 is older than app.log.1
	})
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.name
	}
	return out, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// still says whether the names lead to the same files in the same order as when
// they were opened.
func still(files []*opened, path string) bool {
	names, err := names(path)
	if err != nil || len(names) != len(files) {
		return false
	}
	for i, name := range names {
		info, err := os.Stat(name)
		if err != nil || !os.SameFile(info, files[i].info) {
			return false
		}
	}
	return true
}

func open(name string) (*opened, error) {
	f, err := os.Open(name) //nolint:gosec // the configuration names it
	if err != nil {
		return nil, err
	}
	o := &opened{f: f}
	if o.info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if o.r, err = unpack(f, name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return o, nil
}

// unpack returns what a packed file says; nil for a plain one.
func unpack(f io.Reader, name string) (io.ReadCloser, error) {
	switch filepath.Ext(name) {
	case ".gz":
		r, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		return r, nil
	case ".zst":
		r, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return r.IOReadCloser(), nil
	}
	return nil, nil //nolint:nilnil // a plain file needs no reader besides itself
}

func (o *opened) packed() bool { return o.r != nil }

func (o *opened) close() {
	if o.r != nil {
		_ = o.r.Close()
	}
	_ = o.f.Close() // it was only read
}

func closeAll(files []*opened) {
	for _, o := range files {
		o.close()
	}
}
