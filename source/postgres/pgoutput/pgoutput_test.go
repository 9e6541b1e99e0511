package pgoutput_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"recount/source/postgres/pgoutput"
)

func join(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b.WriteString(p)
		default:
			_ = binary.Write(&b, binary.BigEndian, p)
		}
	}
	return b.Bytes()
}

var noon = time.Date(2024, 6, 10, 12, 0, 0, 1000, time.UTC)

// messages are the bytes of each kind and what they mean.
var messages = []struct {
	bytes []byte
	want  pgoutput.Message
}{
	{join("B", uint64(0x100), pgoutput.Since(noon), uint32(7)), pgoutput.Begin{Commit: 0x100, Time: noon, XID: 7}},
	{join("C", byte(0), uint64(0x100), uint64(0x130), pgoutput.Since(noon)), pgoutput.Commit{LSN: 0x100, End: 0x130, Time: noon}},
	{
		join("R", uint32(5), "public\x00t\x00", "f", uint16(2), byte(1), "id\x00", uint32(23), int32(-1), byte(0), "v\x00", uint32(25), int32(-1)),
		pgoutput.Relation{ID: 5, Schema: "public", Table: "t", Identity: pgoutput.IdentityFull, Columns: []pgoutput.Column{{Name: "id", Key: true, Type: 23}, {Name: "v", Type: 25}}},
	},
	{join("R", uint32(5), "\x00t\x00", "d", uint16(0)), pgoutput.Relation{ID: 5, Schema: "pg_catalog", Table: "t", Identity: pgoutput.IdentityDefault, Columns: []pgoutput.Column{}}},
	{
		join("I", uint32(5), "N", uint16(3), "t", uint32(2), "ab", "n", "u"),
		pgoutput.Insert{Relation: 5, New: []pgoutput.Value{{Kind: pgoutput.Text, Text: []byte("ab")}, {Kind: pgoutput.Null}, {Kind: pgoutput.Unchanged}}},
	},
	{
		join("U", uint32(5), "K", uint16(1), "t", uint32(1), "1", "N", uint16(1), "t", uint32(0)),
		pgoutput.Update{Relation: 5, OldKey: true, Old: []pgoutput.Value{{Kind: pgoutput.Text, Text: []byte("1")}}, New: []pgoutput.Value{{Kind: pgoutput.Text, Text: []byte{}}}},
	},
	{join("U", uint32(5), "N", uint16(0)), pgoutput.Update{Relation: 5, New: []pgoutput.Value{}}},
	{join("D", uint32(5), "O", uint16(1), "n"), pgoutput.Delete{Relation: 5, Old: []pgoutput.Value{{Kind: pgoutput.Null}}}},
	{join("T", uint32(2), byte(3), uint32(5), uint32(6)), pgoutput.Truncate{Relations: []uint32{5, 6}}},
	{join("M", byte(1), uint64(0x90), "recount\x00", uint32(3), "abc"), pgoutput.Logical{Transactional: true, LSN: 0x90, Prefix: "recount", Content: []byte("abc")}},
	{join("O", uint64(1), "x\x00"), pgoutput.Other{Tag: 'O'}},
	{join("Y", uint32(1), "a\x00b\x00"), pgoutput.Other{Tag: 'Y'}},
}

func TestEachMessageIsRead(t *testing.T) {
	for _, m := range messages {
		got, err := pgoutput.Parse(m.bytes)
		if err != nil || !reflect.DeepEqual(got, m.want) {
			t.Errorf("%q: got %+v, %v; want %+v", m.bytes, got, err, m.want)
		}
		if m.bytes[0] == 'O' || m.bytes[0] == 'Y' {
			continue
		}
		for n := range m.bytes {
			if _, err := pgoutput.Parse(m.bytes[:n]); err == nil {
				t.Errorf("%q cut after %d bytes: got no error", m.bytes, n)
			}
		}
		if _, err := pgoutput.Parse(append(bytes.Clone(m.bytes), 0)); err == nil {
			t.Errorf("%q with a byte more: got no error", m.bytes)
		}
	}
	for _, broken := range [][]byte{
		{'?'},
		join("I", uint32(5), "K", uint16(0)), join("I", uint32(5), "N", uint16(1), "b", uint32(0)), join("T", uint32(1<<31), byte(0)),
		join("D", uint32(5), "N", uint16(0)), join("U", uint32(5), "X"), join("R", uint32(5), "a\x00b\x00", "d", uint16(65535)),
	} {
		if _, err := pgoutput.Parse(broken); err == nil {
			t.Errorf("%q: got no error", broken)
		}
	}
}

func TestPlacesAreSpelledAsTheServerDoes(t *testing.T) {
	for text, want := range map[string]pgoutput.LSN{"0/0": 0, "16/B374D848": 0x16B374D848, "FFFFFFFF/FFFFFFFF": 1<<64 - 1} {
		got, err := pgoutput.ParseLSN(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "/", "0/x", "1/123456789"} {
		if _, err := pgoutput.ParseLSN(text); err == nil {
			t.Errorf("%q: got no error", text)
		}
	}
	for _, at := range []time.Time{noon, time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := pgoutput.At(pgoutput.Since(at)); !got.Equal(at) {
			t.Errorf("got %s, want %s", got, at)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range messages {
		f.Add(m.bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := pgoutput.Parse(data)
		if (m == nil) == (err == nil) {
			t.Errorf("%q: got %v and %v", data, m, err)
		}
		if r, ok := m.(pgoutput.Relation); ok && len(r.Columns) > len(data) {
			t.Errorf("%q: got %d columns", data, len(r.Columns))
		}
	})
}
