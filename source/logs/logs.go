// Package logs is the source whose events are the lines of log files that are
// still written: JSON, or text with a pattern. A file is followed over rotation,
// by renaming or by copying and truncating, and over what logrotate packs.
//
// Each log is a partition, named by its path relative to the project folder with
// "/" between the parts; its rotated files belong to it. An event's position is
// where its line begins in the log, all its files from the first one read joined
// end to end, in 20 digits. The payload is the line's own bytes without its line
// end. A last line that has no line end yet is being written and is not read,
// unless a newer file shows that nobody writes there any more.
//
// What has been read is known by content: a cursor holds the file's first bytes
// and the last ones before the place that was reached, as digests. Where no file
// has them, the rest of the log was removed before it was read, and that is told.
package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/payload"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Source, "logs",
		"Follows log files of JSON lines, or of text with a pattern, over rotation and truncation.", Open))
}

// Config is the block `logs` of a source.
type Config struct {
	Paths   []string `json:"paths" doc:"Logs or patterns (* ? [a-z]), relative to the project folder: the files that are written now. Rotated ones beside them (app.log.1, app.log-20260101.gz, app.1.log) belong to them."`
	Format  string   `json:"format" doc:"json: each line is an object. text: pattern says what a line holds." default:"json"`
	Pattern string   `json:"pattern" doc:"For format text: a regular expression (RE2) whose named groups, such as (?P<user>\\w+), are the columns of event and fields."`
	Others  string   `json:"others" doc:"What a line that pattern does not match is: fault, an event that cannot be read, or skip, no event." default:"fault"`
}

// The formats of lines.
const (
	formatJSON = "json"
	formatText = "text"
)

// Source follows the logs that its patterns match.
type Source struct {
	env     adapter.Env
	config  Config
	decoder lineDecoder
	seen    map[string]glance // by partition, how the last reading left it
}

// Open checks the block; it touches no file.
func Open(_ context.Context, env adapter.Env, config Config) (source.Source, error) {
	s := &Source{env: env, config: config}
	if err := s.check(); err != nil {
		return nil, err
	}
	var err error
	if s.decoder, err = newDecoder(config.Format, config.Pattern, env.Mapping); err != nil {
		return nil, s.located(err)
	}
	return s, nil
}

func (s *Source) check() error {
	c, m := s.config, s.env.Mapping
	switch {
	case len(c.Paths) == 0:
		return s.wrong("no log is named", "paths: is empty", `write paths: ["/var/log/shop/*.log"]`)
	case c.Format != formatJSON && c.Format != formatText:
		return s.wrong(fmt.Sprintf("format %q is not known", c.Format), "format: is json or text", "correct it")
	case (c.Format == formatText) != (c.Pattern != ""):
		return s.wrong("format and pattern do not fit together", "pattern: says what lines of format text hold, and only those need one", "give both, or neither")
	case c.Others != "fault" && c.Others != "skip":
		return s.wrong(fmt.Sprintf("others: %q is not known", c.Others), "others: is fault or skip", "correct it")
	case m.Partition != "" || m.Position != "":
		return s.wrong("event.partition and event.position cannot be given", "a log is the partition, and where a line begins is the position", "leave them out")
	}
	for _, p := range c.Paths {
		if strings.TrimSpace(p) == "" || strings.Contains(p, "**") {
			return s.wrong(fmt.Sprintf("path %q cannot be read", p), "a path is a file's name or a pattern of one folder", "write one pattern for each folder")
		}
		if _, err := filepath.Match(p, ""); err != nil {
			return s.wrong(fmt.Sprintf("pattern %q cannot be read", p), err.Error(), "close its brackets")
		}
	}
	return nil
}

func (s *Source) wrong(what, why, next string) error {
	return &recount.Error{Code: recount.CodeConfig, What: what, Where: s.where(), Why: why, Next: next}
}

func (s *Source) where() string { return fmt.Sprintf("source %q, logs", s.env.Stream) }

func (s *Source) located(err error) error { return recount.Located(err, s.where()) }

// Info says what the stream is like.
func (s *Source) Info() source.Info {
	return source.Info{HasID: s.env.Mapping.ID != "", Place: "logs " + strings.Join(s.config.Paths, ", ")}
}

// Close has nothing to close: files are open only while they are read.
func (s *Source) Close() error { return nil }

// Decoder reads lines again that Read emitted.
func (s *Source) Decoder(format, header string) (source.Decoder, error) {
	d, err := newDecoder(format, header, s.env.Mapping)
	return d, s.located(err)
}

// Check looks for the logs.
func (s *Source) Check(context.Context) error {
	found, err := s.match(nil)
	if err != nil {
		return err
	}
	for _, l := range found {
		files, err := openAll(l.path)
		if err != nil {
			return s.fault(l.partition, err)
		}
		closeAll(files)
	}
	return nil
}

// Read hands over the new lines of each log, in the order of the logs' names.
func (s *Source) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	if s.env.Now == nil {
		return source.End{}, errors.New("read logs: the source was given no clock")
	}
	begun := s.env.Now()
	found, err := s.match(cursor)
	if err != nil {
		return source.End{}, err
	}
	for _, l := range found {
		if err := s.follow(ctx, l, cursor[l.partition], emit); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: begun, Partitions: len(found)}, nil
}

// Wait looks a few times a second whether a log has more than the cursor knows.
func (s *Source) Wait(ctx context.Context, cursor source.Cursor) error {
	const every = 250 * time.Millisecond
	for {
		found, err := s.match(cursor)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(found, s.moved) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (s *Source) fault(partition string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &recount.Error{
		Code: recount.CodeSourceFile, What: fmt.Sprintf("log %q cannot be read", partition), Where: s.where(), Why: err.Error(), Err: err,
		Next: "let this account read the log and its folder, or leave it out of paths:",
	}
}

// lineDecoder reads one line. It is safe for concurrent use.
type lineDecoder struct {
	values  *payload.Decoder
	pattern *regexp.Regexp // nil: lines are JSON
}

func newDecoder(format, pattern string, m recount.Mapping) (lineDecoder, error) {
	var d lineDecoder
	if format == formatText {
		p, err := regexp.Compile(pattern)
		if err != nil {
			return d, &recount.Error{Code: recount.CodeConfig, What: "pattern: cannot be read", Why: err.Error(), Next: "correct the regular expression; its form is RE2's"}
		}
		d.pattern = p
		values, err := payload.New(payload.CSV, columns(p), m)
		d.values = values
		return d, err
	}
	if format != formatJSON {
		return d, &recount.Error{
			Code: recount.CodeNewerArchive, What: fmt.Sprintf("lines of format %q cannot be read", format),
			Why: "this version knows json and text", Next: "use a newer version of recount",
		}
	}
	values, err := payload.New(payload.JSON, "", m)
	d.values = values
	return d, err
}

// columns is the header of the record that a line becomes: the named groups.
func columns(p *regexp.Regexp) string {
	var names []string
	for _, name := range p.SubexpNames() {
		if name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// matches says whether a line is an event by the pattern.
func (d lineDecoder) matches(line []byte) bool { return d.pattern == nil || d.pattern.Match(line) }

// Decode reads the line that an event holds.
func (d lineDecoder) Decode(e recount.Event) recount.Event {
	return d.read(&payload.Scratch{}, e.Data)
}

// read reads a line. A scratch serves one goroutine.
func (d lineDecoder) read(s *payload.Scratch, line []byte) (e recount.Event) {
	if d.pattern == nil {
		d.values.Into(&e, s, line, s.Text(line))
		return e
	}
	groups := d.pattern.FindSubmatch(line)
	if groups == nil {
		d.values.Into(&e, s, nil, "")
		e.Data, e.Fault = line, "the line does not match the source's pattern"
		return e
	}
	var record []byte
	for i, name := range d.pattern.SubexpNames() {
		if name == "" {
			continue
		}
		if record != nil {
			record = append(record, ',')
		}
		record = append(record, '"')
		record = append(record, bytes.ReplaceAll(groups[i], []byte(`"`), []byte(`""`))...)
		record = append(record, '"')
	}
	d.values.Into(&e, s, record, s.Text(record))
	e.Data = line
	return e
}
