package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine/enginetest"
	"recount/engine/fold/process"
	"recount/engine/fold/run"
	"recount/engine/result"
	"recount/internal/servertest"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

// python returns a Python without any package, or skips the test.
func python(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		servertest.Require(t, "python", "no python3 in PATH")
	}
	return path
}

// arrowPython returns a Python that has pyarrow, numpy and pandas, or skips the
// test.
func arrowPython(t testing.TB) string {
	t.Helper()
	path := filepath.Join(servertest.Cache(), "readers", "bin", "python")
	if _, err := os.Stat(path); err != nil {
		servertest.Require(t, "readers", "no Python with pyarrow: bash .ci/servers/readers installs one")
	}
	return path
}

// project is a folder with a worker in it, and events.
type project struct {
	t      testing.TB
	dir    string
	logic  recount.Logic
	fields []recount.Field
	spec   run.Spec
	kind   *process.Kind
}

// newProject makes a project whose worker is a Python program of that text. The
// package `recount` stands beside it.
func newProject(t testing.TB, interpreter, text string, fields []recount.Field, by ...string) *project {
	t.Helper()
	p := &project{t: t, dir: t.TempDir(), fields: fields, kind: process.New(process.Options{})}
	p.write("worker.py", text)
	files := []string{"worker.py"}
	modules, err := filepath.Glob("../../../python/src/recount/*.py")
	if err != nil || len(modules) == 0 {
		t.Fatalf("find the Python package: %v", err)
	}
	for _, m := range modules {
		b, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join("recount", filepath.Base(m))
		p.write(name, string(b))
		files = append(files, name)
	}
	p.logic = recount.Logic{
		Kind: recount.LogicWorker, Path: "worker.py", Digest: fmt.Sprintf("%x", text), By: by,
		Worker: &recount.Worker{Command: []string{interpreter, "worker.py"}, Dir: p.dir, Files: files, Timeout: time.Minute},
	}
	return p
}

func (p *project) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// events writes the events and describes the run over them.
func (p *project) events(events ...enginetest.Event) {
	p.t.Helper()
	b := enginetest.NewBuilder(p.t, p.fields...)
	b.Add(events...)
	in := b.Input(noon, noon.Add(time.Hour))
	p.spec = run.Spec{
		Read: recount.Window{From: noon, To: noon.Add(time.Hour), By: recount.ByEvent}, Stream: in.Stream, Fields: p.fields, By: p.logic.By,
		Threads: 2, Memory: 64 << 20, Dedupe: true,
	}
	p.spec.Hit = p.spec.Read
	for _, f := range in.Files {
		p.spec.Files = append(p.spec.Files, run.File{Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq})
	}
}

// describe asks the worker what it is.
func (p *project) describe() (run.Description, error) {
	return p.kind.Describe(p.t.Context(), p.logic, p.fields)
}

// run folds the events and returns the rows as text, in the order of columns, with
// the first key columns as the key.
func (p *project) run(keys int, options ...func(*run.Spec)) (rows []string, r run.Result, err error) {
	p.t.Helper()
	d, err := p.describe()
	if err != nil {
		return nil, r, err
	}
	s := p.spec
	s.Reads, s.Scratch, s.Digest = d.Reads, p.t.TempDir(), "digest"
	s.Shape = recount.Shape{Key: d.Columns[:keys], Values: d.Columns[keys:]}
	s.Out = filepath.Join(s.Scratch, "rows.parquet")
	for _, o := range options {
		o(&s)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute)
	defer cancel()
	if r, err = p.kind.Run(ctx, p.logic, s); err != nil {
		return nil, r, err
	}
	got, err := result.OpenRows(ctx, s.Out, s.Shape, result.Of{Where: "worker.py", Fold: true})
	if err != nil {
		return nil, r, err
	}
	for row, ok := got.Next(); ok; row, ok = got.Next() {
		var text []string
		for _, v := range slices.Concat(row.Key, row.Values) {
			text = append(text, v.String())
		}
		rows = append(rows, strings.Join(text, "|"))
	}
	return rows, r, errors.Join(got.Err(), got.Close())
}

// want compares rows with those that are right.
func want(t testing.TB, got []string, rows ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(rows, "\n"); g != w {
		t.Errorf("rows: got\n%s\nwant\n%s", g, w)
	}
}

var orderFields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "value", Type: recount.Decimal(18, 2)},
}

// order is an event of orderFields.
func order(id int, user, value string) enginetest.Event {
	v := recount.Text(value)
	if value == "" {
		v = recount.Null
	}
	return enginetest.Event{Event: recount.Event{
		ID: fmt.Sprint(id), Type: "order", Partition: "0", Position: fmt.Sprintf("%020d", id), Time: noon.Add(time.Duration(id) * time.Second),
		Data: []byte(user), Fields: []recount.Value{recount.Text(user), v},
	}}
}
