package views

import (
	"io"
	"slices"
	"strings"

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
	p.labelled("Replay", 2, append([]string{what, "ran " + times(runs) + ", same answer " + p.g.yes}, more...)...)
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

// shakeWords say what a shake varies, and what is most likely the reason where the
// rows differ under it.
var shakeWords = []struct{ name, varies, reason string }{
	{"nothing", "run again as it was", "it differs from run to run: a map's order, a race of threads, an address, or chance of its own"},
	{"threads", "more threads, keys dealt out otherwise", "something leaks from key to key or from thread to thread, or an order has ties"},
	{"files", "files in another order", "an order has ties, or rows depend on the order in which files are read"},
	{"batches", "batches of another size", "something is kept from batch to batch, or from key to key"},
	{"interleave", "partitions in another order", "rows depend on the order of events between partitions, which the log does not give: declare event: {order: FIELD}"},
	{"seed", "seed of chance and of hashes", "random numbers, or the order of a set or a map"},
	{"clock", "the wall clock, by years", "it reads the clock: take the event's time"},
	{"zone", "the time zone", "it makes local dates or times: name the zone"},
	{"locale", "the language", "it sorts, compares or formats by the language of the machine"},
	{"cores", "the number of processors", "work is split by the number of processors"},
	{"machine", "host, process id, folder, environment", "it reads the name of the host, a process id, a path or the environment"},
}

// WhyShaken is the most likely reason that rows differ where this was varied.
func WhyShaken(varied string) string {
	for _, w := range shakeWords {
		if w.name == varied {
			return w.reason
		}
	}
	return "they depend on it"
}

// certificate shows what was varied: in a line where nothing differs, else in a
// table.
func (p *page) certificate(c recount.Certificate, tookMS int64) {
	using := recount.PlanBody{As: c.As, Versions: c.Versions, Upcasts: c.Upcasts, Lookups: c.Lookups}
	runs := "ran " + times(len(c.Runs)+1)
	if c.Deterministic {
		p.labelled("Replay", 2, c.Calculation, runs+", same answer "+p.g.yes, "checksum "+short(c.Checksum), took(tookMS))
		p.inputLine(&using)
		var varied []string
		for _, r := range c.Runs {
			varied = append(varied, r.Varied)
		}
		p.labelled("Varied", 2, strings.Join(varied, ", "))
		return
	}
	p.labelled("Replay", 2, c.Calculation, counted(c.Events.Used, "event"), counted(c.Rows, "row"), "checksum "+short(c.Checksum), runs, took(tookMS))
	p.inputLine(&using)
	var same []string
	t := &table{
		indent: 2, head: []string{"", "varied", "rows", "first key", "column", "first run", "this run"},
		right: []bool{2: true, 6: false}, fixed: []bool{1: true, 2: true, 6: false},
	}
	for _, r := range c.Runs {
		switch {
		case r.Same:
			same = append(same, r.Varied)
		case r.First != nil:
			t.rows = append(t.rows, p.shakenRow(c, r))
		}
	}
	p.labelled("Same", 2, strings.Join(same, ", "))
	p.blank()
	if len(t.rows) > 0 {
		t.write(p)
		p.blank()
	}
	p.shakenReasons(c)
}

// mostReasonsOfShakes bounds the screen.
const mostReasonsOfShakes = 6

// shakenReasons says for each shake under which the rows differ what it varied and
// what is likely the reason.
func (p *page) shakenReasons(c recount.Certificate) {
	left := mostReasonsOfShakes
	for _, r := range c.Runs {
		if r.Same || left == 0 {
			continue
		}
		left--
		p.wrapped(2, plain, r.Varied+" ("+shakeVaries(r.Varied)+"): "+WhyShaken(r.Varied)+".")
		if r.Failed != "" {
			p.wrapped(4, orange, "it gave no rows: "+r.Failed)
		}
	}
}

func (p *page) shakenRow(c recount.Certificate, r recount.ShakenRun) []cell {
	d := r.First
	var key []string
	for i, v := range d.Key {
		if i < len(c.Key) {
			key = append(key, p.text(c.Key[i])+" "+p.value(&v))
		}
	}
	was, is := p.fromDifference(p.shakenValue(d, d.Was, "first"), p.shakenValue(d, d.Is, "other"))
	return []cell{
		{p.g.no, orange},
		{p.text(r.Varied), plain},
		{count(r.Rows), plain},
		{strings.Join(key, ", "), plain},
		{p.text(d.Column), plain},
		{was, plain},
		{is, plain},
	}
}

// fromDifference drops what two long texts have in common at their start, so that
// a clipped column shows where they differ.
func (p *page) fromDifference(a, b string) (string, string) {
	const lead, least = 6, 16
	x, y := []rune(a), []rune(b)
	n := 0
	for n < len(x) && n < len(y) && x[n] == y[n] {
		n++
	}
	if n < least {
		return a, b
	}
	return p.g.more + string(x[n-lead:]), p.g.more + string(y[n-lead:])
}

// shakenValue is a value of one run; without the row there is none.
func (p *page) shakenValue(d *recount.Difference, v *recount.Value, run string) string {
	if d.Lacks == run {
		return "no row"
	}
	return p.value(v)
}

func shakeVaries(name string) string {
	for _, w := range shakeWords {
		if w.name == name {
			return w.varies
		}
	}
	return ""
}

type certificateObject struct {
	head
	recount.Certificate
}

func jsonCertificate(c recount.Certificate) certificateObject {
	c.Key, c.Runs, c.Columns = list(c.Key), list(slices.Clone(c.Runs)), list(c.Columns)
	for i, r := range c.Runs {
		if r.First != nil {
			first := *r.First
			first.Key = list(first.Key)
			c.Runs[i].First = &first
		}
	}
	return certificateObject{typed("certificate"), c}
}
