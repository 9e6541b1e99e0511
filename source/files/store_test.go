package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/files"
	"recount/source/sourcetest"
	"recount/store/mem"
)

// lake is a store as a source sees it.
type lake struct {
	*mem.Store
	opened atomic.Int64
}

func (l *lake) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	l.opened.Add(1)
	return l.Store.Open(ctx, name)
}

func newLake() *lake { return &lake{Store: &mem.Store{}} }

func (l *lake) put(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := l.Delete(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(context.Background(), name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (l *lake) source(t testing.TB, m recount.Mapping, c files.Config) source.Source {
	t.Helper()
	c.Store = "mem://me:s3cret@lake/all/?secret=s3cret"
	s, err := files.Open(t.Context(), adapter.Env{
		Dir: ".", Stream: "orders", Mapping: m, Now: fixedNow,
		Objects: func(context.Context, string) (adapter.Objects, error) { return l, nil },
	}, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformanceOverAStore(t *testing.T) {
	for _, c := range []struct {
		ending string
		encode func(sourcetest.Row) []byte
		holds  func(string) bool
	}{
		{".csv.gz", csvRow, nil},
		{".jsonl", jsonRow, holdsUTF8},
		{".parquet", nil, nil},
		{".avro", nil, nil},
	} {
		t.Run(c.ending[1:], func(t *testing.T) {
			t.Parallel()
			sourcetest.Run(t, sourcetest.Harness{Holds: c.holds, Make: func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
				t.Helper()
				at := newLake()
				stream := sourcetest.Stream{Source: at.source(t, m, files.Config{Paths: []string{"in/**/p*" + c.ending}})}
				name := func(p int) string { return fmt.Sprintf("in/day=%d/p%d%s", p, p, c.ending) }
				for p, rows := range partitions {
					switch {
					case c.ending == ".avro":
						at.put(t, name(p), avroFile(t, rows))
					case c.encode == nil:
						at.put(t, name(p), parquetFile(t, rows))
					default:
						text, payloads := textFile(c.ending, c.encode, rows)
						stream.Payloads = append(stream.Payloads, payloads)
						at.put(t, name(p), pack(t, c.ending, text))
					}
				}
				if c.ending == ".jsonl" { // as on HDFS
					stream.Grow = func(t *testing.T, p int, rows []sourcetest.Row) {
						t.Helper()
						r, err := at.Store.Open(t.Context(), name(p))
						if err != nil {
							t.Fatal(err)
						}
						before, err := io.ReadAll(r)
						if err != nil {
							t.Fatal(err)
						}
						more, _ := textFile("", c.encode, rows)
						at.put(t, name(p), append(before, more...))
					}
				}
				return stream
			}})
		})
	}
}

func holdsUTF8(note string) bool { return strings.ToValidUTF8(note, "") == note }

func textFile(ending string, encode func(sourcetest.Row) []byte, rows []sourcetest.Row) (text []byte, payloads [][]byte) {
	var b bytes.Buffer
	if strings.HasPrefix(ending, ".csv") {
		b.WriteString("id,time,user,value,note\r\n")
	}
	for _, row := range rows {
		payloads = append(payloads, encode(row))
		b.Write(encode(row))
		b.WriteString("\r\n")
	}
	return b.Bytes(), payloads
}

func TestOfAStoreOnlyNewFilesAreOpened(t *testing.T) {
	at := newLake()
	for i := range 5 {
		at.put(t, fmt.Sprintf("in/%d.csv", i), []byte(header+rowText(i)))
	}
	s := at.source(t, sourcetest.Mapping(), files.Config{Paths: []string{"in/*.csv"}})
	cursor := source.Cursor{}
	if events, err := read(t, s, cursor); err != nil || len(events) != 5 {
		t.Fatalf("got %d events, %v", len(events), err)
	}
	at.put(t, "in/7.csv", []byte(header+rowText(7)))
	at.opened.Store(0)
	events, err := read(t, s, cursor)
	if err != nil || len(events) != 1 || events[0].Partition != "in/7.csv" {
		t.Fatalf("got %+v, %v", events, err)
	}
	if n := at.opened.Load(); n != 1 {
		t.Errorf("got %d files opened, want 1", n)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if place := s.Info().Place; !strings.Contains(place, "mem://lake/all") || strings.Contains(place, "s3cret") {
		t.Errorf("place: %s", place)
	}
	_, err = read(t, at.source(t, sourcetest.Mapping(), files.Config{Paths: []string{"in/*.json"}}), source.Cursor{})
	wantCode(t, err, recount.CodeNoFiles, "in/*.json")
}

func TestCopiesGoWithTheirFiles(t *testing.T) {
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	at := newLake()
	at.put(t, "a.csv", []byte(header+rowText(1)))
	at.put(t, "b.parquet", parquetFile(t, nil))
	at.put(t, "c.parquet", []byte("no such file"))
	s := at.source(t, sourcetest.Mapping(), files.Config{Paths: []string{"*"}})
	_, err := read(t, s, source.Cursor{})
	wantCode(t, err, recount.CodeSourceFile, "c.parquet")
	left, err := os.ReadDir(scratch)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestTwoStarsAreAnyFolders(t *testing.T) {
	dir := t.TempDir()
	at := newLake()
	for _, name := range []string{"e.csv", "in/a.csv", "in/x/b.csv", "in/x/y/c.csv", "in/x/y/d.txt", "out/f.csv"} {
		at.put(t, name, []byte(header+rowText(1)))
		write(t, filepath.Join(dir, name), []byte(header+rowText(1)))
	}
	for pattern, want := range map[string][]string{
		"**/*.csv":     {"e.csv", "in/a.csv", "in/x/b.csv", "in/x/y/c.csv", "out/f.csv"},
		"in/**/*.csv":  {"in/a.csv", "in/x/b.csv", "in/x/y/c.csv"},
		"in/**/y/*":    {"in/x/y/c.csv", "in/x/y/d.txt"},
		"i*/**/c.csv":  {"in/x/y/c.csv"},
		"in/x/b.csv":   {"in/x/b.csv"},
		"in/?/**/?.cs": nil,
	} {
		for _, s := range []source.Source{
			openAs(t, dir, "csv", sourcetest.Mapping(), pattern),
			at.source(t, sourcetest.Mapping(), files.Config{Paths: []string{pattern}, Format: "csv"}),
		} {
			events, err := read(t, s, source.Cursor{})
			var got []string
			for _, e := range events {
				got = append(got, e.Partition)
			}
			if want == nil {
				wantCode(t, err, recount.CodeNoFiles, pattern)
				continue
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: got %v, %v, want %v", pattern, got, err, want)
			}
		}
	}
}

// sinkFile is n records in the form of Connect's S3 sink.
func sinkFile(first, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		b.Write(jsonRow(sourcetest.Row{ID: fmt.Sprint(first + i), Time: "2024-06-10T12:00:00Z", User: "u", Value: "1.00"}))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func sinkName(partition, offset int) string {
	return fmt.Sprintf("topics/orders/partition=%d/orders+%d+%010d.json", partition, partition, offset)
}

func readBatches(t *testing.T, s source.Source, cursor source.Cursor) (events []recount.Event, gaps []recount.Gap, err error) {
	t.Helper()
	_, err = s.Read(t.Context(), cursor, func(b source.Batch) error {
		events = append(events, b.Events...)
		gaps = append(gaps, b.Gaps...)
		cursor[b.Partition] = b.Cursor
		return nil
	})
	return events, gaps, err
}

func TestNamesGiveKafkasPositions(t *testing.T) {
	at := newLake()
	at.put(t, sinkName(0, 100), sinkFile(100, 3))
	at.put(t, sinkName(0, 103), sinkFile(103, 2))
	at.put(t, sinkName(3, 0), sinkFile(0, 2))
	at.put(t, sinkName(10, 5), sinkFile(5, 1))
	config := files.Config{Paths: []string{"topics/orders/**/*.json"}, Names: "{topic}+{partition}+{offset}"}
	s := at.source(t, sourcetest.Mapping(), config)
	cursor := source.Cursor{}
	events, gaps, err := readBatches(t, s, cursor)
	if err != nil || len(gaps) > 0 || !s.Info().Dense {
		t.Fatalf("got %v, gaps %v", err, gaps)
	}
	var got []string
	for _, e := range events {
		if e.Position != fmt.Sprintf("%020s", e.ID) {
			t.Errorf("event %s: got position %s", e.ID, e.Position)
		}
		got = append(got, e.Partition+":"+e.ID)
	}
	if want := []string{"0:100", "0:101", "0:102", "0:103", "0:104", "3:0", "3:1", "10:5"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	at.put(t, sinkName(0, 110), sinkFile(110, 1)) // 105 to 109 are lost
	at.put(t, sinkName(3, 2), sinkFile(2, 1))
	events, gaps, err = readBatches(t, s, cursor)
	want := recount.Gap{Partition: "0", From: "00000000000000000105", To: "00000000000000000110", Reason: recount.GapRetention}
	if err != nil || len(events) != 2 || len(gaps) != 1 || gaps[0] != want {
		t.Errorf("got %d events, gaps %v, %v", len(events), gaps, err)
	}

	t.Run("a file that overlaps the next", func(t *testing.T) {
		fresh := newLake()
		fresh.put(t, sinkName(0, 0), sinkFile(0, 5))
		fresh.put(t, sinkName(0, 4), sinkFile(4, 5))
		_, _, err := readBatches(t, fresh.source(t, sourcetest.Mapping(), config), source.Cursor{})
		wantCode(t, err, recount.CodeFileOrder, "offset 4")
	})
	t.Run("a file that comes too late", func(t *testing.T) {
		at.put(t, sinkName(0, 106), sinkFile(106, 1))
		_, _, err := readBatches(t, s, cursor)
		wantCode(t, err, recount.CodeFileOrder, "110")
	})
	t.Run("other names than before", func(t *testing.T) {
		_, _, err := readBatches(t, at.source(t, sourcetest.Mapping(), files.Config{Paths: config.Paths}), cursor)
		wantCode(t, err, recount.CodeMapping, "from offset 100")
	})
	t.Run("two topics", func(t *testing.T) {
		fresh := newLake()
		fresh.put(t, "a+0+0.json", sinkFile(0, 1))
		fresh.put(t, "b+0+5.json", sinkFile(0, 1))
		_, _, err := readBatches(t, fresh.source(t, sourcetest.Mapping(), files.Config{Paths: []string{"*"}, Names: config.Names}), source.Cursor{})
		wantCode(t, err, recount.CodeConfig, "topic")
	})
	t.Run("a name of another form", func(t *testing.T) {
		fresh := newLake()
		fresh.put(t, "orders-0.json", sinkFile(0, 1))
		_, _, err := readBatches(t, fresh.source(t, sourcetest.Mapping(), files.Config{Paths: []string{"*"}, Names: config.Names}), source.Cursor{})
		wantCode(t, err, recount.CodeConfig, config.Names)
	})
}

func TestFoldersAreColumns(t *testing.T) {
	row := sourcetest.Row{ID: "1", Time: "2024-06-10T12:00:00Z", User: "u1", Value: "1.50", Note: "n"}
	m := sourcetest.Mapping()
	m.Fields = append(m.Fields,
		recount.Field{Name: "day", Type: recount.Type{Kind: recount.KindDate}, Path: "date"},
		recount.Field{Name: "shop", Type: recount.Type{Kind: recount.KindString}, Path: "$.shop"},
		recount.Field{Name: "hour", Type: recount.Type{Kind: recount.KindInt64}, Path: "hour"})
	at := newLake()
	folder := "date=2024-06-10/shop=a%2Fb/hour=__HIVE_DEFAULT_PARTITION__/user=other/"
	at.put(t, folder+"1.parquet", parquetFile(t, []sourcetest.Row{row}))
	at.put(t, folder+"2.avro", avroFile(t, []sourcetest.Row{row}))
	events, err := read(t, at.source(t, m, files.Config{Paths: []string{"**/*"}, Hive: true}), source.Cursor{})
	if err != nil || len(events) != 2 {
		t.Fatalf("got %d events, %v", len(events), err)
	}
	for _, e := range events {
		want := []recount.Value{recount.Text("u1"), recount.Text("1.50"), recount.Text("n"), recount.Text("2024-06-10"), recount.Text("a/b"), recount.Null}
		if e.Fault != "" || !slices.Equal(e.Fields, want) || !strings.HasSuffix(string(e.Data), `"note":"n","date":"2024-06-10","shop":"a/b","hour":null}`) {
			t.Errorf("got %v, fault %q, %s", e.Fields, e.Fault, e.Data)
		}
	}
	_, err = read(t, at.source(t, m, files.Config{Paths: []string{"**/*"}}), source.Cursor{})
	var told *recount.Error
	if !errors.As(err, &told) || !strings.Contains(told.Next, "hive: true") {
		t.Errorf("without hive: got %v", err)
	}
}

func TestOriginalsAreReadAgainAsTheyWere(t *testing.T) {
	at := newLake()
	at.put(t, sinkName(0, 100), sinkFile(100, 3))
	at.put(t, sinkName(0, 103), pack(t, ".gz", sinkFile(103, 20_000))) // named as if it were plain
	s := at.source(t, sourcetest.Mapping(), files.Config{Paths: []string{"topics/**"}, Names: "{topic}+{partition}+{offset}"})
	originals, ok := s.(source.Originals)
	if !ok {
		t.Fatal("the source has no originals")
	}
	var list []source.Original
	var want, got []recount.Event
	if _, err := originals.ReadOriginals(t.Context(), nil, func(o source.Original, b source.Batch) error {
		if len(list) == 0 || list[len(list)-1] != o {
			list = append(list, o)
		}
		want = append(want, b.Events...)
		return nil
	}); err != nil || len(list) != 2 {
		t.Fatalf("got %d files, %v", len(list), err)
	}
	// What recount.yaml says by then of names does not matter.
	again, ok := at.source(t, sourcetest.Mapping(), files.Config{Paths: []string{"topics/**"}}).(source.Originals)
	if !ok {
		t.Fatal("the source has no originals")
	}
	for _, o := range list {
		if !strings.HasPrefix(o.Origin, "mem://lake/all/topics/") {
			t.Errorf("origin %s", o.Origin)
		}
		if err := again.ReadOriginal(t.Context(), o, func(b source.Batch) error {
			if b.Cursor != "" || len(b.Gaps) > 0 {
				t.Errorf("got cursor %s, gaps %v", b.Cursor, b.Gaps)
			}
			got = append(got, b.Events...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 20_003 || !slices.EqualFunc(got, want, func(a, b recount.Event) bool {
		return a.Position == b.Position && a.Partition == b.Partition && a.ID == b.ID && bytes.Equal(a.Data, b.Data)
	}) {
		t.Errorf("got %d events, want the %d of before", len(got), len(want))
	}
	elsewhere := list[0]
	elsewhere.Origin = "mem://other/" + sinkName(0, 100)
	err := again.ReadOriginal(t.Context(), elsewhere, func(source.Batch) error { return nil })
	wantCode(t, err, recount.CodeConfig, "another place")
}
