package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // init looks into SQLite files before there is a target

	"recount"
	"recount/internal/config"
	"recount/internal/guess"
)

// InitRequest asks for a first configuration.
type InitRequest struct {
	App   Options
	Files []string // empty: those that lie in the folder
	// Ask asks the person one question and returns the answer; nil takes every
	// default.
	Ask func(Question) (string, error)
}

// initializing is what init knows so far.
type initializing struct {
	req     InitRequest
	asked   int
	events  guess.Table
	columns []guess.Column // of the events
	results guess.Table
	live    []guess.Column // of the results
	sqlite  string         // the results' database; empty: a CSV file

	id, zone, sum, table string
	time                 guess.Column
	key                  []string
	text, sql            string
}

// Init guesses from files what the configuration needs, asks where a guess may
// be wrong, writes recount.yaml and ends with doctor.
func Init(ctx context.Context, req InitRequest) (out Initialized, err error) {
	target := filepath.Join(req.App.Dir, config.FileName)
	if _, err := os.Stat(target); err == nil {
		return out, &recount.Error{
			Code: recount.CodeUsage, What: "there is a " + config.FileName + " already", Where: target, Why: "init writes a first one and overwrites nothing",
			Next: "edit it, or move it away and run init again; recount doctor checks it",
		}
	}
	i := &initializing{req: req}
	if err := i.look(ctx); err != nil {
		return out, err
	}
	if err := i.questions(); err != nil {
		return out, err
	}
	i.write()
	out = Initialized{File: config.FileName, Text: i.text, Asked: i.asked, Sample: i.sample()}
	for name, text := range map[string]string{config.FileName: i.text, i.sqlFile(): i.sql} {
		if text == "" {
			continue
		}
		if err := writeNew(filepath.Join(req.App.Dir, name), text); err != nil {
			return out, err
		}
	}
	a, err := Open(ctx, req.App)
	if err != nil {
		return out, err
	}
	defer joined(&err, a.Close)
	found, err := a.Doctor(ctx, nil)
	out.Diagnosis = &found
	return out, err
}

func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // meant to be read by the team
	if err != nil {
		return storage("write the file", name, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return storage("write the file", name, err)
	}
	return nil
}

// look samples the files and tells events from results: events have a time and
// more rows.
func (i *initializing) look(ctx context.Context) error {
	files := i.req.Files
	if len(files) == 0 {
		files = i.inFolder()
	}
	var tables []guess.Table
	for _, name := range files {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(i.req.App.Dir, name)
		}
		if isSQLite(name) {
			table, err := i.lookSQLite(ctx, path)
			if err != nil {
				return err
			}
			i.sqlite, i.results, i.live = name, table, guess.Columns(table)
			continue
		}
		table, err := guess.Sample(path, name)
		if err != nil {
			return cannotLook(name, err)
		}
		tables = append(tables, table)
	}
	slices.SortStableFunc(tables, func(a, b guess.Table) int { return len(b.Rows) - len(a.Rows) })
	for _, table := range tables {
		columns := guess.Columns(table)
		_, timed := guess.Time(columns)
		switch {
		case i.events.Path == "" && timed:
			i.events, i.columns = table, columns
		case i.results.Path == "" && i.sqlite == "" && table.Format == "csv":
			i.results, i.live = table, columns
		}
	}
	if i.events.Path == "" {
		return &recount.Error{
			Code: recount.CodeNoFiles, What: "no file of events was found", Where: strings.Join(files, ", "),
			Why:  "an events file is CSV or JSONL and has a column of times",
			Next: "name it: recount init EVENTS RESULTS; for Parquet and other sources write recount.yaml by hand, as docs/reference/config.md shows",
		}
	}
	return nil
}

func isSQLite(name string) bool {
	return slices.Contains([]string{".db", ".sqlite", ".sqlite3"}, strings.ToLower(filepath.Ext(name)))
}

func cannotLook(name string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return &recount.Error{
			Code: recount.CodeNoFiles, What: "there is no file " + name, Where: name, Why: err.Error(), Err: err,
			Next: "name files of events (CSV, JSONL, .gz or .zst) and of results (CSV, SQLite); relative paths begin at the project folder",
		}
	}
	return &recount.Error{
		Code: recount.CodeSourceFile, What: "a file cannot be looked at", Where: name, Why: err.Error(), Err: err,
		Next: "name files of events (CSV, JSONL, .gz or .zst) and of results (CSV, SQLite)",
	}
}

// inFolder lists the files of the folder that could be meant.
func (i *initializing) inFolder() []string {
	var files []string
	for _, pattern := range []string{"*.csv", "*.jsonl", "*.ndjson", "*.csv.gz", "*.jsonl.gz", "*.csv.zst", "*.jsonl.zst", "*.db", "*.sqlite", "*.sqlite3"} {
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
	if len(tables) == 0 {
		return t, cannotLook(path, errors.New("it has no table"))
	}
	name, err := i.ask(Question{Key: "table", Text: "Which table holds the results?", Default: tables[0], Choices: tables})
	if err != nil {
		return t, err
	}
	i.table = name
	t = guess.Table{Path: path, Format: "sqlite"}
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	err = eachRow(ctx, db, `SELECT * FROM `+quoted+` LIMIT 2000`,
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

// ask asks one question, or takes its default where nobody is to be asked.
func (i *initializing) ask(q Question) (string, error) {
	if i.req.Ask == nil {
		return q.Default, nil
	}
	i.asked++
	answer, err := i.req.Ask(q)
	if err != nil {
		return "", err
	}
	if len(q.Choices) > 0 && !slices.Contains(q.Choices, answer) {
		next := "answer one of: " + strings.Join(q.Choices, ", ")
		if near := recount.Nearest(answer, q.Choices); near != "" {
			next = "did you mean " + near + "?"
		}
		return "", &recount.Error{Code: recount.CodeUsage, What: fmt.Sprintf("%q is no answer", answer), Where: q.Text, Why: "it is none of the choices", Next: next}
	}
	return answer, nil
}

// questions asks what a guess may have got wrong: with the table six at most.
func (i *initializing) questions() (err error) {
	timed, _ := guess.Time(i.columns)
	ask := func(into *string, q Question) {
		if err == nil {
			*into, err = i.ask(q)
		}
	}
	const none = "none"
	var timeName, key string
	id := guess.ID(i.columns)
	if id == "" {
		id = none
	}
	ask(&i.id, Question{Key: "id", Text: "Which column is an event's id? (none: repeats cannot be seen)", Default: id, Choices: append([]string{none}, i.events.Columns...)})
	ask(&timeName, Question{Key: "time", Text: "Which column is an event's time?", Default: timed.Name, Choices: i.events.Columns})
	if err != nil {
		return err
	}
	for _, c := range i.columns {
		if c.Name == timeName {
			i.time = c
		}
	}
	if i.id == none {
		i.id = ""
	}
	if i.time.Naive {
		ask(&i.zone, Question{Key: "timezone", Text: "Its times have no offset. In which zone are they?", Default: "UTC"})
	}
	if i.results.Path == "" {
		return err
	}
	ask(&key, Question{Key: "key", Text: "Which columns name a row of the results? (joined by commas)", Default: strings.Join(guess.Key(i.live, i.columns), ",")})
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(key, ",") {
		i.key = append(i.key, strings.TrimSpace(name))
	}
	var numbers []string
	for _, c := range i.columns {
		if c.Numeric() && !c.Time() {
			numbers = append(numbers, c.Name)
		}
	}
	if len(numbers) > 0 {
		ask(&i.sum, Question{Key: "sum", Text: "Which column of the events is added up?", Default: i.guessSum(numbers), Choices: numbers})
	}
	return err
}

// guessSum prefers the number that the results have too.
func (i *initializing) guessSum(numbers []string) string {
	for _, n := range numbers {
		if slices.Contains(i.results.Columns, n) {
			return n
		}
	}
	return numbers[0]
}

// sample shows three events as they would be read.
func (i *initializing) sample() []string {
	var out []string
	for _, row := range i.events.Rows[:min(3, len(i.events.Rows))] {
		var parts []string
		for n, name := range i.events.Columns {
			parts = append(parts, name+"="+row[n])
		}
		out = append(out, strings.Join(parts, "  "))
	}
	return out
}
