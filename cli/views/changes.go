package views

import (
	"container/heap"
	"slices"
	"strings"

	"recount"
)

// KeyArguments spells a key as arguments of `recount explain F`.
func KeyArguments(cols []recount.PlanColumn, key []recount.Value) string {
	if len(key) == 1 && !key[0].Null {
		word := ShellWord(key[0].Text)
		if strings.HasPrefix(key[0].Text, "-") {
			return "-- " + word
		}
		if !strings.Contains(key[0].Text, "=") {
			return word
		}
	}
	words := make([]string, len(key))
	for i, v := range key {
		words[i] = ShellWord(cols[i].Name + "=" + v.String())
	}
	return strings.Join(words, " ")
}

// value shows one value; a dash stands for NULL and for an absent row.
func (p *page) value(v *recount.Value) string {
	switch {
	case v == nil || v.Null:
		return p.g.dash
	case v.Text == "":
		return "''"
	}
	return p.text(v.Text)
}

// number shows a value of a numeric column with its separators.
func (p *page) number(c recount.PlanColumn, v *recount.Value) string {
	if v != nil && !v.Null && numeric(c) {
		return p.text(grouped(v.Text))
	}
	return p.value(v)
}

// at returns the i-th value, nil where the row is absent.
func at(values []recount.Value, i int) *recount.Value {
	if i >= len(values) {
		return nil
	}
	return &values[i]
}

// afterOf is the row after an apply: what is not written stays as it is, and
// is shown with no after-image, but for what an entry beside it makes of it.
func afterOf(c recount.Change) []recount.Value {
	if c.Action == recount.ActionUpdate || c.Action == recount.ActionInsert || c.Adjusted {
		return c.After
	}
	return nil
}

// column picks the value column of a change that says most: the numeric one with
// the largest difference, else the first that differs. more counts the other
// columns that differ.
func column(cols []recount.PlanColumn, c recount.Change) (index int, diff decimal, known bool, more int) {
	index = -1
	first, changed := -1, 0
	after := afterOf(c)
	for i := range cols {
		b, a := at(c.Before, i), at(after, i)
		if same(b, a) {
			continue
		}
		changed++
		if first < 0 {
			first = i
		}
		if !numeric(cols[i]) {
			continue
		}
		// Deletes and rows that are not written have no after-image: only a
		// delete takes its value away.
		if c.Action.Writes() || c.Adjusted {
			if d, ok := difference(b, a); ok && (!known || d.absCompare(diff) > 0) {
				index, diff, known = i, d, true
			}
		}
	}
	if index < 0 {
		index = max(first, 0)
	}
	return index, diff, known, max(changed-1, 0)
}

func same(a, b *recount.Value) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// rank orders changes: written before not written, then the larger difference,
// then the earlier key.
type rank struct {
	change recount.Change
	place  int
	diff   decimal
	known  bool
}

func (r rank) before(s rank) bool {
	if rw, sw := r.change.Action.Writes(), s.change.Action.Writes(); rw != sw {
		return rw
	}
	if r.known != s.known {
		return r.known
	}
	if r.known {
		if c := r.diff.absCompare(s.diff); c != 0 {
			return c > 0
		}
	}
	return r.place < s.place
}

// ranks is a heap whose root is the least of those kept.
type ranks []rank

func (r ranks) Len() int           { return len(r) }
func (r ranks) Less(i, j int) bool { return r[j].before(r[i]) }
func (r ranks) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }

// Push adds a rank.
func (r *ranks) Push(x any) {
	if v, ok := x.(rank); ok {
		*r = append(*r, v)
	}
}

// Pop removes the last rank.
func (r *ranks) Pop() any {
	old := *r
	last := old[len(old)-1]
	*r = old[:len(old)-1]
	return last
}

// largestChanges returns the most changes that say most, the largest first. It
// holds no more than those, however many the plan has.
func largestChanges(plan *recount.Plan, most int) []recount.Change {
	if most <= 0 {
		return nil
	}
	var kept ranks
	for i, c := range plan.Changes {
		_, diff, known, _ := column(plan.Body.Columns, c)
		r := rank{change: c, place: i, diff: diff, known: known}
		if len(kept) < most {
			heap.Push(&kept, r)
			continue
		}
		if r.before(kept[0]) {
			kept[0] = r
			heap.Fix(&kept, 0)
		}
	}
	out := make([]recount.Change, len(kept))
	for i := len(kept) - 1; i >= 0; i-- {
		if r, ok := heap.Pop(&kept).(rank); ok {
			out[i] = r.change
		}
	}
	return out
}

// maxShown is how many changes the screen of a plan lists, tableFrame the lines
// that a table needs besides: a blank one, the heads, and how many more.
const (
	maxShown   = 6
	tableFrame = 4
)

// largest lists the largest changes in at most room lines.
func (p *page) largest(plan *recount.Plan, room int) {
	changes := largestChanges(plan, min(maxShown, room-tableFrame))
	if len(changes) == 0 {
		return
	}
	p.blank()
	t := p.changeTable(plan.Body.Key, plan.Body.Columns)
	for _, c := range changes {
		t.rows = append(t.rows, p.changeRow(plan.Body.Key, plan.Body.Columns, c))
	}
	t.write(p)
	if more := len(plan.Changes) - len(changes); more > 0 {
		p.line(span{"      " + p.g.more + " " + count(int64(more)) + " more", dim})
	}
}

// changeTable is the empty table of changes.
func (p *page) changeTable(key, cols []recount.PlanColumn) *table {
	t := &table{indent: 4, head: []string{""}, right: []bool{false}}
	add := func(name string, right bool) {
		t.head, t.right = append(t.head, name), append(t.right, right)
	}
	for _, k := range key {
		add(p.text(k.Name), numeric(k))
	}
	if len(cols) > 1 {
		add("column", false)
	}
	numbers := slices.ContainsFunc(cols, numeric)
	add("now", numbers)
	add("after", numbers)
	add("difference", true)
	add("cause", false)
	return t
}

// changeRow is one change as a row of the table.
func (p *page) changeRow(key, cols []recount.PlanColumn, c recount.Change) []cell {
	i, diff, known, more := column(cols, c)
	look := actionInk(c.Action)
	row := []cell{{signOf(c), look}}
	for k := range key {
		row = append(row, cell{text: p.value(at(c.Key, k))})
	}
	if len(cols) == 0 {
		return append(row, cell{}, cell{}, cell{}, cell{text: p.causeText(c)})
	}
	if len(cols) > 1 {
		name := p.text(cols[i].Name)
		if more > 0 {
			name += " (+" + count(int64(more)) + ")"
		}
		row = append(row, cell{text: name})
	}
	text := p.g.dash
	if known {
		text = signed(diff.text())
	}
	return append(row,
		cell{text: p.number(cols[i], at(c.Before, i))},
		cell{text: p.number(cols[i], at(afterOf(c), i))},
		cell{text: text, ink: signInk(text)},
		cell{text: p.causeText(c)})
}

// causeOf is the cause with the event that it is.
func causeOf(c recount.Change) string {
	if c.Event == "" {
		return string(c.Cause)
	}
	return string(c.Cause) + " " + c.Event
}

// causeText is the cause, and for a row that is not written why not.
func (p *page) causeText(c recount.Change) string {
	if c.Action.Writes() {
		return p.text(causeOf(c))
	}
	text := string(c.Action)
	if c.Adjusted {
		text = "entry"
	}
	if c.Cause != "" && c.Cause != recount.CauseUnknown {
		text += ", " + causeOf(c)
	}
	return p.text(text)
}
