package iceberg_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	ice "github.com/apache/iceberg-go"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/iceberg"
	"recount/internal/clock"
	"recount/internal/servertest"
	"recount/source"
	"recount/store/disk"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

// log is a source whose events are made as they are read.
type log struct {
	end    int
	fields []recount.Field
}

var allFields = []recount.Field{
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

var texts = []string{"text", "7", "0.5", "1.25", "2.50", "3.0000000001", "true", "2024-06-10T12:00:00Z", "2024-06-10", `{"a":1}`}

func (l *log) Info() source.Info { return source.Info{HasID: true, Place: "test"} }

func (l *log) Read(_ context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	from := 0
	_, _ = fmt.Sscan(cursor["0"], &from)
	var events []recount.Event
	for i := from; i < l.end; i++ {
		e := recount.Event{
			ID: fmt.Sprintf("e-%d", i*9/10), Partition: "0", Position: fmt.Sprintf("%012d", i), Time: noon.Add(-time.Duration(i%180) * time.Minute),
			Data: fmt.Appendf(nil, "%d", i*9/10), Headers: []recount.Header{{Name: "h", Value: []byte("v")}},
		}
		for j := range l.fields {
			e.Fields = append(e.Fields, recount.Text(texts[j]))
		}
		events = append(events, e)
	}
	if len(events) > 0 {
		if err := emit(source.Batch{Partition: "0", Events: events, Cursor: fmt.Sprint(l.end), Format: "csv"}); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: noon, Partitions: 1}, nil
}

func (l *log) Decoder(string, string) (source.Decoder, error) { return nil, recount.ErrUnsupported }
func (l *log) Check(context.Context) error                    { return nil }
func (l *log) Close() error                                   { return nil }

type lab struct {
	t     *testing.T
	store *disk.Store
	arch  *archive.Archive
	dir   string
	log   *log
}

func newLab(t *testing.T) *lab {
	t.Helper()
	s, err := disk.Open(filepath.Join(t.TempDir(), "an archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, store: s, arch: archive.Open(s, clock.Fixed(noon)), dir: filepath.Join(t.TempDir(), "a catalog"), log: &log{fields: allFields}}
}

func (l *lab) run(end int) {
	l.t.Helper()
	l.log.end = end
	_, err := l.arch.Run(l.t.Context(), archive.RunOptions{Stream: "orders", Source: l.log, Fields: l.log.fields, MappingDigest: "m", QuarantineMax: 10})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) register() iceberg.Registered {
	l.t.Helper()
	snap, err := l.arch.Snapshot(l.t.Context(), "orders")
	if err != nil {
		l.t.Fatal(err)
	}
	done, err := iceberg.Register(l.t.Context(), iceberg.Options{Dir: l.dir, Snapshot: snap, Path: l.store.Path, Now: noon})
	if err != nil {
		l.t.Fatal(err)
	}
	return done
}

// rows reads a table back and returns its sequence numbers, sorted.
func (l *lab) rows(name string) []int64 {
	l.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(l.dir, iceberg.CatalogFile))
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	cat, err := sqlcatalog.NewCatalog(iceberg.CatalogName, db, sqlcatalog.SQLite, ice.Properties{"warehouse": "file://" + l.dir})
	if err != nil {
		l.t.Fatal(err)
	}
	t, err := cat.LoadTable(l.t.Context(), table.Identifier{iceberg.Namespace, name})
	if err != nil {
		l.t.Fatal(err)
	}
	_, records, err := t.Scan().ToArrowRecords(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	var seqs []int64
	for r, err := range records {
		if err != nil {
			l.t.Fatal(err)
		}
		seq, ok := r.Column(0).(*array.Int64)
		if !ok {
			l.t.Fatalf("the first column is %T", r.Column(0))
		}
		seqs = append(seqs, seq.Int64Values()...)
		r.Release()
	}
	slices.Sort(seqs)
	return seqs
}

func (l *lab) wants(name string, want []int64) {
	l.t.Helper()
	if got := l.rows(name); !slices.Equal(got, want) {
		l.t.Errorf("table %s has %d rows %v, want %d", name, len(got), got[:min(5, len(got))], len(want))
	}
}

func upTo(n int64) []int64 {
	var all []int64
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

func TestATableHasTheRowsOfTheSnapshot(t *testing.T) {
	l := newLab(t)
	l.run(100)
	done := l.register()
	if len(done.Tables) != 2 || !done.Tables[0].Anew || done.Tables[0].Rows != 100 || done.Tables[0].Added == 0 || done.Tables[1].Rows == 0 {
		t.Fatalf("got %+v", done)
	}
	l.wants("orders", upTo(100))
	if got := len(l.rows("orders_marks")); int64(got) != done.Tables[1].Rows {
		t.Errorf("%d marks, want %d", got, done.Tables[1].Rows)
	}
	if again := l.register(); again.Tables[0].Added+again.Tables[0].Dropped+again.Tables[1].Added != 0 || again.Tables[0].Anew {
		t.Errorf("a second time: got %+v", again)
	}
	for end := 110; end <= 150; end += 10 {
		l.run(end)
	}
	if more := l.register(); more.Tables[0].Dropped != 0 || more.Tables[0].Rows != 150 {
		t.Errorf("more events: got %+v", more)
	}
	l.wants("orders", upTo(150))
}

func TestATableFollowsACompactionAndAnExpiry(t *testing.T) {
	l := newLab(t)
	for end := 20; end <= 100; end += 20 {
		l.run(end)
	}
	l.register()
	if _, err := l.arch.Compact(t.Context(), archive.CompactOptions{Stream: "orders", Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if done := l.register(); done.Tables[0].Dropped == 0 || done.Tables[0].Added == 0 || done.Tables[0].Anew {
		t.Errorf("after a compaction: got %+v", done)
	}
	l.wants("orders", upTo(100))
	expired, err := l.arch.Expire(t.Context(), archive.ExpireOptions{Stream: "orders", Before: noon.Add(-time.Hour), Keep: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if done := l.register(); done.Tables[0].Dropped == 0 || done.Tables[0].Added != 0 {
		t.Errorf("after an expiry: got %+v", done)
	}
	if got := len(l.rows("orders")); int64(got) != 100-expired.Events {
		t.Errorf("%d rows, want %d", got, 100-expired.Events)
	}
}

func TestATableGetsNewColumns(t *testing.T) {
	l := newLab(t)
	l.log.fields = allFields[:2]
	l.run(30)
	l.register()
	l.log.fields = allFields
	l.run(60)
	if done := l.register(); done.Tables[0].Anew || done.Tables[0].Added == 0 || done.Tables[0].Added == done.Tables[0].Files {
		t.Errorf("got %+v", done)
	}
	l.wants("orders", upTo(60))
	l.log.fields = slices.Clone(allFields)
	l.log.fields[0].Type = recount.Type{Kind: recount.KindJSON}
	l.run(70)
	snap, err := l.arch.Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	_, err = iceberg.Register(t.Context(), iceberg.Options{Dir: l.dir, Snapshot: snap, Path: l.store.Path, Now: noon})
	if e := recount.AsError(err); err == nil || e.Code != recount.CodeUnsupported {
		t.Errorf("a field of two types: got %v", err)
	}
}

// pythonRead prints what PyIceberg finds: rows, the sum of seq, a column of each
// type of the first row, and how many rows a filter leaves.
const pythonRead = `
import sys
from pyiceberg.catalog.sql import SqlCatalog
dir = sys.argv[1]
cat = SqlCatalog("recount", uri="sqlite:///" + dir + "/catalog.db", warehouse="file://" + dir)
t = cat.load_table("recount.orders")
a = t.scan().to_arrow().sort_by("seq")
r = a.slice(0, 1).to_pylist()[0]
print(a.num_rows, sum(a["seq"].to_pylist()), r["s"], r["n"], r["x"], r["small"], r["middle"], r["large"], r["b"], r["at"].isoformat(), r["day"], r["j"],
      r["headers"], r["data"], t.scan(row_filter="seq > 90").to_arrow().num_rows, t.scan(row_filter="time < '2024-06-10T10:00:00+00:00'").to_arrow().num_rows,
      cat.load_table("recount.orders_marks").scan().to_arrow().num_rows)
`

// pythonWith is a Python that has modules: that of the readers' tests, or the
// machine's own; empty: neither has.
func pythonWith(t *testing.T, modules string) string {
	t.Helper()
	for _, python := range []string{filepath.Join(servertest.Cache(), "readers", "bin", "python"), "python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import "+modules).Run() == nil { //nolint:gosec // a program of the machine
			return python
		}
	}
	return ""
}

func TestPyIcebergReadsTheTables(t *testing.T) {
	python := pythonWith(t, "pyiceberg, pyarrow, sqlalchemy")
	if python == "" {
		servertest.Require(t, "pyiceberg", "PyIceberg is not installed: pip install 'pyiceberg[sql-sqlite,pyarrow]==0.10.0'")
		return
	}
	l := newLab(t)
	for end := 20; end <= 100; end += 20 {
		l.run(end)
	}
	l.register()
	if _, err := l.arch.Compact(t.Context(), archive.CompactOptions{Stream: "orders", Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	done := l.register()
	out, err := exec.CommandContext(t.Context(), python, "-c", pythonRead, l.dir).CombinedOutput() //nolint:gosec // a program of the machine
	want := fmt.Sprintf("100 5050 text 7 0.5 1.25 2.50 3.0000000001 True 2024-06-10T12:00:00+00:00 2024-06-10 {\"a\":1} [{'name': 'h', 'value': b'v'}] b'0' 10 0 %d\n",
		done.Tables[1].Rows)
	if err != nil || string(out) != want {
		t.Errorf("PyIceberg finds\n%s(%v), want\n%s", out, err, want)
	}
}

func TestAFolderThatIsNoneIsSaid(t *testing.T) {
	l := newLab(t)
	l.run(10)
	l.dir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(l.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	snap, err := l.arch.Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	_, err = iceberg.Register(t.Context(), iceberg.Options{Dir: l.dir, Snapshot: snap, Path: l.store.Path, Now: noon})
	if e := recount.AsError(err); err == nil || e.Code != recount.CodeRegister {
		t.Errorf("got %v", err)
	}
}
