package views

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"recount"
)

// WriteSQL writes the plan's changes as statements of the target's database, for
// people to read and for tools to compare. Each changes its row only if it still
// reads as planned; a row that is not written has none. A target that is a file
// has no SQL.
func WriteSQL(w io.Writer, plan *recount.Plan, file string) error {
	b := &plan.Body
	if b.Target.Adapter == "files" {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: "this plan cannot be written as SQL", Where: file,
			Why: "its target " + b.Target.Table + " is a file, no table of a database", Next: "recount show " + ShellWord(file) + " --csv", Err: recount.ErrUnsupported,
		}
	}
	if len(plan.With) > 0 || b.Write == recount.WriteDelta || len(b.Filled) > 0 {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: "this plan cannot be written as SQL", Where: file,
			Why:  "it writes several tables, adds differences or fills columns, which single statements do not tell whole",
			Next: "recount apply " + ShellWord(file), Err: recount.ErrUnsupported,
		}
	}
	out := bufio.NewWriter(w)
	s := statements{table: tableSQL(b.Target), key: b.Key, columns: b.Columns}
	// What cannot be written shows at Flush.
	_, _ = fmt.Fprintf(out, "-- Plan %s: %d updates, %d inserts, %d deletes.\n", plan.ID, b.Rows.Update, b.Rows.Insert, b.Rows.Delete)
	_, _ = out.WriteString("-- recount apply checks more, records the run and can take it back. Here a row that moved is passed over in silence.\nBEGIN;\n")
	for _, action := range []recount.Action{recount.ActionDelete, recount.ActionUpdate, recount.ActionInsert} {
		for _, c := range plan.Changes {
			if c.Action == action {
				_, _ = out.WriteString(s.of(c) + ";\n")
			}
		}
	}
	_, _ = out.WriteString("COMMIT;\n")
	return out.Flush()
}

// statements spells the changes of one table.
type statements struct {
	table        string
	key, columns []recount.PlanColumn
}

func (s statements) of(c recount.Change) string {
	where := " WHERE " + strings.Join(append(conditions(s.key, c.Key), conditions(s.columns, c.Before)...), " AND ")
	switch {
	case c.Before == nil:
		names, values := make([]string, 0, len(s.key)+len(s.columns)), make([]string, 0, len(s.key)+len(s.columns))
		for i, column := range s.key {
			names, values = append(names, quotedName(column.Name)), append(values, literal(column, c.Key[i]))
		}
		for i, column := range s.columns {
			names, values = append(names, quotedName(column.Name)), append(values, literal(column, c.After[i]))
		}
		return "INSERT INTO " + s.table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
	case c.After == nil:
		return "DELETE FROM " + s.table + where
	}
	var set []string
	for i, column := range s.columns {
		if c.Before[i] != c.After[i] {
			set = append(set, quotedName(column.Name)+" = "+literal(column, c.After[i]))
		}
	}
	return "UPDATE " + s.table + " SET " + strings.Join(set, ", ") + where
}

func conditions(columns []recount.PlanColumn, values []recount.Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = quotedName(columns[i].Name) + " = " + literal(columns[i], v)
		if v.Null {
			out[i] = quotedName(columns[i].Name) + " IS NULL"
		}
	}
	return out
}

// literal is what the column's type reads, in SQLite as in PostgreSQL: a text but
// for bool, of which SQLite would keep the text.
func literal(column recount.PlanColumn, v recount.Value) string {
	switch {
	case v.Null:
		return "NULL"
	case column.Type == string(recount.KindBool):
		return strings.ToUpper(v.Text)
	}
	return "'" + strings.ReplaceAll(v.Text, "'", "''") + "'"
}

func quotedName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// tableSQL is the table's name; in PostgreSQL it may begin with its schema's.
func tableSQL(target recount.Identity) string {
	if schema, table, ok := strings.Cut(target.Table, "."); ok && target.Adapter == "postgres" {
		return quotedName(schema) + "." + quotedName(table)
	}
	return quotedName(target.Table)
}
