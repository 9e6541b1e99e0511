package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"recount"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/fold"
	"recount/engine/fold/gofold"
	"recount/engine/fold/process"
	"recount/worker"
)

// order is an event as the fold in Go sees it.
type order struct {
	UserID string         `recount:"user_id"`
	Value  worker.Decimal `recount:"value"`
}

type total struct {
	UserID  string         `recount:"user_id"`
	Total   worker.Decimal `recount:"total,decimal(38,2)"`
	Count   int64          `recount:"n"`
	Largest worker.Decimal `recount:"largest,decimal(18,2)"`
}

// state is what is kept of a user.
type state struct {
	User           string
	Total, Largest worker.Decimal
	Count          int64
}

var totals = worker.Fold[state, order, total]{
	Step: func(_ *worker.Context, s *state, e *order) error {
		if s.Count == 0 {
			s.User = e.UserID
		}
		s.Total = s.Total.Add(e.Value)
		if e.Value.Cmp(s.Largest) > 0 {
			s.Largest = e.Value
		}
		s.Count++
		return nil
	},
	Rows: func(_ *worker.Context, s *state, emit func(total)) {
		emit(total{s.User, s.Total, s.Count, s.Largest})
	},
}

const query = "SELECT user_id, sum(value) AS total, count(*) AS n, max(value) AS largest FROM events GROUP BY user_id"

// be is one contender.
func (b *bench) be(ctx context.Context) (err error) {
	b.prepare()
	files, err := filesOf(b.data, b.part)
	if err != nil {
		return err
	}
	if b.contender == "bare_loop" {
		return bareLoop(files)
	}
	scratch, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	logic, err := b.logic(scratch)
	if err != nil {
		return err
	}
	e := fold.New(gofold.New(gofold.Options{}), process.New(process.Options{})).Over(duckdb.New())
	in := input(files, filepath.Join(scratch, "session"), b.memory, b.threads)
	if err := os.Mkdir(in.Scratch, 0o700); err != nil {
		return err
	}
	s, err := e.Open(ctx, in)
	if err != nil {
		return err
	}
	rows, err := s.Run(ctx, engine.Variant{Logic: logic, Key: []string{"user_id"}, Columns: []string{"total", "n", "largest"}, Dedupe: true})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return errors.Join(b.tell(rows), rows.Close(), s.Close())
}

// logic is that of a contender; a worker's files are put into a folder.
func (b *bench) logic(dir string) (recount.Logic, error) {
	by := []string{"user_id"}
	switch b.contender {
	case "go":
		return recount.Logic{Kind: recount.LogicGo, Text: "totals", Path: "recount.yaml", Digest: "1", By: by}, nil
	case "sql":
		return recount.Logic{Kind: recount.LogicSQL, Text: query, Path: "totals.sql"}, nil
	}
	script, interpreter := map[string]string{"python_arrow": "worker_vectorised.py", "python_loop": "worker_loop.py", "python_ndjson": "worker_loop.py"}[b.contender], b.python
	if script == "" {
		return recount.Logic{}, fmt.Errorf("there is no contender %q", b.contender)
	}
	if b.contender == "python_ndjson" {
		interpreter = "python3" // it has no pyarrow
	}
	w := &recount.Worker{Command: []string{interpreter, "worker.py"}, Dir: filepath.Join(dir, "worker"), Files: []string{"worker.py"}, Timeout: time.Hour, MemoryMiB: b.memory}
	copied := map[string]string{"worker.py": filepath.Join("bench", "fold", script)}
	modules, err := filepath.Glob("python/src/recount/*.py")
	if err != nil || len(modules) == 0 {
		return recount.Logic{}, errors.Join(err, errors.New("the Python package is not here: run this from the project's folder"))
	}
	for _, m := range modules {
		name := filepath.Join("recount", filepath.Base(m))
		copied[name] = m
		w.Files = append(w.Files, name)
	}
	for to, from := range copied {
		text, err := os.ReadFile(from) //nolint:gosec // our own
		if err != nil {
			return recount.Logic{}, err
		}
		path := filepath.Join(w.Dir, to)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
			return recount.Logic{}, err
		}
	}
	return recount.Logic{Kind: recount.LogicWorker, Path: script, Digest: "1", By: by, Worker: w}, nil
}

// tell prints what a contender made.
func (b *bench) tell(rows engine.Rows) error {
	var n, events, cents int64
	digest := sha256.New()
	for {
		row, ok := rows.Next()
		if !ok {
			break
		}
		n++
		if b.digest {
			sum := recount.ChecksumBytes(slices.Concat(row.Key, row.Values))
			digest.Write(sum[:])
		}
		count, err := strconv.ParseInt(row.Values[1].Text, 10, 64)
		if err != nil {
			return err
		}
		total, err := strconv.ParseInt(strings.Replace(row.Values[0].Text, ".", "", 1), 10, 64)
		if err != nil {
			return err
		}
		events += count
		cents += total
	}
	if err := rows.Err(); err != nil {
		return err
	}
	said := fmt.Sprint(n, " ", events, " ", cents)
	if b.digest {
		said += " " + hex.EncodeToString(digest.Sum(nil))
	}
	_, err := fmt.Fprintln(os.Stdout, said)
	return err
}

// memoryEvent is an event of the bare loop's array.
type memoryEvent struct {
	user  string
	cents int64
}

// bareLoop is what a person would write for events that are in memory: it tells
// its own time, without that of bringing them there.
func bareLoop(files []dataFile) error {
	var list []memoryEvent
	for _, f := range files {
		more, err := load(f)
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	began := processorTime()
	type sums struct{ total, count, largest int64 }
	users := map[string]*sums{}
	for _, e := range list {
		s := users[e.user]
		if s == nil {
			s = &sums{}
			users[e.user] = s
		}
		s.total += e.cents
		s.count++
		s.largest = max(s.largest, e.cents)
	}
	took := processorTime() - began
	var events, cents int64
	for _, s := range users {
		events += s.count
		cents += s.total
	}
	_, err := fmt.Fprintln(os.Stdout, took.Seconds(), len(users), events, cents)
	return err
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load reads the sound events of a file.
func load(f dataFile) (list []memoryEvent, err error) {
	r, err := file.OpenParquetFile(f.Path, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	repeats, err := loadMarks(f.Marks)
	if err != nil {
		return nil, err
	}
	for g := range r.NumRowGroups() {
		n := int(r.MetaData().RowGroups[g].NumRows)
		seqs, values, users := make([]int64, n), make([]int64, n), make([]parquet.ByteArray, n)
		defs := make([]int16, n)
		for name, read := range map[string]func(file.ColumnChunkReader) error{
			"seq": func(c file.ColumnChunkReader) error {
				_, _, err := c.(*file.Int64ColumnChunkReader).ReadBatch(int64(n), seqs, nil, nil)
				return err
			},
			"value": func(c file.ColumnChunkReader) error {
				_, _, err := c.(*file.Int64ColumnChunkReader).ReadBatch(int64(n), values, defs, nil)
				return err
			},
			"user_id": func(c file.ColumnChunkReader) error {
				_, _, err := c.(*file.ByteArrayColumnChunkReader).ReadBatch(int64(n), users, defs, nil)
				return err
			},
		} {
			c, err := r.RowGroup(g).Column(r.MetaData().Schema.ColumnIndexByName(name))
			if err != nil {
				return nil, err
			}
			if err := errors.Join(read(c), c.Close()); err != nil {
				return nil, err
			}
		}
		for i := range n {
			if !repeats[seqs[i]] {
				list = append(list, memoryEvent{string(users[i]), values[i]})
			}
		}
	}
	return list, nil
}

func loadMarks(path string) (repeats map[int64]bool, err error) {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	repeats = map[int64]bool{}
	for g := range r.NumRowGroups() {
		seqs := make([]int64, r.MetaData().RowGroups[g].NumRows)
		c, err := r.RowGroup(g).Column(r.MetaData().Schema.ColumnIndexByName("seq"))
		if err != nil {
			return nil, err
		}
		if _, _, err := c.(*file.Int64ColumnChunkReader).ReadBatch(int64(len(seqs)), seqs, nil, nil); err != nil {
			return nil, err
		}
		for _, s := range seqs {
			repeats[s] = true
		}
	}
	return repeats, nil
}
