// Package duckdb is the engine of `sql:` calculations: it runs them in embedded
// DuckDB, always in a child process that this program starts from its own file.
// It is no database for anybody else: the child sees the files of its input, a
// scratch folder and nothing more, and what it runs has passed a check of the
// parsed query, which allows what it knows and refuses the rest.
//
// What always holds: SQL that is refused never runs; the child has an empty
// environment, no setting that SQL can change and no file outside its input; it
// dies with its parent; an abort of DuckDB is an error of the run, never an end
// of the program; result rows come in the byte order of their keys, and a key
// that is NULL or stands twice is an error. Rows as of a position, and rows of
// single events, come from one statement over many sets of events
// (docs/adr/0012-rows-after-each-event.md); they are never other rows than runs
// over one set at a time would give.
//
// A program that imports the package must call Child first of all in main, and
// a test binary RunTests in TestMain.
package duckdb
