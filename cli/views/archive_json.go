package views

import (
	"encoding/base64"
	"io"
	"unicode/utf8"

	"recount"
	"recount/internal/app"
)

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
			Gaps: gapCounts(s.Gaps), Lost: lostGaps(s.Gaps), Pulled: pulledSpans(s.Pulled), Since: stamp(s.Since),
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
			Positions: []accountJSON{}, Problems: []problemJSON{}, Leftovers: []string{},
		}
		for _, p := range r.Partitions {
			account := accountJSON{
				positionsJSON: positionsJSON{Partition: p.Partition, First: p.First, Last: p.Last, Rows: decimalCount(p.Events)},
				Gaps:          counts(p.Gaps), Runs: []runJSON{},
			}
			for _, run := range p.Runs {
				account.Runs = append(account.Runs, runJSON{Kind: string(run.Kind), First: run.First, Last: run.Last})
			}
			o.Positions = append(o.Positions, account)
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
	if b == nil || !utf8.Valid(b) {
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
		Origin: orNull(f.Origin),
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
	// Gaps counts gaps by reason.
	Gaps   map[recount.GapReason]string `json:"gaps"`
	Lost   []gapJSON                    `json:"lost"`
	Pulled []pulledJSON                 `json:"pulled"`
	Since  stamp                        `json:"since"`
}

type gapJSON struct {
	Partition string `json:"partition"`
	From      string `json:"from"`
	To        string `json:"to"`
}

type pulledJSON struct {
	From stamp `json:"from"`
	To   stamp `json:"to"`
}

func gapCounts(gaps []recount.Gap) map[recount.GapReason]string {
	n := map[recount.GapReason]int64{}
	for _, g := range gaps {
		n[g.Reason]++
	}
	return counts(n)
}

func counts(n map[recount.GapReason]int64) map[recount.GapReason]string {
	out := map[recount.GapReason]string{}
	for reason, of := range n {
		out[reason] = decimalCount(of)
	}
	return out
}

func lostGaps(gaps []recount.Gap) []gapJSON {
	out := []gapJSON{}
	for _, g := range gaps {
		if g.Lost() {
			out = append(out, gapJSON{Partition: g.Partition, From: g.From, To: g.To})
		}
	}
	return out
}

func pulledSpans(windows []recount.Window) []pulledJSON {
	out := []pulledJSON{}
	for _, w := range windows {
		out = append(out, pulledJSON{From: stamp(w.From), To: stamp(w.To)})
	}
	return out
}

type archiveVerifyObject struct {
	head
	Stream    string        `json:"stream"`
	Snapshot  string        `json:"snapshot"`
	Whole     bool          `json:"whole"`
	Commits   string        `json:"commits"`
	Files     string        `json:"files"`
	Events    string        `json:"events"`
	Bytes     string        `json:"bytes"`
	Positions []accountJSON `json:"positions"`
	Problems  []problemJSON `json:"problems"`
	Leftovers []string      `json:"leftovers"`
}

// accountJSON is what the positions of a partition are.
type accountJSON struct {
	positionsJSON
	Gaps map[recount.GapReason]string `json:"gaps"`
	Runs []runJSON                    `json:"runs"`
}

type runJSON struct {
	Kind  string `json:"kind"`
	First string `json:"first"`
	Last  string `json:"last"`
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
	Origin    any             `json:"origin"`
}

type positionsJSON struct {
	Partition string `json:"partition"`
	First     string `json:"first"`
	Last      string `json:"last"`
	Rows      string `json:"rows"`
}

func (v archiveJSON) Ran(ran []app.ArchiveRan) error {
	for _, r := range ran {
		kind := "archive_run"
		if r.Adopted {
			kind = "archive_adopt"
		}
		if err := emit(v.out, archiveRunObject{
			head: typed(kind), Source: r.Source, Events: decimalCount(r.Events), Repeats: decimalCount(r.Repeats),
			Conflicts: decimalCount(r.Conflicts), Quarantined: decimalCount(r.Quarantined), Files: decimalCount(int64(r.Files)),
			Bytes: decimalCount(r.Bytes), Commits: decimalCount(int64(r.Commits)), Snapshot: r.Snapshot,
			Gaps: decimalCount(int64(r.Gaps)), Known: decimalCount(r.Known),
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
	Gaps        string `json:"gaps"`
	Known       string `json:"known"`
	Snapshot    string `json:"snapshot"`
	Watermark   stamp  `json:"watermark"`
	TookMS      int64  `json:"took_ms"`
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
