package sqlite

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"recount"
	"recount/target/internal/sqltable"
)

// column is a column with what SQLite makes of its declared type.
type column struct {
	recount.Column
	affinity string // TEXT, NUMERIC, INTEGER, REAL or BLOB
	reals    bool   // a column that converts nothing, whose rows hold reals
	// shapes are the spellings of time that the column's rows use, each with
	// zeros for digits, the most frequent first. Only times and dates have some.
	shapes []string
}

var declared = regexp.MustCompile(`^\s*([A-Z0-9_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*$`)

// typeOf reads a declared type. SQLite enforces none of it, so that the length
// of a VARCHAR bounds nothing here either.
func typeOf(text string) recount.Type {
	m := declared.FindStringSubmatch(strings.ToUpper(text))
	if m == nil {
		return recount.Type{Kind: recount.KindString}
	}
	name, precision, scale := m[1], atoi(m[2]), atoi(m[3])
	switch name {
	case "DECIMAL", "NUMERIC", "DEC", "NUMBER":
		if precision >= 1 && precision <= recount.MaxPrecision && scale <= precision {
			return recount.Decimal(precision, scale)
		}
		return recount.Type{Kind: recount.KindDouble}
	case "BOOLEAN", "BOOL":
		return recount.Type{Kind: recount.KindBool}
	case "DATE":
		return recount.Type{Kind: recount.KindDate}
	case "TIMESTAMP", "DATETIME", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITHOUT TIME ZONE":
		return recount.Type{Kind: recount.KindTimestamp}
	case "JSON":
		return recount.Type{Kind: recount.KindJSON}
	}
	switch affinityOf(text) {
	case "INTEGER":
		return recount.Type{Kind: recount.KindInt64}
	case "REAL":
		return recount.Type{Kind: recount.KindDouble}
	}
	return recount.Type{Kind: recount.KindString}
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// affinityOf follows the five rules of sqlite.org/datatype3.html, in order.
func affinityOf(text string) string {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(strings.ToUpper(text), p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return "INTEGER"
	case has("CHAR", "CLOB", "TEXT"):
		return "TEXT"
	case text == "" || has("BLOB"):
		return "BLOB"
	case has("REAL", "FLOA", "DOUB"): //nolint:misspell // SQLite's own word
		return "REAL"
	}
	return "NUMERIC"
}

// canon returns the canonical text of what is stored: nil, int64, float64,
// string or []byte. A blob reads as \x and its hex digits.
func (c column) canon(stored any) recount.Value {
	switch v := stored.(type) {
	case nil:
		return recount.Null
	case int64:
		text := strconv.FormatInt(v, 10)
		if c.Type.Kind == recount.KindDouble { // digits that no double holds are kept
			return recount.Text(text)
		}
		return sqltable.Canon(c.Type, text)
	case float64:
		text := floatText(v)
		// The shortest spelling has no zeros to spare: more digits than the scale
		// are ones that would be lost, as Canon would find out at more cost.
		if _, digits, ok := strings.Cut(text, "."); ok && c.Type.Kind == recount.KindDecimal && len(digits) > c.Type.Scale && !strings.Contains(digits, "e") {
			return recount.Text(text)
		}
		return sqltable.Canon(c.Type, text)
	case []byte:
		return recount.Text(`\x` + hex.EncodeToString(v))
	case string:
		if !utf8.ValidString(v) { // no plan could hold it: it reads as its bytes
			return recount.Text(`\x` + hex.EncodeToString([]byte(v)))
		}
		if c.Type.Kind == recount.KindTimestamp || c.Type.Kind == recount.KindDate {
			return c.canonTime(v)
		}
		return sqltable.Canon(c.Type, v)
	}
	return recount.Text(fmt.Sprint(stored))
}

func floatText(f float64) string {
	if math.IsInf(f, 0) {
		return strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+") + "inity"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// canonTime reads a time without a zone as UTC, SQLite's own rule.
func (c column) canonTime(text string) recount.Value {
	at, err := recount.ParseLocal(text, time.UTC)
	if err != nil || at.Nanosecond()%1000 != 0 {
		return recount.Text(text)
	}
	if c.Type.Kind == recount.KindTimestamp {
		return recount.Text(recount.FormatTimestamp(at))
	}
	if at.Equal(at.Truncate(24 * time.Hour)) {
		return recount.Text(at.Format(time.DateOnly))
	}
	return recount.Text(text)
}

// bind returns what to store for a canonical text. The column's affinity does
// the rest, as it does for every writer.
func (c column) bind(v recount.Value) any {
	if v.Null {
		return nil
	}
	switch c.Type.Kind {
	case recount.KindInt64:
		if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
			return n
		}
	case recount.KindDouble:
		if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil && c.affinity != "REAL" && !c.reals {
			return n
		}
		if f, err := strconv.ParseFloat(v.Text, 64); err == nil && !math.IsNaN(f) {
			return f
		}
	case recount.KindBool:
		switch v.Text {
		case "true":
			return int64(1)
		case "false":
			return int64(0)
		}
	case recount.KindTimestamp, recount.KindDate:
		return c.spell(v.Text)
	case recount.KindString:
		if c.affinity == "BLOB" && c.Declared != "" { // a blob reads as \x and its hex digits
			if blob, ok := blobOf(v.Text); ok {
				return blob
			}
		}
	case recount.KindDecimal, recount.KindJSON:
	}
	return v.Text
}

func blobOf(text string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(text, `\x`)
	if !ok {
		return nil, false
	}
	blob, err := hex.DecodeString(digits)
	return blob, err == nil
}

// candidates returns every stored value that canon reads as v and that the
// column may hold: the rows of a key are looked for under each of them.
func (c column) candidates(v recount.Value) []any {
	if v.Null {
		return nil
	}
	out := []any{v.Text}
	if blob, ok := blobOf(v.Text); ok {
		out = append(out, blob)
	}
	switch c.Type.Kind {
	case recount.KindBool:
		switch v.Text {
		case "true":
			return append(out, int64(1), "t", "T", "True", "TRUE", "1", "yes")
		case "false":
			return append(out, int64(0), "f", "F", "False", "FALSE", "0", "no")
		}
	case recount.KindTimestamp, recount.KindDate:
		return append(out, c.spellings(v.Text)...)
	case recount.KindInt64, recount.KindDouble, recount.KindDecimal, recount.KindString, recount.KindJSON:
		// Under TEXT and the numeric affinities SQLite converts the text itself.
		if c.affinity != "BLOB" {
			return out
		}
		if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
			out = append(out, n)
		}
		if f, err := strconv.ParseFloat(v.Text, 64); err == nil && !math.IsNaN(f) {
			out = append(out, f)
		}
	}
	return out
}

// stored is a value with its storage class, as the ledger keeps it.
type stored struct {
	Class string `json:"class"` // null, integer, real, text or blob
	Text  string `json:"text"`
}

func keep(v any) stored {
	switch v := v.(type) {
	case int64:
		return stored{"integer", strconv.FormatInt(v, 10)}
	case float64:
		return stored{"real", strconv.FormatFloat(v, 'x', -1, 64)}
	case string:
		return stored{"text", hex.EncodeToString([]byte(v))} // bytes: a text may be no UTF-8
	case []byte:
		return stored{"blob", hex.EncodeToString(v)}
	}
	return stored{Class: "null"}
}

func (s stored) value() (any, error) {
	switch s.Class {
	case "null":
		return nil, nil //nolint:nilnil // NULL is a value
	case "integer":
		return strconv.ParseInt(s.Text, 10, 64)
	case "real":
		return strconv.ParseFloat(s.Text, 64)
	case "text":
		b, err := hex.DecodeString(s.Text)
		return string(b), err
	case "blob":
		return hex.DecodeString(s.Text)
	}
	return nil, fmt.Errorf("read undo row: unknown storage class %q", s.Class)
}

// is says whether it keeps that very value. A script that was run by hand spells
// reals otherwise.
func (s stored) is(v any) bool {
	own, err := s.value()
	return err == nil && keep(own) == keep(v)
}

// spelled is a row's stored values by column name, as JSON.
func spelled(columns []column, values []any) (string, error) {
	kept := make(map[string]stored, len(columns))
	for i, c := range columns {
		kept[c.Name] = keep(values[i])
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return "", fmt.Errorf("keep stored row: %w", err)
	}
	return string(text), nil
}

// plainInteger says whether SQLite stores the text as that integer under a
// numeric affinity.
func plainInteger(text string, n int64) bool {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	const exact = 1 << 53
	return strconv.FormatInt(n, 10) == text || f == float64(n) && n > -exact && n < exact
}

// plainFloat likewise for a real.
func plainFloat(text string, f float64) bool {
	parsed, err := strconv.ParseFloat(text, 64)
	return err == nil && math.Float64bits(parsed) == math.Float64bits(f)
}
