package views

import (
	"io"
	"maps"
	"slices"
	"time"

	"recount"
	"recount/internal/app"
)

// Archive shows what was archived and what the archive holds.
type Archive interface {
	// Ran shows what was archived now.
	Ran([]app.ArchiveRan) error
	// Holds shows what is in the archive.
	Holds([]recount.Snapshot) error
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

// totals of files.
type held struct{ events, files, bytes int64 }

func (h *held) add(f recount.DataFile) {
	h.events += f.Rows
	h.files++
	h.bytes += f.Bytes
}

func (v archiveHuman) Holds(list []recount.Snapshot) error {
	p := newPage(v.o.Style)
	for i, s := range list {
		if i > 0 {
			p.blank()
		}
		p.stream(s)
	}
	if len(list) == 0 {
		p.line(say("  The archive is empty."))
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
func (p *page) stream(s recount.Snapshot) {
	var all held
	for _, f := range s.Files {
		all.add(f)
	}
	p.line(span{"  " + clip(p.text(s.Stream), 40, p.g.more), bold}, say("  "+p.dots(counted(all.events, "event"), counted(all.files, "file"), size(all.bytes))))
	if s.ID == "" {
		p.line(say("  nothing is archived yet"))
		return
	}
	p.line(say("  " + p.dots(completeTo(s.Watermark), "snapshot "+short(s.ID), "commit "+count(s.Commit))))
	if len(s.Files) == 0 {
		return
	}
	const mostLines = 30
	for _, layout := range []string{"2006-01-02 15:00", "2006-01-02", "2006-01", "2006"} {
		spans := spansOf(s.Files, layout)
		if len(spans) > mostLines && layout != "2006" {
			continue
		}
		t := &table{indent: 4, head: []string{"UTC", "events", "files", "size"}, right: []bool{false, true, true, true}}
		for n, name := range slices.Sorted(maps.Keys(spans)) {
			if n == mostLines {
				t.rows = append(t.rows, []cell{{text: p.g.more}, {}, {}, {}})
				break
			}
			h := spans[name]
			t.rows = append(t.rows, []cell{{text: name}, {text: count(h.events)}, {text: count(h.files)}, {text: size(h.bytes)}})
		}
		t.write(p)
		return
	}
}

// spansOf adds files up by the hour, day… of their events.
func spansOf(files []recount.DataFile, layout string) map[string]held {
	spans := map[string]held{}
	for _, f := range files {
		name := "time not readable"
		if f.TimeKnown {
			name = f.FirstTime.UTC().Format(layout)
		}
		h := spans[name]
		h.add(f)
		spans[name] = h
	}
	return spans
}

type archiveJSON struct{ out io.Writer }

// Holds writes one object for each stream, each followed by one for each of its
// files.
func (v archiveJSON) Holds(list []recount.Snapshot) error {
	for _, s := range list {
		var all held
		for _, f := range s.Files {
			all.add(f)
		}
		if err := emit(v.out, archiveStreamObject{
			head: typed("archive_stream"), Stream: s.Stream, Snapshot: s.ID, Commit: decimalCount(s.Commit), Watermark: stamp(s.Watermark),
			LatenessMS: s.Lateness.Milliseconds(), Files: decimalCount(all.files), Events: decimalCount(all.events), Bytes: decimalCount(all.bytes),
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
	Commit     string `json:"commit"`
	Watermark  stamp  `json:"watermark"`
	LatenessMS int64  `json:"lateness_ms"`
	Files      string `json:"files"`
	Events     string `json:"events"`
	Bytes      string `json:"bytes"`
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
