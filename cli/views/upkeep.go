package views

import (
	"fmt"
	"io"

	"recount/internal/app"
)

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

type upkeepJSON struct{ out io.Writer }

func (v upkeepJSON) Compacted(list []app.ArchiveCompacted) error {
	for _, r := range list {
		if err := emit(v.out, archiveCompactObject{
			head: typed("archive_compact"), Stream: r.Stream, DryRun: r.DryRun, Hours: decimalCount(int64(r.Hours)), Files: decimalCount(int64(r.Files)),
			Made: decimalCount(int64(r.Made)), Events: decimalCount(r.Events), BytesBefore: decimalCount(r.Bytes), BytesAfter: decimalCount(r.Packed),
			Commits: decimalCount(int64(r.Commits)), Snapshot: r.Snapshot, TookMS: r.TookMS,
		}); err != nil {
			return err
		}
	}
	return nil
}

type archiveCompactObject struct {
	head
	Stream      string `json:"stream"`
	DryRun      bool   `json:"dry_run"`
	Hours       string `json:"hours"`
	Files       string `json:"files"`
	Made        string `json:"made"`
	Events      string `json:"events"`
	BytesBefore string `json:"bytes_before"`
	BytesAfter  string `json:"bytes_after"`
	Commits     string `json:"commits"`
	Snapshot    string `json:"snapshot"`
	TookMS      int64  `json:"took_ms"`
}

func (v upkeepJSON) Expired(list []app.ArchiveExpired) error {
	for _, r := range list {
		o := archiveExpireObject{
			head: typed("archive_expire"), Stream: r.Stream, DryRun: r.DryRun, Before: stamp(r.Before), Files: decimalCount(int64(r.Files)),
			Events: decimalCount(r.Events), Bytes: decimalCount(r.Bytes), Deleted: jsonObjects(r.Deleted.Count, r.Deleted.Bytes),
			Leftovers: jsonObjects(r.Leftovers.Count, r.Leftovers.Bytes), Kept: []keptJSON{}, Snapshot: r.Snapshot,
		}
		for _, k := range r.Kept {
			o.Kept = append(o.Kept, keptJSON{objectsJSON: jsonObjects(k.Count, k.Bytes), Why: k.Why})
		}
		if err := emit(v.out, o); err != nil {
			return err
		}
	}
	return nil
}

type archiveExpireObject struct {
	head
	Stream    string      `json:"stream"`
	DryRun    bool        `json:"dry_run"`
	Before    stamp       `json:"before"`
	Files     string      `json:"files"`
	Events    string      `json:"events"`
	Bytes     string      `json:"bytes"`
	Deleted   objectsJSON `json:"deleted"`
	Leftovers objectsJSON `json:"leftovers"`
	Kept      []keptJSON  `json:"kept"`
	Snapshot  string      `json:"snapshot"`
}

type objectsJSON struct {
	Count string `json:"count"`
	Bytes string `json:"bytes"`
}

func jsonObjects(n int, bytes int64) objectsJSON {
	return objectsJSON{Count: decimalCount(int64(n)), Bytes: decimalCount(bytes)}
}

type keptJSON struct {
	objectsJSON
	Why string `json:"why"`
}

func (v upkeepJSON) Registered(list []app.ArchiveRegistered) error {
	for _, r := range list {
		for _, t := range r.Tables {
			if err := emit(v.out, archiveRegisterObject{
				head: typed("archive_register"), Stream: r.Stream, Catalog: r.Catalog, Table: t.Name, Rows: decimalCount(t.Rows),
				Files: decimalCount(int64(t.Files)), Added: decimalCount(int64(t.Added)), Dropped: decimalCount(int64(t.Dropped)), Anew: t.Anew,
				Passed: decimalCount(int64(r.Passed)), Snapshot: r.Snapshot, TookMS: r.TookMS,
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

type archiveRegisterObject struct {
	head
	Stream   string `json:"stream"`
	Catalog  string `json:"catalog"`
	Table    string `json:"table"`
	Rows     string `json:"rows"`
	Files    string `json:"files"`
	Added    string `json:"added"`
	Dropped  string `json:"dropped"`
	Anew     bool   `json:"anew"`
	Passed   string `json:"passed"`
	Snapshot string `json:"snapshot"`
	TookMS   int64  `json:"took_ms"`
}
