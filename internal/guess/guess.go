package guess

import (
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
}

// Time says whether the column can be an event's time.
func (c Column) Time() bool { return c.Type.Kind == recount.KindTimestamp || c.Unit != "" }

// Numeric says whether the column can be added up.
func (c Column) Numeric() bool {
	return c.Type.Kind == recount.KindDecimal || c.Type.Kind == recount.KindInt64 || c.Type.Kind == recount.KindDouble
}

var (
	reInt     = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]{0,17})$`)
	reDecimal = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]{0,15})(\.[0-9]{1,12})?$`)
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
		out[i] = guessColumn(name, t.Values(name))
	}
	return out
}

func guessColumn(name string, values []string) Column {
	c := Column{Name: name, Type: recount.Type{Kind: recount.KindString}, Unique: unique(values)}
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
		c.Type = recount.Decimal(18, scale(values))
	case share(values, reDouble.MatchString) >= most:
		c.Type.Kind = recount.KindDouble
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

// scale is the largest number of digits after the point; money has two.
func scale(values []string) int {
	digits := 2
	for _, v := range values {
		if _, frac, ok := strings.Cut(v, "."); ok && reDecimal.MatchString(v) {
			digits = max(digits, len(frac))
		}
	}
	return digits
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

// ID guesses the event's id: a column of nearly unique values whose name says so.
func ID(columns []Column) string {
	const nearly = 0.9 // some events came twice
	best, score := "", 0
	for _, c := range columns {
		if c.Unique < nearly || c.Time() || !named(c.Name, "id", "uuid", "guid") {
			continue
		}
		s := 1
		switch name := splitCamel(c.Name); {
		case named(name, "event", "message"):
			s = 3
		case name == "id", name == "uuid":
			s = 2
		}
		if s > score {
			best, score = c.Name, s
		}
	}
	return best
}

// Time guesses the event's time: the column of times whose name says most.
func Time(columns []Column) (Column, bool) {
	best, score := Column{}, 0
	for _, c := range columns {
		if !c.Time() {
			continue
		}
		s := 1
		switch {
		case named(c.Name, "event", "occurred", "timestamp"):
			s = 4
		case named(c.Name, "ts", "time", "at"):
			s = 3
		case named(c.Name, "created"):
			s = 2
		}
		if s > score {
			best, score = c, s
		}
	}
	return best, score > 0
}

// Key guesses the columns that name a result's row: those that events have too
// and that are no numbers to add up, else the first column.
func Key(results []Column, events []Column) []string {
	var key []string
	for _, r := range results {
		if r.Time() || r.Type.Kind == recount.KindDate || !r.Numeric() && has(events, r.Name) {
			key = append(key, r.Name)
		}
	}
	if len(key) == 0 && len(results) > 0 {
		key = []string{results[0].Name}
	}
	return key
}

func has(columns []Column, name string) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return c.Name == name })
}

// Plain says whether a column's name can stand in SQL and YAML without quotes.
func Plain(name string) bool { return reName.MatchString(name) }
