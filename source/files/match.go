package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"recount"
	"recount/source"
)

type format string

const (
	formatCSV     format = "csv"
	formatJSON    format = "json"
	formatJSONL   format = "jsonl"
	formatParquet format = "parquet"
)

var formats = []format{formatCSV, formatJSON, formatJSONL, formatParquet}

type packing string

const (
	plain packing = ""
	gz    packing = ".gz"
	zst   packing = ".zst"
)

// file is one file that a pattern matched.
type file struct {
	path      string
	partition string
	format    format
	packing   packing
}

// grows says whether the file may be written on: a packed or Parquet file is
// whole or it is another one.
func (f file) grows() bool { return f.packing == plain && f.format != formatParquet }

func (f file) size() (int64, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// match lists the files in the order of their partitions' names. A pattern
// without a file is an error, unless the cursor knows files of it: those are in
// the archive and may be gone.
func (s *Source) match(cursor source.Cursor) ([]file, error) {
	found := map[string]file{}
	for _, pattern := range s.config.Paths {
		full := filepath.FromSlash(pattern)
		if !filepath.IsAbs(full) {
			full = filepath.Join(escapeMeta(s.env.Dir), full)
		}
		paths, err := s.expand(full)
		if err != nil {
			return nil, s.badPattern(pattern, err)
		}
		if len(paths) == 0 && !s.known(pattern, cursor) {
			return nil, s.noFiles(pattern)
		}
		for _, path := range paths {
			f, err := s.describe(path)
			if err != nil {
				return nil, err
			}
			found[f.partition] = f
		}
	}
	sorted := make([]file, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		sorted = append(sorted, found[name])
	}
	return sorted, nil
}

// expand returns the files that full matches. A name that exists is taken as it
// stands, whatever signs it holds.
func (s *Source) expand(full string) ([]string, error) {
	literal := unescapeMeta(full)
	if info, err := os.Stat(literal); err == nil && !info.IsDir() {
		return []string{literal}, nil
	}
	matches, err := filepath.Glob(full)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(matches, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil && errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir()
	}), nil
}

const metaSigns = `*?[\`

// escapeMeta lets the project's own folder hold any sign.
func escapeMeta(dir string) string {
	if filepath.Separator == '\\' || !strings.ContainsAny(dir, metaSigns) {
		return dir // on Windows a pattern cannot escape
	}
	var b strings.Builder
	for i := range len(dir) {
		if strings.IndexByte(metaSigns, dir[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(dir[i])
	}
	return b.String()
}

func unescapeMeta(pattern string) string {
	if filepath.Separator == '\\' {
		return pattern
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) && strings.IndexByte(metaSigns, pattern[i+1]) >= 0 {
			i++
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

// known says whether the cursor has a partition that the pattern matches.
func (s *Source) known(pattern string, cursor source.Cursor) bool {
	full := filepath.FromSlash(pattern)
	if filepath.IsAbs(full) {
		full = s.partition(full)
	}
	full = filepath.ToSlash(filepath.Clean(full))
	for partition := range cursor {
		if ok, err := filepath.Match(full, partition); err == nil && ok || full == partition {
			return true
		}
	}
	return false
}

func (s *Source) noFiles(pattern string) error {
	next := "correct paths: in recount.yaml; relative paths begin at the project folder"
	full := filepath.FromSlash(pattern)
	if !filepath.IsAbs(full) {
		full = filepath.Join(s.env.Dir, full)
	}
	why := "there is no such file"
	if info, err := os.Stat(full); err == nil && info.IsDir() {
		why, next = "it is a folder", "write "+strings.TrimSuffix(pattern, "/")+"/*.csv, or whatever the files' ending is"
	}
	return &recount.Error{
		Code: recount.CodeNoFiles, What: fmt.Sprintf("no file matches %q", pattern), Where: s.where(""), Why: why, Next: next,
	}
}

func (s *Source) badPattern(pattern string, err error) error {
	return &recount.Error{
		Code: recount.CodeConfig, What: fmt.Sprintf("pattern %q cannot be read", pattern), Where: s.where(""), Why: err.Error(),
		Next: "correct paths: in recount.yaml: * ? and [a-z] are read, and a sign after \\ as it stands", Err: err,
	}
}

// partition names the file: its path relative to the project folder.
func (s *Source) partition(path string) string {
	dir, errDir := filepath.Abs(s.env.Dir)
	full, errFull := filepath.Abs(path)
	if errDir == nil && errFull == nil {
		if rel, err := filepath.Rel(dir, full); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.ToSlash(path)
}

func (s *Source) describe(path string) (file, error) {
	f := file{path: path, partition: s.partition(path)}
	name := strings.ToLower(filepath.Base(path))
	for _, p := range []packing{gz, zst} {
		if rest, ok := strings.CutSuffix(name, string(p)); ok {
			name, f.packing = rest, p
		}
	}
	switch filepath.Ext(name) {
	case ".csv":
		f.format = formatCSV
	case ".json":
		f.format = formatJSON
	case ".jsonl", ".ndjson":
		f.format = formatJSONL
	case ".parquet", ".pq":
		f.format = formatParquet
	}
	if s.config.Format != "" {
		f.format = format(s.config.Format)
	}
	if f.packing == plain && f.format != formatParquet {
		f.packing = packed(path)
	}
	fault := func(why, next string) error {
		return &recount.Error{
			Code: recount.CodeConfig, What: fmt.Sprintf("file %q cannot be used", f.partition), Where: s.where(f.partition), Why: why, Next: next,
		}
	}
	switch {
	case !utf8.ValidString(f.partition):
		return f, fault("its name is not valid UTF-8", "rename the file")
	case f.format == "":
		return f, fault("its ending does not say what is in it", "set format: csv, json, jsonl or parquet, or narrow paths:")
	case f.format == formatCSV && s.env.Mapping.Payload != "":
		return f, fault("event.payload is of JSON and Parquet, and this is CSV", "take payload: out; copies of one id are compared as a whole")
	case f.format == formatParquet && f.packing != plain:
		return f, fault("a Parquet file is packed inside already", "unpack it, and name the .parquet file")
	}
	return f, nil
}

// packed tells by a file's first bytes how it is packed: Firehose and browsers
// leave the ending out. No CSV and no JSON begins like that.
func packed(path string) packing {
	opened, err := os.Open(path) //nolint:gosec // a file that the configuration names
	if err != nil {
		return plain // reading it says why
	}
	var start [4]byte
	n, _ := io.ReadFull(opened, start[:]) // a shorter file is not packed
	_ = opened.Close()
	switch s := string(start[:n]); {
	case strings.HasPrefix(s, "\x1f\x8b"):
		return gz
	case s == "\x28\xb5\x2f\xfd":
		return zst
	}
	return plain
}
