package originals_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/fault"
	"recount/source"
	"recount/store/mem"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func mapping() recount.Mapping {
	return recount.Mapping{ID: "id", Time: "at", Key: "user", Fields: []recount.Field{
		{Name: "user", Type: recount.Type{Kind: recount.KindString}, Path: "user"},
		{Name: "value", Type: recount.Decimal(18, 2), Path: "value"},
	}}
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
			if i != n%len(kinds) {
				continue // each call goes wrong in another way
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

func TestWhatAFileThatRunHasBegunLacksIsNotClaimed(t *testing.T) {
	p := newProject(t, "in/*")
	p.write("in/1.csv", csv(0, 5))
	p.now = noon.Add(-time.Hour)
	before := p.run()
	p.write("in/1.csv", csv(0, 9)) // it grew, and was not read since
	p.write("in/2.csv", csv(20, 5))
	p.now = noon
	if res := p.adopt(); res.Events != 5 || !res.Watermark.Equal(before.Watermark) {
		t.Errorf("got %+v, want 5 events and the watermark %v", res, before.Watermark)
	}
	if res := p.run(); res.Events != 4 || !res.Watermark.Equal(noon) {
		t.Errorf("got %+v, want 4 events and the watermark %v", res, noon)
	}
	p.verify()
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

func TestCompactionAndRetentionLeaveOriginalsAsTheyLie(t *testing.T) {
	p := newProject(t, "in/*")
	p.store = &mem.Store{}
	messy(p)
	p.adopt()
	for i := range 4 { // small files of the archive's own, in hours that originals have too
		p.write(fmt.Sprintf("in/9%d.csv", i), csv(100+i, 1)+csv(600+i, 2)[len("id,at,user,value\n"):])
		p.run()
	}
	before, marks := p.staged()
	a := p.archive(p.store)
	if _, err := a.Compact(t.Context(), archive.CompactOptions{Stream: "orders", Dir: t.TempDir(), Program: "test"}); err != nil {
		t.Fatal(err)
	}
	p.verify()
	after, marksAfter := p.staged()
	if !maps.Equal(before, after) || !maps.Equal(marks, marksAfter) {
		t.Errorf("after a compaction: got %d events, want %d, all alike", len(after), len(before))
	}
	res, err := a.Expire(t.Context(), archive.ExpireOptions{Stream: "orders", Before: noon.Add(-time.Hour), Program: "test"})
	if err != nil || res.Files == 0 {
		t.Fatalf("got %+v, %v", res, err)
	}
	p.verify()
	left, _ := p.staged()
	for seq, e := range left {
		if before[seq] != e {
			t.Errorf("event %d: got %+v, want %+v", seq, e, before[seq])
		}
	}
	if len(left) == 0 || len(left) >= len(before) {
		t.Errorf("got %d events of %d", len(left), len(before))
	}
	if again := p.adopt(); again.Events != 0 {
		t.Errorf("adopted again: %+v", again)
	}
}
