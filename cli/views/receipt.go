package views

import (
	"fmt"
	"io"
	"strings"

	"recount"
	"recount/internal/app"
)

// Receipt shows what an apply or a rollback is about to do and what it did.
type Receipt interface {
	// About says what the confirmation is for.
	About(plan app.Shown) error
	// Done shows the receipt.
	Done(recount.Receipt) error
}

// NewReceipt returns the side that o chooses.
func NewReceipt(o *Output) Receipt {
	if o.JSON {
		return receiptJSON{o.Out}
	}
	return receiptHuman{o}
}

type receiptHuman struct{ o *Output }

// About goes where the question goes: to a person, not into a result.
func (v receiptHuman) About(s app.Shown) error {
	p := newPage(v.o.ErrStyle)
	b := s.Plan.Body
	rows := b.Rows
	text := fmt.Sprintf("Will change %s of %s, in one transaction: %s update, %s insert, %s delete.",
		counted(rows.Writes(), "row"), clip(p.text(targetText(b.Target)), 120, p.g.more),
		count(rows.Update), count(rows.Insert), count(rows.Delete))
	p.wrapped(2, plain, text)
	p.several("With", mostTables, p.tableTexts(s.Plan))
	if b.Write == recount.WriteDelta {
		p.wrapped(2, plain, "Each row is locked and must be explained; the difference is added to what it holds by then.")
	}
	var nets []string
	for _, s := range b.Sums {
		nets = append(nets, "net "+p.brief(s.Column)+" "+p.brief(signed(s.Net)))
	}
	for _, line := range p.limit(p.flow(nets, p.st.width()-2), 3) {
		p.line(say("  " + line))
	}
	rows = leftRows(s.Plan)
	if left := rows.Held + rows.Extra + rows.Excluded; left > 0 {
		p.wrapped(2, plain, stay(left)+" wrong on purpose: "+leftText(rows.Held, rows.Extra, rows.Excluded)+".")
	}
	p.several("Hazards", 3, b.Hazards)
	return p.flush(v.o.Err)
}

// leftRows counts the rows of all tables that stay as they are.
func leftRows(plan *recount.Plan) (rows recount.RowCounts) {
	for _, part := range plan.Parts() {
		r := part.Body.Rows
		rows.Held, rows.Extra, rows.Excluded = rows.Held+r.Stay(), rows.Extra+r.Extra, rows.Excluded+r.Excluded
	}
	return rows
}

// brief is a foreign name that a sentence can hold.
func (p *page) brief(s string) string { return clip(p.text(s), 60, p.g.more) }

func stay(n int64) string {
	if n == 1 {
		return "1 row stays"
	}
	return count(n) + " rows stay"
}

func leftText(held, extra, excluded int64) string {
	var parts []string
	for _, part := range []struct {
		n    int64
		word string
	}{{held, "held"}, {extra, "extra"}, {excluded, "excluded"}} {
		if part.n > 0 {
			parts = append(parts, count(part.n)+" "+part.word)
		}
	}
	return strings.Join(parts, ", ")
}

func (v receiptHuman) Done(r recount.Receipt) error {
	p := newPage(v.o.Style)
	if r.Already {
		p.wrapped(2, bold, fmt.Sprintf("Already %s as run %s: nothing was written now.", pastOf(r.Kind), r.Run))
		return p.flush(v.o.Out)
	}
	p.steps(r.Steps, r.TookMS)
	p.written(r)
	if len(r.Tables) == 0 {
		p.listed("moved since", r.Moved)
		p.listed("left, since they moved", r.RolledOut)
	}
	p.writtenTables(r)
	for _, note := range r.Notes {
		p.wrapped(2, plain, "Note: "+note)
	}
	if left := r.StillWrong(); left > 0 {
		p.line(say("  " + counted(left, "row") + " still wrong on purpose: " + leftText(r.Held, r.Extra, r.Excluded)))
	}
	if r.Run == "" {
		return p.flush(v.o.Out)
	}
	undo := "Undo any time: "
	if r.Kind == recount.PlanRollback {
		undo = "Take that back any time: "
	}
	p.line(say("  "+undo), span{"recount rollback " + ShellWord(r.Run), bold})
	return p.flush(v.o.Out)
}

// writtenTables says it table by table, where there are several.
func (p *page) writtenTables(r recount.Receipt) {
	for _, t := range r.Tables {
		name := clip(p.text(t.Table), 40, p.g.more)
		p.line(say("    " + name + roleText(t.Role) + ": " + counted(t.Applied, "row")))
		p.listed("of "+name+" moved since", t.Moved)
		p.listed("of "+name+" left, since they moved", t.RolledOut)
	}
}

// written says what was written. What wrote nothing is no run.
func (p *page) written(r recount.Receipt) {
	table := clip(p.text(r.Table), 50, p.g.more)
	if n := len(r.Tables); n > 0 {
		table = counted(int64(n), "table")
	}
	if r.Run == "" {
		p.line(span{"  Nothing was to be written in " + table + ": no run is recorded", bold})
		return
	}
	what := "applied to"
	if r.Kind == recount.PlanRollback {
		what = "rolled back in"
	}
	spans := []span{{"  " + counted(r.Applied, "row") + " " + what + " " + table, bold}}
	if r.Verified {
		spans = append(spans, span{", each read back as planned " + p.g.yes, blue})
	}
	p.line(spans...)
}

func pastOf(k recount.PlanKind) string {
	if k == recount.PlanRollback {
		return "rolled back"
	}
	return "applied"
}

// stepWords says of each step of an apply that it was done; a step that has no
// word here is shown by its name.
var stepWords = map[string]string{
	"lock": "locked", "target": "the same target", "once": "not applied before", "limit": "within the limit", "unmoved": "no row moved",
	"write": "written", "read": "read back equal", "record": "recorded", "commit": "committed", "again": "looked at again",
}

// steps shows what was done, each with its mark, and the time.
func (p *page) steps(steps []string, tookMS int64) {
	items := make([]string, 0, len(steps)+1)
	for _, s := range steps {
		if past, ok := stepWords[s]; ok {
			s = past
		}
		items = append(items, p.g.yes+" "+s)
	}
	items = append(items, took(tookMS))
	for _, line := range p.limit(p.flow(items, p.st.width()-2), 4) {
		p.line(say("  " + line))
	}
}

// listed names the first of some rows.
func (p *page) listed(what string, keys [][]recount.Value) {
	if len(keys) == 0 {
		return
	}
	const most = 5
	var names []string
	for i, k := range keys {
		if i == most {
			names = append(names, p.g.more)
			break
		}
		names = append(names, clip(p.plainKey(k), 40, p.g.more))
	}
	p.line(span{"  ! ", orange}, say(counted(int64(len(keys)), "row")+" "+what+": "+strings.Join(names, ", ")))
}

type receiptJSON struct{ out io.Writer }

// About says nothing: a script has read the plan.
func (receiptJSON) About(app.Shown) error { return nil }

func (v receiptJSON) Done(r recount.Receipt) error {
	return emit(v.out, receiptObject{
		head: typed("receipt"), Run: r.Run, Plan: r.Plan, Kind: r.Kind, Table: r.Table,
		Applied: decimalCount(r.Applied), Already: r.Already, Verified: r.Verified,
		Moved: decimalCount(int64(len(r.Moved))), MovedKeys: keyLists(r.Moved), Left: keyLists(r.RolledOut),
		Held: decimalCount(r.Held), Extra: decimalCount(r.Extra), Excluded: decimalCount(r.Excluded),
		StillWrong: decimalCount(r.StillWrong()), TookMS: r.TookMS, Notes: list(r.Notes), Tables: jsonTables(r.Tables),
	})
}

// jsonTables says table by table what a run of several did.
func jsonTables(tables []recount.TableReceipt) []tableObject {
	var out []tableObject
	for _, t := range tables {
		out = append(out, tableObject{
			Table: t.Table, Role: roleName(t.Role), Applied: decimalCount(t.Applied), Moved: decimalCount(int64(len(t.Moved))),
			MovedKeys: keyLists(t.Moved), Left: keyLists(t.RolledOut), Held: decimalCount(t.Held), Extra: decimalCount(t.Extra), Excluded: decimalCount(t.Excluded),
		})
	}
	return out
}

type tableObject struct {
	Table     string            `json:"table"`
	Role      string            `json:"role"`
	Applied   string            `json:"applied"`
	Moved     string            `json:"moved"`
	MovedKeys [][]recount.Value `json:"moved_keys"`
	Left      [][]recount.Value `json:"left"`
	Held      string            `json:"held"`
	Extra     string            `json:"extra"`
	Excluded  string            `json:"excluded"`
}

type receiptObject struct {
	head
	Run        string            `json:"run"`
	Plan       string            `json:"plan"`
	Kind       recount.PlanKind  `json:"kind"`
	Table      string            `json:"table"`
	Applied    string            `json:"applied"`
	Already    bool              `json:"already"`
	Verified   bool              `json:"verified"`
	Moved      string            `json:"moved"`
	MovedKeys  [][]recount.Value `json:"moved_keys"`
	Left       [][]recount.Value `json:"left"`
	Held       string            `json:"held"`
	Extra      string            `json:"extra"`
	Excluded   string            `json:"excluded"`
	StillWrong string            `json:"still_wrong"`
	TookMS     int64             `json:"took_ms"`
	Notes      []string          `json:"notes"`
	Tables     []tableObject     `json:"tables,omitempty"`
}

// keyLists is keys without null where a list belongs.
func keyLists(keys [][]recount.Value) [][]recount.Value {
	out := make([][]recount.Value, len(keys))
	for i, k := range keys {
		out[i] = list(k)
	}
	return out
}
