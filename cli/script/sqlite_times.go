package script

import (
	"fmt"
	"slices"
	"strings"

	"recount"
)

// SQLite has no type for times: rows hold texts, each program in its own
// spelling. The script reads those that the target reads, and writes like the
// table's other rows.

func isTime(c column) bool { return c.kind == recount.KindTimestamp || c.kind == recount.KindDate }

func (p *part) timed() bool {
	for _, list := range [][]column{p.key, p.columns} {
		if slices.ContainsFunc(list, isTime) {
			return true
		}
	}
	return false
}

// times writes the table of spellings, once, and counts which of them the
// table's columns use.
func (q *sqliteScript) times(p *part) {
	if !q.shaped {
		q.shaped = true
		q.line("-- How times are spelled: zeros for digits, the length up to the zone, what stands before the hour and after all, and what was left out.")
		q.line("CREATE TEMP TABLE recount_shapes (shape TEXT PRIMARY KEY, size INTEGER, gap TEXT, tail TEXT, rest TEXT);")
		q.line("INSERT INTO temp.recount_shapes VALUES %s;", strings.Join(shapes(), ","))
	}
	var counts []string
	add := func(prefix string, columns []column) {
		for i, c := range columns {
			if !isTime(c) {
				continue
			}
			name, t := fmt.Sprintf("%s%d", prefix, i), "t."+quoted(c.name)
			usual := "0000-00-00 00:00:00"
			if c.kind == recount.KindDate {
				usual = "0000-00-00"
			}
			counts = append(counts, fmt.Sprintf("SELECT '%s' AS name, %s AS shape, count(*) AS n FROM %s AS t WHERE typeof(%s) = 'text' GROUP BY 2", name, zeros(t), sqliteTable(p), t),
				fmt.Sprintf("SELECT '%s', '%s', 0", name, usual), fmt.Sprintf("SELECT '%s', '0000-00-00 00:00:00.000000', -1", name))
		}
	}
	add("k", p.key)
	add("a", p.columns)
	q.line("CREATE TEMP TABLE recount_times_%d AS %s;", p.n, strings.Join(counts, "\n  UNION ALL "))
}

// shapes lists the rows of recount_shapes: the spellings that the target reads
// as times. It takes others as the texts that they are.
func shapes() []string {
	const whole = "00:00:00.000000"
	out := []string{fmt.Sprintf("('0000-00-00',10,'','','%s')", whole)}
	for _, gap := range []string{" ", "T"} {
		for _, hour := range []int{5, 8, 10, 11, 12, 13, 14, 15} {
			for _, tail := range []string{"", "Z", "+00:00", "+00"} {
				if hour == len("00:00") && tail != "" || gap == "T" && tail == "+00" {
					continue
				}
				out = append(out, fmt.Sprintf("('0000-00-00%s%s%s',%d,'%s','%s','%s')", gap, whole[:hour], tail, len("0000-00-00 ")+hour, gap, tail, whole[hour:]))
			}
		}
	}
	return out
}

// zeros is the text with zeros for digits.
func zeros(e string) string {
	for digit := 1; digit <= 9; digit++ {
		e = fmt.Sprintf("replace(%s,'%d','0')", e, digit)
	}
	return e
}

// canonical is the canonical text of a stored time.
func canonical(t string, kind recount.Kind) string {
	full := fmt.Sprintf("substr(%s,1,10) || 'T' || substr(%s,12,max(h.size - 11,0)) || h.rest", t, t)
	text := fmt.Sprintf("rtrim(rtrim(%s,'0'),'.') || 'Z'", full)
	if kind == recount.KindDate {
		text = fmt.Sprintf("CASE WHEN %s = substr(%s,1,10) || 'T00:00:00.000000' THEN substr(%s,1,10) ELSE %s END", full, t, t, t)
	}
	return fmt.Sprintf("coalesce((SELECT %s FROM temp.recount_shapes AS h WHERE h.shape = %s), CAST(%s AS TEXT))", text, zeros(t), t)
}

// spelled is a canonical time in the spelling that most rows of its column have,
// of those that hold all its digits; name is the column's in the stage. Before-
// images are never written.
func (p *part) spelled(e, name string) string {
	if strings.HasPrefix(name, "b") {
		return e
	}
	// All digits, to the microsecond: what a spelling leaves out must be zeros.
	full := fmt.Sprintf("(CASE length(%s) WHEN 10 THEN %s || 'T00:00:00.000000' ELSE substr(%s,1,19) || '.' || substr(rtrim(substr(%s,21),'Z') || '000000',1,6) END)", e, e, e, e)
	return fmt.Sprintf("CASE WHEN %s GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' OR %s GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*Z' THEN "+
		"(SELECT substr(%s,1,10) || CASE WHEN h.size > 10 THEN h.gap || substr(%s,12,h.size - 11) ELSE '' END || h.tail\n"+
		"    FROM temp.recount_times_%d AS m JOIN temp.recount_shapes AS h ON h.shape = m.shape WHERE m.name = '%s' AND ltrim(substr(%s,h.size + 1),'T:0.') = '' ORDER BY m.n DESC, m.shape LIMIT 1) ELSE %s END",
		e, e, full, full, p.n, name, full, e)
}
