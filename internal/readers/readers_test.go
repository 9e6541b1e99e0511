// Package readers tests that other programs open the archive and find the same
// rows. It has no code of its own.
package readers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/clock"
	"recount/internal/servertest"
	"recount/source"
	"recount/store/disk"
)

var fields = []recount.Field{
	{Name: "s", Type: recount.Type{Kind: recount.KindString}},
	{Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
	{Name: "x", Type: recount.Type{Kind: recount.KindDouble}},
	{Name: "small", Type: recount.Decimal(7, 2)},
	{Name: "middle", Type: recount.Decimal(18, 2)},
	{Name: "large", Type: recount.Decimal(38, 10)},
	{Name: "b", Type: recount.Type{Kind: recount.KindBool}},
	{Name: "at", Type: recount.Type{Kind: recount.KindTimestamp}},
	{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
	{Name: "j", Type: recount.Type{Kind: recount.KindJSON}},
}

// samples are canonical values by field, the ends of each type among them.
var samples = [][]string{
	{"", "a", "ä\x00b", "日本語", "\u2028", "\\u0041"},
	{"0", "-9223372036854775808", "9223372036854775807"},
	{"0", "1.5", "NaN", "-Infinity", "1e+300"},
	{"0.00", "-99999.99", "12.34"},
	{"0.01", "-9999999999999999.99", "42.00"},
	{"0.0000000000", "9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999", "-0.0000000001"},
	{"true", "false"},
	{"0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.5Z", "2024-06-10T12:00:00Z"},
	{"1970-01-01", "0001-01-01", "9999-12-31", "2024-02-29"},
	{`{"a":1}`, "null"},
}

// some makes events with every kind of value, over many hours and with times that
// cannot be read.
func some(n int) []recount.Event {
	rng := rand.New(rand.NewPCG(7, 7))
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	events := make([]recount.Event, n)
	for i := range events {
		e := recount.Event{
			ID: fmt.Sprintf("e%05d", i), Partition: "3", Position: fmt.Sprintf("%020d", i), Data: []byte(fmt.Sprintf("row %d\x00\xff", i)),
			Time: at.Add(time.Duration(rng.Int64N(int64(6 * time.Hour)))).Truncate(time.Microsecond),
		}
		switch i % 50 {
		case 0:
			e.Time, e.Fault = time.Time{}, "time: there is none"
		case 1:
			e.Time = time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)
		case 2:
			e.Time = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		}
		switch rng.IntN(4) {
		case 0:
			e.ID, e.Type, e.Key, e.IngestTime = "", "order", []byte{}, at
		case 1:
			e.Key, e.Headers = []byte("k\xff"), []recount.Header{{Name: "a", Value: []byte{0xfe}}, {Name: "a"}, {Name: "", Value: []byte{}}}
		case 2:
			e.Headers = []recount.Header{}
		}
		for j := range fields {
			v := recount.Null
			if rng.IntN(5) > 0 {
				v = recount.Text(samples[j][rng.IntN(len(samples[j]))])
			}
			e.Fields = append(e.Fields, v)
		}
		events[i] = e
	}
	return events
}

// given is a source of events that are there already.
type given struct{ events []recount.Event }

func (g given) Info() source.Info { return source.Info{HasID: true, Place: "given"} }

func (g given) Read(_ context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	from, _ := strconv.Atoi(cursor["3"])
	if from == len(g.events) {
		return source.End{Watermark: time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)}, nil
	}
	err := emit(source.Batch{Partition: "3", Events: g.events[from:], Cursor: strconv.Itoa(len(g.events)), Format: "json"})
	return source.End{Watermark: time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC), Partitions: 1}, err
}

func (given) Decoder(string, string) (source.Decoder, error) { return nil, recount.ErrUnsupported }
func (given) Check(context.Context) error                    { return nil }
func (given) Close() error                                   { return nil }

// archived archives events in two runs and returns the stream's folder.
func archived(t *testing.T, events []recount.Event) string {
	t.Helper()
	dir := t.TempDir()
	s, err := disk.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]recount.Event{events[:len(events)/3], events} {
		_, err := archive.Open(s, clock.System{}).Run(t.Context(), archive.RunOptions{
			Stream: "orders", Source: given{part}, Fields: fields, MappingDigest: "m", QuarantineMax: int64(len(events)), Program: "test",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "orders")
}

// TestOtherProgramsFindTheSameRows opens an archive's folder with pandas and with
// Spark, as their users would, and compares every column of every row.
func TestOtherProgramsFindTheSameRows(t *testing.T) {
	python := filepath.Join(servertest.Cache(), "readers", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		servertest.Require(t, "readers", "there is no Python environment with pandas and pyspark; .ci/servers/readers makes one")
	}
	events := some(1500)
	folder := archived(t, events)
	want := make([]map[string]any, len(events))
	for i, e := range events {
		want[i] = row(int64(i+1), e)
	}
	for _, program := range []string{"pandas", "spark"} {
		t.Run(program, func(t *testing.T) {
			var problems bytes.Buffer
			cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "rows.py"), program, folder) //nolint:gosec // the test's own script
			cmd.Stderr = &problems
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, problems.String())
			}
			compare(t, out, want)
		})
	}
}

func compare(t *testing.T, out []byte, want []map[string]any) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		got := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatalf("line %d: %v: %s", n, err, lines.Text())
		}
		if n < len(want) && !reflect.DeepEqual(got, want[n]) {
			t.Fatalf("row %d:\ngot  %v\nwant %v", n+1, got, want[n])
		}
	}
	if n != len(want) {
		t.Errorf("got %d rows, want %d", n, len(want))
	}
}

// row is an event as rows.py prints it.
func row(seq int64, e recount.Event) map[string]any {
	m := map[string]any{
		"seq": strconv.FormatInt(seq, 10), "id": optional(e.ID), "type": optional(e.Type), "partition": e.Partition, "position": e.Position,
		"time": micros(e.Time), "ingest_time": micros(e.IngestTime), "key": nil, "data": hex.EncodeToString(e.Data), "headers": nil, "fault": optional(e.Fault),
		"date": nil, "hour": nil,
	}
	if !e.Time.IsZero() {
		m["date"], m["hour"] = e.Time.Format(time.DateOnly), e.Time.Format("15")
	}
	if e.Key != nil {
		m["key"] = hex.EncodeToString(e.Key)
	}
	if e.Headers != nil {
		list := []any{}
		for _, h := range e.Headers {
			pair := []any{h.Name, nil}
			if h.Value != nil {
				pair[1] = hex.EncodeToString(h.Value)
			}
			list = append(list, pair)
		}
		m["headers"] = list
	}
	for i, f := range fields {
		m[f.Name] = field(f.Type, e.Fields[i])
	}
	return m
}

func optional(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return strconv.FormatInt(t.UnixMicro(), 10)
}

func field(t recount.Type, v recount.Value) any {
	switch {
	case v.Null:
		return nil
	case t.Kind == recount.KindDouble:
		f, err := strconv.ParseFloat(v.Text, 64)
		if err != nil {
			return err.Error()
		}
		return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, math.Float64bits(f)))
	case t.Kind == recount.KindTimestamp:
		at, err := recount.ParseTimestamp(v.Text)
		if err != nil {
			return err.Error()
		}
		return strconv.FormatInt(at.UnixMicro(), 10)
	case t.Kind == recount.KindDecimal && strings.Contains(v.Text, "."):
		return strings.TrimSuffix(strings.TrimRight(v.Text, "0"), ".")
	}
	return v.Text
}
