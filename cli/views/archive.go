package views

import (
	"io"

	"recount/internal/app"
)

// Archive shows what was archived and what the archive holds.
type Archive interface {
	Ran([]app.ArchiveRan) error
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
		items = append(items, "complete to "+instant(r.Watermark), "snapshot "+short(r.Snapshot), took(r.TookMS))
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

type archiveJSON struct{ out io.Writer }

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
