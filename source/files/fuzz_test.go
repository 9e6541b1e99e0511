package files

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// cutAll cuts data with reads of one size and returns the records and what lies
// between them.
func cutAll(t *testing.T, data []byte, kind format, r io.Reader, most, room int) (records [][]byte, joined []byte) {
	t.Helper()
	c := newCutter(r, kind)
	c.room = room
	for {
		b, err := c.next(most)
		if errors.Is(err, io.EOF) {
			return records, joined
		}
		if err != nil {
			t.Fatalf("cut %.100q: %v", data, err)
		}
		at := 0
		for _, sp := range b.spans {
			if gap := strings.Trim(string(b.data[at:sp.from]), " \t\r\n"); gap != "" {
				t.Fatalf("%.100q: %q lies between records", data, gap)
			}
			records = append(records, b.data[sp.from:sp.to])
			at = int(sp.to)
		}
		if gap := strings.Trim(string(b.data[at:]), " \t\r\n"); gap != "" {
			t.Fatalf("%.100q: %q lies after the last record", data, gap)
		}
		joined = append(joined, b.data...)
	}
}

// FuzzCSV: payloads and the line ends between them are the file, whatever the
// sizes of the reads, and a file that encoding/csv reads has the same records.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		"", "a\n", "a", "a\r\n", "a\r", "\n\n", "a,\"b\nc\"\nd\n", "\"a", "\"a\nb\n", "\"a\"b\nc\n", "a\"b\nc\n", "\"\"\"\n\"\"\"\n", "\"a\"\r\n\"b\"\r",
		"\xef\xbb\xbfa\n", "\x00\n\xff\n", "\"a\"\rb\n", "\"a\r\nb\"\r\n", ",\"\",\n", "a,\"\nb\",\"c\"d\ne\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range []format{formatCSV, formatJSONL, formatJSON} {
			records, joined := cutAll(t, data, kind, bytes.NewReader(data), 100, 1<<12)
			if !bytes.Equal(joined, data) {
				t.Fatalf("blocks: got %q, want %q", joined, data)
			}
			slow, _ := cutAll(t, data, kind, iotest.OneByteReader(bytes.NewReader(data)), 1, 1)
			if !equalRecords(records, slow) {
				t.Fatalf("%q: got records %q, byte by byte %q", data, records, slow)
			}
			if kind == formatCSV {
				compareWithLibrary(t, data, records)
			}
		}
	})
}

func equalRecords(a, b [][]byte) bool {
	return len(a) == len(b) && bytes.Equal(bytes.Join(a, []byte("\x01\x02")), bytes.Join(b, []byte("\x01\x02")))
}

// compareWithLibrary skips broken files: there the library gives up what
// follows, and we do not. It drops carriage returns, which we keep.
func compareWithLibrary(t *testing.T, data []byte, records [][]byte) {
	t.Helper()
	if bytes.IndexByte(data, '\r') >= 0 {
		return
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	var want [][]byte
	from := int64(0)
	for {
		_, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return
		}
		want = append(want, bytes.Trim(data[from:r.InputOffset()], "\n"))
		from = r.InputOffset()
	}
	if !equalRecords(records, want) {
		t.Fatalf("%q: got %q, encoding/csv has %q", data, records, want)
	}
}

// FuzzCursor: whatever the archive holds, a cursor is understood or refused, and
// what is understood is written the same again.
func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add("{}")
	f.Add("nonsense")
	f.Add(state{Size: 7, SHA256: strings.Repeat("ab", 32), Records: 1, Header: "a,\"b\"", Open: openLine}.String())
	f.Add(state{Size: 7, SHA256: strings.Repeat("ab", 32), Whole: true, Done: true}.String())
	f.Add(`{"v":2,"size":1,"sha256":""}`)
	f.Add(`{"v":1,"size":-1,"sha256":"` + strings.Repeat("ab", 32) + `"}`)
	f.Fuzz(func(t *testing.T, text string) {
		st, err := parseCursor(text)
		if err != nil || text == "" {
			return
		}
		again, err := parseCursor(st.String())
		if err != nil || again != st {
			t.Fatalf("%q: got %+v, %v; want %+v", text, again, err, st)
		}
	})
}

// FuzzObjects: objects joined in any way that JSON allows are the records, and
// one broken record between them costs none of those after it.
func FuzzObjects(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":"}{"}`, `{"a":"\""}`, "{\"a\":\n[1, {\"b\": null}]\n}", `{"a":[[],{}],"b":-1.5e3}`, `{"a":"\\"}`, `{"a"`, `x`, `}`, `{"a":"b`, "{\"a\":\"\n\"}",
	} {
		f.Add([]byte(seed), "\n")
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, object []byte, between string) {
		object = bytes.TrimSpace(object)
		if strings.Trim(between, " \t\r\n") != "" || len(object) == 0 {
			return
		}
		sound := json.Valid(object) && object[0] == '{'
		text := slices.Concat(object, []byte(between), object, []byte(between), object)
		records, _ := cutAll(t, text, formatJSON, bytes.NewReader(text), 100, 1<<12)
		if sound && !equalRecords(records, [][]byte{object, object, object}) {
			t.Fatalf("%q: got records %q, want it three times", text, records)
		}
		const next = `{"id":"next"}`
		lines := slices.Concat(object, []byte("\n"+next+"\n"+next))
		records, _ = cutAll(t, lines, formatJSON, bytes.NewReader(lines), 100, 1<<12)
		if n := len(records); !sound && n > 0 && string(records[n-1]) != next {
			t.Fatalf("%q: got records %q, want the last one to be %s", lines, records, next)
		}
	})
}

func TestLongestRecord(t *testing.T) {
	const most = 1 << 12
	cut := func(text string) ([]string, error) {
		c := newCutter(strings.NewReader(text), formatCSV)
		c.most = most
		c.buf = make([]byte, 0)
		var records []string
		for {
			b, err := c.next(10)
			if errors.Is(err, io.EOF) {
				return records, nil
			}
			if err != nil {
				return records, err
			}
			for _, sp := range b.spans {
				records = append(records, string(b.data[sp.from:sp.to]))
			}
		}
	}
	swallowed := "\"open\n" + strings.Repeat("a\n", 2*blockBytes)
	if got, err := cut(swallowed); err != nil || len(got) != 2*blockBytes+1 || got[0] != "\"open" {
		t.Errorf("a quote that is never closed: got %d records, %v; want %d", len(got), err, 2*blockBytes+1)
	}
	if _, err := cut(strings.Repeat("a", 3*blockBytes)); !errors.Is(err, errLongLine) {
		t.Errorf("a line without end: got %v, want %v", err, errLongLine)
	}
}

func TestPositionsCount(t *testing.T) {
	got := positions(98, 4)
	want := "00000000000000000098" + "00000000000000000099" + "00000000000000000100" + "00000000000000000101"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzAvro: no bytes take the process with them, and none are read for ever.
func FuzzAvro(f *testing.F) {
	schema := `{"type":"record","name":"r","fields":[{"name":"a","type":["null","string"]},{"name":"b","type":{"type":"array","items":"null"}}]}`
	head := "Obj\x01\x02\x16avro.schema" + string(binary.AppendVarint(nil, int64(len(schema)))) + schema + "\x00" + "0123456789abcdef"
	f.Add([]byte(head + "\x04\x0e\x02\x02x\x00\x00\x02\x00" + "0123456789abcdef"))
	f.Add([]byte(head))
	f.Fuzz(func(t *testing.T, content []byte) {
		a := &avroFile{r: bufio.NewReader(bytes.NewReader(content))}
		if a.header() != nil {
			return
		}
		for {
			packed, records, err := a.next()
			if err != nil {
				return
			}
			b, err := a.derive(packed, records)
			if err != nil {
				return
			}
			if int64(len(b.spans)) != records {
				t.Errorf("got %d records, want %d", len(b.spans), records)
			}
		}
	})
}
