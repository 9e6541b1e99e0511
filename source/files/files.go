// Package files is the source whose events lie in files: CSV, JSON, Parquet or
// Avro, plain or packed with gzip or zstd, on this machine or in a store. It never
// writes, and never looks at a file's time to learn which events are in it, nor at
// its name where names: does not say how.
//
// Each file is a partition, named by its path relative to the project folder
// with "/" between the parts. An event's position is the number of its record
// in the file, from 1, in 20 digits; empty lines are no records. The payload is
// the record's own bytes without its line end. Parquet and Avro have no bytes of a
// row: its payload is canonical JSON made from it (see derive.go).
//
// What has been read is known by content: a cursor holds how many bytes were
// read and their SHA-256. A plain CSV or JSON file may grow, and its tail is
// read; any other change is an error. A last line without a line end is read
// as it stands; if it is then written on, the file was changed. Of a file in a
// store that is as large as what was read of it, the digest is not taken again.
package files

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/payload"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Source, "files",
		"Reads events from CSV, JSON, Parquet or Avro files, plain or packed with gzip or zstd, in folders or in a store.", Open))
}

// Config is the block `files` of a source.
type Config struct {
	Paths  []string `json:"paths" doc:"Files or patterns (* ? [a-z], ** for any folders), relative to the project folder or to the store; read in the order of their names."`
	Format string   `json:"format" doc:"csv, json, jsonl, parquet or avro, where the files' endings do not say it. jsonl is one object a line; json is objects one after another, with or without line ends."`
	Store  string   `json:"store" doc:"The store in which the files lie, an URL as for archive, such as s3://bucket/prefix; without it they lie on this machine."`
	Hive   bool     `json:"hive" doc:"Gives each record of Parquet and Avro the columns of folders such as date=2024-06-10 that it does not have itself, as text." default:"false"`
	Names  string   `json:"names" doc:"How a sink of Kafka named its files, such as {topic}+{partition}+{offset}: then events have Kafka's partitions and positions. {} stands for anything."`
}

// Source reads the files that its patterns match. Besides what a source promises,
// ReadOriginal is safe for concurrent use.
type Source struct {
	env    adapter.Env
	config Config
	shelf  shelf
	names  *namePattern // nil: each file is a partition of its own
}

// Open checks the block; it touches no file.
func Open(ctx context.Context, env adapter.Env, config Config) (source.Source, error) {
	s := &Source{env: env, config: config, shelf: folders{env.Dir}}
	if err := s.checkConfig(); err != nil {
		return nil, err
	}
	if config.Store == "" {
		return s, nil
	}
	if env.Objects == nil {
		return nil, fmt.Errorf("open store %q of source %q: %w", config.Store, env.Stream, recount.ErrUnsupported)
	}
	opened, err := env.Objects(ctx, config.Store)
	if err != nil {
		return nil, recount.Located(err, s.where(""))
	}
	s.shelf = objects{opened, publicURL(config.Store)}
	return s, nil
}

// publicURL is what of an URL names a place and is no secret.
func publicURL(url string) string {
	place, _, _ := strings.Cut(url, "?")
	if scheme, rest, ok := strings.Cut(place, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		place = scheme + "://" + host[strings.LastIndexByte(host, '@')+1:] + "/" + path
	}
	return strings.TrimSuffix(place, "/")
}

func (s *Source) checkConfig() error {
	fault := func(what, why, next string) error {
		return &recount.Error{Code: recount.CodeConfig, What: what, Where: s.where(""), Why: why, Next: next}
	}
	if len(s.config.Paths) == 0 {
		return fault("no file is named", "paths: is empty", `write paths: ["events/*.csv"]`)
	}
	for _, p := range s.config.Paths {
		if strings.TrimSpace(p) == "" {
			return fault("a path is empty", "paths: holds an empty text", "remove it")
		}
		for part := range strings.SplitSeq(p, "/") {
			if part != "**" && strings.Contains(part, "**") {
				return fault(fmt.Sprintf("pattern %q cannot be read", p), "** stands for folders and so alone between two /", "write events/**/*.csv")
			}
			if _, err := path.Match(part, ""); err != nil {
				return s.badPattern(p, err)
			}
		}
	}
	if f := s.config.Format; f != "" && !slices.Contains(formats, format(f)) {
		return fault(fmt.Sprintf("format %q is not known", f), "format: is one of csv, json, jsonl, parquet and avro", "correct or remove it")
	}
	if m := s.env.Mapping; m.Partition != "" && m.Position == "" && m.ID == "" {
		return fault("events could not be told apart", "event.partition is taken from the payload, but neither event.position nor event.id is",
			"name the column of the id or of the position as well, or leave partition out: then the file is the partition")
	}
	if s.config.Names != "" {
		names, err := parseNames(s.config.Names)
		if err != nil {
			return fault(fmt.Sprintf("names: %q cannot be read", s.config.Names), err.Error(), "write it as the sink does, such as {topic}+{partition}+{offset}")
		}
		if m := s.env.Mapping; m.Partition != "" || m.Position != "" {
			return fault("partition and position come from two places", "names: takes them from the files' names, event: from the records", "leave one of the two out")
		}
		s.names = names
	}
	if err := payload.CheckFields(s.env.Mapping.Fields); err != nil {
		return recount.Located(err, s.where(""))
	}
	if _, err := payload.Keys(s.env.Mapping); err != nil {
		return recount.Located(err, s.where(""))
	}
	if _, err := payload.Own(s.env.Mapping.Payload); err != nil {
		return recount.Located(err, s.where(""))
	}
	return nil
}

// Info says what the stream is like.
func (s *Source) Info() source.Info {
	own, _ := payload.Own(s.env.Mapping.Payload) // Open has read the path
	place := "files " + strings.Join(s.config.Paths, ", ")
	if at := s.shelf.place(); at != "" {
		place += " in " + at
	}
	return source.Info{HasID: s.env.Mapping.ID != "", Place: place, Own: own, Dense: s.names != nil}
}

// Close has nothing to close: files are open only while they are read.
func (s *Source) Close() error { return nil }

// Decoder reads payloads again that Read emitted with that format and header.
func (s *Source) Decoder(format, header string) (source.Decoder, error) {
	d, err := payload.New(format, header, s.env.Mapping)
	if err != nil {
		return nil, recount.Located(err, s.where("")+", events archived before")
	}
	return again{d}, nil
}

// again reads archived payloads: all of a record lies in its payload.
type again struct{ decoder *payload.Decoder }

func (a again) Decode(e recount.Event) recount.Event { return a.decoder.Decode(e.Data) }

// Check opens every file and reads its header; in a store, the first file's.
func (s *Source) Check(ctx context.Context) error {
	list, err := s.match(ctx, nil)
	if err != nil {
		return err
	}
	if _, local := s.shelf.(folders); !local {
		list = list[:min(len(list), 1)]
	}
	for _, f := range list {
		if err := s.checkFile(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) checkFile(ctx context.Context, f file) error {
	switch f.format { //nolint:exhaustive // the others are lines
	case formatParquet:
		p, err := s.openParquet(ctx, f)
		if err != nil {
			return err
		}
		return p.close()
	case formatAvro:
		a, err := s.openAvro(ctx, f)
		if err != nil {
			return err
		}
		return errors.Join(s.startAvro(f, a), a.close())
	}
	f, r, err := s.openLines(ctx, f)
	if err != nil {
		return err
	}
	if err = s.start(f, r); err == nil {
		_, err = s.prepare(f, r, &state{})
	}
	return errors.Join(err, r.close())
}

// Read hands over the files in the order of their partitions' names, or of the
// log where their names say it.
func (s *Source) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	return s.readAll(ctx, cursor, func(q *sequence, f file) (int64, error) {
		following, err := q.follow(f, emit)
		if err != nil {
			return 0, err
		}
		return s.readFile(ctx, f, cursor[f.partition], following)
	})
}

// readAll has each file read and says up to when all are in.
func (s *Source) readAll(ctx context.Context, cursor source.Cursor, read func(*sequence, file) (size int64, err error)) (source.End, error) {
	if s.env.Now == nil {
		return source.End{}, errors.New("read files: the source was given no clock")
	}
	if err := ctx.Err(); err != nil {
		return source.End{}, fmt.Errorf("read files: %w", err)
	}
	begun := s.env.Now()
	list, err := s.match(ctx, cursor)
	if err != nil {
		return source.End{}, err
	}
	q, err := s.newSequence(list, cursor)
	if err != nil {
		return source.End{}, err
	}
	sizes := make(map[string]int64, len(list))
	for _, f := range list {
		size, err := read(q, f)
		if err != nil {
			return source.End{}, err
		}
		sizes[f.partition] = size
	}
	return source.End{Watermark: s.watermark(ctx, begun, cursor, sizes), Partitions: len(list)}, nil
}

// watermark returns the moment up to which all is read: now, if no file has
// grown or come since, else the moment before the first file was opened. The
// clock is read before the sizes, so that it never claims too much.
func (s *Source) watermark(ctx context.Context, begun time.Time, cursor source.Cursor, sizes map[string]int64) time.Time {
	now := s.env.Now()
	list, err := s.match(ctx, cursor)
	if err != nil || len(list) != len(sizes) {
		return begun
	}
	for _, f := range list {
		size, err := f.size()
		if read, ok := sizes[f.partition]; err != nil || !ok || size != read {
			return begun
		}
	}
	return now
}

// where names the place of an error.
func (s *Source) where(partition string) string {
	if partition == "" {
		return fmt.Sprintf("source %q, files", s.env.Stream)
	}
	return fmt.Sprintf("source %q, file %s", s.env.Stream, partition)
}

// fault is a file that cannot be read.
func (s *Source) fault(f file, why string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("read file %q: %w", f.partition, err)
	}
	if err != nil {
		why += ": " + err.Error()
	}
	return &recount.Error{
		Code: recount.CodeSourceFile, What: fmt.Sprintf("file %q cannot be read", f.partition), Where: s.where(f.partition),
		Why: why, Next: "mend or replace the file, or leave it out of paths:", Err: err,
	}
}
