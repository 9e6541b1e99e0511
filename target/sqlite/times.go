package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/target/internal/refusal"
	"recount/target/internal/sqltable"
)

// SQLite has no type for times: rows hold texts, each program in its own
// spelling. A column's spellings are learned from its rows, so that keys are
// found through an index and new rows look like their neighbours.

// shapePattern is a spelling of an instant or a day, with zeros for digits.
var shapePattern = regexp.MustCompile(`^0000-00-00(?:([ T])00:00(:00(?:\.0{1,6})?)?(Z|\+00:00|\+00)?)?$`)

// plainShape is the spelling of SQLite's own datetime().
const plainShape = "0000-00-00 00:00:00"

const dateShape = "0000-00-00"

// preciseShape holds every instant that has a canonical text.
const preciseShape = plainShape + ".000000"

// learn returns the column with the shapes of its rows.
func (s *session) learn(ctx context.Context, c column) (column, error) {
	if c.Type.Kind != recount.KindTimestamp && c.Type.Kind != recount.KindDate {
		return c, nil
	}
	shapes, _, err := s.shapes(ctx, c.Name)
	c.shapes = shapes
	return c, err
}

// spelling is what the rows of a column look like.
type spelling struct {
	shapes  []string // of the texts that are times, the most frequent first
	numbers int64
}

// shapes reads a column once for each transaction: it takes a look at every row,
// since a spelling that only one row has is the one under which that row is found.
func (s *session) shapes(ctx context.Context, name string) (shapes []string, numbers int64, err error) {
	if known, ok := s.spellings[name]; ok {
		return known.shapes, known.numbers, nil
	}
	found, err := s.readShapes(ctx, name)
	if err != nil {
		return nil, 0, s.t.explain("read times of", err)
	}
	if s.spellings == nil {
		s.spellings = map[string]spelling{}
	}
	s.spellings[name] = found
	return found.shapes, found.numbers, nil
}

func (s *session) readShapes(ctx context.Context, name string) (found spelling, err error) {
	column := "+" + sqltable.Quote(name) // a plain name would make the driver read times itself
	rows, err := s.conn.QueryContext(ctx, "SELECT "+column+" FROM "+s.t.quoted()+" WHERE "+column+" IS NOT NULL")
	if err != nil {
		return found, err
	}
	defer func() { _ = rows.Close() }()
	counts := map[string]int64{}
	for rows.Next() {
		var value any
		if err := rows.Scan(&value); err != nil {
			return found, err
		}
		switch v := value.(type) {
		case string:
			if len(v) <= longestShape {
				var buffer [longestShape]byte
				counts[string(shapeOf(buffer[:0], v))]++
			}
		case int64, float64:
			found.numbers++
		}
	}
	for shape := range counts {
		if shapePattern.MatchString(shape) {
			found.shapes = append(found.shapes, shape)
		}
	}
	slices.SortFunc(found.shapes, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b)) })
	return found, rows.Err()
}

// longestShape is the length of the longest text that shapePattern takes.
const longestShape = len("0000-00-00 00:00:00.000000+00:00")

// shapeOf appends the text with zeros for digits.
func shapeOf(to []byte, text string) []byte {
	for i := range len(text) {
		c := text[i]
		if c >= '1' && c <= '9' {
			c = '0'
		}
		to = append(to, c)
	}
	return to
}

// spell returns a canonical time or date in the column's own spelling.
func (c column) spell(canonical string) string {
	at, err := recount.ParseLocal(canonical, time.UTC)
	if err != nil {
		return canonical
	}
	for _, shape := range c.known() {
		if text, ok := format(at, shape); ok {
			return text
		}
	}
	return canonical
}

// known lists the column's shapes and those that this package itself writes
// where the column has none that holds a time.
func (c column) known() []string {
	return append(slices.Clip(c.shapes), c.usual(), preciseShape)
}

func (c column) usual() string {
	if c.Type.Kind == recount.KindDate {
		return dateShape
	}
	return plainShape
}

// spellings returns the time in each of the column's spellings that holds it.
func (c column) spellings(canonical string) []any {
	at, err := recount.ParseLocal(canonical, time.UTC)
	if err != nil {
		return nil
	}
	var out []any
	for _, shape := range c.known() {
		if text, ok := format(at, shape); ok {
			out = append(out, text)
		}
	}
	return out
}

// format writes at in the form of shape; false if that would lose digits.
func format(at time.Time, shape string) (string, bool) {
	m := shapePattern.FindStringSubmatch(shape)
	if m == nil {
		return "", false
	}
	separator, seconds, suffix := m[1], m[2], m[3]
	layout, unit := time.DateOnly, 24*time.Hour
	if separator != "" {
		layout, unit = layout+separator+"15:04", time.Minute
	}
	if seconds != "" {
		layout, unit = layout+":05", time.Second
	}
	if _, fraction, ok := strings.Cut(seconds, "."); ok {
		layout += "." + fraction
		for range fraction {
			unit /= 10
		}
	}
	if !at.Equal(at.Truncate(unit)) {
		return "", false
	}
	return at.UTC().Format(layout) + suffix, true
}

// bindWhere returns the condition with its window, each edge spelled as the
// column that it is compared with: SQLite compares times as texts.
func (s *session) bindWhere(ctx context.Context, d *described, where string, window recount.Window) (string, []any, error) {
	parts, err := sqltable.ParseWhere(where, sqltable.SQLite)
	if err != nil {
		return "", nil, refusal.Where(s.t.place, err.Error(), err)
	}
	var args []any
	text, err := sqltable.JoinWhere(parts, func(i int, name string) (string, error) {
		at := window.From
		if name == "to" {
			at = window.To
		}
		edge, err := s.edge(ctx, d, parts, i, at)
		args = append(args, edge)
		return "?", err
	})
	return text, args, err
}

// edge spells one edge of the window for the part at place i.
func (s *session) edge(ctx context.Context, d *described, parts []sqltable.Part, i int, at time.Time) (string, error) {
	plain := at.UTC().Format("2006-01-02 15:04:05")
	if at.Nanosecond() != 0 {
		plain = at.UTC().Format("2006-01-02 15:04:05.000000")
	}
	c, ok := d.beside(parts, i)
	if !ok {
		return plain, nil
	}
	shapes, numbers, err := s.shapes(ctx, c.Name)
	if err != nil {
		return "", err
	}
	if numbers > 0 {
		return "", refusal.Where(s.t.place, fmt.Sprintf("column %q holds numbers, and %s is a time: compare with unixepoch(%s)", c.Name, parts[i].Text, parts[i].Text), nil)
	}
	if len(shapes) == 0 {
		return plain, nil
	}
	// Texts of one separator and without a suffix sort as the times do, whatever
	// their fractions; other mixtures do not.
	first := shapePattern.FindStringSubmatch(shapes[0])
	for _, shape := range shapes[1:] {
		if m := shapePattern.FindStringSubmatch(shape); m[1] != first[1] || m[3] != first[3] || m[3] != "" {
			return "", refusal.Where(s.t.place, fmt.Sprintf("column %q spells times in several ways, such as %s and %s: compare datetime(%s) with datetime(%s)",
				c.Name, shapes[0], shape, c.Name, parts[i].Text), nil)
		}
	}
	for _, shape := range shapes {
		if text, ok := format(at, shape); ok {
			return text, nil
		}
	}
	if first[3] != "" {
		return "", refusal.Where(s.t.place, fmt.Sprintf("column %q spells times as %s, which cannot hold %s", c.Name, shapes[0], recount.FormatTimestamp(at)), nil)
	}
	if first[1] == "T" {
		return strings.Replace(plain, " ", "T", 1), nil
	}
	return plain, nil
}

// beside returns the column that the window's edge at place i is compared with,
// where one stands right beside it: `hour >= $from`, `$from <= hour`,
// `hour BETWEEN $from AND $to`.
func (d *described) beside(parts []sqltable.Part, i int) (column, bool) {
	right := i + 1
	for right < len(parts) && (parts[right].Kind == sqltable.PartSpace || comparison(parts[right])) {
		right++
	}
	if c, ok := d.columnAt(parts, right); ok {
		return c, true
	}
	left := leftward(parts, i)
	if left >= 0 && word(parts[left]) == "AND" {
		if left = leftward(parts, left); left < 0 || parts[left].Kind != sqltable.PartWindow {
			return column{}, false
		}
		left = leftward(parts, left)
	}
	for left >= 0 && (comparison(parts[left]) || word(parts[left]) == "BETWEEN" || word(parts[left]) == "NOT") {
		left = leftward(parts, left)
	}
	return d.columnAt(parts, left)
}

// leftward is the place before i that is no space; -1: there is none.
func leftward(parts []sqltable.Part, i int) int {
	for i--; i >= 0 && parts[i].Kind == sqltable.PartSpace; i-- {
	}
	return i
}

func (d *described) columnAt(parts []sqltable.Part, i int) (column, bool) {
	if i < 0 || i >= len(parts) {
		return column{}, false
	}
	name, ok := parts[i].Name()
	if !ok {
		return column{}, false
	}
	return d.fold(name)
}

func comparison(p sqltable.Part) bool {
	return p.Kind == sqltable.PartSign && strings.Contains("<>=!", p.Text)
}

func word(p sqltable.Part) string {
	if p.Kind != sqltable.PartWord {
		return ""
	}
	return strings.ToUpper(p.Text)
}
