package guess

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
)

// Fit is a simple aggregate over the events of a row, and how many of the rows it
// reproduces.
type Fit struct {
	Column string // of the results
	Of     Aggregate
	Right  int // rows that it reproduces
	Rows   int // rows that events of the sample belong to
}

// Aggregate is one expression over the events of a key.
type Aggregate struct {
	Kind Kind
	// Over are columns of the events: none to count, two to multiply.
	Over []string
	// If is a column that must have the value Is; empty: all events. Minus says
	// that those events are taken away and all others added.
	If, Is string
	Minus  bool
}

// Kind names an aggregate.
type Kind string

// The aggregates that are tried.
const (
	Count    Kind = "count"
	Distinct Kind = "distinct"
	Sum      Kind = "sum"
	Max      Kind = "max"
	Min      Kind = "min"
	Latest   Kind = "latest"
	Earliest Kind = "earliest"
)

// SQL is the aggregate in DuckDB's words; field gives a column's name there.
func (a Aggregate) SQL(field func(string) string) string {
	over := make([]string, len(a.Over))
	for i, c := range a.Over {
		over[i] = field(c)
	}
	x := strings.Join(over, " * ")
	when := ""
	if a.If != "" {
		when = fmt.Sprintf(" FILTER (WHERE %s = '%s')", field(a.If), strings.ReplaceAll(a.Is, "'", "''"))
	}
	switch a.Kind {
	case Count:
		return "count(*)" + when
	case Distinct:
		return "count(DISTINCT " + x + ")" + when
	case Latest:
		return "last(" + x + " ORDER BY time, partition, position)" + when
	case Earliest:
		return "first(" + x + " ORDER BY time, partition, position)" + when
	case Sum:
		if a.Minus {
			return fmt.Sprintf("sum(CASE WHEN %s = '%s' THEN -%s ELSE %s END)", field(a.If), strings.ReplaceAll(a.Is, "'", "''"), parens(x), x)
		}
	case Max, Min:
	}
	return string(a.Kind) + "(" + x + ")" + when
}

func parens(x string) string {
	if strings.Contains(x, " ") {
		return "(" + x + ")"
	}
	return x
}

// Fitting tries aggregates of the events against the rows of the results.
type Fitting struct {
	events  Table
	columns []Column
	env     Envelope
	zone    *time.Location
	results Table
	live    []Column

	groups [][]int // by row of the results: its events, in order of their time
	texts  map[string][]string
	values map[string]numbers
	times  []time.Time
}

// NewFitting sorts the events to the rows that they belong to. Times without an
// offset are meant in zone.
func NewFitting(events Table, columns []Column, env Envelope, results Table, live []Column, key []KeyPart, zone *time.Location) *Fitting {
	f := &Fitting{
		events: events, columns: columns, env: env, zone: zone, results: results, live: live,
		texts: map[string][]string{}, values: map[string]numbers{},
	}
	f.readTimes()
	f.group(key)
	return f
}

func (f *Fitting) readTimes() {
	f.times = make([]time.Time, len(f.events.Rows))
	for i, text := range f.text(f.env.Time.Name) {
		f.times[i], _ = Instant(f.env.Time, text, f.zone) // the zero time belongs to no row
	}
}

// text is a column of the events as it is.
func (f *Fitting) text(name string) []string {
	if known, ok := f.texts[name]; ok {
		return known
	}
	out := make([]string, len(f.events.Rows))
	if at := slices.Index(f.events.Columns, name); at >= 0 {
		for i, row := range f.events.Rows {
			out[i] = row[at]
		}
	}
	f.texts[name] = out
	return out
}

// group sorts events to rows: the first copy of each id, by time.
func (f *Fitting) group(key []KeyPart) {
	rows := map[string]int{}
	for n, row := range f.results.Rows {
		var parts []string
		for _, p := range key {
			at := slices.Index(f.results.Columns, p.Column)
			if at < 0 {
				return
			}
			c, _ := column(f.live, p.Column)
			parts = append(parts, f.cell(p, c, row[at]))
		}
		rows[strings.Join(parts, "\x00")] = n
	}
	f.groups = make([][]int, len(f.results.Rows))
	ids, seen := f.text(f.env.ID), map[string]bool{}
	for n := range f.events.Rows {
		if f.times[n].IsZero() || f.env.ID != "" && seen[ids[n]] {
			continue
		}
		seen[ids[n]] = true
		parts := make([]string, 0, len(key))
		for _, p := range key {
			if p.Bucket > 0 {
				parts = append(parts, bucket(f.times[n], p.Bucket))
			} else {
				parts = append(parts, f.text(p.Event)[n])
			}
		}
		if row, ok := rows[strings.Join(parts, "\x00")]; ok {
			f.groups[row] = append(f.groups[row], n)
		}
	}
	for _, group := range f.groups {
		slices.SortStableFunc(group, func(a, b int) int { return f.times[a].Compare(f.times[b]) })
	}
}

// cell is a key column's value in the form that group compares.
func (f *Fitting) cell(p KeyPart, c Column, text string) string {
	if p.Bucket == 0 {
		return text
	}
	at, ok := Instant(c, text, time.UTC)
	if !ok {
		return "\x01" + text
	}
	return bucket(at, p.Bucket)
}

func bucket(at time.Time, d time.Duration) string {
	return at.Truncate(d).UTC().Format(time.RFC3339)
}

// Rows counts the rows that events of the sample belong to.
func (f *Fitting) Rows() int {
	n := 0
	for _, group := range f.groups {
		if len(group) > 0 {
			n++
		}
	}
	return n
}

// Best returns the aggregate that reproduces most rows of a column, the simplest
// of several. What reproduces less than a third of the rows is no fit.
func (f *Fitting) Best(name string) (Fit, bool) {
	c, ok := column(f.live, name)
	rows := f.Rows()
	if !ok || rows == 0 {
		return Fit{}, false
	}
	best := f.of(c, f.plain(c), Fit{Column: name, Rows: rows})
	if c.Numeric() && best.Right*10 < rows*9 {
		best = f.of(c, f.filtered(), best)
	}
	return best, best.Right*3 >= rows && best.Right > 0
}

func (f *Fitting) of(c Column, tried []Aggregate, best Fit) Fit {
	for _, a := range tried {
		if n := f.right(c, a); n > best.Right {
			best.Of, best.Right = a, n
		}
	}
	return best
}

// plain lists the aggregates over all events, the likeliest first: a column of
// the same name before others.
func (f *Fitting) plain(c Column) []Aggregate {
	columns := slices.Clone(f.columns)
	slices.SortStableFunc(columns, func(a, b Column) int {
		return cmp.Compare(differs(a, c), differs(b, c))
	})
	if !c.Numeric() {
		return f.alike(c, columns)
	}
	out := []Aggregate{{Kind: Count}}
	numeric := f.numeric(columns)
	for _, kind := range []Kind{Sum, Latest, Max, Min, Earliest} {
		for _, name := range numeric {
			out = append(out, Aggregate{Kind: kind, Over: []string{name}})
		}
	}
	for _, pair := range pairs(numeric) {
		out = append(out, Aggregate{Kind: Sum, Over: pair})
	}
	for _, e := range columns {
		if e.Type.Kind == recount.KindString && !f.env.Has(e.Name) {
			out = append(out, Aggregate{Kind: Distinct, Over: []string{e.Name}})
		}
	}
	return out
}

// alike lists what gives a value of the column's own kind.
func (f *Fitting) alike(c Column, columns []Column) []Aggregate {
	var out []Aggregate
	for _, kind := range []Kind{Latest, Max, Min, Earliest} {
		for _, e := range columns {
			its := c.Time() && e.Name == f.env.Time.Name // of whatever spelling
			if c.Unit == "" && (its || e.Type.Kind == c.Type.Kind && e.Unit == "") && (!c.Time() || kind == Max || kind == Min) {
				out = append(out, Aggregate{Kind: kind, Over: []string{e.Name}})
			}
		}
	}
	return out
}

func differs(e, c Column) int {
	if plainWord(e.Word()) == plainWord(c.Word()) {
		return 0
	}
	return 1
}

// filtered lists counts and sums of events with one value of a column that has
// few, such as a status, and sums in which they are taken away.
func (f *Fitting) filtered() []Aggregate {
	const few, most = 12, 300
	numeric := f.numeric(f.columns)
	over := pairs(numeric)
	for _, name := range slices.Backward(numeric) {
		over = slices.Insert(over, 0, []string{name})
	}
	var out []Aggregate
	for _, e := range f.columns {
		values := distinct(f.events.Values(e.Name))
		if len(values) < 2 || len(values) > few || e.Type.Kind != recount.KindString && e.Type.Kind != recount.KindBool {
			continue
		}
		for _, v := range sortedKeys(values) {
			out = append(out, Aggregate{Kind: Count, If: e.Name, Is: v})
			for _, x := range over {
				if len(out) < most {
					out = append(out, Aggregate{Kind: Sum, Over: x, If: e.Name, Is: v}, Aggregate{Kind: Sum, Over: x, If: e.Name, Is: v, Minus: true})
				}
			}
		}
	}
	return out
}

// numeric lists the columns that can be added up.
func (f *Fitting) numeric(columns []Column) []string {
	var names []string
	for _, c := range columns {
		if _, ok := f.number(c); ok && !f.env.Has(c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// pairs lists what may be multiplied, such as a price and a quantity.
func pairs(names []string) [][]string {
	const most = 8
	var out [][]string
	for i, a := range names[:min(len(names), most)] {
		for _, b := range names[:i] {
			out = append(out, []string{b, a})
		}
	}
	return out
}

func sortedKeys(set map[string]bool) []string {
	var keys []string
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
