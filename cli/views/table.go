package views

import "strings"

// cell is one place of a table. Its text is already visible.
type cell struct {
	text string
	ink  ink
}

// table is aligned text: numbers to the right, the rest to the left. Columns
// that do not fit are clipped, text before numbers, the widest first.
type table struct {
	head   []string
	right  []bool
	fixed  []bool // may be nil; a fixed column is never clipped
	rows   [][]cell
	indent int
}

const (
	tableGap  = 2
	minColumn = 8
)

// widths returns the width of each column so that a row fits into room.
func (t *table) widths(room int) []int {
	w := make([]int, len(t.head))
	for i, h := range t.head {
		w[i] = columns(h)
	}
	for _, row := range t.rows {
		for i, c := range row {
			w[i] = max(w[i], columns(c.text))
		}
	}
	total := t.indent
	for i, n := range w {
		total += n
		if i < len(w)-1 {
			total += t.gap(i)
		}
	}
	for _, right := range []bool{false, true} {
		for total > room {
			widest := -1
			for i := range w {
				if t.right[i] == right && w[i] > minColumn && (t.fixed == nil || !t.fixed[i]) && (widest < 0 || w[i] > w[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			w[widest]--
			total--
		}
	}
	return w
}

// gap is the room after column i: a mark stands close to what it marks.
func (t *table) gap(i int) int {
	if t.head[i] == "" {
		return 1
	}
	return tableGap
}

// write adds the table to the page.
func (t *table) write(p *page) {
	w := t.widths(p.st.width())
	head := make([]cell, len(t.head))
	for i, h := range t.head {
		head[i] = cell{text: h, ink: dim}
	}
	if strings.TrimSpace(strings.Join(t.head, "")) != "" {
		t.row(p, w, head)
	}
	for _, row := range t.rows {
		t.row(p, w, row)
	}
}

func (t *table) row(p *page, w []int, row []cell) {
	spans := make([]span, 0, len(row)+1)
	if t.indent > 0 {
		spans = append(spans, say(strings.Repeat(" ", t.indent)))
	}
	// Padding is no part of a cell's colour, and none stands at the line's end.
	last := len(row) - 1
	for last > 0 && row[last].text == "" {
		last--
	}
	for i, c := range row[:last+1] {
		text := clip(c.text, w[i], p.g.more)
		gap := strings.Repeat(" ", max(w[i]-columns(text), 0))
		if t.right[i] {
			spans = append(spans, say(gap), span{text: text, ink: c.ink})
			gap = ""
		} else {
			spans = append(spans, span{text: text, ink: c.ink})
		}
		if i < last {
			spans = append(spans, say(gap+strings.Repeat(" ", t.gap(i))))
		}
	}
	p.line(spans...)
}
