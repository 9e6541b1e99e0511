package recount

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind names a family of values.
type Kind string

// The kinds of a typed column. They are the words of `fields` in recount.yaml.
const (
	KindString    Kind = "string"
	KindInt64     Kind = "int64"
	KindDouble    Kind = "double"
	KindDecimal   Kind = "decimal"
	KindBool      Kind = "bool"
	KindTimestamp Kind = "timestamp"
	KindDate      Kind = "date"
	KindJSON      Kind = "json"
)

// Type is a kind with its parameters. Precision and Scale count decimal digits
// and belong to KindDecimal alone; MaxLen counts characters and belongs to
// KindString alone (0: no limit). Form and Step belong to columns of a database:
// Step is how finely a time column stores (0: to the microsecond).
type Type struct {
	Kind      Kind
	Precision int
	Scale     int
	MaxLen    int
	Form      Form
	Step      time.Duration
}

// Decimal returns the type decimal(precision,scale).
func Decimal(precision, scale int) Type {
	return Type{Kind: KindDecimal, Precision: precision, Scale: scale}
}

// MaxPrecision is the largest number of digits of a decimal, that of Parquet,
// Arrow and DuckDB.
const MaxPrecision = 38

// ParseType reads a type as recount.yaml spells it: string, int64, double,
// decimal(p,s), bool, timestamp, date or json.
func ParseType(s string) (Type, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	switch k := Kind(text); k {
	case KindString, KindInt64, KindDouble, KindBool, KindTimestamp, KindDate, KindJSON:
		return Type{Kind: k}, nil
	case KindDecimal:
		return Type{}, fmt.Errorf("type %q needs its digits, such as decimal(18,2)", s)
	}
	inner, ok := strings.CutPrefix(text, "decimal(")
	inner, closed := strings.CutSuffix(inner, ")")
	precision, scale, two := strings.Cut(inner, ",")
	if !ok || !closed || !two {
		return Type{}, fmt.Errorf("unknown type %q: use string, int64, double, decimal(p,s), bool, timestamp, date or json", s)
	}
	p, errP := strconv.Atoi(strings.TrimSpace(precision))
	d, errD := strconv.Atoi(strings.TrimSpace(scale))
	if errP != nil || errD != nil || p < 1 || p > MaxPrecision || d < 0 || d > p {
		return Type{}, fmt.Errorf("type %q: decimal(p,s) needs 1 <= p <= %d and 0 <= s <= p", s, MaxPrecision)
	}
	return Decimal(p, d), nil
}

// String returns the type as recount.yaml spells it.
func (t Type) String() string {
	if t.Kind == KindDecimal {
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	}
	return string(t.Kind)
}

// Field is one typed column of a stream: what `fields` in recount.yaml declares.
// Path is the payload's column name, or a JSON path that begins with "$.".
type Field struct {
	Name string
	Type Type
	Path string
}

// reservedColumns are those of the envelope and of the archive itself.
var reservedColumns = []string{
	"id", "stream", "type", "partition", "position", "time", "ingest_time", "key", "data", "headers", "seq", "fault", "hit",
}

// ReservedColumn says whether a declared field cannot have that name, since a
// column of the envelope or of the archive has it. Case does not count: SQL
// does not see it.
func ReservedColumn(name string) bool {
	return slices.ContainsFunc(reservedColumns, func(r string) bool { return strings.EqualFold(r, name) })
}

// Column is one column of a result or of a live table.
type Column struct {
	Name     string
	Type     Type
	Declared string // the type as the database spells it; empty for results
	Nullable bool
	// Generated says that the database computes the value, so that nothing
	// may write it.
	Generated bool
}
