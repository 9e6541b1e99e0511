package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"recount"
	"recount/source"
	"recount/source/payload/derive"
)

type format string

const (
	formatCSV     format = "csv"
	formatJSON    format = "json"
	formatJSONL   format = "jsonl"
	formatParquet format = "parquet"
	formatAvro    format = "avro"
)

var formats = []format{formatCSV, formatJSON, formatJSONL, formatParquet, formatAvro}

// derived says that a record has no bytes of its own: the file is columns, or a
// binary form that its schema alone opens.
func (f format) derived() bool { return f == formatParquet || f == formatAvro }

type packing string

const (
	plain packing = ""
	gz    packing = ".gz"
	zst   packing = ".zst"
)

// file is one file that a pattern matched.
type file struct {
	path      string
	partition string // its name: of its batches and its cursor
	// log is the partition of its events, and base the position of the first one.
	log     string
	base    int64
	format  format
	packing packing
	listed  int64 // its size by the listing of a store; -1 in folders
	whole   bool  // it is read as one that cannot grow
	// columns are those that its folders give to each record.
	columns []column
}

// grows says whether the file may be written on: a packed one and one with an end
// of its own are whole or are other files.
func (f file) grows() bool { return f.packing == plain && !f.format.derived() && !f.whole }

func (f file) size() (int64, error) {
	if f.listed >= 0 {
		return f.listed, nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// match lists the files in the order of their partitions' names, or of the log
// where their names say it. A pattern without a file is an error, unless the cursor
// knows files of it: those are in the archive and may be gone.
func (s *Source) match(ctx context.Context, cursor source.Cursor) ([]file, error) {
	byName := map[string]file{}
	for _, pattern := range s.config.Paths {
		list, err := s.shelf.find(ctx, pattern)
		if errors.Is(err, path.ErrBadPattern) {
			return nil, s.badPattern(pattern, err)
		}
		if err != nil {
			return nil, s.unlisted(pattern, err)
		}
		if len(list) == 0 && !s.known(pattern, cursor) {
			return nil, s.noFiles(pattern)
		}
		for _, at := range list {
			f, err := s.describe(at)
			if err != nil {
				return nil, err
			}
			byName[f.partition] = f
		}
	}
	sorted := make([]file, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		sorted = append(sorted, byName[name])
	}
	return sorted, s.nameAll(sorted)
}

func (s *Source) unlisted(pattern string, err error) error {
	var told *recount.Error
	if errors.As(err, &told) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &recount.Error{
		Code: recount.CodeStorage, What: fmt.Sprintf("the files of %q cannot be listed", pattern), Where: s.where(""), Why: err.Error(), Err: err,
		Next: "look at the place and at what it lets you read, then run the command again",
	}
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
	if home, local := s.shelf.(folders); local && filepath.IsAbs(full) {
		full = home.relative(full)
	}
	full = filepath.ToSlash(filepath.Clean(full))
	for partition := range cursor {
		if full == partition || matches(full, partition) {
			return true
		}
	}
	return false
}

func (s *Source) noFiles(pattern string) error {
	why, next := "there is no such file", "correct paths: in recount.yaml; relative paths begin at the project folder"
	if home, local := s.shelf.(folders); !local {
		next = "correct store: and paths: in recount.yaml; paths begin where the URL ends"
	} else if info, err := os.Stat(unescapeMeta(home.full(pattern))); err == nil && info.IsDir() {
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

func (s *Source) describe(at found) (file, error) {
	f := file{path: at.path, partition: at.name, log: at.name, base: 1, listed: at.size}
	name := strings.ToLower(path.Base(at.name))
	for _, p := range []packing{gz, zst} {
		if rest, ok := strings.CutSuffix(name, string(p)); ok {
			name, f.packing = rest, p
		}
	}
	switch path.Ext(name) {
	case ".csv":
		f.format = formatCSV
	case ".json":
		f.format = formatJSON
	case ".jsonl", ".ndjson":
		f.format = formatJSONL
	case ".parquet", ".pq":
		f.format = formatParquet
	case ".avro":
		f.format = formatAvro
	}
	if s.config.Format != "" {
		f.format = format(s.config.Format)
	}
	if s.config.Hive && f.format.derived() {
		f.columns = hiveColumns(f.partition)
	}
	fault := func(why, next string) error { return s.unnamed(f, why, next) }
	switch {
	case !utf8.ValidString(f.partition):
		return f, fault("its name is not valid UTF-8", "rename the file")
	case f.format == "":
		return f, fault("its ending does not say what is in it", "set format: csv, json, jsonl, parquet or avro, or narrow paths:")
	case f.format == formatCSV && s.env.Mapping.Payload != "":
		return f, fault("event.payload is of JSON, Parquet and Avro, and this is CSV", "take payload: out; copies of one id are compared as a whole")
	case f.format == formatParquet && f.packing != plain:
		return f, fault("a Parquet file is packed inside already", "unpack it, and name the .parquet file")
	case f.format == formatAvro && f.packing != plain:
		return f, fault("an Avro file is packed inside already", "unpack it, and name the .avro file")
	}
	return f, nil
}

// packed tells by a file's first bytes how it is packed: Firehose and browsers
// leave the ending out. No CSV and no JSON begins like that.
func packed(opened io.ReaderAt) packing {
	var start [4]byte
	n, _ := opened.ReadAt(start[:], 0) // a shorter file is not packed; reading it says what is wrong
	switch s := string(start[:n]); {
	case strings.HasPrefix(s, "\x1f\x8b"):
		return gz
	case s == "\x28\xb5\x2f\xfd":
		return zst
	}
	return plain
}

// column is a value that the folders of a Hive-partitioned file give to each of
// its records, as text.
type column struct {
	name  string
	value string
	null  bool
}

// hiveColumns reads name=value folders; a value is escaped as in an URL.
func hiveColumns(name string) []column {
	const hiveNull = "__HIVE_DEFAULT_PARTITION__"
	var columns []column
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" || slices.ContainsFunc(columns, func(c column) bool { return c.name == key }) {
			continue
		}
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		columns = append(columns, column{name: key, value: value, null: value == hiveNull})
	}
	return columns
}

// beside returns those of the columns that a record does not have itself, and the
// JSON of them that follows the record's own.
func beside(columns []column, own []string) (names []string, tail []byte) {
	for _, c := range columns {
		if slices.Contains(own, c.name) {
			continue
		}
		if len(own)+len(names) > 0 {
			tail = append(tail, ',')
		}
		names = append(names, c.name)
		tail = append(derive.String(tail, c.name), ':')
		if c.null {
			tail = append(tail, "null"...)
		} else {
			tail = derive.String(tail, c.value)
		}
	}
	return names, tail
}
