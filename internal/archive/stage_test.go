package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/archive/eventfile"
	"recount/source"
	"recount/store/disk"
	"recount/store/mem"
)

// csvDecoder reads the payloads of event(): id,user,time,value.
type csvDecoder struct{ fields []recount.Field }

func (d csvDecoder) Decode(archived recount.Event) recount.Event {
	parts := strings.Split(string(archived.Data), ",")
	var e recount.Event
	for _, f := range d.fields {
		var text string
		if len(parts) == 4 {
			text = map[string]string{"user_id": parts[1], "value": parts[3], "cents": parts[3]}[f.Path]
		}
		v, err := recount.Canonical(f.Type, text)
		if err != nil {
			e.Fields = append(e.Fields, recount.Null)
			e.Broken = append(e.Broken, f.Name)
			e.Fault = fmt.Sprintf("%s: %v", f.Name, err)
			continue
		}
		e.Fields = append(e.Fields, recount.Text(v))
	}
	return e
}

func decoderFor(fields []recount.Field) func(string, string) (source.Decoder, error) {
	return func(format, header string) (source.Decoder, error) {
		if format != "csv" || header != "id,user_id,timestamp,value" {
			return nil, fmt.Errorf("unexpected format %q or header %q", format, header)
		}
		return csvDecoder{fields}, nil
	}
}

func stage(t *testing.T, a *archive.Archive, fields []recount.Field) archive.Staged {
	t.Helper()
	snap := mustSnapshot(t, a)
	staged, err := a.Stage(t.Context(), archive.StageOptions{
		Snapshot: snap, Files: snap.Files, Fields: fields, Dir: t.TempDir(), Decoder: decoderFor(fields),
	})
	if err != nil {
		t.Fatal(err)
	}
	return staged
}

func TestFilesOfALocalStoreAreUsedInPlace(t *testing.T) {
	dir := t.TempDir()
	s, err := disk.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, open(s), options(newSource(100)))
	staged := stage(t, open(s), fields[1:])
	for _, f := range staged.Files {
		if !strings.HasPrefix(f.Path, dir) {
			t.Errorf("%s is a copy", f.Path)
		}
	}
	if len(staged.Marks) != 0 || staged.Extracted != 0 {
		t.Errorf("staged: %+v", staged)
	}
}

func TestFilesOfOtherStoresAreCopied(t *testing.T) {
	s := &mem.Store{}
	mustRun(t, open(s), options(newSource(100)))
	for _, f := range stage(t, open(s), fields).Files {
		var want []byte
		s.Damage(f.Data.Name, func(b []byte) []byte { want = b; return b })
		if got, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not the object, %v", f.Path, err)
		}
	}
}

func TestMissingFieldsAreExtractedAndFaultsMarked(t *testing.T) {
	s := &mem.Store{}
	src := newSource(100)
	broken := event(1000, noon)
	broken.Data = []byte("e-001000,u1,x,not a number")
	broken.Fields[1] = recount.Text("1.00")
	src.add(broken)
	old := options(src)
	old.Fields = fields[:1]
	for _, events := range src.partitions {
		for i := range events {
			events[i].Fields = events[i].Fields[:1]
		}
	}
	mustRun(t, open(s), old)
	wanted := []recount.Field{
		fields[0], {Name: "value", Type: recount.Decimal(18, 2), Path: "value"}, {Name: "text", Type: recount.Type{Kind: recount.KindString}, Path: "value"},
	}
	staged := stage(t, open(s), wanted)
	if staged.Extracted != len(staged.Files) || len(staged.Marks) != 1 {
		t.Fatalf("staged: %d of %d extracted, marks %q", staged.Extracted, len(staged.Files), staged.Marks)
	}
	before := readAll(t, s, mustSnapshot(t, open(s)))
	events := 0
	for _, f := range staged.Files {
		openLocal(t, f.Path, func(ef *eventfile.File) {
			for g := range ef.Groups() {
				got, err := ef.Events(g, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range got {
					was := before.bySeq[e.Seq]
					if !bytes.Equal(e.Data, was.Data) || e.ID != was.ID || !e.Time.Equal(was.Time) || e.Position != was.Position {
						t.Errorf("event %d became %+v", e.Seq, e)
					}
					events++
				}
				err = ef.Texts(g, "text", func(row int, v []byte) error {
					if want := got[row].Data[bytes.LastIndexByte(got[row].Data, ',')+1:]; !bytes.Equal(v, want) {
						t.Errorf("text is %q, want %q", v, want)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	if events != len(before.bySeq) {
		t.Errorf("%d events, want %d", events, len(before.bySeq))
	}
	openLocal(t, staged.Marks[0], func(ef *eventfile.File) {
		marks, err := ef.Marks()
		if err != nil || len(marks) != 1 || marks[0].Kind != recount.MarkFault || !slices.Equal(marks[0].Broken, []string{"value"}) || marks[0].ID != broken.ID {
			t.Errorf("marks: %+v, %v", marks, err)
		}
	})
}

func openLocal(t *testing.T, path string, use func(*eventfile.File)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ef, err := eventfile.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	use(ef)
	_ = ef.Close()
}

func TestMarksAreStagedWhereTheirEventsAre(t *testing.T) {
	s := &mem.Store{}
	src := newSource(50)
	src.add(event(7, noon))
	mustRun(t, open(s), options(src))
	if staged := stage(t, open(s), fields); len(staged.Marks) != 1 {
		t.Errorf("marks: %q", staged.Marks)
	}
	snap := mustSnapshot(t, open(s))
	clean := slices.DeleteFunc(slices.Clone(snap.Files), func(f recount.DataFile) bool { return f.Repeats+f.Conflicts > 0 })
	staged, err := open(s).Stage(t.Context(), archive.StageOptions{Snapshot: snap, Files: clean, Fields: fields, Dir: t.TempDir()})
	if err != nil || len(staged.Marks) > 0 {
		t.Errorf("marks: %q, %v", staged.Marks, err)
	}
}

func TestSelectTakesWhatMayLieInTheWindow(t *testing.T) {
	s := &mem.Store{}
	src := newSource(0)
	for h := range 5 {
		src.add(event(h, noon.Add(-time.Duration(h)*time.Hour)))
	}
	unknown := event(9, noon)
	unknown.Time, unknown.Fault = time.Time{}, "no time"
	src.add(unknown)
	mustRun(t, open(s), options(src))
	snap := mustSnapshot(t, open(s))
	got := cover.Select(snap, recount.Window{From: noon.Add(-2 * time.Hour), To: noon})
	if len(got) != 3 || got[2].TimeKnown {
		t.Errorf("selected: %+v", got)
	}
}

func TestTooManyFaultsEndTheRunAndCommitNothingOfIt(t *testing.T) {
	s := &mem.Store{}
	src := newSource(100)
	mustRun(t, open(s), options(src))
	before := mustSnapshot(t, open(s))
	for i := range 4 {
		e := event(1000+i, noon)
		e.Partition = "0"
		e.Fault, e.Broken, e.Fields[1] = fmt.Sprintf("value %d is broken", i), []string{"value"}, recount.Null
		src.add(e)
	}
	opts := options(src)
	opts.QuarantineMax = 3
	_, err := open(s).Run(t.Context(), opts)
	wantCode(t, err, recount.CodeQuarantine)
	for _, want := range []string{"value 0 is broken", "value 1 is broken", "test"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q: %v", want, err)
		}
	}
	if after := mustSnapshot(t, open(s)); after.ID != before.ID {
		t.Error("something was committed")
	}
	opts.QuarantineMax = 4
	if res := mustRun(t, open(s), opts); res.Faults != 4 {
		t.Errorf("result: %+v", res)
	}
	src.add(func() recount.Event { e := event(2000, noon); e.Fault = "one more"; return e }())
	_, err = open(s).Run(t.Context(), opts)
	wantCode(t, err, recount.CodeQuarantine)
}

func TestAnotherMappingIsRefused(t *testing.T) {
	s := &mem.Store{}
	mustRun(t, open(s), options(newSource(10)))
	opts := options(newSource(20))
	opts.MappingDigest = "other"
	_, err := open(s).Run(t.Context(), opts)
	wantCode(t, err, recount.CodeMapping)
}

func TestTheWatermarkIsTheSourcesAndNeverGoesBack(t *testing.T) {
	s := &mem.Store{}
	src := newSource(10)
	src.noEnd = errors.New("the connection broke")
	opts := smallOptions(src)
	if _, err := open(s).Run(t.Context(), opts); !errors.Is(err, src.noEnd) {
		t.Fatalf("run: %v", err)
	}
	src.noEnd = nil
	mustRun(t, open(s), opts)
	for _, at := range []struct{ source, want time.Time }{
		{noon.Add(time.Hour), noon.Add(time.Hour)}, {noon, noon.Add(time.Hour)}, {noon.Add(2 * time.Hour), noon.Add(2 * time.Hour)},
	} {
		src.watermark = at.source
		res := mustRun(t, open(s), opts)
		if snap := mustSnapshot(t, open(s)); !snap.Watermark.Equal(at.want) || !res.Watermark.Equal(at.want) {
			t.Errorf("the source's clock is at %s: watermark %s, want %s", at.source, snap.Watermark, at.want)
		}
	}
}

func TestBeforeIsTheWatermarkBeforeTheCommit(t *testing.T) {
	s := &mem.Store{}
	src := newSource(10)
	mustRun(t, open(s), options(src))
	src.add(event(100, noon.Add(-5*time.Hour)))
	src.watermark = noon.Add(time.Hour)
	mustRun(t, open(s), options(src))
	files := mustSnapshot(t, open(s)).Files
	if first, last := files[0], files[len(files)-1]; !first.Before.IsZero() || !last.Before.Equal(noon) {
		t.Errorf("before: %s and %s", first.Before, last.Before)
	}
}

func TestNothingArchivedSaysHow(t *testing.T) {
	_, err := open(&mem.Store{}).Snapshot(t.Context(), "orders")
	wantCode(t, err, recount.CodeNoArchive)
	if next := recount.AsError(err).Next; next != "recount archive run orders --once" {
		t.Errorf("next: %q", next)
	}
	_, err = open(&mem.Store{}).Snapshot(t.Context(), "../orders")
	wantCode(t, err, recount.CodeConfig)
}

func TestLsSumsUp(t *testing.T) {
	s := &mem.Store{}
	src := newSource(0)
	for i := range 10 {
		src.add(event(i%8, noon.Add(-time.Duration(i)*30*time.Minute-time.Second)))
	}
	mustRun(t, open(s), options(src))
	list, err := open(s).Ls(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	sum := list[0]
	if sum.Stream != "orders" || sum.Commits != 1 || sum.Total.Events != 10 || sum.Total.Repeats+sum.Total.Conflicts == 0 || len(sum.Hours) != 5 ||
		!sum.Watermark.Equal(noon) || sum.Snapshot == "" || !sum.Hours[0].Start.Equal(noon.Add(-5*time.Hour)) || sum.Hours[4].Events != 2 {
		t.Errorf("summary: %+v", sum)
	}
	_, err = open(s).Ls(t.Context(), "other")
	wantCode(t, err, recount.CodeNoArchive)
}

func TestCatReturnsEveryCopy(t *testing.T) {
	s := &mem.Store{}
	src := newSource(50)
	again := event(7, noon)
	again.Data = []byte("another payload")
	src.add(again)
	withAt := event(60, noon)
	withAt.ID, withAt.Partition = "", "a@b"
	src.add(withAt)
	mustRun(t, open(s), options(src))
	got, err := open(s).Cat(t.Context(), "orders", "e-000007")
	if err != nil || len(got) != 2 || got[0].Seq >= got[1].Seq || len(got[0].Marks) != 1 || got[0].Marks[0].Kind != recount.MarkConflict {
		t.Fatalf("got %+v, %v", got, err)
	}
	if string(got[1].Data) != "another payload" && string(got[0].Data) != "another payload" || got[0].Format != "csv" {
		t.Errorf("got %q and %q", got[0].Data, got[1].Data)
	}
	// As it is stored, and as screens show it.
	for _, name := range []string{"a@b@000000000000", "a@b@0"} {
		if got, err := open(s).Cat(t.Context(), "orders", name); err != nil || len(got) != 1 || !bytes.Equal(got[0].Data, withAt.Data) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, none := range []string{"e-x", "a@b@1", "", "@"} {
		_, err := open(s).Cat(t.Context(), "orders", none)
		wantCode(t, err, recount.CodeNoEvent)
	}
}
