package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"recount"
)

// database is one DuckDB in memory, locked: nothing that runs in it can change a
// setting or reach a file that is not named when it is opened.
type database struct {
	pool *sql.DB
	conn *sql.Conn
	// functions says that the functions of ours were added.
	functions bool
}

// settings are what a database is opened with.
type settings struct {
	memoryMiB int
	threads   int
	// files are what it may read, scratch where it may write; none: neither.
	files   []string
	scratch string
	// tries says that TRY is used: an expression that stands twice is not
	// computed once, ahead of it, where its error would end the query.
	tries bool
}

// newDatabase opens a database that is not locked yet. Nothing of a user's may
// run in it.
func newDatabase(ctx context.Context) (*database, error) {
	connector, err := duckdb.NewConnector("?threads=1", nil)
	if err != nil {
		return nil, fmt.Errorf("open DuckDB: %w", err)
	}
	d := &database{pool: sql.OpenDB(connector)}
	d.pool.SetMaxOpenConns(1)
	if d.conn, err = d.pool.Conn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open DuckDB: %w", err), d.pool.Close())
	}
	return d, nil
}

// lock sets the database up and locks it; one that cannot be locked is closed.
func (d *database) lock(ctx context.Context, s settings) error {
	if err := d.exec(ctx, s.sql()); err != nil {
		return errors.Join(fmt.Errorf("set DuckDB up: %w", err), d.close())
	}
	return nil
}

// spares are databases opened ahead of their use, since opening one takes longer
// than most queries of a plan. One goroutine uses them.
type spares struct {
	ready  chan opened
	coming int // opened or being opened, and not taken
}

type opened struct {
	db  *database
	err error
}

// mostSpares is what a plan needs: one for its first run, one for its second.
const mostSpares = 2

// prepare opens spares in the background until there are n.
func (s *spares) prepare(ctx context.Context, n int) {
	if s.ready == nil {
		s.ready = make(chan opened, mostSpares)
	}
	for ; s.coming < min(n, mostSpares); s.coming++ {
		go func() {
			db, err := newDatabase(ctx)
			s.ready <- opened{db, err}
		}()
	}
}

// take returns a spare, waiting for one that is being opened, or opens another.
func (s *spares) take(ctx context.Context) (*database, error) {
	if s.coming == 0 {
		return newDatabase(ctx)
	}
	s.coming--
	o := <-s.ready
	return o.db, o.err
}

// close closes what was not taken.
func (s *spares) close() error {
	var err error
	for ; s.coming > 0; s.coming-- {
		if o := <-s.ready; o.db != nil {
			err = errors.Join(err, o.db.close())
		}
	}
	return err
}

func (s settings) sql() string {
	var b strings.Builder
	for _, set := range []string{
		"TimeZone = 'UTC'", "errors_as_json = true", "preserve_insertion_order = false", "enable_progress_bar = false",
		"explain_output = 'all'",
		// Two databases share the memory of one: none keeps what it has read.
		"enable_external_file_cache = false", "allow_persistent_secrets = false",
		fmt.Sprintf("threads = %d", s.threads),
		"autoinstall_known_extensions = false", "autoload_known_extensions = false", "allow_community_extensions = false",
		fmt.Sprintf("memory_limit = '%dMiB'", s.memoryMiB),
	} {
		b.WriteString("SET " + set + ";")
	}
	if s.tries {
		b.WriteString("SET disabled_optimizers = 'common_subexpressions';")
	}
	if s.scratch == "" {
		b.WriteString("SET temp_directory = '';")
	} else {
		b.WriteString("SET temp_directory = " + literal(filepath.Join(s.scratch, "spill")) + ";")
		b.WriteString("SET allowed_directories = [" + literal(s.scratch) + "];")
	}
	if len(s.files) > 0 {
		var paths []string
		for _, f := range s.files {
			paths = append(paths, literal(f))
			// DuckDB asks for the pattern first, then for the file that it names.
			if p := pathLiteral(f); p != literal(f) {
				paths = append(paths, p)
			}
		}
		b.WriteString("SET allowed_paths = [" + strings.Join(paths, ",") + "];")
	}
	b.WriteString("SET enable_external_access = false;SET lock_configuration = true;")
	return b.String()
}

func (d *database) exec(ctx context.Context, query string) error {
	_, err := d.conn.ExecContext(ctx, query)
	return err
}

// row reads the one row of a query.
func (d *database) row(ctx context.Context, query string, into ...any) error {
	return d.conn.QueryRowContext(ctx, query).Scan(into...)
}

func (d *database) close() error {
	return errors.Join(d.conn.Close(), d.pool.Close())
}

// addFunctions adds the functions of ours. Only SQL that this package writes
// names them: the check does not know them.
func (d *database) addFunctions() error {
	if d.functions {
		return nil
	}
	varchar, err := duckdb.NewTypeInfo(duckdb.TYPE_VARCHAR)
	if err != nil {
		return fmt.Errorf("add functions: %w", err)
	}
	double, err := duckdb.NewTypeInfo(duckdb.TYPE_DOUBLE)
	if err != nil {
		return fmt.Errorf("add functions: %w", err)
	}
	for kind, in := range map[recount.Kind]duckdb.TypeInfo{recount.KindDouble: double, recount.KindJSON: varchar} {
		f := canonicalFunc{kind: kind, config: duckdb.ScalarFuncConfig{InputTypeInfos: []duckdb.TypeInfo{in}, ResultTypeInfo: varchar}}
		if err := duckdb.RegisterScalarUDF(d.conn, canonicalName(kind), f); err != nil {
			return fmt.Errorf("add functions: %w", err)
		}
	}
	if err := d.addExact(); err != nil {
		return fmt.Errorf("add functions: %w", err)
	}
	d.functions = true
	return nil
}
