package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // init looks into SQLite files before there is a target

	"recount"
	"recount/internal/guess"
)

// looked is one file, or one folder of files, that may hold events.
type looked struct {
	table   guess.Table
	columns []guess.Column
	env     guess.Envelope
	paths   []string
}

// look samples the files and tells events from results: events have a time and
// more rows.
func (i *initializing) look(ctx context.Context) error {
	names := i.req.Files
	if len(names) == 0 {
		names = i.inFolder()
	}
	var found []looked
	for _, name := range names {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(i.req.App.Dir, name)
		}
		if isSQLite(path) {
			table, err := i.lookSQLite(ctx, path)
			if err != nil {
				return err
			}
			i.sqlite, i.results, i.live = filepath.ToSlash(name), table, guess.Columns(table)
			continue
		}
		one, err := lookAt(ctx, path, filepath.ToSlash(name))
		if err != nil {
			return cannotLook(name, err)
		}
		found = append(found, one)
	}
	slices.SortStableFunc(found, func(a, b looked) int { return len(b.table.Rows) - len(a.table.Rows) })
	for _, one := range found {
		switch {
		case i.events.Path == "" && one.env.Timed:
			i.events, i.paths = one.table, one.paths
		case i.events.Path != "" && one.env.Timed && i.events.Same(one.table):
			i.events.Join(one.table)
			i.paths = append(i.paths, one.paths...)
		case i.results.Path == "" && i.sqlite == "" && one.table.Format == guess.CSV:
			i.results, i.live = one.table, one.columns
		}
	}
	if i.events.Path == "" {
		return &recount.Error{
			Code: recount.CodeNoFiles, What: "no file of events was found", Where: strings.Join(names, ", "),
			Why:  "events lie in CSV, JSON or Parquet files and have a column of times",
			Next: "name one: recount init EVENTS RESULTS; for other sources write recount.yaml by hand, as docs/reference/config.md shows",
		}
	}
	slices.Sort(i.paths)
	i.columns = guess.Columns(i.events)
	i.envelope = guess.EnvelopeOf(i.events, i.columns)
	return nil
}

// lookAt samples a file, or the first files of a folder.
func lookAt(ctx context.Context, path, shown string) (one looked, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return one, err
	}
	files := []string{path}
	one.paths = []string{shown}
	if info.IsDir() {
		if files, one.paths, err = below(path, strings.TrimSuffix(shown, "/")); err != nil {
			return one, err
		}
	}
	const first = 20 // files of a folder say what the others are like
	for n, file := range files[:min(len(files), first)] {
		table, err := guess.Sample(ctx, file, shown)
		if err != nil {
			return one, err
		}
		if n == 0 {
			one.table = table
		} else if one.table.Same(table) {
			one.table.Join(table)
		}
	}
	one.table.Cut = one.table.Cut || len(files) > first
	one.columns = guess.Columns(one.table)
	one.env = guess.EnvelopeOf(one.table, one.columns)
	return one, nil
}

// below lists the files of a folder, and patterns that match them: one for each
// depth.
func below(dir, shown string) (files, patterns []string, err error) {
	const most = 100_000
	endings := map[string]map[string]bool{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			return err
		}
		if files = append(files, path); len(files) > most {
			return fmt.Errorf("it holds more than %d files", most)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		pattern := shown + strings.Repeat("/*", strings.Count(filepath.ToSlash(rel), "/")+1)
		if endings[pattern] == nil {
			endings[pattern] = map[string]bool{}
		}
		endings[pattern][ending(d.Name())] = true
		return nil
	})
	if err == nil && len(files) == 0 {
		err = errors.New("the folder holds no file")
	}
	for _, pattern := range sortedNames(endings) {
		if endings[pattern][""] { // a pattern without an ending matches the others too
			patterns = append(patterns, pattern)
			continue
		}
		for _, end := range sortedNames(endings[pattern]) {
			patterns = append(patterns, pattern+end)
		}
	}
	return files, patterns, err
}

// ending is what a file's name ends in, with that of its packing.
func ending(name string) string {
	packing := ""
	for _, p := range []string{".gz", ".zst"} {
		if rest, ok := strings.CutSuffix(strings.ToLower(name), p); ok {
			name, packing = rest, p
		}
	}
	if e := strings.ToLower(filepath.Ext(name)); slices.Contains([]string{".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".pq"}, e) {
		return e + packing
	}
	return packing
}

func isSQLite(path string) bool {
	if slices.Contains([]string{".db", ".sqlite", ".sqlite3"}, strings.ToLower(filepath.Ext(path))) {
		return true
	}
	f, err := os.Open(path) //nolint:gosec // the person names the file
	if err != nil {
		return false // looking into it says why
	}
	start := make([]byte, 16)
	_, err = f.Read(start)
	return errors.Join(err, f.Close()) == nil && string(start) == "SQLite format 3\x00"
}

func cannotLook(name string, err error) error {
	next := "name files or folders of events (CSV, JSON, Parquet, also packed with gzip or zstd) and of results (CSV, SQLite)"
	if errors.Is(err, os.ErrNotExist) {
		return &recount.Error{
			Code: recount.CodeNoFiles, What: "there is no file " + name, Where: name, Why: err.Error(), Err: err,
			Next: next + "; relative paths begin at the project folder",
		}
	}
	return &recount.Error{Code: recount.CodeSourceFile, What: "a file cannot be looked at", Where: name, Why: err.Error(), Err: err, Next: next}
}

// inFolder lists the files of the folder that could be meant.
func (i *initializing) inFolder() []string {
	var files []string
	for _, pattern := range []string{
		"*.csv", "*.json", "*.jsonl", "*.ndjson", "*.parquet", "*.csv.gz", "*.json.gz", "*.jsonl.gz", "*.csv.zst", "*.jsonl.zst", "*.db", "*.sqlite", "*.sqlite3",
	} {
		found, err := filepath.Glob(filepath.Join(i.req.App.Dir, pattern))
		if err != nil {
			continue // the patterns are ours and sound
		}
		for _, path := range found {
			files = append(files, filepath.Base(path))
		}
	}
	return files
}

// lookSQLite samples the table that looks most like results: not one of our own.
func (i *initializing) lookSQLite(ctx context.Context, path string) (t guess.Table, err error) {
	if _, err := os.Stat(path); err != nil {
		return t, cannotLook(path, err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?mode=ro")
	if err != nil {
		return t, cannotLook(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables []string
	if err := eachRow(ctx, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'recount_%' ORDER BY name`,
		func(texts []string) { tables = append(tables, texts[0]) }, nil); err != nil {
		return t, cannotLook(path, err)
	}
	switch len(tables) {
	case 0:
		return t, cannotLook(path, errors.New("it has no table"))
	case 1:
		i.table = tables[0]
	default:
		if i.table, err = i.ask(Question{Key: "table", Text: "Which table holds the results?", Default: tables[0], Choices: tables}); err != nil {
			return t, err
		}
	}
	t = guess.Table{Path: path, Format: "sqlite", Types: map[string]recount.Type{}}
	quoted := `"` + strings.ReplaceAll(i.table, `"`, `""`) + `"`
	err = eachRow(ctx, db, `SELECT name, lower(type), pk FROM pragma_table_info(`+quoted+`) ORDER BY pk`, func(texts []string) {
		if typ, err := recount.ParseType(strings.Replace(texts[1], "numeric", "decimal", 1)); err == nil && typ.Kind == recount.KindDecimal {
			t.Types[texts[0]] = typ
		}
		if texts[2] != "0" {
			t.Unique = append(t.Unique, texts[0])
		}
	}, nil)
	if err != nil {
		return t, cannotLook(path, err)
	}
	err = eachRow(ctx, db, `SELECT * FROM `+quoted+` LIMIT 50000`,
		func(texts []string) { t.Rows = append(t.Rows, texts) }, func(columns []string) { t.Columns = columns })
	if err != nil {
		return t, cannotLook(path, err)
	}
	return t, nil
}

func eachRow(ctx context.Context, db *sql.DB, query string, each, head func([]string)) (err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	if head != nil {
		head(columns)
	}
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for n := range values {
			into[n] = &values[n]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		texts := make([]string, len(columns))
		for n, v := range values {
			texts[n] = v.String
		}
		each(texts)
	}
	return rows.Err()
}
