package postgres

import (
	"context"
	"fmt"
	"io"
	"strings"

	"recount"
	"recount/target/internal/sqltable"
)

// copyIn copies n rows into a table, in the text format: the server parses each
// value as its column's type, whatever type that is. A nil text is NULL.
func (x *tx) copyIn(ctx context.Context, into string, n int, row func(i int) ([]*string, error)) error {
	if n == 0 {
		return nil
	}
	reader := &copyReader{rows: n, row: row}
	_, err := x.conn.PgConn().CopyFrom(ctx, reader, "COPY "+into+" FROM STDIN")
	if reader.err != nil {
		return reader.err
	}
	return x.explain("write", err)
}

// copyReader writes rows in COPY's text format, as they are asked for.
type copyReader struct {
	rows, next int
	row        func(i int) ([]*string, error)
	buffer     []byte
	err        error
}

var escape = strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r", "\t", "\\t")

func (r *copyReader) Read(into []byte) (int, error) {
	for len(r.buffer) < len(into) && r.next < r.rows {
		values, err := r.row(r.next)
		if err != nil {
			r.err = err
			return 0, err
		}
		for i, v := range values {
			if i > 0 {
				r.buffer = append(r.buffer, '\t')
			}
			if v == nil {
				r.buffer = append(r.buffer, '\\', 'N')
				continue
			}
			r.buffer = append(r.buffer, escape.Replace(*v)...)
		}
		r.buffer = append(r.buffer, '\n')
		r.next++
	}
	if len(r.buffer) == 0 {
		return 0, io.EOF
	}
	n := copy(into, r.buffer)
	r.buffer = r.buffer[:copy(r.buffer, r.buffer[n:])]
	return n, nil
}

// stage is a temporary table of changes: seq, grp, and one column for each of
// columns, of the same type. It ends with the transaction.
type stage struct{ name string }

// staged is one column of a stage.
type staged struct {
	alias string
	of    column
}

func aliased(prefix string, columns []column) []staged {
	out := make([]staged, len(columns))
	for i, c := range columns {
		out[i] = staged{fmt.Sprintf("%s%d", prefix, i), c}
	}
	return out
}

// makeStage copies n rows into a new stage; group gives a row's grp.
func (x *tx) makeStage(ctx context.Context, columns []staged, n int, group func(i int) int, values func(i int) []recount.Value) (stage, error) {
	*x.stages++
	s := stage{fmt.Sprintf("pg_temp.recount_stage_%d", *x.stages)}
	selected := make([]string, len(columns))
	for i, c := range columns {
		selected[i] = fmt.Sprintf(", t.%s AS %s", sqltable.Quote(c.of.Name), c.alias)
	}
	// The columns take type, parameters and collation from the table's own.
	_, err := x.tx.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT 0::int8 AS seq, 0::int4 AS grp%s FROM %s AS t WITH NO DATA",
		strings.TrimPrefix(s.name, "pg_temp."), strings.Join(selected, ""), x.d.quoted))
	if err != nil {
		return s, x.explain("stage changes of", err)
	}
	err = x.copyIn(ctx, s.name, n, func(i int) ([]*string, error) {
		seq, grp := fmt.Sprint(i), fmt.Sprint(group(i))
		row := append(make([]*string, 0, len(columns)+2), &seq, &grp)
		for _, v := range values(i) {
			if v.Null {
				row = append(row, nil)
				continue
			}
			row = append(row, &v.Text)
		}
		return row, nil
	})
	if err != nil {
		return s, err
	}
	_, err = x.tx.Exec(ctx, "ANALYZE "+s.name)
	return s, x.explain("stage changes of", err)
}

// join is the condition that row t has the key of row s of a stage.
func join(key []column) string {
	parts := make([]string, len(key))
	for i, c := range key {
		parts[i] = c.sameKey(fmt.Sprintf("s.k%d", i))
	}
	return strings.Join(parts, " AND ")
}

// guard is the condition that row t holds the before-image of row s.
func guard(columns []column) string {
	var b strings.Builder
	for i, c := range columns {
		b.WriteString(" AND " + c.holds(fmt.Sprintf("s.b%d", i)))
	}
	return b.String()
}
