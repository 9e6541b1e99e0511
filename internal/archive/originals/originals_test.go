package originals_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
	"recount/internal/fault"
	"recount/source"
	"recount/source/files"
	"recount/store"
	"recount/store/mem"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func mapping() recount.Mapping {
	return recount.Mapping{ID: "id", Time: "at", Key: "user", Fields: []recount.Field{
		{Name: "user", Type: recount.Type{Kind: recount.KindString}, Path: "user"},
		{Name: "value", Type: recount.Decimal(18, 2), Path: "value"},
	}}
}

// project is a folder of files, or a store of them, and an archive.
type project struct {
	t       *testing.T
	dir     string
	lake    *mem.Store // where the files lie; nil: in dir
	store   store.Store
	config  files.Config
	mapping recount.Mapping
}

func newProject(t *testing.T, paths ...string) *project {
	t.Helper()
	return &project{t: t, dir: t.TempDir(), store: &mem.Store{}, config: files.Config{Paths: paths}, mapping: mapping()}
}

// objects is a store as a source sees it.
type objects struct{ *mem.Store }

func (o objects) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return o.Store.Open(ctx, name)
}

func (p *project) source() source.Source {
	p.t.Helper()
	env := adapter.Env{Dir: p.dir, Stream: "orders", Mapping: p.mapping, Now: func() time.Time { return noon }}
	if p.lake != nil {
		p.config.Store = "mem://lake/all?key=secret"
		env.Objects = func(context.Context, string) (adapter.Objects, error) { return objects{p.lake}, nil }
	}
	s, err := files.Open(p.t.Context(), env, p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *project) archive(s store.Store) *archive.Archive {
	a := archive.Open(s, clock.Fixed(noon))
	a.UseOriginals(func(context.Context, string) (source.Originals, error) {
		o, ok := p.source().(source.Originals)
		if !ok {
			return nil, errors.New("the source has no originals")
		}
		return o, nil
	})
	return a
}

func (p *project) options() archive.RunOptions {
	return archive.RunOptions{Stream: "orders", Source: p.source(), Fields: p.mapping.Fields, MappingDigest: "m", QuarantineMax: 100, Program: "test"}
}

func (p *project) adopt() archive.RunResult {
	p.t.Helper()
	res, err := p.archive(p.store).Adopt(p.t.Context(), p.options())
	if err != nil {
		p.t.Fatalf("adopt: %v", err)
	}
	return res
}

func (p *project) run() archive.RunResult {
	p.t.Helper()
	res, err := p.archive(p.store).Run(p.t.Context(), p.options())
	if err != nil {
		p.t.Fatalf("run: %v", err)
	}
	return res
}

func (p *project) write(name, content string) {
	p.t.Helper()
	if p.lake != nil {
		if err := p.lake.Delete(p.t.Context(), name); err != nil {
			p.t.Fatal(err)
		}
		if err := p.lake.Put(p.t.Context(), name, func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		}); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	full := filepath.Join(p.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) remove(name string) {
	p.t.Helper()
	err := os.Remove(filepath.Join(p.dir, name))
	if p.lake != nil {
		err = p.lake.Delete(p.t.Context(), name)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// csv is a file of n events from first on, a minute apart.
func csv(first, n int) string {
	var b strings.Builder
	b.WriteString("id,at,user,value\n")
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "e%05d,%s,u%d,%d.50\n", i, noon.Add(time.Duration(i-200)*time.Minute).Format(time.RFC3339), i%7, i)
	}
	return b.String()
}

// stagedRow is what of an event must not depend on how it was archived.
type stagedRow struct{ id, at, partition, position, data, fault string }

// staged returns all events of the snapshot by sequence number, the marks by
// sequence number, both as an engine gets them.
func (p *project) staged() (rows map[int64]stagedRow, marks map[string]bool) {
	p.t.Helper()
	a := p.archive(p.store)
	snap, err := a.Snapshot(p.t.Context(), "orders")
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := p.stage(a, snap)
	if err != nil {
		p.t.Fatalf("stage: %v", err)
	}
	rows, marks = map[int64]stagedRow{}, map[string]bool{}
	for _, f := range got.Files {
		n := int64(0)
		readParquet(p.t, f.Path, func(ef *eventfile.File) {
			for g := range ef.Groups() {
				events, err := ef.Events(g, nil)
				if err != nil {
					p.t.Fatal(err)
				}
				for _, e := range events {
					n++
					if _, twice := rows[e.Seq]; twice {
						p.t.Errorf("event %d stands twice", e.Seq)
					}
					rows[e.Seq] = stagedRow{e.ID, e.Time.String(), e.Partition, e.Position, string(e.Data), e.Fault}
					if e.TimeKnown != f.Data.TimeKnown || e.TimeKnown && (e.Time.Before(f.Data.FirstTime) || e.Time.After(f.Data.LastTime)) || e.Seq < f.Data.FirstSeq || e.Seq > f.Data.LastSeq {
						p.t.Errorf("event %d at %s is not of what is said of its file: %+v", e.Seq, e.Time, f.Data)
					}
				}
			}
		})
		if n != f.Data.Rows {
			p.t.Errorf("file %s: got %d rows, want %d", f.Data.Name, n, f.Data.Rows)
		}
	}
	for _, path := range got.Marks {
		readParquet(p.t, path, func(ef *eventfile.File) {
			list, err := ef.Marks()
			if err != nil {
				p.t.Fatal(err)
			}
			for _, m := range list {
				key := fmt.Sprintf("%d %s %s %s %v", m.Seq, m.Kind, m.ID, m.Why, m.Broken)
				if marks[key] {
					p.t.Errorf("mark %s stands twice", key)
				}
				marks[key] = true
			}
		})
	}
	return rows, marks
}

func (p *project) stage(a *archive.Archive, snap recount.Snapshot) (archive.Staged, error) {
	return a.Stage(p.t.Context(), archive.StageOptions{
		Snapshot: snap, Files: snap.Files, Fields: p.mapping.Fields, Dir: p.t.TempDir(), Decoder: p.source().Decoder,
	})
}

func readParquet(t *testing.T, path string, use func(*eventfile.File)) {
	t.Helper()
	b, err := os.ReadFile(path) //nolint:gosec // a file of this test
	if err != nil {
		t.Fatal(err)
	}
	ef, err := eventfile.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	use(ef)
}

func (p *project) verify() {
	p.t.Helper()
	if _, err := p.archive(p.store).Verify(p.t.Context(), nil, nil); err != nil {
		p.t.Errorf("verify: %v", err)
	}
}

// messy is files with a fault, a time that cannot be read, a repeat and a conflict.
func messy(p *project) {
	p.write("in/1.csv", csv(0, 150))
	p.write("in/2.csv", csv(150, 100)+"e90000,2024-06-10T11:00:00Z,u1,much\ne90001,never,u1,1.00\n")
	p.write("in/3.jsonl", `{"id":"j1","at":"2024-06-10T10:00:00Z","user":"u1","value":"1.00"}`+"\n")
	p.write("in/4.csv", csv(10, 3)+strings.ReplaceAll(csv(20, 1), "20.50", "21.00")[len("id,at,user,value\n"):])
}

func TestAdoptedEventsAreThoseThatARunArchives(t *testing.T) {
	for _, inStore := range []bool{false, true} {
		t.Run(fmt.Sprintf("in a store %v", inStore), func(t *testing.T) {
			adopted, copied := newProject(t, "in/*"), newProject(t, "in/*")
			if inStore {
				adopted.lake, copied.lake = &mem.Store{}, &mem.Store{}
			}
			messy(adopted)
			messy(copied)
			res := adopted.adopt()
			if res.Events != 257 || res.Files != 4 || res.Repeats != 3 || res.Conflicts != 2 || res.Faults != 2 || res.Commits != 1 {
				t.Errorf("adopted: got %+v", res)
			}
			copied.run()
			wantRows, wantMarks := copied.staged()
			gotRows, gotMarks := adopted.staged()
			if !maps.Equal(gotRows, wantRows) {
				t.Errorf("events differ: got %d, want %d", len(gotRows), len(wantRows))
			}
			if !maps.Equal(gotMarks, wantMarks) {
				t.Errorf("marks: got %v, want %v", slices.Sorted(maps.Keys(gotMarks)), slices.Sorted(maps.Keys(wantMarks)))
			}
			adopted.verify()
			err := adopted.store.List(t.Context(), "orders/", func(name string, _ int64) error {
				t.Errorf("%s was written", name)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAdoptingAgainAddsNewFilesAlone(t *testing.T) {
	p := newProject(t, "in/*")
	messy(p)
	first := p.adopt()
	for _, again := range []func() archive.RunResult{p.adopt, p.run, p.adopt} {
		if res := again(); res.Events != 0 || res.Commits != 0 || res.Snapshot != first.Snapshot {
			t.Errorf("again: got %+v, want nothing new", res)
		}
	}
	p.write("in/5.csv", csv(400, 5)+"e00400,2024-06-10T12:00:00Z,u1,9.00\ne00001,2024-06-10T08:41:00Z,u1,1.50\n")
	if res := p.run(); res.Events != 7 || res.Repeats != 1 || res.Conflicts != 2 {
		t.Errorf("a run beside adopted files: got %+v", res)
	}
	p.write("in/6.csv", csv(500, 5)+"e00402,2024-06-10T15:22:00Z,u3,402.50\ne00403,2024-06-10T12:00:00Z,u1,0.00\n")
	if res := p.adopt(); res.Events != 7 || res.Repeats != 1 || res.Conflicts != 2 || res.Files != 1 {
		t.Errorf("adopting beside archived files: got %+v", res)
	}
	p.verify()
	rows, _ := p.staged()
	if len(rows) != 257+7+7 {
		t.Errorf("got %d events, want %d", len(rows), 257+7+7)
	}
}

func TestAChangedOrMissingOriginalIsRefused(t *testing.T) {
	for name, hurt := range map[string]func(*project){
		"changed": func(p *project) { p.write("in/1.csv", strings.Replace(csv(0, 150), ",7.50", ",8.50", 1)) },
		"missing": func(p *project) { p.remove("in/1.csv") },
		"grown":   func(p *project) { p.write("in/1.csv", csv(0, 151)) },
	} {
		for _, inStore := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in a store %v", name, inStore), func(t *testing.T) {
				p := newProject(t, "in/*")
				if inStore {
					p.lake = &mem.Store{}
				}
				messy(p)
				p.adopt()
				hurt(p)
				a := p.archive(p.store)
				snap, err := a.Snapshot(t.Context(), "orders")
				if err != nil {
					t.Fatal(err)
				}
				_, err = p.stage(a, snap)
				wantDamaged(t, err, name)
				_, err = a.Cat(t.Context(), "orders", "e00003")
				wantDamaged(t, err, name)
				report, err := a.Verify(t.Context(), nil, nil)
				wantDamaged(t, err, name)
				if n := len(report.Streams[0].Problems); n != 1 {
					t.Errorf("got %d problems, want 1: %v", n, report.Streams[0].Problems)
				}
				if name == "missing" || inStore && name == "changed" {
					return // the source may lose what is archived, and of a store it looks at sizes
				}
				for _, again := range []func(context.Context, archive.RunOptions) (archive.RunResult, error){a.Adopt, a.Run} {
					_, err := again(t.Context(), p.options())
					if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeSourceChanged {
						t.Errorf("again: got %v, want CodeSourceChanged", err)
					}
				}
			})
		}
	}
}

func wantDamaged(t *testing.T, err error, how string) {
	t.Helper()
	e, ok := errors.AsType[*recount.Error](err)
	if !ok || e.Code != recount.CodeDamaged {
		t.Fatalf("got %v, want CodeDamaged", err)
	}
	word := "changed"
	if how == "missing" {
		word = how
	}
	if !strings.Contains(e.What, word) || !strings.Contains(e.Where, "in/1.csv") || strings.Contains(e.Where, "secret") || e.Why == "" || e.Next == "" {
		t.Errorf("got %+v", e)
	}
}

func TestCatReadsAdoptedEvents(t *testing.T) {
	p := newProject(t, "in/*")
	messy(p)
	p.adopt()
	a := p.archive(p.store)
	got, err := a.Cat(t.Context(), "orders", "e00010")
	if err != nil || len(got) != 2 {
		t.Fatalf("got %d copies, %v, want 2", len(got), err)
	}
	if c := got[1]; c.File != "in/4.csv" || !strings.HasPrefix(string(c.Data), "e00010,") || c.Format != "csv" || c.Header != "id,at,user,value" ||
		len(c.Marks) != 1 || c.Marks[0].Kind != recount.MarkRepeat {
		t.Errorf("got %+v", c)
	}
	got, err = a.Cat(t.Context(), "orders", "in/3.jsonl@1")
	if err != nil || len(got) != 1 || got[0].ID != "j1" {
		t.Errorf("by position: got %+v, %v", got, err)
	}
	list, err := a.Ls(t.Context())
	if err != nil || list[0].Total.Files != 4 || list[0].Total.Events != 257 {
		t.Errorf("ls: got %+v, %v", list, err)
	}
}

func TestFieldsDeclaredSinceAreReadFromOriginals(t *testing.T) {
	p := newProject(t, "in/*")
	messy(p)
	p.adopt()
	_, before := p.staged()
	p.mapping.Fields = append(p.mapping.Fields, recount.Field{Name: "number", Type: recount.Type{Kind: recount.KindInt64}, Path: "user"})
	rows, after := p.staged()
	for mark := range before {
		if !after[mark] {
			t.Errorf("mark %s is gone", mark)
		}
	}
	faulty := 0
	for _, r := range rows {
		if r.fault != "" {
			faulty++
		}
	}
	if faulty != len(rows) || len(after) != len(before)+len(rows)-2 {
		t.Errorf("got %d faulty of %d events and %d marks, had %d", faulty, len(rows), len(after), len(before))
	}
}

func TestACrashAtAnyCallLeavesAdoptedFilesWholeOrOut(t *testing.T) {
	kinds := []fault.Kind{fault.Crash, fault.After, fault.Lost, fault.Fail, fault.Short}
	p := newProject(t, "in/*")
	messy(p)
	small := func() archive.RunOptions {
		o := p.options()
		o.CommitEvents = 100
		return o
	}
	dry := fault.Wrap(&mem.Store{}, nil)
	if res, err := p.archive(dry).Adopt(t.Context(), small()); err != nil || res.Commits < 3 {
		t.Fatalf("dry: %+v, %v", res, err)
	}
	var want map[int64]stagedRow
	for n := 1; n <= dry.Calls(); n++ {
		for i, kind := range kinds {
			if i != n%len(kinds) && i != (n+2)%len(kinds) {
				continue // each call goes wrong in two ways
			}
			s := &mem.Store{}
			_, _ = p.archive(fault.Wrap(s, fault.Nth(n, kind))).Adopt(t.Context(), small())
			s.Crash()
			p.store = s
			p.adopt()
			p.verify()
			rows, marks := p.staged()
			if want == nil {
				want = rows
			}
			if !maps.Equal(rows, want) || len(marks) != 3+2+2 {
				t.Fatalf("call %d, kind %d: got %d events and %d marks", n, kind, len(rows), len(marks))
			}
		}
	}
}

// lines is n records of a sink of Kafka from an offset on.
func lines(offset, n int) string {
	var b strings.Builder
	for i := offset; i < offset+n; i++ {
		fmt.Fprintf(&b, "{\"id\":\"k%d\",\"at\":%q,\"user\":\"u\",\"value\":\"1.00\"}\n", i, noon.Add(time.Duration(i-300)*time.Minute).Format(time.RFC3339))
	}
	return b.String()
}

func TestAdoptedFilesOfASinkHaveKafkasPositions(t *testing.T) {
	p := newProject(t, "topics/**/*.json")
	p.lake = &mem.Store{}
	p.config.Names = "{topic}+{partition}+{offset}"
	p.write("topics/orders/partition=3/orders+3+0000000100.json", lines(100, 50))
	p.write("topics/orders/partition=3/orders+3+0000000150.json", lines(150, 50))
	p.adopt()
	p.verify()
	snap, err := p.archive(p.store).Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	at := func(n int) string { return fmt.Sprintf("%020d", n) }
	whole := []recount.PositionWindow{{Partition: "3", From: at(120), To: at(180)}}
	if err := cover.CompletePositions(snap, whole); err != nil {
		t.Errorf("[120, 180): %v", err)
	}
	if files := cover.SelectPositions(snap, whole); len(files) == 0 || len(files) == len(snap.Files) {
		t.Errorf("got %d of %d files", len(files), len(snap.Files))
	}
	if err := cover.CompleteCut(snap, map[string]string{"3": at(200)}); err != nil {
		t.Errorf("cut 200: %v", err)
	}
	if err := cover.CompleteCut(snap, map[string]string{"3": at(201)}); err == nil {
		t.Error("cut 201: got no error")
	}
	// What is missing between two files is told, and is in the archive's account.
	p.write("topics/orders/partition=3/orders+3+0000000210.json", lines(210, 5))
	res, err := p.archive(p.store).Adopt(t.Context(), p.options())
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeLost || res.Events != 5 {
		t.Errorf("got %+v, %v, want CodeLost after 5 events", res, err)
	}
	p.verify()
	got, err := p.archive(p.store).Cat(t.Context(), "orders", "3@212")
	if err != nil || len(got) != 1 || got[0].ID != "k212" {
		t.Errorf("cat: got %+v, %v", got, err)
	}
}

func TestASourceWithoutFilesCannotBeAdopted(t *testing.T) {
	p := newProject(t, "in/*")
	messy(p)
	opts := p.options()
	opts.Source = struct{ source.Source }{opts.Source}
	_, err := p.archive(p.store).Adopt(t.Context(), opts)
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeUnsupported {
		t.Errorf("got %v, want CodeUnsupported", err)
	}
}
