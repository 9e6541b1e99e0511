package plan

import (
	"math/big"
	"slices"

	"recount"
)

// Add counts the changes into the plan's own body, see AddPart.
func Add(p *recount.Plan, changes []recount.Change) {
	p.Changes = changes
	count(&p.Body, changes)
}

// AddPart gives the plan a further table. The body must be filled in as that of
// Add.
func AddPart(p *recount.Plan, body recount.PlanBody, changes []recount.Change) {
	count(&body, changes)
	p.With = append(p.With, recount.PlanPart{Body: body, Changes: changes})
}

// count counts the changes into a body: rows, causes in the order tried, and the
// sums of numeric columns. Changes must be in key order; Rows.Right, Key, Columns
// and Tried must be set.
func count(b *recount.PlanBody, changes []recount.Change) {
	rows := recount.RowCounts{Right: b.Rows.Right, Checked: b.Rows.Right}
	causes := map[recount.Cause]int64{}
	sums := newSums(b.Columns, b.Bump)
	for _, c := range changes {
		rows.Add(c.Action)
		if c.Adjusted {
			rows.Adjusted++
			causes[c.Cause]++
		}
		if !c.Action.Writes() {
			continue
		}
		causes[c.Cause]++
		sums.add(c)
	}
	b.Rows = rows
	b.Causes = []recount.CauseCount{}
	for _, cause := range append(slices.Clip(b.Tried), recount.CauseUnknown) {
		if n := causes[cause]; n > 0 {
			b.Causes = append(b.Causes, recount.CauseCount{Cause: cause, Rows: n})
			delete(causes, cause)
		}
	}
	b.Sums = sums.list()
}

// sums adds up the numeric columns of all written rows, exactly.
type sums struct {
	columns []recount.PlanColumn
	types   []recount.Type
	scale   []int // digits after the point; -1: not numeric
	before  []*big.Rat
	after   []*big.Rat
}

// newSums leaves out the column that counts versions: its sum says nothing.
func newSums(columns []recount.PlanColumn, bump string) *sums {
	s := &sums{columns: columns}
	for _, c := range columns {
		scale := -1
		t, _ := recount.ParseType(c.Type) // an unknown type is not numeric
		if c.Name == bump {
			t = recount.Type{}
		}
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
