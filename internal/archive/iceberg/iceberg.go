// Package iceberg makes the files of an archive tables of an Iceberg catalog,
// without copying them: for readers that know tables and no folders. The catalog
// is no part of the archive's truth. It can be deleted and made again; the archive
// never reads it. What a table lists is what a snapshot of the archive has, no
// more and no less.
//
// Manifests are written by iceberg-go's root package. Metadata and catalog are
// written here: its package for tables takes longer to start than the rest of the
// program (docs/adr/0014-iceberg-metadata.md).
package iceberg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	ice "github.com/apache/iceberg-go"
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
	// Path returns the file of an object on this machine, absolute.
	Path func(name string) (string, error)
	Now  time.Time
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
	Anew    bool // it was not there
}

// Register brings a stream's tables up to a snapshot, all of them or none. One call
// at a time writes a catalog; another waits for some seconds.
func Register(ctx context.Context, opts Options) (done Registered, err error) {
	done = Registered{Stream: opts.Snapshot.Stream, Snapshot: opts.Snapshot.ID}
	place := filepath.Join(opts.Dir, CatalogFile)
	wanted, err := tablesOf(opts, &done)
	if err != nil {
		return done, err
	}
	if err := os.MkdirAll(opts.Dir, 0o777); err != nil { //nolint:gosec // as open as the person's umask lets it be
		return done, failed(opts.Dir, err)
	}
	c, err := openCatalog(ctx, place)
	if err != nil {
		return done, failed(place, err)
	}
	defer func() { err = errors.Join(err, c.close(ctx)) }()
	for _, w := range wanted {
		t, err := w.register(ctx, c, opts)
		if err != nil {
			if e, ok := errors.AsType[*recount.Error](err); ok {
				return done, e
			}
			return done, failed(place+", table "+Namespace+"."+w.name, err)
		}
		done.Tables = append(done.Tables, t)
	}
	if err := c.commit(ctx); err != nil {
		done.Tables = nil
		return done, failed(place, err)
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
	name    string
	columns []column
	files   map[string]dataFile // by their location
}

// dataFile is what a manifest says of a file.
type dataFile struct {
	rows, bytes int64
	// low and high are bounds of columns, by name, as they stand in a manifest.
	low, high map[string]int64
}

func tablesOf(opts Options, done *Registered) ([]wanted, error) {
	s := opts.Snapshot
	columns, err := eventColumns(s)
	if err != nil {
		return nil, err
	}
	events := wanted{name: s.Stream, columns: columns, files: map[string]dataFile{}}
	for _, f := range s.Files {
		if f.Origin != "" {
			done.Passed++
			continue
		}
		path, err := opts.Path(f.Name)
		if err != nil {
			return nil, err
		}
		d := dataFile{rows: f.Rows, bytes: f.Bytes, low: map[string]int64{"seq": f.FirstSeq}, high: map[string]int64{"seq": f.LastSeq}}
		if f.TimeKnown {
			d.low["time"], d.high["time"] = f.FirstTime.UnixMicro(), f.LastTime.UnixMicro()
		}
		events.files[location(path)] = d
	}
	marks := wanted{name: MarksTable(s.Stream), columns: markColumns(), files: map[string]dataFile{}}
	for _, m := range s.Marks {
		path, err := opts.Path(m.Name)
		if err != nil {
			return nil, err
		}
		marks.files[location(path)] = dataFile{rows: m.Rows, bytes: m.Bytes}
	}
	if len(marks.files) == 0 {
		return []wanted{events}, nil
	}
	return []wanted{events, marks}, nil
}

// catalog is the SQLite file, under its write lock.
type catalog struct {
	db   *sql.DB
	conn *sql.Conn
	open bool // the transaction
}

// The tables of a catalog, as all programs that know SQL catalogs have them.
const catalogTables = `
CREATE TABLE IF NOT EXISTS iceberg_tables (
	catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL,
	metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5),
	PRIMARY KEY (catalog_name, table_namespace, table_name));
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
	catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000),
	PRIMARY KEY (catalog_name, namespace, property_key))`

func openCatalog(ctx context.Context, place string) (c *catalog, err error) {
	c = &catalog{}
	if c.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: place}).EscapedPath()+"?_pragma=busy_timeout(10000)"); err != nil {
		return nil, err
	}
	if c.conn, err = c.db.Conn(ctx); err == nil {
		_, err = c.conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	}
	if err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	c.open = true
	if _, err = c.conn.ExecContext(ctx, catalogTables); err == nil {
		_, err = c.conn.ExecContext(ctx, "INSERT OR IGNORE INTO iceberg_namespace_properties VALUES (?, ?, 'exists', 'true')", CatalogName, Namespace)
	}
	if err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	return c, nil
}

// metadata is where a table's metadata lie; empty: there is no such table.
func (c *catalog) metadata(ctx context.Context, name string) (at string, err error) {
	err = c.conn.QueryRowContext(ctx, "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
		CatalogName, Namespace, name).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return at, err
}

func (c *catalog) set(ctx context.Context, name, at, previous string) error {
	_, err := c.conn.ExecContext(ctx, `INSERT INTO iceberg_tables VALUES (?, ?, ?, ?, NULLIF(?, ''), 'TABLE')
		ON CONFLICT DO UPDATE SET metadata_location = excluded.metadata_location, previous_metadata_location = excluded.previous_metadata_location`,
		CatalogName, Namespace, name, at, previous)
	return err
}

func (c *catalog) commit(ctx context.Context) error {
	_, err := c.conn.ExecContext(ctx, "COMMIT")
	c.open = err != nil
	return err
}

// close takes back what was not committed, also where ctx has ended.
func (c *catalog) close(ctx context.Context) error {
	var errs []error
	if c.open {
		_, err := c.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		errs = append(errs, err)
	}
	if c.conn != nil {
		errs = append(errs, c.conn.Close())
	}
	return errors.Join(append(errs, c.db.Close())...)
}

// entry is a manifest's line for a file.
func (d dataFile) entry(path string, columns map[string]int) (ice.DataFile, error) {
	b, err := ice.NewDataFileBuilder(*ice.UnpartitionedSpec, ice.EntryContentData, path, ice.ParquetFile, nil, nil, nil, d.rows, d.bytes)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", path, err)
	}
	if len(d.low) > 0 {
		b.LowerBoundValues(bounds(d.low, columns)).UpperBoundValues(bounds(d.high, columns))
	}
	return b.Build(), nil
}
