package views

import (
	"bytes"
	"fmt"
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
			kind := "file"
			if r.Adopted {
				kind = "adopted file"
			}
			items = append(items, counted(r.Events, "new event"), counted(int64(r.Files), kind), size(r.Bytes))
		}
		for _, part := range []struct {
			n    int64
			text string
		}{{r.Repeats, counted(r.Repeats, "repeat")}, {r.Conflicts, counted(r.Conflicts, "conflict")}, {r.Quarantined, count(r.Quarantined) + " quarantined"}, {r.Known, count(r.Known) + " archived before"}} {
			if part.n > 0 {
				items = append(items, part.text)
			}
		}
		items = append(items, completeTo(r.Watermark))
		if r.Snapshot != "" {
			items = append(items, "snapshot "+short(r.Snapshot))
		}
		items = append(items, took(r.TookMS))
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
	if v.o.Quiet || s.Err == nil && s.Commits == 0 {
		return
	}
	p := newPage(v.o.ErrStyle)
	if s.Err != nil {
		e := recount.AsError(s.Err)
		p.named(s.Source, []string{e.What + ", again in " + took(s.Retry.Milliseconds()), e.Why})
		_ = p.flush(v.o.Err)
		return
	}
	p.named(s.Source, []string{counted(s.Events, "new event"), counted(int64(s.Files), "file"), size(s.Bytes), completeTo(s.Watermark)})
	for _, g := range s.Lost {
		p.named(s.Source, []string{fmt.Sprintf("events are lost: partition %s, %s were deleted before they were archived", g.Partition, g.Positions())})
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
	}{{t.Repeats, "repeat"}, {t.Conflicts, "conflict"}, {t.Faults, "fault"}} {
		if part.n > 0 {
			items = append(items, counted(part.n, part.word))
		}
	}
	p.line(span{"  " + clip(p.text(s.Stream), 40, p.g.more), bold}, say("  "+p.dots(items...)))
	p.line(say("  " + p.dots(completeTo(s.Watermark), "snapshot "+short(s.Snapshot), counted(s.Commits, "commit"))))
	p.beside(s)
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

// beside says what is not there, and what stands beside the rest.
func (p *page) beside(s app.ArchiveStream) {
	if !s.Since.IsZero() {
		p.line(say("  kept since " + instant(s.Since)))
	}
	const most = 8
	for i, w := range s.Pulled {
		if i == most {
			p.line(say(fmt.Sprintf("  %s and %s", p.g.more, counted(int64(len(s.Pulled)-i), "pulled span"))))
			break
		}
		p.line(say("  pulled " + instant(w.From) + " to " + instant(w.To)))
	}
	known, lost := map[recount.GapReason]int64{}, []recount.Gap{}
	for _, g := range s.Gaps {
		if g.Lost() {
			lost = append(lost, g)
		} else {
			known[g.Reason]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(known)) {
		p.line(say("  " + p.dots(counted(known[reason], "gap")+" without events", string(reason))))
	}
	for i, g := range lost {
		if i == most {
			p.line(span{fmt.Sprintf("  %s and %s more, in --json", p.g.more, counted(int64(len(lost)-i), "lost span")), orange})
			break
		}
		p.wrapped(2, orange, fmt.Sprintf("lost: partition %s, %s, deleted before they were archived", g.Partition, g.Positions()))
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
			p.account(part)
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

// account says what the positions of a partition are, where that is known.
func (p *page) account(part app.ArchivedPartition) {
	for _, reason := range slices.Sorted(maps.Keys(part.Gaps)) {
		if reason != recount.GapRetention {
			p.line(span{"        " + p.dots(counted(part.Gaps[reason], "position")+" without an event", string(reason)), dim})
		}
	}
	const most = 8
	for i, run := range part.Runs {
		if i == most {
			p.line(say(fmt.Sprintf("        %s and %s more, in --json", p.g.more, counted(int64(len(part.Runs)-i), "run"))))
			break
		}
		style := dim
		if run.Kind != app.RunSealed {
			style = orange
		}
		p.line(span{"        " + pad(string(run.Kind), 8, false) + positionSpan(run.First, run.Last), style})
	}
}

// positionSpan spells the positions from first to last, both inside; "on" stands
// for the end of a log whose end nobody knows.
func positionSpan(first, last string) string {
	const endless = "9223372036854775806"
	if trimmedPosition(last) == endless {
		return "from " + trimmedPosition(first) + " on"
	}
	return trimmedPosition(first) + " to " + trimmedPosition(last)
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

// Upkeep shows what was done to an archive that brings no events.
type Upkeep interface {
	// Compacted shows which files were joined.
	Compacted([]app.ArchiveCompacted) error
	// Expired shows what was taken out and deleted, and what stays.
	Expired([]app.ArchiveExpired) error
	// Registered shows the tables of a catalog.
	Registered([]app.ArchiveRegistered) error
}

// NewUpkeep returns the side that o chooses.
func NewUpkeep(o *Output) Upkeep {
	if o.JSON {
		return upkeepJSON{o.Out}
	}
	return upkeepHuman{o}
}

type upkeepHuman struct{ o *Output }

// named writes a stream's name and, beside it, items over as many lines as they
// need.
func (p *page) named(name string, items []string) {
	name = clip(p.text(name), 30, p.g.more)
	for i, line := range p.flow(items, p.st.width()-4-columns(name)) {
		if i == 0 {
			p.line(span{"  " + name, bold}, say("  "+line))
			continue
		}
		p.line(say(pad("", 4+columns(name), false) + line))
	}
}

// would says that nothing was done yet.
func would(dry bool, done, would string) string {
	if dry {
		return would
	}
	return done
}

func (v upkeepHuman) Compacted(list []app.ArchiveCompacted) error {
	p := newPage(v.o.Style)
	for _, r := range list {
		if r.Files == 0 {
			p.named(r.Stream, []string{"nothing to join", "snapshot " + short(r.Snapshot)})
			continue
		}
		items := []string{
			counted(int64(r.Files), "file") + " of " + counted(int64(r.Hours), "hour") + " " + would(r.DryRun, "became", "would become") + " " + count(int64(r.Made)),
			counted(r.Events, "event"),
		}
		if r.DryRun {
			items = append(items, size(r.Bytes), "nothing was changed")
		} else {
			items = append(items, size(r.Bytes)+" before, "+size(r.Packed)+" now", "snapshot "+short(r.Snapshot), took(r.TookMS))
		}
		p.named(r.Stream, items)
	}
	return p.flush(v.o.Out)
}

func (v upkeepHuman) Expired(list []app.ArchiveExpired) error {
	p := newPage(v.o.Style)
	for _, r := range list {
		items := []string{}
		switch {
		case r.Before.IsZero():
		case r.Files == 0:
			items = append(items, "no events before "+instant(r.Before))
		default:
			items = append(items, counted(r.Events, "event")+" before "+instant(r.Before)+" "+would(r.DryRun, "taken out", "would be taken out"),
				counted(int64(r.Files), "file")+" of "+size(r.Bytes))
		}
		for _, part := range []struct {
			n    int
			size int64
			noun string
		}{{r.Deleted.Count, r.Deleted.Bytes, "file"}, {r.Leftovers.Count, r.Leftovers.Bytes, "leftover"}} {
			if part.n > 0 {
				items = append(items, counted(int64(part.n), part.noun)+" of "+size(part.size)+" "+would(r.DryRun, "deleted", "would be deleted"))
			}
		}
		if len(items) == 0 {
			items = append(items, "nothing to delete")
		}
		p.named(r.Stream, append(items, "snapshot "+short(r.Snapshot)))
		if !r.Asked.Equal(r.Before) {
			p.wrapped(6, dim, "events are taken out by whole hours, so up to "+instant(r.Before)+" and not "+instant(r.Asked))
		}
		for _, k := range r.Kept {
			p.wrapped(6, dim, counted(int64(k.Count), "file")+" of "+size(k.Bytes)+" stay: "+k.Why)
		}
	}
	return p.flush(v.o.Out)
}

func (v upkeepHuman) Registered(list []app.ArchiveRegistered) error {
	p := newPage(v.o.Style)
	for _, r := range list {
		for _, t := range r.Tables {
			items := []string{counted(t.Rows, "row"), counted(int64(t.Files), "file")}
			switch {
			case t.Anew:
				items = append(items, "made now")
			case t.Added+t.Dropped == 0:
				items = append(items, "nothing new")
			default:
				items = append(items, fmt.Sprintf("%d added, %d dropped", t.Added, t.Dropped))
			}
			p.named(t.Name, append(items, "snapshot "+short(r.Snapshot)))
		}
		if r.Passed > 0 {
			p.wrapped(6, dim, counted(int64(r.Passed), "file")+" that lie elsewhere are left out: they were adopted, and are not the archive's own Parquet")
		}
	}
	if len(list) > 0 {
		p.line(say("  Catalog " + p.text(list[0].Catalog)))
	}
	return p.flush(v.o.Out)
}
