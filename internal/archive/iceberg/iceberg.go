// Package iceberg makes the files of an archive tables of an Iceberg catalog,
// without copying them: for readers that know tables and no folders. The catalog
// is no part of the archive's truth. It can be deleted and made again; the archive
// never reads it. What a table lists is what a snapshot of the archive has, no
// more and no less.
package iceberg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	ice "github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"recount"
)

// The names under which other programs find the tables.
const (
	// CatalogName is the catalog's, Namespace that of the tables.
	CatalogName = "recount"
	Namespace   = "recount"
	// CatalogFile is the SQLite file in the catalog's folder.
	CatalogFile = "catalog.db"
)

// MarksTable is the table of a stream's marks.
func MarksTable(stream string) string { return stream + "_marks" }

// Options say what is registered where.
type Options struct {
	// Dir is the catalog's folder, absolute; it is made where it is missing.
	Dir      string
	Snapshot recount.Snapshot
	// Path returns the file of an object on this machine.
	Path func(name string) (string, error)
}

// Registered is what became of a stream's tables.
type Registered struct {
	Stream   string
	Snapshot string
	Tables   []Table // of the events, then of the marks if there are any
	// Passed counts files that were adopted and are no Parquet of the archive.
	Passed int
}

// Table is one table after its registration.
type Table struct {
	Name    string
	Files   int
	Rows    int64
	Added   int  // files
	Dropped int  // files: replaced or expired
	Anew    bool // it was made now: new, or since its columns are others
}

// Register brings a stream's tables up to a snapshot. A call that ends early leaves
// each table as it was or as it shall be, and the next call goes on.
func Register(ctx context.Context, opts Options) (done Registered, err error) {
	done = Registered{Stream: opts.Snapshot.Stream, Snapshot: opts.Snapshot.ID}
	if err := os.MkdirAll(opts.Dir, 0o777); err != nil { //nolint:gosec // as open as the person's umask lets it be
		return done, failed(opts.Dir, err)
	}
	place := filepath.Join(opts.Dir, CatalogFile)
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: place}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return done, failed(place, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cat, err := sqlcatalog.NewCatalog(CatalogName, db, sqlcatalog.SQLite, ice.Properties{"warehouse": location(opts.Dir)})
	if err != nil {
		return done, failed(place, err)
	}
	if err := cat.CreateNamespace(ctx, table.Identifier{Namespace}, nil); err != nil && !errors.Is(err, catalog.ErrNamespaceAlreadyExists) {
		return done, failed(place, err)
	}
	wanted, err := tablesOf(opts, &done)
	if err != nil {
		return done, err
	}
	for _, w := range wanted {
		t, err := w.register(ctx, cat, opts.Snapshot.ID)
		if err != nil {
			return done, failed(place+", table "+Namespace+"."+w.name, err)
		}
		done.Tables = append(done.Tables, t)
	}
	return done, nil
}

func failed(place string, err error) error {
	return &recount.Error{
		Code: recount.CodeRegister, What: "the archive cannot be registered as an Iceberg table", Where: place, Why: err.Error(), Err: err,
		Next: "mend what is said there and run the command again; the catalog may also be deleted and made anew",
	}
}

// location is a path as Iceberg names it.
func location(path string) string { return "file://" + filepath.ToSlash(path) }

// wanted is a table as it shall be.
type wanted struct {
	name   string
	schema *ice.Schema
	rows   map[string]int64 // by the location of the file
}

func tablesOf(opts Options, done *Registered) ([]wanted, error) {
	s := opts.Snapshot
	schema, err := eventSchema(s)
	if err != nil {
		return nil, err
	}
	events := wanted{name: s.Stream, schema: schema, rows: map[string]int64{}}
	for _, f := range s.Files {
		if f.Origin != "" {
			done.Passed++
			continue
		}
		path, err := opts.Path(f.Name)
		if err != nil {
			return nil, err
		}
		events.rows[location(path)] = f.Rows
	}
	marks := wanted{name: MarksTable(s.Stream), schema: marksSchema(), rows: map[string]int64{}}
	for _, m := range s.Marks {
		path, err := opts.Path(m.Name)
		if err != nil {
			return nil, err
		}
		marks.rows[location(path)] = m.Rows
	}
	if len(marks.rows) == 0 {
		return []wanted{events}, nil
	}
	return []wanted{events, marks}, nil
}

// snapshotKey is the property of an Iceberg snapshot that names the archive's.
const snapshotKey = "recount.snapshot"

func (w wanted) register(ctx context.Context, cat *sqlcatalog.Catalog, snapshot string) (Table, error) {
	out := Table{Name: Namespace + "." + w.name, Files: len(w.rows)}
	for _, n := range w.rows {
		out.Rows += n
	}
	t, anew, err := w.open(ctx, cat)
	if err != nil {
		return out, err
	}
	out.Anew = anew
	have, err := files(ctx, t)
	if err != nil {
		return out, err
	}
	var add, drop []string
	for f := range w.rows {
		if !have[f] {
			add = append(add, f)
		}
	}
	for f := range have {
		if _, still := w.rows[f]; !still {
			drop = append(drop, f)
		}
	}
	slices.Sort(add)
	slices.Sort(drop)
	out.Added, out.Dropped = len(add), len(drop)
	if len(add)+len(drop) == 0 {
		return out, nil
	}
	tx := t.NewTransaction()
	props := ice.Properties{snapshotKey: snapshot}
	if len(drop) == 0 {
		err = tx.AddFiles(ctx, add, props, true) // what is there was left out above
	} else {
		err = tx.ReplaceDataFiles(ctx, drop, add, props)
	}
	if err != nil {
		return out, err
	}
	_, err = tx.Commit(ctx)
	return out, err
}

// open returns the table. One whose columns are others than they shall be is made
// anew: the files are the archive's, so that nothing is lost with it.
func (w wanted) open(ctx context.Context, cat *sqlcatalog.Catalog) (t *table.Table, anew bool, err error) {
	id := table.Identifier{Namespace, w.name}
	t, err = cat.LoadTable(ctx, id)
	switch {
	case errors.Is(err, catalog.ErrNoSuchTable):
	case err != nil:
		return nil, false, err
	case t.Schema().Equals(w.schema):
		return t, false, nil
	default:
		if err := cat.DropTable(ctx, id); err != nil {
			return nil, false, fmt.Errorf("drop it, whose columns changed: %w", err)
		}
	}
	t, err = cat.CreateTable(ctx, id, w.schema, catalog.WithProperties(ice.Properties{"format-version": "2"}))
	return t, true, err
}

// files lists the files of a table's current snapshot.
func files(ctx context.Context, t *table.Table) (map[string]bool, error) {
	found := map[string]bool{}
	if t.CurrentSnapshot() == nil {
		return found, nil
	}
	tasks, err := t.Scan().PlanFiles(ctx)
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		found[task.File.FilePath()] = true
	}
	return found, nil
}
