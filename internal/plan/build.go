package plan

import (
	"fmt"
	"math/big"
	"slices"

	"recount"
)

// Add counts the changes into the body: rows, causes in the order tried, and the
// sums of numeric columns. Changes must be in key order; Body.Rows.Right,
// Key, Columns and Tried must be set.
func Add(p *recount.Plan, changes []recount.Change) {
	p.Changes = changes
	rows := recount.RowCounts{Right: p.Body.Rows.Right, Checked: p.Body.Rows.Right}
	causes := map[recount.Cause]int64{}
	sums := newSums(p.Body.Columns)
	for _, c := range changes {
		rows.Add(c.Action)
		if !c.Action.Writes() {
			continue
		}
		causes[c.Cause]++
		sums.add(c)
	}
	p.Body.Rows = rows
	p.Body.Causes = []recount.CauseCount{}
	for _, cause := range append(slices.Clip(p.Body.Tried), recount.CauseUnknown) {
		if n := causes[cause]; n > 0 {
			p.Body.Causes = append(p.Body.Causes, recount.CauseCount{Cause: cause, Rows: n})
			delete(causes, cause)
		}
	}
	p.Body.Sums = sums.list()
}

// sums adds up the numeric columns of all written rows, exactly.
type sums struct {
	columns []recount.PlanColumn
	types   []recount.Type
	scale   []int // digits after the point; -1: not numeric
	before  []*big.Rat
	after   []*big.Rat
}

func newSums(columns []recount.PlanColumn) *sums {
	s := &sums{columns: columns}
	for _, c := range columns {
		scale := -1
		t, _ := recount.ParseType(c.Type) // an unknown type is not numeric
		switch t.Kind {
		case recount.KindDecimal:
			scale = t.Scale
		case recount.KindInt64:
			scale = 0
		case recount.KindDouble:
			scale = 6
		case recount.KindString, recount.KindBool, recount.KindTimestamp, recount.KindDate, recount.KindJSON:
		}
		s.types = append(s.types, t)
		s.scale = append(s.scale, scale)
		s.before = append(s.before, new(big.Rat))
		s.after = append(s.after, new(big.Rat))
	}
	return s
}

func (s *sums) add(c recount.Change) {
	for i := range s.columns {
		if s.scale[i] < 0 {
			continue
		}
		if c.Before != nil {
			addText(s.before[i], s.types[i], c.Before[i])
		}
		if c.After != nil {
			addText(s.after[i], s.types[i], c.After[i])
		}
	}
}

// addText adds what reads as a number of the column's type; a stored text that
// does not has no part in the sum.
func addText(sum *big.Rat, t recount.Type, v recount.Value) {
	if v.Null {
		return
	}
	text, err := recount.Rounded(t, v.Text)
	if err != nil {
		return
	}
	if n, ok := new(big.Rat).SetString(text); ok {
		sum.Add(sum, n)
	}
}

func (s *sums) list() []recount.ColumnSum {
	out := []recount.ColumnSum{}
	for i, c := range s.columns {
		if s.scale[i] < 0 {
			continue
		}
		net := new(big.Rat).Sub(s.after[i], s.before[i])
		sign := ""
		if net.Sign() > 0 {
			sign = "+"
		}
		out = append(out, recount.ColumnSum{
			Column: c.Name, Before: s.before[i].FloatString(s.scale[i]), After: s.after[i].FloatString(s.scale[i]),
			Net: sign + net.FloatString(s.scale[i]),
		})
	}
	return out
}

// Rollback makes the plan that takes a run back: the same steps with before- and
// after-images changed over. undo holds the run's undo rows in key order.
func Rollback(run recount.Run, info recount.TableInfo, undo []recount.Change) *recount.Plan {
	p := &recount.Plan{Body: recount.PlanBody{
		Kind: recount.PlanRollback, Calculation: run.Calculation, Window: run.Window, Asked: run.Window,
		Target: info.Identity, Fingerprint: info.Fingerprint, Hazards: info.Hazards, LastRun: info.LastRun,
		Key: run.Key, Columns: run.Columns, Run: run.ID, Rules: []string{}, Tried: []recount.Cause{},
		Minutes: []recount.MinuteCount{}, Notes: []string{fmt.Sprintf("takes back run %s", run.ID)}, Overrides: []string{},
	}}
	back := make([]recount.Change, 0, len(undo))
	for _, c := range undo {
		back = append(back, reverse(c))
	}
	Add(p, back)
	p.Body.MaxChanges = p.Body.Rows.Writes()
	return p
}

// reverse is the change that takes c back.
func reverse(c recount.Change) recount.Change {
	r := recount.Change{Key: c.Key, Before: c.After, After: c.Before, Cause: recount.CauseUnknown}
	switch c.Action {
	case recount.ActionInsert:
		r.Action = recount.ActionDelete
	case recount.ActionDelete:
		r.Action = recount.ActionInsert
	case recount.ActionUpdate:
		r.Action = recount.ActionUpdate
	case recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
		r.Action = c.Action // never written, so never in an undo record
	}
	return r
}
