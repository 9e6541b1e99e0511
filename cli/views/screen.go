package views

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
)

// planScreen writes the screen of a plan; end writes its last lines. The table
// of the largest changes gets the lines that all else leaves.
func (p *page) planScreen(plan *recount.Plan, end func()) {
	b := &plan.Body
	p.windowLines(b)
	p.eventLines(b)
	p.replayed(2, b.Unproved, b.Calculation+" over "+b.Stream+" at snapshot "+short(b.Snapshot))
	p.labelled("Compared", 2, append([]string{targetText(b.Target)}, b.Rules...)...)
	p.cutLine(b)
	p.inputLine(b)
	p.effectLine(b)
	p.blank()
	p.totals(b)
	p.actions(plan)
	p.tableLines(plan)
	top := p.lines
	p.lines = nil

	part := func(write func()) [][]span {
		p.lines = nil
		write()
		return p.lines
	}
	causes := part(func() {
		if b.Rows.Wrong() > 0 {
			p.causeLines(b)
		}
	})
	safety, plot := part(func() { p.safetyLines(plan) }), part(func() { p.plot(b) })
	last := part(func() {
		p.blank()
		end()
	})
	const between = 1
	room := MaxLines - len(top) - len(causes) - len(safety) - len(last) - between
	control := part(func() { p.controlLine(b, room-min(len(b.Notes), mostNotes)) })
	notes := part(func() { p.several("Notes", min(max(room-len(control), 1), mostNotes), b.Notes) })
	bottom := slices.Concat(causes, control, safety, notes)
	// A screen that says much has no room for the plot.
	if len(top)+len(bottom)+len(plot)+len(last)+between <= MaxLines {
		bottom = append(bottom, plot...)
	}
	bottom = append(bottom, last...)

	p.lines = top
	p.largest(plan, MaxLines-len(top)-len(bottom))
	if len(bottom) > 0 && len(p.lines) > 0 && len(p.lines[len(p.lines)-1]) > 0 {
		p.blank()
	}
	p.lines = append(p.lines, bottom...)
}

// targetText names a live table; a file is its own table.
func targetText(t recount.Identity) string {
	if strings.HasSuffix(t.Place, t.Table) {
		return t.Adapter + " " + t.Place
	}
	return t.Table + " in " + t.Adapter + " " + t.Place
}

// cutLine says how far the live rows were, where that is not just the end of
// closed buckets.
func (p *page) cutLine(b *recount.PlanBody) {
	var items []string
	if b.Taken != nil && b.Taken.How != "" {
		items = append(items, b.Taken.How)
	}
	if b.Touched >= 0 && len(items) > 0 {
		items = append(items, counted(b.Touched, "row")+" touched")
	}
	if len(items) > 0 {
		p.labelled("Cut", 2, items...)
	}
}

// effectLine says what the worker would have sent.
func (p *page) effectLine(b *recount.PlanBody) {
	if len(b.Effects) == 0 {
		return
	}
	var items []string
	for _, k := range b.Effects {
		items = append(items, count(k.Count)+" "+clip(p.text(k.Kind), 30, p.g.more))
	}
	const most = 4
	if more := len(items) - most; more > 0 {
		items = append(items[:most], counted(int64(more), "kind")+" more")
	}
	p.labelled("Effects", 1, append([]string{"would have been sent, held back"}, items...)...)
}

// mostTables and mostNotes bound the lines that further tables and notes take.
const (
	mostTables = 4
	mostNotes  = 4
)

// tableLines says what is written in the plan's further tables.
func (p *page) tableLines(plan *recount.Plan) {
	if len(plan.With) > 0 {
		p.blank()
		p.several("With", mostTables, p.tableTexts(plan))
	}
}

// tableTexts says of each further table what is done with its rows.
func (p *page) tableTexts(plan *recount.Plan) []string {
	lines := make([]string, 0, len(plan.With))
	for _, part := range plan.With {
		b := part.Body
		lines = append(lines, clip(p.text(b.Target.Table), 40, p.g.more)+roleText(b.Role)+": "+p.rowsText(b.Rows))
	}
	return lines
}

// roleText says what the rows of a table are, where they are no results.
func roleText(r recount.PartRole) string {
	switch r {
	case recount.RoleMark:
		return " (marks of processed events)"
	case recount.RoleAdjust:
		return " (entries beside frozen rows)"
	case recount.RoleResult:
	}
	return ""
}

// rowsText counts the rows of a table by what is done with them.
func (p *page) rowsText(rows recount.RowCounts) string {
	var items []string
	for _, part := range []struct {
		n    int64
		word string
	}{{rows.Update, "change"}, {rows.Insert, "insert"}, {rows.Delete, "delete"}, {rows.Extra, "extra"}, {rows.Adjusted, "frozen, with an entry beside"}, {rows.Stay(), "held"}, {rows.Excluded, "excluded"}} {
		if part.n > 0 {
			items = append(items, count(part.n)+" "+part.word)
		}
	}
	if len(items) == 0 {
		return "all right " + p.g.yes
	}
	return strings.Join(items, ", ")
}

func (p *page) windowLines(b *recount.PlanBody) {
	items := []string{hitsText(b)}
	if b.Bucket != "" && b.Bucket != "none" {
		items = append(items, "buckets of "+b.Bucket)
	}
	p.labelled("Window", 1, items...)
	p.localWindow(b, b.Zone)
	if p.zone != b.Zone {
		p.localWindow(b, p.zone)
	}
	if b.Window.By == recount.ByIngest {
		p.labelled("", 1, "events from "+b.Window.String())
		return
	}
	if a := asked(*b); !a.From.Equal(b.Window.From) || !a.To.Equal(b.Window.To) {
		p.labelled("", 1, "widened to whole buckets from "+a.String())
	}
}

// localWindow shows the window as the clocks of a zone do.
func (p *page) localWindow(b *recount.PlanBody, name string) {
	if zone, err := time.LoadLocation(name); err == nil && name != "" && name != "UTC" {
		p.labelled("", 1, fmt.Sprintf("[%s, %s) %s", b.Window.From.In(zone).Format(time.RFC3339), b.Window.To.In(zone).Format(time.RFC3339), name))
	}
}

// hitsText is the window of a plan under its clock.
func hitsText(b *recount.PlanBody) string {
	switch {
	case b.Window.By == recount.ByIngest:
		return windowText(asked(*b))
	case b.Window.By == recount.ByPosition && len(b.Positions) > 0, b.Window.By == recount.ByIDs && b.IDs != nil:
		return recount.Hits{Window: b.Window, Positions: b.Positions, IDs: b.IDs}.String() + " by " + string(b.Window.By)
	}
	return windowText(b.Window)
}

func (p *page) eventLines(b *recount.PlanBody) {
	p.labelled("Events", 2, p.eventItems(b.Events)...)
}

func (p *page) eventItems(e recount.EventCounts) []string {
	items := []string{count(e.Read) + " read", count(e.Used) + " used"}
	for _, part := range []struct {
		n         int64
		one, many string
	}{
		{e.Duplicates, "repeat dropped", "repeats dropped"},
		{e.Quarantined, "quarantined", "quarantined"},
		{e.Outside, "outside", "outside"},
		{e.Late, "came late, counted", "came late, counted"},
		{e.Ignored, "of an ignored type", "of ignored types"},
	} {
		switch {
		case part.n == 1:
			items = append(items, "1 "+part.one)
		case part.n > 1:
			items = append(items, count(part.n)+" "+part.many)
		}
	}
	return items
}

// totals is the line that a person reads first.
func (p *page) totals(b *recount.PlanBody) {
	rows := b.Rows
	dot := " " + p.g.dot + " "
	line := []span{{"  " + counted(rows.Checked, "row") + " checked", bold}}
	if rows.Wrong() == 0 {
		p.line(append(line, span{dot + "all right " + p.g.yes, blue})...)
		return
	}
	line = append(line, span{dot + count(rows.Wrong()) + " wrong (" + percent(rows.Wrong(), rows.Checked) + ")", bold})
	const mostSums = 3
	for i, s := range b.Sums {
		if rows.Writes() == 0 {
			break
		}
		if i == mostSums {
			line = append(line, say(dot+counted(int64(len(b.Sums)-i), "column")+" more"))
			break
		}
		net := signed(s.Net)
		line = append(line, say(dot+"net "+p.text(clip(s.Column, 24, p.g.more))+" "), span{net, signInk(net)})
	}
	p.line(line...)
}

func signInk(number string) ink {
	switch {
	case number == "" || number == "0":
		return plain
	case number[0] == '-':
		return orange
	case number[0] == '+':
		return blue
	}
	return plain
}

func actionInk(a recount.Action) ink {
	switch a {
	case recount.ActionInsert:
		return blue
	case recount.ActionDelete, recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
		return orange
	case recount.ActionUpdate:
	}
	return plain
}

// actions counts the rows per action, and names the first that are not written.
func (p *page) actions(plan *recount.Plan) {
	rows := plan.Body.Rows
	lines := []struct {
		action   recount.Action
		adjusted bool
		n        int64
		text     string
	}{
		{recount.ActionUpdate, false, rows.Update, "change"},
		{recount.ActionInsert, false, rows.Insert, "missing: written anew"},
		{recount.ActionDelete, false, rows.Delete, "should not be there: deleted"},
		{recount.ActionHeld, true, rows.Adjusted, "frozen: left as they are, an entry beside each makes it right"},
		{recount.ActionExtra, false, rows.Extra, "extra: live only, not written"},
		{recount.ActionHeld, false, rows.Stay(), "held: no given hypothesis explains them, not written"},
		{recount.ActionExcluded, false, rows.Excluded, "excluded: touched by a quarantined event, not written"},
	}
	if rows.Wrong() > 0 {
		p.blank()
	}
	width := 0
	for _, l := range lines {
		width = max(width, len(count(l.n)))
	}
	for _, l := range lines {
		if l.n == 0 {
			continue
		}
		text := "  " + l.text
		if !l.action.Writes() {
			text += p.firstKeys(plan, l.action, l.adjusted, l.n, p.st.width()-6-width-columns(text))
		}
		sign := signOf(recount.Change{Action: l.action, Adjusted: l.adjusted})
		p.line(span{"    " + sign + " ", actionInk(l.action)}, span{pad(count(l.n), width, true), bold}, say(text))
	}
}

// signOf is the mark of a change in lists: that of its action, or = for a frozen
// row beside which an entry is made.
func signOf(c recount.Change) string {
	if c.Adjusted {
		return "="
	}
	return c.Action.Sign()
}

// firstKeys names the first rows of an action, as many as room holds.
func (p *page) firstKeys(plan *recount.Plan, a recount.Action, adjusted bool, n int64, room int) string {
	const most = 3
	text, named := "", int64(0)
	for _, c := range plan.Changes {
		if c.Action != a || c.Adjusted != adjusted {
			continue
		}
		key := p.plainKey(c.Key)
		sep := ", "
		if named == 0 {
			sep = ": "
			key = clip(key, room-2*columns(sep+p.g.more), p.g.more)
		}
		if named == most || columns(text+sep+key+", "+p.g.more) > room {
			break
		}
		text += sep + key
		named++
	}
	if named > 0 && n > named {
		text += ", " + p.g.more
	}
	return text
}

// plainKey is a key's values alone.
func (p *page) plainKey(key []recount.Value) string {
	parts := make([]string, len(key))
	for i := range key {
		parts[i] = p.value(&key[i])
	}
	return strings.Join(parts, " ")
}

func (p *page) causeLines(b *recount.PlanBody) {
	var items []string
	var sum int64
	causes := slices.Clone(b.Causes)
	slices.SortStableFunc(causes, func(x, y recount.CauseCount) int { return int(min(max(y.Rows-x.Rows, -1), 1)) })
	const most = 8
	for i, c := range causes {
		sum += c.Rows
		switch {
		case i < most:
			items = append(items, string(c.Cause)+" "+count(c.Rows))
		case i == most:
			items = append(items, "others "+p.g.more)
		}
	}
	if len(items) > 0 {
		items[len(items)-1] += " (adds up to " + count(sum) + ")"
	}
	if b.Given {
		items = append(items, count(b.Explained)+" explained", count(b.Unexplain)+" not")
	} else {
		items = append(items, "no hypothesis was given")
	}
	if b.Cut > 0 {
		items = append(items, counted(int64(b.Cut), "combination")+" not tried")
	}
	p.labelled("Causes", 3, items...)
}

// controlLine says what the control found, in at most room lines or about two.
func (p *page) controlLine(b *recount.PlanBody, room int) {
	c := b.Control
	switch {
	case c == nil && b.NoControl == "":
		p.labelled("Control", 2, "no control possible")
	case c == nil:
		p.labelled("Control", 2, "no control possible: "+b.NoControl)
	case c.Wrong == 0:
		p.labelled("Control", 2, append([]string{counted(c.Rows, "row") + " beside the window, none wrong " + p.g.yes}, knownItems(c)...)...)
	default:
		p.redControl(c, room)
	}
}

func (p *page) safetyLines(plan *recount.Plan) {
	b := &plan.Body
	var writes int64
	var hazards []string
	for _, part := range plan.Parts() {
		writes += part.Body.Rows.Writes()
		for _, h := range part.Body.Hazards {
			if len(plan.With) > 0 {
				h = part.Body.Target.Table + ": " + h
			}
			hazards = append(hazards, h)
		}
	}
	if writes > 0 {
		limit := "no limit of rows"
		if b.MaxChanges > 0 {
			mark := p.g.yes
			if b.Rows.Writes() > b.MaxChanges {
				mark = p.g.no
			}
			limit = "limit " + counted(b.MaxChanges, "row") + " " + mark
		}
		guard := `a row changes only if it still reads "now"`
		if b.Write == recount.WriteDelta {
			guard = "added to locked, explained rows: right less " + p.brief(string(b.Against))
		}
		p.labelled("Safety", 2, "one transaction", guard, limit)
	}
	if b.WorkerState == recount.StateOwn {
		p.labelled("Worker", 1, "keeps its own state: apply refuses without --worker-will-reload")
	}
	p.several("Hazards", 2, hazards)
	p.several("Overrides", 1, b.Overrides)
}

// several writes items one below the other, in at most that many lines: an item
// takes more than one where the others leave room. Of items that do not fit it
// says how many.
func (p *page) several(label string, most int, items []string) {
	for i, item := range items {
		rest := len(items) - i - 1
		if most == 1 && rest > 0 {
			p.labelled(label, 1, fmt.Sprintf("%d more, in recount show --json", rest+1))
			return
		}
		before := len(p.lines)
		p.labelled(label, max(most-rest, 1), item)
		most -= len(p.lines) - before
		label = ""
	}
}

func (p *page) saved(plan *recount.Plan, file string, tookMS int64) {
	text := fmt.Sprintf("  Saved %s (%s, good until %s) in %s. ", p.text(ShellWord(file)), short(plan.ID), instant(plan.Header.Expires), took(tookMS))
	const nothing = "Nothing has been changed."
	if columns(text)+columns(nothing) > p.st.width() {
		p.line(say(text))
		text = "  "
	}
	p.line(say(text), span{nothing, bold})
}

// nextSteps names what a person can do with a plan's file.
func (p *page) nextSteps(plan *recount.Plan, file string) {
	f := ShellWord(file)
	var steps []string
	if key, ok := exampleKey(plan); ok {
		steps = append(steps, "recount explain "+f+" "+KeyArguments(plan.Body.Key, key))
	}
	if len(plan.Changes) > 0 {
		steps = append(steps, "recount show "+f+" --all")
	}
	if planWrites(plan) > 0 {
		steps = append(steps, "recount apply "+f)
	}
	p.next(steps...)
}

// planWrites counts the rows that are written in all tables.
func planWrites(plan *recount.Plan) (n int64) {
	for _, part := range plan.Parts() {
		n += part.Body.Rows.Writes()
	}
	return n
}

// next writes commands after "Next:", as many on a line as fit.
func (p *page) next(steps ...string) {
	const label = "  Next: "
	for i, text := range p.limit(p.flowBy(steps, p.st.width()-len(label), ` \`), 3) {
		if i == 0 {
			p.line(span{label, dim}, say(text))
			continue
		}
		p.line(say(pad("", len(label), false) + text))
	}
}

// exampleKey is the key of the largest change.
func exampleKey(plan *recount.Plan) ([]recount.Value, bool) {
	if largest := largestChanges(plan, 1); len(largest) > 0 {
		return largest[0].Key, true
	}
	return nil, false
}
