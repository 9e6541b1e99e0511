package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/archive/eventfile"
)

const stream = "orders"

// fields are those of the events: who bought, and for how much.
var fields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "value", Type: recount.Decimal(18, 2)},
}

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

const (
	fileRows   = 500_000
	partitions = 8
	// repeatOf is how many events there are to a repeat.
	repeatOf = 100
)

// dataFile is a file of events with that of its marks.
type dataFile struct {
	Path, Marks       string
	Rows              int64
	FirstSeq, LastSeq int64
	First, Last       time.Time
}

// makeArchive writes files of events as the archive has them, with their marks,
// where they are not there yet. The events are the same each time.
func makeArchive(dir string, events, keys int) error {
	if _, err := os.Stat(filepath.Join(dir, "files.json")); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a scratch folder
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same events each time
	var files []dataFile
	for seq := 0; seq < events; seq += fileRows {
		f, err := writeFile(dir, rng, seq, min(fileRows, events-seq), keys)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	text, err := json.Marshal(files)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "files.json"), text, 0o644) //nolint:gosec // a scratch file
}

// filesOf reads what makeArchive wrote: the first of so many parts of the files.
func filesOf(dir string, part int) (files []dataFile, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "files.json")) //nolint:gosec // our own
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, err
	}
	return files[:(len(files)+part-1)/part], nil
}

func writeFile(dir string, rng *rand.Rand, seq, n, keys int) (f dataFile, err error) {
	path := filepath.Join(dir, fmt.Sprintf("%05d.parquet", seq/fileRows))
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Millisecond) }
	f = dataFile{Path: path, Marks: path + ".marks", Rows: int64(n), FirstSeq: int64(seq + 1), LastSeq: int64(seq + n), First: at(seq + 1), Last: at(seq + n)}
	out, err := os.Create(path) //nolint:gosec // a scratch file
	if err != nil {
		return f, err
	}
	var w *eventfile.Writer
	var marks []recount.Mark
	rows := eventfile.NewRows(fields)
	for i := 1; i <= n; i++ {
		e := makeEvent(rng, seq+i, keys)
		e.Time, e.IngestTime = at(seq+i), at(seq+i)
		if err := rows.Append(int64(seq+i), &e, true); err != nil {
			return f, err
		}
		if rng.IntN(repeatOf) == 0 {
			marks = append(marks, recount.Mark{Seq: int64(seq + i), Kind: recount.MarkRepeat, ID: e.ID, Time: e.Time, Why: "a later copy"})
		}
		if rows.Len() < eventfile.MaxGroupRows && i < n {
			continue
		}
		if w == nil {
			if w, err = eventfile.NewWriter(out, eventfile.Meta{Stream: stream, Format: "json", Fields: fields}, rows); err != nil {
				return f, err
			}
		}
		if err := w.Write(rows); err != nil {
			return f, err
		}
		rows.Reset()
	}
	return f, errors.Join(w.Close(), writeMarks(f.Marks, marks))
}

func makeEvent(rng *rand.Rand, n, keys int) recount.Event {
	// A key's events are in one partition, as a producer that hashes keys puts them.
	number, cents := rng.IntN(keys), rng.IntN(100_000)
	user := fmt.Sprintf("user-%08d", number)
	value := fmt.Sprintf("%d.%02d", cents/100, cents%100)
	return recount.Event{
		ID: fmt.Sprintf("e-%012d", n), Type: "order", Partition: fmt.Sprintf("orders-%d", number%partitions), Position: fmt.Sprintf("%020d", n),
		Key: []byte(user), Data: fmt.Appendf(nil, `{"id":"e-%012d","user_id":%q,"value":%q,"currency":"EUR","country":"DE"}`, n, user, value),
		Fields: []recount.Value{recount.Text(user), recount.Text(value)},
	}
}

func writeMarks(path string, marks []recount.Mark) error {
	var b bytes.Buffer
	w := eventfile.NewMarksWriter(&b, stream)
	if err := errors.Join(w.Write(marks), w.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644) //nolint:gosec // a scratch file
}

// input is what an engine replays: all events of the files.
func input(files []dataFile, scratch string, memory, threads int) engine.Input {
	in := engine.Input{Stream: stream, Fields: fields, Scratch: scratch, Limits: engine.Limits{MemoryMiB: memory, Threads: threads}}
	for _, f := range files {
		in.Files = append(in.Files, engine.File{Path: f.Path, Data: recount.DataFile{
			Rows: f.Rows, FirstSeq: f.FirstSeq, LastSeq: f.LastSeq, FirstTime: f.First, LastTime: f.Last, TimeKnown: true, Fields: fields,
		}})
		in.Marks = append(in.Marks, f.Marks)
	}
	in.Window = recount.Window{From: noon, To: files[len(files)-1].Last.Add(time.Second), By: recount.ByEvent}
	return in
}
