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
	if c := r.Certificate; c != nil {
		p.certificate(*c, r.TookMS)
		if !c.Deterministic {
			return p.flush(v.o.Out)
		}
	} else {
		p.replayed(r.Runs, r.Unproved, r.Calculation, "digest "+short(r.Digest), took(r.TookMS))
	}
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
	if red := r.Red; len(red.Reasons) > 0 {
		p.labelled("Reasons", 1, triedItem(&red))
		p.reasons(red.Reasons[:min(len(red.Reasons), mostReasons)])
	}
	return p.flush(v.o.Out)
}

// replayed names what was replayed and says whether it is known to be
// deterministic; where it is not, in a line of its own, which no width cuts off.
func (p *page) replayed(runs int, unproved, what string, more ...string) {
	if unproved != "" {
		p.labelled("Replay", 1, append([]string{what}, more...)...)
		p.labelled("", 1, "determinism not proved: "+p.text(unproved))
		return
	}
	p.labelled("Replay", 1, append([]string{what, "ran " + times(runs) + ", same answer " + p.g.yes}, more...)...)
}

func times(n int) string {
	if n == 2 {
		return "twice"
	}
	return counted(int64(n), "time")
}

type verifyJSON struct{ out io.Writer }

func (v verifyJSON) Verified(r app.Verified) error {
	if c := r.Certificate; c != nil {
		if err := emit(v.out, jsonCertificate(*c)); err != nil || !c.Deterministic {
			return err
		}
	}
	o := verifyObject{
		head: typed("verify"), Calculation: r.Calculation, Window: jsonWindow(r.Window), Runs: decimalCount(int64(r.Runs)),
		Deterministic: r.Unproved == "", Digest: r.Digest, Rows: r.Rows, TookMS: r.TookMS,
	}
	o.Reasons = jsonReasons(r.Red.Reasons)
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
	Reasons       []reasonJSON      `json:"reasons"`
	TookMS        int64             `json:"took_ms"`
}
