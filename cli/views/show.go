package views

import (
	"bufio"
	"encoding/csv"
	"io"

	"recount"
	"recount/internal/app"
)

// Show shows a plan that was read back from its file.
type Show interface {
	// Shown shows the plan; all lists every change instead of the largest.
	Shown(s app.Shown, all bool) error
}

// NewShow returns the side that o chooses.
func NewShow(o *Output) Show {
	if o.JSON {
		return showJSON{o.Out}
	}
	return showHuman{o}
}

type showHuman struct{ o *Output }

func (v showHuman) Shown(s app.Shown, all bool) error {
	p := newPage(v.o.Style)
	if all {
		return p.everyChange(v.o.Out, s)
	}
	p.planScreen(s.Plan, func() {
		p.planState(s)
		if !s.Expired {
			p.nextSteps(s.Plan, s.File)
			p.byHand(s)
		}
	})
	return p.flush(v.o.Out)
}

// planState says what the file is good for.
func (p *page) planState(s app.Shown) {
	h := s.Plan.Header
	made := short(s.Plan.ID) + ", made " + instant(h.Made)
	if h.By != "" {
		made += " by " + clip(p.text(h.By), 30, p.g.more)
	}
	if s.Expired {
		b := s.Plan.Body
		p.line(say("  "+made+". "), span{"Expired " + instant(h.Expires) + ": apply refuses it.", orange})
		p.next(planCommand(b))
		return
	}
	p.line(say("  " + made + ", good until " + instant(h.Expires) + "."))
}

// byHand names the script of a plan whose database takes one.
func (p *page) byHand(s app.Shown) {
	adapter := s.Plan.Body.Target.Adapter
	if planWrites(s.Plan) > 0 && (adapter == "sqlite" || adapter == "postgres") {
		p.line(say("  By hand: recount show "), say(ShellWord(s.File)), say(" --sql prints it as one guarded transaction."))
	}
}

// flushEvery bounds the lines held in memory while a long list is written.
const flushEvery = 1000

// everyChange lists all changes in key order. The columns are as wide as the
// widest value needs, so it walks the plan twice.
func (p *page) everyChange(w io.Writer, s app.Shown) error {
	out := bufio.NewWriter(w)
	for i, part := range s.Plan.Parts() {
		if i == 0 {
			p.windowLines(&part.Body)
		} else {
			p.blank()
		}
		if len(s.Plan.With) > 0 {
			p.labelled("Table", 1, part.Body.Target.Table+roleText(part.Body.Role))
		}
		if err := p.everyChangeOf(out, part); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (p *page) everyChangeOf(out io.Writer, part recount.PlanPart) error {
	b := &part.Body
	p.totals(b)
	p.blank()
	t := p.changeTable(b.Key, b.Columns)
	widths := p.listWidths(t, part)
	t.row(p, widths, headCells(t.head))
	for i, c := range part.Changes {
		for _, row := range p.changeRows(b.Key, b.Columns, c) {
			t.row(p, widths, row)
		}
		if i%flushEvery == flushEvery-1 {
			if err := p.flush(out); err != nil {
				return err
			}
		}
	}
	return p.flush(out)
}

func headCells(names []string) []cell {
	cells := make([]cell, len(names))
	for i, n := range names {
		cells[i] = cell{text: n, ink: dim}
	}
	return cells
}

// listWidths measures all rows without keeping them.
func (p *page) listWidths(t *table, plan recount.PlanPart) []int {
	widest := make([]cell, len(t.head))
	most := make([]int, len(t.head))
	for _, c := range plan.Changes {
		for _, row := range p.changeRows(plan.Body.Key, plan.Body.Columns, c) {
			for i, cell := range row {
				if w := columns(cell.text); w > most[i] {
					widest[i], most[i] = cell, w
				}
			}
		}
	}
	measured := &table{head: t.head, right: t.right, indent: t.indent, rows: [][]cell{widest}}
	return measured.widths(p.st.width())
}

// changeRows is a change with one row for each column that differs; the key
// stands in the first.
func (p *page) changeRows(key, cols []recount.PlanColumn, c recount.Change) [][]cell {
	if len(cols) <= 1 {
		return [][]cell{p.changeRow(key, cols, c)}
	}
	var rows [][]cell
	after := afterOf(c)
	for i := range cols {
		b, a := at(c.Before, i), at(after, i)
		if same(b, a) {
			continue
		}
		one := recount.Change{Action: c.Action, Key: c.Key, Cause: c.Cause, Event: c.Event}
		if b != nil {
			one.Before = []recount.Value{*b}
		}
		if a != nil {
			one.After = []recount.Value{*a}
		}
		row := p.changeRow(key, cols[i:i+1], one)
		// The row of a single column lacks the column's name.
		named := append([]cell{}, row[:1+len(key)]...)
		named = append(named, cell{text: p.text(cols[i].Name)})
		named = append(named, row[1+len(key):]...)
		if len(rows) > 0 {
			for k := range 1 + len(key) {
				named[k] = cell{}
			}
			named[len(named)-1] = cell{}
		}
		rows = append(rows, named)
	}
	if rows == nil {
		rows = [][]cell{p.changeRow(key, cols, c)}
	}
	return rows
}

type showJSON struct{ out io.Writer }

// Shown writes the plan object and then one object for each change, table by
// table, whether all is asked for or not: a script can stop reading.
func (v showJSON) Shown(s app.Shown, _ bool) error {
	out := bufio.NewWriter(v.out)
	for i, part := range s.Plan.Parts() {
		if err := emit(out, shownObject{jsonPart(s.Plan, i, s.File, s.Plan.Header.TookMS), s.Expired, list(s.Steps)}); err != nil {
			return err
		}
		if err := emitChanges(out, s.Plan, part); err != nil {
			return err
		}
	}
	return out.Flush()
}

type shownObject struct {
	planObject
	Expired bool     `json:"expired"`
	Steps   []string `json:"steps"`
}

// WriteCSV exports every change of a plan in key order: action, the key columns,
// then before and after of each value column (named before and after alone where
// there is only one). A plan of several tables gives one block a table, each with
// its own heads, and the table's name in a first column. Where differences are
// added, delta of each value column follows; with them, and in a plan of several
// tables, the cause is the last column. Lines end in LF. NULL and the absent side
// of a change are empty; values are written as they are, since a program reads
// them.
func WriteCSV(w io.Writer, plan *recount.Plan) error {
	out := csv.NewWriter(w)
	for _, part := range plan.Parts() {
		if err := writeCSV(out, part, len(plan.With) > 0); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func writeCSV(out *csv.Writer, part recount.PlanPart, tables bool) error {
	b := &part.Body
	start := func(table, action string) []string {
		if tables {
			return []string{table, action}
		}
		return []string{action}
	}
	record := append(start("table", "action"), columnNames(b.Key)...)
	if len(b.Columns) == 1 {
		record = append(record, "before", "after")
	} else {
		for _, c := range b.Columns {
			record = append(record, "before_"+c.Name, "after_"+c.Name)
		}
	}
	delta := b.Write == recount.WriteDelta
	if delta {
		for _, c := range b.Columns {
			record = append(record, "delta_"+c.Name)
		}
	}
	if delta || tables {
		record = append(record, "cause")
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for _, c := range part.Changes {
		record = start(b.Target.Table, string(c.Action))
		for _, v := range c.Key {
			record = append(record, csvText(&v))
		}
		after := afterOf(c)
		for i := range b.Columns {
			record = append(record, csvText(at(c.Before, i)), csvText(at(after, i)))
		}
		if delta {
			for i := range b.Columns {
				record = append(record, csvText(at(c.Delta, i)))
			}
		}
		if delta || tables {
			record = append(record, string(c.Cause))
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	return nil
}

func csvText(v *recount.Value) string {
	if v == nil || v.Null {
		return ""
	}
	return v.Text
}
