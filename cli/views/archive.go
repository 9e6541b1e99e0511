package views

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"recount"
	"recount/internal/app"
)

// Archive shows what was archived and what the archive holds.
type Archive interface {
	// Ran shows what was archived now.
	Ran([]app.ArchiveRan) error
	// Goes shows, while a run lasts, where one source stands. It is on standard
	// error, and in JSON nothing.
	Goes(app.ArchiveStatus)
	// Holds shows what is in the archive.
	Holds([]app.ArchiveStream) error
	// Proved shows what a verification found.
	Proved([]app.ArchiveReport) error
	// Event shows the archived copies of one event.
	Event([]app.ArchivedEvent) error
}

// NewArchive returns the side that o chooses.
func NewArchive(o *Output) Archive {
	if o.JSON {
		return archiveJSON{o.Out}
	}
	return archiveHuman{o}
}

type archiveHuman struct{ o *Output }

func (v archiveHuman) Ran(ran []app.ArchiveRan) error {
	p := newPage(v.o.Style)
	for _, r := range ran {
		items := []string{}
		if r.Events == 0 {
			items = append(items, "nothing new")
		} else {
			items = append(items, counted(r.Events, "new event"), counted(int64(r.Files), "file"), size(r.Bytes))
		}
		for _, part := range []struct {
			n    int64
			word string
		}{{r.Repeats, "repeats"}, {r.Conflicts, "conflicts"}, {r.Quarantined, "quarantined"}} {
			if part.n > 0 {
				items = append(items, count(part.n)+" "+part.word)
			}
		}
		items = append(items, completeTo(r.Watermark), "snapshot "+short(r.Snapshot), took(r.TookMS))
		name := clip(p.text(r.Source), 30, p.g.more)
		for i, line := range p.flow(items, p.st.width()-4-columns(name)) {
			if i == 0 {
				p.line(span{"  " + name, bold}, say("  "+line))
				continue
			}
			p.line(say(pad("", 4+columns(name), false) + line))
		}
	}
	return p.flush(v.o.Out)
}

// Goes writes a line for each commit, and for what stands in the way. Nobody is
// left to tell where standard error is gone.
func (v archiveHuman) Goes(s app.ArchiveStatus) {
	if v.o.Quiet {
		return
	}
	p := newPage(v.o.ErrStyle)
	name := span{"  " + clip(p.text(s.Source), 30, p.g.more), bold}
	if s.Err != nil {
		e := recount.AsError(s.Err)
		p.line(name, say("  "+p.text(e.What)+": "+p.text(e.Why)+", again in "+took(s.Retry.Milliseconds())))
		_ = p.flush(v.o.Err)
		return
	}
	p.line(name, say("  "+p.dots(counted(s.Events, "new event"), counted(int64(s.Files), "file"), size(s.Bytes), completeTo(s.Watermark))))
	for _, g := range s.Lost {
		p.line(name, say("  "+p.text(fmt.Sprintf("events are lost: partition %s, positions [%s, %s) were deleted before they were archived",
			g.Partition, recount.ShortPosition(g.From), recount.ShortPosition(g.To)))))
	}
	_ = p.flush(v.o.Err)
}

// Goes writes nothing: a run's object is written when it is over.
func (v archiveJSON) Goes(app.ArchiveStatus) {}

func (v archiveHuman) Holds(list []app.ArchiveStream) error {
	p := newPage(v.o.Style)
	for i, s := range list {
		if i > 0 {
			p.blank()
		}
		p.stream(s)
	}
	if len(list) == 0 {
		p.line(say("  The archive is empty. "), span{"recount archive run --once", bold}, say(" brings events in."))
	}
	return p.flush(v.o.Out)
}

// completeTo says up to when all events are in.
func completeTo(watermark time.Time) string {
	if watermark.IsZero() {
		return "not complete yet"
	}
	return "complete to " + instant(watermark)
}

// stream writes one stream: its totals, then its hours, or days where there are
// many.
func (p *page) stream(s app.ArchiveStream) {
	t := s.Total
	items := []string{counted(t.Events, "event"), counted(int64(t.Files), "file"), size(t.Bytes)}
	for _, part := range []struct {
		n    int64
		word string
	}{{t.Repeats, "repeats"}, {t.Conflicts, "conflicts"}, {t.Faults, "faults"}} {
		if part.n > 0 {
			items = append(items, count(part.n)+" "+part.word)
		}
	}
	p.line(span{"  " + clip(p.text(s.Stream), 40, p.g.more), bold}, say("  "+p.dots(items...)))
	p.line(say("  " + p.dots(completeTo(s.Watermark), "snapshot "+short(s.Snapshot), counted(s.Commits, "commit"))))
	const mostLines = 30
	for _, layout := range []string{"2006-01-02 15:00", "2006-01-02", "2006-01", "2006"} {
		spans := spansOf(s.Hours, layout)
		if len(spans) > mostLines && layout != "2006" {
			continue
		}
		t := &table{indent: 4, head: []string{"UTC", "events", "files", "size"}, right: []bool{false, true, true, true}}
		for n, h := range spans {
			if n == mostLines {
				t.rows = append(t.rows, []cell{{text: p.g.more}, {}, {}, {}})
				break
			}
			t.rows = append(t.rows, []cell{{text: h.name}, {text: count(h.events)}, {text: count(h.files)}, {text: size(h.bytes)}})
		}
		t.write(p)
		return
	}
}

// held is what one span of time holds.
type held struct {
	name                 string
	events, files, bytes int64
}

// spansOf adds hours up to days, months… in their order.
func spansOf(hours []app.ArchiveHour, layout string) []held {
	var spans []held
	for _, h := range hours {
		name := "time not readable"
		if h.Known {
			name = h.Start.UTC().Format(layout)
		}
		if len(spans) == 0 || spans[len(spans)-1].name != name {
			spans = append(spans, held{name: name})
		}
		last := &spans[len(spans)-1]
		last.events += h.Events
		last.files += int64(h.Files)
		last.bytes += h.Bytes
	}
	return spans
}

func (v archiveHuman) Proved(list []app.ArchiveReport) error {
	p := newPage(v.o.Style)
	for _, r := range list {
		mark := span{"  " + p.g.yes + " ", blue}
		if len(r.Problems) > 0 {
			mark = span{"  " + p.g.no + " ", orange}
		}
		p.line(mark, span{clip(p.text(r.Stream), 40, p.g.more), bold}, say("  "+p.dots(
			counted(r.Events, "event"), counted(int64(r.Files), "file"), size(r.Bytes), counted(r.Commits, "commit"), "snapshot "+short(r.Snapshot))))
		const most = 8
		for i, part := range r.Partitions {
			if i == most {
				p.line(say(fmt.Sprintf("      %s and %s", p.g.more, counted(int64(len(r.Partitions)-i), "partition"))))
				break
			}
			p.line(say("      " + clip(p.text(part.Partition), 40, p.g.more) + " " + trimmedPosition(part.First) + " to " + trimmedPosition(part.Last) +
				" " + p.g.dot + " " + counted(part.Events, "event")))
		}
		for i, e := range r.Problems {
			if i == most {
				p.line(say(fmt.Sprintf("      %s and %s more, in --json", p.g.more, counted(int64(len(r.Problems)-i), "damage"))))
				break
			}
			p.wrapped(6, orange, e.Where+": "+e.What+": "+e.Why)
		}
		if n := len(r.Leftovers); n > 0 {
			p.wrapped(6, dim, counted(int64(n), "leftover")+" of a crash, never read: "+r.Leftovers[0].Name)
		}
	}
	if len(list) == 0 {
		p.line(say("  The archive is empty."))
	}
	return p.flush(v.o.Out)
}

// Event writes the payload's own bytes, byte for byte; payloads that differ stand
// on lines of their own. A terminal gets them escaped, since it would obey them.
func (v archiveHuman) Event(copies []app.ArchivedEvent) error {
	p := newPage(v.o.ErrStyle)
	for _, c := range copies {
		items := []string{"event " + orDash(p, c.ID), c.Stream, c.Partition + "@" + trimmedPosition(c.Position), c.File}
		if c.TimeKnown {
			items = append(items, recount.FormatTimestamp(c.Time))
		}
		for _, m := range c.Marks {
			items = append(items, string(m.Kind)+": "+m.Why)
		}
		if !v.o.Quiet {
			for _, line := range p.flow(items, p.st.width()-2) {
				p.line(span{"  " + line, dim})
			}
		}
	}
	if err := p.flush(v.o.Err); err != nil {
		return err
	}
	distinct := slices.CompactFunc(slices.Clone(copies), func(a, b app.ArchivedEvent) bool { return bytes.Equal(a.Data, b.Data) })
	if len(distinct) == 1 && !v.o.Terminal {
		_, err := v.o.Out.Write(distinct[0].Data)
		return err
	}
	for _, c := range distinct {
		data := c.Data
		if v.o.Terminal {
			data = []byte(Visible(string(data), v.o.Style.ASCII))
		}
		if _, err := v.o.Out.Write(append(slices.Clone(data), '\n')); err != nil {
			return err
		}
	}
	return nil
}

func orDash(p *page, s string) string {
	if s == "" {
		return p.g.dash
	}
	return s
}

type archiveJSON struct{ out io.Writer }

// Holds writes one object for each stream, each followed by one for each of its
// files.
func (v archiveJSON) Holds(list []app.ArchiveStream) error {
	for _, s := range list {
		t := s.Total
		if err := emit(v.out, archiveStreamObject{
			head: typed("archive_stream"), Stream: s.Stream, Snapshot: s.Snapshot, Commits: decimalCount(s.Commits), Watermark: stamp(s.Watermark),
			LatenessMS: s.Lateness.Milliseconds(), Files: decimalCount(int64(t.Files)), Events: decimalCount(t.Events), Bytes: decimalCount(t.Bytes),
			Repeats: decimalCount(t.Repeats), Conflicts: decimalCount(t.Conflicts), Faults: decimalCount(t.Faults),
		}); err != nil {
			return err
		}
		for _, f := range s.Files {
			if err := emit(v.out, jsonFile(s.Stream, f)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Proved writes one object for each stream.
func (v archiveJSON) Proved(list []app.ArchiveReport) error {
	for _, r := range list {
		o := archiveVerifyObject{
			head: typed("archive_verify"), Stream: r.Stream, Snapshot: r.Snapshot, Whole: len(r.Problems) == 0, Commits: decimalCount(r.Commits),
			Files: decimalCount(int64(r.Files)), Events: decimalCount(r.Events), Bytes: decimalCount(r.Bytes),
			Positions: []positionsJSON{}, Problems: []problemJSON{}, Leftovers: []string{},
		}
		for _, p := range r.Partitions {
			o.Positions = append(o.Positions, positionsJSON{Partition: p.Partition, First: p.First, Last: p.Last, Rows: decimalCount(p.Events)})
		}
		for _, e := range r.Problems {
			o.Problems = append(o.Problems, problemJSON{Code: e.Code, What: e.What, Where: e.Where, Why: e.Why})
		}
		for _, l := range r.Leftovers {
			o.Leftovers = append(o.Leftovers, l.Name)
		}
		if err := emit(v.out, o); err != nil {
			return err
		}
	}
	return nil
}

// Event writes one object for each copy; bytes that are no UTF-8 go as base64.
func (v archiveJSON) Event(copies []app.ArchivedEvent) error {
	for _, c := range copies {
		o := archiveEventObject{
			head: typed("archive_event"), Stream: c.Stream, ID: orNull(c.ID), EventType: orNull(c.Type), Partition: c.Partition, Position: c.Position,
			IngestTime: stamp(c.IngestTime), Key: textOrBase64(c.Key), Data: c.Data, Text: orText(c.Data), Format: c.Format, CSVHeader: orNull(c.Header),
			Headers: []headerJSON{}, Seq: decimalCount(c.Seq), File: c.File, Commit: decimalCount(c.Commit), Marks: []markJSON{},
		}
		if c.TimeKnown {
			o.Time = stamp(c.Time)
		}
		for _, h := range c.Headers {
			o.Headers = append(o.Headers, headerJSON{Name: h.Name, Value: textOrBase64(h.Value)})
		}
		for _, m := range c.Marks {
			o.Marks = append(o.Marks, markJSON{Kind: m.Kind, Why: m.Why})
		}
		if err := emit(v.out, o); err != nil {
			return err
		}
	}
	return nil
}

// orText is the payload as text; null where it is none.
func orText(b []byte) any {
	if !utf8.Valid(b) {
		return nil
	}
	return string(b)
}

// textOrBase64 is bytes as text, or as base64 after "base64:" where they are none.
func textOrBase64(b []byte) any {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return string(b)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(b)
}

func jsonFile(stream string, f recount.DataFile) archiveFileObject {
	o := archiveFileObject{
		head: typed("archive_file"), Stream: stream, Name: f.Name, SHA256: f.SHA256, Bytes: decimalCount(f.Bytes), Events: decimalCount(f.Rows),
		Commit: decimalCount(f.Commit), FirstSeq: decimalCount(f.FirstSeq), LastSeq: decimalCount(f.LastSeq), Positions: []positionsJSON{},
	}
	if f.TimeKnown {
		o.FirstTime, o.LastTime = stamp(f.FirstTime), stamp(f.LastTime)
	}
	for _, p := range f.Spans {
		o.Positions = append(o.Positions, positionsJSON{Partition: p.Partition, First: p.First, Last: p.Last, Rows: decimalCount(p.Rows)})
	}
	return o
}

type archiveStreamObject struct {
	head
	Stream     string `json:"stream"`
	Snapshot   string `json:"snapshot"`
	Commits    string `json:"commits"`
	Watermark  stamp  `json:"watermark"`
	LatenessMS int64  `json:"lateness_ms"`
	Files      string `json:"files"`
	Events     string `json:"events"`
	Bytes      string `json:"bytes"`
	Repeats    string `json:"repeats"`
	Conflicts  string `json:"conflicts"`
	Faults     string `json:"faults"`
}

type archiveVerifyObject struct {
	head
	Stream    string          `json:"stream"`
	Snapshot  string          `json:"snapshot"`
	Whole     bool            `json:"whole"`
	Commits   string          `json:"commits"`
	Files     string          `json:"files"`
	Events    string          `json:"events"`
	Bytes     string          `json:"bytes"`
	Positions []positionsJSON `json:"positions"`
	Problems  []problemJSON   `json:"problems"`
	Leftovers []string        `json:"leftovers"`
}

type problemJSON struct {
	Code  recount.Code `json:"code"`
	What  string       `json:"what"`
	Where string       `json:"where"`
	Why   string       `json:"why"`
}

type archiveEventObject struct {
	head
	Stream     string       `json:"stream"`
	Seq        string       `json:"seq"`
	ID         any          `json:"id"`
	EventType  any          `json:"event_type"`
	Partition  string       `json:"partition"`
	Position   string       `json:"position"`
	Time       stamp        `json:"time"`
	IngestTime stamp        `json:"ingest_time"`
	Key        any          `json:"key"`
	Text       any          `json:"text"`
	Data       []byte       `json:"data"`
	Format     string       `json:"format"`
	CSVHeader  any          `json:"csv_header"`
	Headers    []headerJSON `json:"headers"`
	File       string       `json:"file"`
	Commit     string       `json:"commit"`
	Marks      []markJSON   `json:"marks"`
}

type headerJSON struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

type markJSON struct {
	Kind recount.MarkKind `json:"kind"`
	Why  string           `json:"why"`
}

type archiveFileObject struct {
	head
	Stream    string          `json:"stream"`
	Name      string          `json:"name"`
	SHA256    string          `json:"sha256"`
	Bytes     string          `json:"bytes"`
	Events    string          `json:"events"`
	Commit    string          `json:"commit"`
	FirstSeq  string          `json:"first_seq"`
	LastSeq   string          `json:"last_seq"`
	FirstTime stamp           `json:"first_time"`
	LastTime  stamp           `json:"last_time"`
	Positions []positionsJSON `json:"positions"`
}

type positionsJSON struct {
	Partition string `json:"partition"`
	First     string `json:"first"`
	Last      string `json:"last"`
	Rows      string `json:"rows"`
}

func (v archiveJSON) Ran(ran []app.ArchiveRan) error {
	for _, r := range ran {
		if err := emit(v.out, archiveRunObject{
			head: typed("archive_run"), Source: r.Source, Events: decimalCount(r.Events), Repeats: decimalCount(r.Repeats),
			Conflicts: decimalCount(r.Conflicts), Quarantined: decimalCount(r.Quarantined), Files: decimalCount(int64(r.Files)),
			Bytes: decimalCount(r.Bytes), Commits: decimalCount(int64(r.Commits)), Snapshot: r.Snapshot,
			Watermark: stamp(r.Watermark), TookMS: r.TookMS,
		}); err != nil {
			return err
		}
	}
	return nil
}

type archiveRunObject struct {
	head
	Source      string `json:"source"`
	Events      string `json:"events"`
	Repeats     string `json:"repeats"`
	Conflicts   string `json:"conflicts"`
	Quarantined string `json:"quarantined"`
	Files       string `json:"files"`
	Bytes       string `json:"bytes"`
	Commits     string `json:"commits"`
	Snapshot    string `json:"snapshot"`
	Watermark   stamp  `json:"watermark"`
	TookMS      int64  `json:"took_ms"`
}
