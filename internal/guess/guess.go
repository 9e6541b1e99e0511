package guess

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount"
)

// Column is what a column most likely is.
type Column struct {
	Name string
	Type recount.Type
	// Unit is the unit of a column of epoch times.
	Unit recount.TimeUnit
	// Naive says that its times carry no offset.
	Naive bool
	// Unique is the share of its values that stand once, 0 to 1.
	Unique float64
	// Filled is the share of rows that have a value, 0 to 1.
	Filled float64
}

// Word is the column's name, or the last key of its path.
func (c Column) Word() string { return lastKey(c.Name) }

func lastKey(path string) string {
	if !strings.HasPrefix(path, "$") {
		return path
	}
	if i := strings.LastIndex(path, "['"); i >= 0 && strings.HasSuffix(path, "']") {
		return path[i+2 : len(path)-2]
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}

// Time says whether the column can be an event's time.
func (c Column) Time() bool { return c.Type.Kind == recount.KindTimestamp || c.Unit != "" }

// Numeric says whether the column can be added up.
func (c Column) Numeric() bool {
	return c.Type.Kind == recount.KindDecimal || c.Type.Kind == recount.KindInt64 || c.Type.Kind == recount.KindDouble
}

var (
	reInt     = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]{0,17})$`)
	reDecimal = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]{0,24})(\.[0-9]{1,12})?$`)
	reDouble  = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	reDate    = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	reName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// most is the share of values that must agree: a poison event must not make a
// column of amounts a column of texts.
const most = 0.98

// Columns guesses every column of a table.
func Columns(t Table) []Column {
	out := make([]Column, len(t.Columns))
	for i, name := range t.Columns {
		values := t.Values(name)
		out[i] = guessColumn(name, values)
		if typ, ok := t.Types[name]; ok {
			out[i].Type, out[i].Unit = typ, ""
		}
		if len(t.Rows) > 0 {
			out[i].Filled = float64(len(values)) / float64(len(t.Rows))
		}
	}
	return out
}

func guessColumn(path string, values []string) Column {
	name := lastKey(path)
	c := Column{Name: path, Type: recount.Type{Kind: recount.KindString}, Unique: unique(values)}
	if len(values) == 0 {
		return c
	}
	if naive, ok := times(values); ok {
		c.Type.Kind, c.Naive = recount.KindTimestamp, naive
		return c
	}
	if unit := epoch(name, values); unit != "" {
		c.Type.Kind, c.Unit = recount.KindInt64, unit
		return c
	}
	if named(name, "id", "key", "code", "no", "number", "zip") {
		return c // 0042 and 42 are two ids
	}
	switch {
	case share(values, reDate.MatchString) >= most:
		c.Type.Kind = recount.KindDate
	case share(values, func(s string) bool { return s == "true" || s == "false" }) >= most:
		c.Type.Kind = recount.KindBool
	case share(values, reInt.MatchString) >= most:
		c.Type.Kind = recount.KindInt64
	case share(values, reDecimal.MatchString) >= most:
		c.Type = digits(values)
	case share(values, reDouble.MatchString) >= most && named(name, money...):
		c.Type = digits(values)
	case share(values, reDouble.MatchString) >= most:
		c.Type.Kind = recount.KindDouble
	case share(values, nested) >= most:
		c.Type.Kind = recount.KindJSON
	}
	return c
}

func share(values []string, is func(string) bool) float64 {
	n := 0
	for _, v := range values {
		if is(v) {
			n++
		}
	}
	return float64(n) / float64(len(values))
}

func unique(values []string) float64 {
	if len(values) == 0 {
		return 0
	}
	seen := map[string]bool{}
	for _, v := range values {
		seen[v] = true
	}
	return float64(len(seen)) / float64(len(values))
}

// money are words of amounts, which are never binary floats.
var money = []string{
	"amount", "price", "total", "sum", "balance", "cost", "fee", "fees", "revenue", "paid", "vat", "tax", "net", "gross", "discount", "refund",
	"credit", "debit", "money", "value", "subtotal", "turnover", "margin", "deposit",
}

// digits is the decimal that holds all values; money has two digits after the
// point at least.
func digits(values []string) recount.Type {
	const usual = 18
	whole, scale := 1, 2
	for _, v := range values {
		v = strings.TrimLeft(v, "+-")
		mantissa, exponent := v, 0
		if i := strings.IndexAny(v, "eE"); i >= 0 {
			mantissa = v[:i]
			exponent, _ = strconv.Atoi(strings.TrimPrefix(v[i+1:], "+")) // no number: then it is no decimal either
		}
		w, frac, _ := strings.Cut(mantissa, ".")
		if !reDouble.MatchString(v) {
			continue
		}
		whole, scale = max(whole, len(strings.TrimLeft(w, "0"))+max(exponent, 0)), max(scale, len(frac)-exponent)
	}
	scale = min(scale, recount.MaxPrecision-1)
	if whole+scale <= usual {
		return recount.Decimal(usual, scale)
	}
	return recount.Decimal(recount.MaxPrecision, scale)
}

func nested(s string) bool {
	return (strings.HasPrefix(s, "[") || strings.HasPrefix(s, "{")) && json.Valid([]byte(s))
}

// times says whether the values are times, and whether they carry no offset.
func times(values []string) (naive, ok bool) {
	if share(values, func(s string) bool { _, err := recount.ParseTimestamp(s); return err == nil }) >= most {
		return false, true
	}
	local := func(s string) bool {
		_, err := recount.ParseLocal(s, time.UTC)
		return err == nil && !reDate.MatchString(s)
	}
	return true, share(values, local) >= most
}

// epoch tells the unit of epoch times by their magnitude, if the column's name
// speaks of time: 1999 to 2064 in each unit do not overlap.
func epoch(name string, values []string) recount.TimeUnit {
	if !named(name, "ts", "time", "timestamp", "at", "date", "epoch", "ms", "millis") {
		return ""
	}
	for _, u := range []struct {
		unit recount.TimeUnit
		low  int64
	}{{recount.UnitS, 915e6}, {recount.UnitMS, 915e9}, {recount.UnitUS, 915e12}, {recount.UnitNS, 915e15}} {
		const spread = 3 // from 1999 to about 2064
		in := func(s string) bool {
			n, err := strconv.ParseInt(s, 10, 64)
			return err == nil && n >= u.low && n/spread <= u.low
		}
		if share(values, in) >= most {
			return u.unit
		}
	}
	return ""
}

// named says whether one of the words is a part of the name: user_id, userId,
// event-id and id all have the part id.
func named(name string, words ...string) bool {
	parts := strings.FieldsFunc(splitCamel(name), func(r rune) bool { return r == '_' || r == '-' || r == ' ' || r == '.' })
	for _, p := range parts {
		if slices.Contains(words, p) {
			return true
		}
	}
	return false
}

func splitCamel(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Bare says whether a column's name can stand in SQL and YAML without quotes.
func Bare(name string) bool { return reName.MatchString(name) }
