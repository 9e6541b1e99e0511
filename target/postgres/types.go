package postgres

import (
	"fmt"
	"strings"
	"time"

	"recount"
	"recount/target/internal/sqltable"
)

// column is a column with what SQL on it needs to know.
type column struct {
	recount.Column
	base      string // the base type's name where it is a built-in one, else ""
	plainType string // the type without its parameters, as SQL spells it
	collates  bool   // texts, whose "=" may follow a collation
}

// typeOf maps a built-in type. modifier is its typmod: -1 where it has none.
func typeOf(base string, modifier int) recount.Type {
	const header = 4 // bytes that a typmod counts besides the length
	const micro = 6  // digits of a second that every time has
	switch base {
	case "numeric":
		if modifier < header { // any scale: kept as the text that it is
			return recount.Type{Kind: recount.KindString, Form: recount.FormNumeric}
		}
		precision, scale := (modifier-header)>>16&0xffff, (modifier-header)&0x7ff
		if scale <= precision && precision <= recount.MaxPrecision { // a negative scale reads as a large one
			return recount.Decimal(precision, scale)
		}
	case "int2":
		return recount.Type{Kind: recount.KindInt64, Form: recount.FormInt16}
	case "int4":
		return recount.Type{Kind: recount.KindInt64, Form: recount.FormInt32}
	case "int8":
		return recount.Type{Kind: recount.KindInt64}
	case "float8":
		return recount.Type{Kind: recount.KindDouble}
	case "float4":
		return recount.Type{Kind: recount.KindDouble, Form: recount.FormSingle}
	case "bool":
		return recount.Type{Kind: recount.KindBool}
	case "timestamptz", "timestamp":
		t := recount.Type{Kind: recount.KindTimestamp}
		if modifier >= 0 && modifier < micro { // digits of a second
			t.Step = recount.StepOf(modifier)
		}
		return t
	case "date":
		return recount.Type{Kind: recount.KindDate}
	case "json":
		return recount.Type{Kind: recount.KindJSON}
	case "jsonb":
		return recount.Type{Kind: recount.KindJSON, Form: recount.FormJSONB}
	case "uuid":
		return recount.Type{Kind: recount.KindString, Form: recount.FormUUID}
	case "bytea":
		return recount.Type{Kind: recount.KindString, Form: recount.FormBytes}
	case "varchar", "bpchar":
		if modifier > header {
			return recount.Type{Kind: recount.KindString, MaxLen: modifier - header}
		}
	}
	return recount.Type{Kind: recount.KindString}
}

// canon returns the canonical text of a value from the text that PostgreSQL
// gives it; one without a zone is UTC.
func (c column) canon(text string) recount.Value {
	if c.Type.Kind == recount.KindTimestamp {
		if at, err := recount.ParseLocal(text, time.UTC); err == nil {
			return recount.Text(recount.FormatTimestamp(at))
		}
		return recount.Text(text) // infinity, or a year before 1
	}
	return sqltable.Canon(c.Type, text)
}

// loose says whether several stored values share one canonical text, so that a
// rollback needs more than the text: the blanks of a json, the sign of -0.
func (c column) loose() bool { return c.base == "json" || c.Type.Kind == recount.KindDouble }

// sameKey is the condition that row t has the key in expression e, which is of
// the column's type. Equality finds the row through the index; what it takes for
// equal under a collation is compared again byte by byte.
func (c column) sameKey(e string) string {
	name := "t." + sqltable.Quote(c.Name)
	exact := fmt.Sprintf(`%s::text COLLATE "C" = (%s)::text COLLATE "C"`, name, e)
	switch {
	case c.base == "json" || c.base == "xml":
		return exact
	case c.Type.Kind == recount.KindString || c.collates:
		return fmt.Sprintf("%s = %s AND %s", name, e, exact)
	}
	return fmt.Sprintf("%s = %s", name, e)
}

// holds is the condition that row t stores the value in expression e; NULL
// equals NULL.
func (c column) holds(e string) string {
	name := "t." + sqltable.Quote(c.Name)
	switch c.Type.Kind {
	case recount.KindInt64, recount.KindDouble, recount.KindBool, recount.KindTimestamp, recount.KindDate:
		return fmt.Sprintf("%s IS NOT DISTINCT FROM %s", name, e)
	case recount.KindJSON:
		return fmt.Sprintf("%s::jsonb IS NOT DISTINCT FROM %s::jsonb", name, e)
	case recount.KindString, recount.KindDecimal:
	}
	return fmt.Sprintf(`%s::text COLLATE "C" IS NOT DISTINCT FROM %s::text COLLATE "C"`, name, e)
}

// quoteAll lists the names of columns, quoted.
func quoteAll(columns []column) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = sqltable.Quote(c.Name)
	}
	return strings.Join(out, ", ")
}

// asTexts lists the columns of t as texts.
func asTexts(columns []column) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = "t." + sqltable.Quote(c.Name) + "::text"
	}
	return strings.Join(out, ", ")
}
