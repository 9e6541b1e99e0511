package eventfile

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// randomFiles are n files of random rows, whose sequence numbers follow one
// another, and whose row groups have any size.
func randomFiles(t *testing.T, rng *rand.Rand, meta Meta, n int) []*File {
	t.Helper()
	var files []*File
	seq := int64(0)
	for range n {
		var groups []*Rows
		for range 1 + rng.IntN(3) {
			rows := NewRows(meta.Fields)
			for range 1 + rng.IntN(3000) {
				e := randomEvent(rng, int(seq))
				if err := rows.Append(seq, &e, rng.IntN(5) > 0); err != nil {
					t.Fatal(err)
				}
				seq++
			}
			groups = append(groups, rows)
		}
		f, err := Open(bytes.NewReader(writeFile(t, meta, groups...)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func contentOf(t *testing.T, meta Meta, files ...*File) string {
	t.Helper()
	c := NewContent(meta.Fields)
	for _, f := range files {
		if err := c.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	return c.Sum()
}

func eventsOf(t *testing.T, files ...*File) []Stored {
	t.Helper()
	var all []Stored
	for _, f := range files {
		for group := range f.Groups() {
			events, err := f.Events(group, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, events...)
		}
	}
	return all
}

func TestAJoinedFileHasAllRowsAsTheyWere(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 11))
		meta := Meta{Stream: "s", Format: "csv", Header: "a,b", Fields: allFields()}
		files := randomFiles(t, rng, meta, 1+rng.IntN(6))
		var b bytes.Buffer
		if err := Join(&b, meta, files); err != nil {
			t.Fatal(err)
		}
		joined, err := Open(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if got := joined.Groups(); got != 1 {
			t.Errorf("seed %d: %d row groups, want 1", seed, got)
		}
		if got, want := eventsOf(t, joined), eventsOf(t, files...); !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: events differ", seed)
		}
		if got, want := contentOf(t, meta, joined), contentOf(t, meta, files...); got != want {
			t.Errorf("seed %d: content %s, want %s", seed, got, want)
		}
		if got := joined.Meta(); got.Stream != "s" || got.Format != "csv" || got.Header != "a,b" {
			t.Errorf("seed %d: metadata %+v", seed, got)
		}
	}
}

// olderFile is a file in which data is required.
func olderFile(t *testing.T, meta Meta, rows *Rows) *File {
	t.Helper()
	node, err := eventSchema(meta.Fields)
	if err != nil {
		t.Fatal(err)
	}
	var list schema.FieldList
	for i := range node.NumFields() {
		n := node.Field(i)
		if n.Name() == "data" {
			n = schema.NewByteArrayNode("data", required, -1)
		}
		list = append(list, n)
	}
	if node, err = schema.NewGroupNode("events", required, list, -1); err != nil {
		t.Fatal(err)
	}
	kv, err := eventMetadata(meta)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := &Writer{meta: meta, w: file.NewParquetWriter(&b, node, file.WithWriterProps(eventProps(meta.Fields, rows.lowCardinality)), file.WithWriteMetadata(kv))}
	if err := errors.Join(w.Write(rows), w.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := Open(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnOlderFileIsJoinedToANewer(t *testing.T) {
	meta := Meta{Stream: "s", Format: "csv", Fields: allFields()}
	rng := rand.New(rand.NewPCG(1, 13))
	older, newer := NewRows(meta.Fields), NewRows(meta.Fields)
	older.data.required = true
	for i := range 3000 {
		e := randomEvent(rng, i)
		rows := older
		if i >= 1500 {
			rows = newer
			if i%3 == 0 {
				e.Data = nil
			}
		}
		if err := rows.Append(int64(i), &e, true); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(bytes.NewReader(writeFile(t, meta, newer)))
	if err != nil {
		t.Fatal(err)
	}
	files := []*File{olderFile(t, meta, older), f}
	var b bytes.Buffer
	if err := Join(&b, meta, files); err != nil {
		t.Fatal(err)
	}
	joined, err := Open(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := eventsOf(t, joined), eventsOf(t, files...); !reflect.DeepEqual(got, want) {
		t.Error("events differ")
	}
	if got, want := contentOf(t, meta, joined), contentOf(t, meta, files...); got != want {
		t.Errorf("content %s, want %s", got, want)
	}
}

// TestTheContentSeesEveryChange alters one event at a time.
func TestTheContentSeesEveryChange(t *testing.T) {
	meta := Meta{Stream: "s", Format: "csv", Fields: allFields()}
	sums := map[string]string{}
	for _, alter := range []string{"", "seq", "id", "type", "partition", "position", "time", "ingest", "key", "data", "header", "fault", "field", "order"} {
		rng := rand.New(rand.NewPCG(1, 12))
		rows := NewRows(meta.Fields)
		for i := range 50 {
			e := randomEvent(rng, i)
			seq := int64(i)
			if i == 20 && alter != "" {
				switch alter {
				case "seq":
					seq = 1000
				case "id":
					e.ID += "x"
				case "type":
					e.Type += "x"
				case "partition":
					e.Partition += "x"
				case "position":
					e.Position += "x"
				case "time":
					e.Time = e.Time.Add(1000)
				case "ingest":
					e.IngestTime = e.Time
				case "key":
					e.Key = []byte("x")
				case "data":
					e.Data = append([]byte("x"), e.Data...)
				case "header":
					e.Headers = append(e.Headers, randomEvent(rand.New(rand.NewPCG(2, 2)), 1).Headers...)
					e.Headers = append(e.Headers, e.Headers...)
					if len(e.Headers) == 0 {
						continue
					}
				case "fault":
					e.Fault += "x"
				case "field":
					e.Fields[0].Text += "x"
					e.Fields[0].Null = false
				case "order":
					seq = 21
				}
			}
			if err := rows.Append(seq, &e, true); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Open(bytes.NewReader(writeFile(t, meta, rows)))
		if err != nil {
			t.Fatal(err)
		}
		sum := contentOf(t, meta, f)
		if other, twice := sums[sum]; twice {
			t.Errorf("changing %q gives the digest of %q", alter, other)
		}
		sums[sum] = alter
	}
}

func TestAJoinKeepsRowGroupsSmall(t *testing.T) {
	meta := Meta{Stream: "s", Format: "csv"}
	var files []*File
	for i := range 3 {
		rows := NewRows(nil)
		for j := range 60_000 {
			e := randomEvent(rand.New(rand.NewPCG(uint64(i), uint64(j))), j)
			e.Fields = nil
			if err := rows.Append(int64(i*60_000+j), &e, true); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Open(bytes.NewReader(writeFile(t, meta, rows)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	var b bytes.Buffer
	if err := Join(&b, meta, files); err != nil {
		t.Fatal(err)
	}
	joined, err := Open(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for group := range joined.Groups() {
		got = append(got, fmt.Sprint(joined.Rows(group)))
	}
	if fmt.Sprint(got) != "[120000 60000]" {
		t.Errorf("row groups of %v rows, want 120000 and 60000", got)
	}
}
