package views

import (
	"io"

	"recount"
	"recount/internal/app"
)

// Verify shows the outcome of verify.
type Verify interface {
	Verified(app.Verified) error
}

// NewVerify returns the side that o chooses.
func NewVerify(o *Output) Verify {
	if o.JSON {
		return verifyJSON{o.Out}
	}
	return verifyHuman{o}
}

type verifyHuman struct{ o *Output }

func (v verifyHuman) Verified(r app.Verified) error {
	p := newPage(v.o.Style)
	p.labelled("Window", 1, windowText(r.Window))
	p.labelled("Replay", 1, r.Calculation, p.proved(r.Runs, r.Unproved), "digest "+short(r.Digest), took(r.TookMS))
	rows := r.Rows
	if rows.Wrong() == 0 {
		p.line(span{"  " + counted(rows.Checked, "row") + " checked, all right " + p.g.yes, blue})
		return p.flush(v.o.Out)
	}
	p.line(span{"  " + p.g.no + " " + count(rows.Wrong()) + " of " + counted(rows.Checked, "row") +
		" are wrong (" + percent(rows.Wrong(), rows.Checked) + ")", orange})
	if r.First != nil {
		t := p.changeTable(r.Key, r.Columns)
		t.rows = [][]cell{p.changeRow(r.Key, r.Columns, *r.First)}
		t.write(p)
	}
	return p.flush(v.o.Out)
}

// proved says whether a calculation is known to be deterministic.
func (p *page) proved(runs int, unproved string) string {
	if unproved != "" {
		return "determinism not proved: " + p.text(unproved)
	}
	return "ran " + times(runs) + ", same answer " + p.g.yes
}

func times(n int) string {
	if n == 2 {
		return "twice"
	}
	return counted(int64(n), "time")
}

type verifyJSON struct{ out io.Writer }

func (v verifyJSON) Verified(r app.Verified) error {
	o := verifyObject{
		head: typed("verify"), Calculation: r.Calculation, Window: jsonWindow(r.Window), Runs: decimalCount(int64(r.Runs)),
		Deterministic: r.Unproved == "", Digest: r.Digest, Rows: r.Rows, TookMS: r.TookMS,
	}
	if r.First != nil {
		c := jsonChange(*r.First, r.Key, r.Columns)
		o.First = &c
	}
	return emit(v.out, o)
}

type verifyObject struct {
	head
	Calculation   string            `json:"calculation"`
	Window        windowJSON        `json:"window"`
	Runs          string            `json:"runs"`
	Deterministic bool              `json:"deterministic"`
	Digest        string            `json:"digest"`
	Rows          recount.RowCounts `json:"rows"`
	First         *changeObject     `json:"first"`
	TookMS        int64             `json:"took_ms"`
}
