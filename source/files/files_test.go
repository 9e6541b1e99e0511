package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/files"
	"recount/source/sourcetest"
)

const header = "id,time,user,value,note\n"

func rowText(i int) string { return fmt.Sprintf("e%d,2024-06-10T12:00:00Z,u1,1.50,n\n", i) }

// read reads from cursor on and moves it, also where an error ends the reading.
func read(t testing.TB, s source.Source, cursor source.Cursor) ([]recount.Event, error) {
	t.Helper()
	var events []recount.Event
	_, err := s.Read(t.Context(), cursor, func(b source.Batch) error {
		cursor[b.Partition] = b.Cursor
		events = append(events, b.Events...)
		return nil
	})
	return events, err
}

func wantCode(t *testing.T, err error, code recount.Code, parts ...string) {
	t.Helper()
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	if e.What == "" || e.Where == "" || e.Why == "" || e.Next == "" {
		t.Errorf("error lacks a part: %+v", e)
	}
	for _, part := range parts {
		if !strings.Contains(e.What+" "+e.Where+" "+e.Why+" "+e.Next, part) {
			t.Errorf("error %+v does not say %q", e, part)
		}
	}
}

func TestSeed(t *testing.T) {
	s := open(t, "../../examples/seed", seedMapping(), "archived_events.csv")
	events, err := read(t, s, source.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 20240 {
		t.Errorf("events: got %d, want 20240", len(events))
	}
	for _, ev := range events {
		if ev.Fault != "" {
			t.Errorf("record %s: %s: %q", ev.Position, ev.Fault, ev.Data)
		}
	}
	if ev := events[0]; string(ev.Data) != "e008560,2024-06-10 12:09:24.053,u121,28.60" || ev.ID != "e008560" || ev.Partition != "archived_events.csv" {
		t.Errorf("first event: got %+v", ev)
	}
}

func TestPlainFiles(t *testing.T) {
	base := header + rowText(1) + rowText(2)
	for _, c := range []struct {
		name, before, after string
		events              int // of the second reading
		code                recount.Code
		why                 string
	}{
		{"unchanged", base, base, 0, "", ""},
		{"grown", base, base + rowText(3) + rowText(4), 2, "", ""},
		{"empty lines came", base, base + "\n\r\n", 0, "", ""},
		{"one byte changed", base, strings.Replace(base, "e1", "e9", 1), 0, recount.CodeSourceChanged, "no longer those that were archived"},
		{"header changed", base, strings.Replace(base, "note", "Note", 1), 0, recount.CodeSourceChanged, "no longer"},
		{"changed and grown", base, strings.Replace(base, "e1", "e9", 1) + rowText(3), 0, recount.CodeSourceChanged, "no longer"},
		{"cut", base, header + rowText(1), 0, recount.CodeSourceChanged, "it now has"},
		{"empty now", base, "", 0, recount.CodeSourceChanged, "it now has 0"},
		{"the last line got its end", strings.TrimSuffix(base, "\n"), base + rowText(3), 1, "", ""},
		{"the last line got its Windows end", strings.TrimSuffix(base, "\n"), strings.TrimSuffix(base, "\n") + "\r\n" + rowText(3), 1, "", ""},
		{"half a Windows line end", strings.TrimSuffix(base, "\n") + "\r", strings.TrimSuffix(base, "\n") + "\r\n" + rowText(3), 1, "", ""},
		{"the last line was written on", strings.TrimSuffix(base, "\n"), strings.TrimSuffix(base, "\n") + "ote\n", 0, recount.CodeSourceChanged, "record 2"},
		{"an open quote was written on", base + "e3,2024-06-10T12:00:00Z,u1,1.50,\"two\n", base + "e3,2024-06-10T12:00:00Z,u1,1.50,\"two\nlines\"\n", 0, recount.CodeSourceChanged, "record 3"},
		{"only a header, then rows", header, base, 2, "", ""},
		{"half a header, then rows", header[:8], base, 2, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, sourcetest.Mapping(), "e.csv")
			write(t, filepath.Join(dir, "e.csv"), []byte(c.before))
			cursor := source.Cursor{}
			if _, err := read(t, s, cursor); err != nil && c.before != header[:8] {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "e.csv"), []byte(c.after))
			events, err := read(t, s, cursor)
			if c.code != "" {
				wantCode(t, err, c.code, c.why, "e.csv")
				return
			}
			if err != nil || len(events) != c.events {
				t.Fatalf("second reading: got %d events, %v; want %d", len(events), err, c.events)
			}
			if again, err := read(t, s, cursor); err != nil || len(again) != 0 {
				t.Fatalf("third reading: got %d events, %v; want none", len(again), err)
			}
		})
	}
}

func TestPackedFilesCannotChange(t *testing.T) {
	for _, ending := range []string{".csv.gz", ".csv.zst", ".parquet"} {
		t.Run(ending, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "e"+ending)
			content := func(n int) []byte {
				var rows []sourcetest.Row
				text := header
				for i := range n {
					text += rowText(i)
					rows = append(rows, sourcetest.Row{ID: fmt.Sprintf("e%d", i), Time: "2024-06-10T12:00:00Z", Value: "1"})
				}
				if ending == ".parquet" {
					return parquetFile(t, rows)
				}
				return pack(t, ending, []byte(text))
			}
			write(t, path, content(100))
			s := open(t, dir, sourcetest.Mapping(), "*")
			cursor := source.Cursor{}
			if events, err := read(t, s, cursor); err != nil || len(events) != 100 {
				t.Fatalf("got %d events, %v; want 100", len(events), err)
			}
			write(t, path, content(101))
			_, err := read(t, s, cursor)
			wantCode(t, err, recount.CodeSourceChanged, "cannot grow")
			whole := content(100)
			for _, cut := range []int{1, len(whole) / 2, len(whole) - 1} {
				write(t, path, whole[:cut])
				_, err := read(t, s, source.Cursor{})
				wantCode(t, err, recount.CodeSourceFile, "e"+ending)
			}
			if err := s.Check(t.Context()); err == nil {
				t.Error("check of a cut file: got no error")
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			_, err = read(t, s, source.Cursor{})
			wantCode(t, err, recount.CodeNoFiles)
			if events, err := read(t, s, cursor); err != nil || len(events) != 0 {
				t.Errorf("a file that is archived and gone: got %d events, %v; want none", len(events), err)
			}
		})
	}
}

func TestFileFaults(t *testing.T) {
	for _, c := range []struct {
		name, file, content, says string
	}{
		{"empty", "e.csv", "", "no header"},
		{"only a mark", "e.csv", "\xef\xbb\xbf", "no header"},
		{"only empty lines", "e.csv", "\r\n\n", "no header"},
		{"a missing column", "e.csv", "id,tme,user,value,note\n", `nearest is "tme"`},
		{"UTF-16", "e.csv", "\xff\xfei\x00d\x00", "UTF-16"},
		{"UTF-16 lines", "e.jsonl", "\xfe\xff\x00{", "UTF-16"},
		{"Latin-1 header", "e.csv", "id,time,user,value,note,gr\xf6\xdfe\n", "not valid UTF-8"},
		{"no gzip", "e.csv.gz", "id,time,user,value,note\n", "packed with gz"},
		{"no zstd", "e.csv.zst", "id,time,user,value,note\n", "cannot be read"},
		{"no Parquet", "e.parquet", "PAR1 this is none PAR1", "no whole Parquet file"},
		{"an empty Parquet file", "e.parquet", "", "no whole Parquet file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, c.file), []byte(c.content))
			s := open(t, dir, sourcetest.Mapping(), c.file)
			_, err := read(t, s, source.Cursor{})
			wantCode(t, err, recount.CodeSourceFile, c.says, c.file)
			wantCode(t, s.Check(t.Context()), recount.CodeSourceFile, c.says, c.file)
		})
	}
}

func TestHeaderForms(t *testing.T) {
	row := "e1,2024-06-10T12:00:00Z,u1,1.50,n"
	for name, text := range map[string]string{
		"a byte order mark":          "\xef\xbb\xbfid,time,user,value,note\r\n" + row,
		"a mark and quotes":          "\xef\xbb\xbf\"id\",\"time\",user,value,note\n" + row + "\n",
		"empty lines before":         "\n\r\nid,time,user,value,note\n\n" + row + "\n\n",
		"a quoted line end":          "id,time,user,value,note,\"two\nlines\"\n" + row + ",x\n",
		"columns that nobody asked":  "x,id,time,user,value,note\n9," + row + "\n",
		"Windows line ends to a row": "id,time,user,value,note\r\n" + row + "\r\n",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "e.csv"), []byte(text))
		s := open(t, dir, sourcetest.Mapping(), "e.csv")
		cursor := source.Cursor{}
		events, err := read(t, s, cursor)
		if err != nil || len(events) != 1 || events[0].Fault != "" || events[0].ID != "e1" || !strings.Contains(string(events[0].Data), row) {
			t.Errorf("%s: got %+v, %v", name, events, err)
		}
		if again, err := read(t, s, cursor); err != nil || len(again) != 0 {
			t.Errorf("%s, again: got %d events, %v; want none", name, len(again), err)
		}
	}
}

func TestABrokenLineCostsOneLine(t *testing.T) {
	text := header + rowText(1) + "e2,2024-06-10T12:00:00Z,\"u1,1.50,n\n" + rowText(3) + "e4,\"a\"b,,,\n" + rowText(5) + "short\n" + rowText(6)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "e.csv"), []byte(text))
	events, err := read(t, open(t, dir, sourcetest.Mapping(), "e.csv"), source.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ev := range events {
		state := ev.ID
		if ev.Fault != "" {
			state = "fault"
		}
		got = append(got, state)
	}
	if want := []string{"e1", "fault", "e3", "fault", "e5", "fault", "e6"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPatterns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd [name]*")
	for _, name := range []string{"b.csv", "a.csv", "sub/c.csv", "odd[1].csv", "../outside.csv"} {
		write(t, filepath.Join(dir, name), []byte(header+rowText(1)))
	}
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{"b.csv", "*.csv"}, "a.csv b.csv odd[1].csv"},
		{[]string{"sub/*.csv", "./a.csv"}, "a.csv sub/c.csv"},
		{[]string{"odd[1].csv"}, "odd[1].csv"},
		{[]string{"../outside.csv"}, "../outside.csv"},
		{[]string{filepath.Join(dir, "a.csv")}, "a.csv"},
	} {
		events, err := read(t, open(t, dir, sourcetest.Mapping(), c.paths...), source.Cursor{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ev := range events {
			got = append(got, ev.Partition)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("paths %v: got %v, want %s", c.paths, got, c.want)
		}
	}
	for _, paths := range [][]string{{"none*.csv"}, {"a.csv", "none.csv"}, {"sub"}} {
		s := open(t, dir, sourcetest.Mapping(), paths...)
		_, err := read(t, s, source.Cursor{})
		wantCode(t, err, recount.CodeNoFiles, paths[len(paths)-1])
		wantCode(t, s.Check(t.Context()), recount.CodeNoFiles)
	}
}

func TestConfig(t *testing.T) {
	m := sourcetest.Mapping()
	for _, c := range []struct {
		name   string
		config files.Config
		change func(*recount.Mapping)
		says   string
	}{
		{"no path", files.Config{}, nil, "no file is named"},
		{"an empty path", files.Config{Paths: []string{" "}}, nil, "empty"},
		{"two stars beside other signs", files.Config{Paths: []string{"a/x**/b.csv"}}, nil, "**"},
		{"a pattern that ends open", files.Config{Paths: []string{"a/[b.csv"}}, nil, "a/[b.csv"},
		{"names that say nothing", files.Config{Paths: []string{"a"}, Names: "{topic}"}, nil, "must both stand"},
		{"names of an unknown part", files.Config{Paths: []string{"a"}, Names: "{partition}{offset}{shard}"}, nil, "{shard}"},
		{"positions from two places", files.Config{Paths: []string{"a"}, Names: "{partition}-{offset}"}, func(m *recount.Mapping) { m.Partition, m.Position = "user", "value" }, "two places"},
		{"an unknown format", files.Config{Paths: []string{"a"}, Format: "xml"}, nil, "csv, json, jsonl, parquet and avro"},
		{"a reserved field", files.Config{Paths: []string{"a"}}, func(m *recount.Mapping) { m.Fields[0].Name = "key" }, "of its own"},
		{"a partition alone", files.Config{Paths: []string{"a"}}, func(m *recount.Mapping) { m.ID, m.Partition = "", "user" }, "told apart"},
	} {
		changed := m
		changed.Fields = slices.Clone(m.Fields)
		if c.change != nil {
			c.change(&changed)
		}
		_, err := files.Open(t.Context(), adapter.Env{Dir: ".", Stream: "s", Mapping: changed}, c.config)
		if err == nil {
			t.Errorf("%s: got no error", c.name)
			continue
		}
		wantCode(t, err, recount.CodeConfig, c.says)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "e.txt"), []byte(header+rowText(1)))
	_, err := read(t, open(t, dir, m, "e.txt"), source.Cursor{})
	wantCode(t, err, recount.CodeConfig, "ending")
	s, err := files.Open(t.Context(), adapter.Env{Dir: dir, Mapping: m, Now: fixedNow}, files.Config{Paths: []string{"e.txt"}, Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	if events, err := read(t, s, source.Cursor{}); err != nil || len(events) != 1 {
		t.Errorf("format: csv: got %d events, %v; want 1", len(events), err)
	}
}

func TestWatermark(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "e.csv")
	write(t, path, []byte(header+rowText(1)))
	now := fixedNow()
	tick := func() time.Time { now = now.Add(time.Minute); return now }
	s, err := files.Open(t.Context(), adapter.Env{Dir: dir, Mapping: sourcetest.Mapping(), Now: tick}, files.Config{Paths: []string{"*.csv"}})
	if err != nil {
		t.Fatal(err)
	}
	end, err := s.Read(t.Context(), nil, func(source.Batch) error { return nil })
	if err != nil || !end.Watermark.Equal(fixedNow().Add(2*time.Minute)) || end.Partitions != 1 {
		t.Errorf("a quiet file: got %+v, %v; want the moment after reading", end, err)
	}
	for name, disturb := range map[string]func(){
		"a file that grows": func() { write(t, path, []byte(header+rowText(1)+rowText(2)+rowText(3))) },
		"a file that comes": func() { write(t, filepath.Join(dir, "f.csv"), []byte(header)) },
	} {
		begun := now.Add(time.Minute)
		end, err := s.Read(t.Context(), nil, func(source.Batch) error { disturb(); return nil })
		if err != nil || !end.Watermark.Equal(begun) {
			t.Errorf("%s: got %v, %v; want the moment before reading, %v", name, end.Watermark, err, begun)
		}
	}
	noClock, err := files.Open(t.Context(), adapter.Env{Dir: dir, Mapping: sourcetest.Mapping()}, files.Config{Paths: []string{"*.csv"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := noClock.Read(t.Context(), nil, nil); err == nil {
		t.Error("without a clock: got no error")
	}
}

func TestCancelWhileHashing(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "e.csv"), append([]byte(header), bytes.Repeat([]byte(rowText(1)), 50000)...))
	s := open(t, dir, sourcetest.Mapping(), "e.csv")
	cursor := source.Cursor{}
	if _, err := read(t, s, cursor); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx, cursor, func(source.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestRegistered(t *testing.T) {
	spec, ok := adapter.Default.Lookup(adapter.Source, "files")
	if !ok || len(spec.Keys()) != 5 {
		t.Fatalf("got %v %+v, want the adapter with five keys", ok, spec)
	}
}

func TestMarksAndEmptyLinesOfJSON(t *testing.T) {
	dir := t.TempDir()
	line := `{"id":"e1","time":"2024-06-10T12:00:00Z","user":"u1","value":9007199254740993.25,"note":null}`
	write(t, filepath.Join(dir, "e.jsonl"), []byte("\xef\xbb\xbf"+line+"\r\n\n \t\n"+line))
	s := open(t, dir, sourcetest.Mapping(), "e.jsonl")
	cursor := source.Cursor{}
	events, err := read(t, s, cursor)
	if err != nil || len(events) != 2 {
		t.Fatalf("got %d events, %v; want 2", len(events), err)
	}
	for _, ev := range events {
		if string(ev.Data) != line || ev.Fields[1] != recount.Text("9007199254740993.25") || !ev.Fields[2].Null || ev.Fault != "" {
			t.Errorf("got %+v", ev)
		}
	}
	if again, err := read(t, s, cursor); err != nil || len(again) != 0 {
		t.Errorf("again: got %d events, %v; want none", len(again), err)
	}
}
