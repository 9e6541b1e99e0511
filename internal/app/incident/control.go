package incident

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/internal/diff"
)

// control replays the healthy spans beside the window with the right logic. They
// must give no difference: otherwise the logic, the archive or the window is not
// what it is taken for.
func (r *Incident) control(ctx context.Context, l *live, p *recount.Plan, beside diff.Beside) error {
	if r.besides(p, beside) {
		return r.account(ctx, l, p.Body.Control, r.redBeside(beside))
	}
	if !r.bucketed() {
		p.Body.NoControl = "results are not bucketed, so no span beside the window has rows of its own"
		return nil
	}
	spans := r.controlSpans()
	if len(spans) == 0 {
		p.Body.NoControl = "the archive holds no whole bucket beside the window"
		return nil
	}
	control := &recount.Control{}
	red, seen, err := r.compareSpans(ctx, l, control, spans)
	if err != nil {
		return err
	}
	for _, u := range r.unknown {
		p.Body.Notes = append(p.Body.Notes, fmt.Sprintf("no control over %s: %s some of its events", u.span, u.why))
	}
	if len(r.unknown) == len(spans) {
		p.Body.NoControl = r.unknown[0].why + " events beside the window"
		return nil
	}
	if seen == 0 {
		p.Body.NoControl = r.noneBeside()
		return nil
	}
	p.Body.Control = control
	return r.account(ctx, l, control, red)
}

// compareSpans compares the rows of the spans; it returns those in which some are
// wrong, and how many live rows there are.
func (r *Incident) compareSpans(ctx context.Context, l *live, control *recount.Control, spans []recount.Window) (red []redSpan, seen int64, err error) {
	act := r.host.Progress().Begin("control window", int64(len(spans)))
	defer act.End()
	for _, span := range spans {
		wrong := redSpan{window: span, input: r.controlInput(span)}
		found, err := r.compareSpan(ctx, l, span, wrong.input)
		if e, ok := errors.AsType[*recount.Error](err); ok && unjudgedBy[e.Code] != "" { // of the window's own events it is known
			r.unknown = append(r.unknown, unjudged{span, unjudgedBy[e.Code]})
			act.Add(1)
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		act.Add(1)
		if found.Rows == 0 && (found.live == 0 || r.calc.Logic.Brought()) {
			continue
		}
		seen += found.live
		control.Spans = append(control.Spans, span)
		control.Rows += found.Checked
		for _, pair := range found.Pairs {
			if pair.Excluded {
				continue
			}
			if control.Wrong++; control.First == "" {
				control.First = r.showPair(pair)
			}
			if pair.Key != nil {
				wrong.pairs = append(wrong.pairs, pair)
			}
		}
		if len(wrong.pairs) > 0 {
			red = append(red, wrong)
		}
	}
	return red, seen, nil
}

// unjudged is a span beside the window of which nobody knows what its rows should be.
type unjudged struct {
	span recount.Window
	why  string
}

// unjudgedBy says why a span of the control is left away, by what its replay says.
var unjudgedBy = map[recount.Code]string{
	recount.CodeLookup: "the reference data says nothing about",
	recount.CodeTypes:  "the logic does not know the types of",
}

// besides makes the control of rows that go on: those that no hit event touches.
func (r *Incident) besides(p *recount.Plan, beside diff.Beside) bool {
	if beside.Rows == 0 || r.bucketed() && r.calc.Memory.Kind != recount.MemoryUnbounded {
		return false
	}
	p.Body.Control = &recount.Control{Rows: beside.Rows, Wrong: beside.Wrong, Spans: []recount.Window{}}
	if beside.First != nil {
		p.Body.Control.First = r.showPair(*beside.First)
	}
	return true
}

// redSpan is a span of the control with its wrong rows, in key order.
type redSpan struct {
	window recount.Window // the buckets of its rows
	input  engine.Input
	pairs  []diff.Pair
	inside bool // they are the window's own rows
}

// verified says why rows of a window are wrong that is known to be good: it is a
// control itself.
func (r *Incident) verified(ctx context.Context, l *live) (recount.Control, error) {
	span := redSpan{inside: true, window: r.compared, input: engine.Input{Window: r.window, Read: r.read, Hits: recount.Hits{Window: r.read}, Until: r.until, Opening: r.opening}}
	span.input.Hits.Window.By = recount.ByEvent
	for _, p := range r.wrong {
		if !p.Excluded {
			span.pairs = append(span.pairs, p)
		}
	}
	red := recount.Control{Wrong: int64(len(span.pairs)), Spans: []recount.Window{}}
	if len(span.pairs) == 0 {
		return red, nil
	}
	return red, r.account(ctx, l, &red, []redSpan{span})
}

// redBeside are the wrong rows beside the touched ones of a table whose rows go
// on. All events count as hit.
func (r *Incident) redBeside(beside diff.Beside) []redSpan {
	if len(beside.Pairs) == 0 {
		return nil
	}
	input := engine.Input{Window: r.window, Read: r.read, Hits: recount.Hits{Window: recount.Window{By: recount.ByEvent}}, Until: r.until, Opening: r.opening}
	return []redSpan{{window: r.compared, input: input, pairs: beside.Pairs}}
}

// controlInput is what a span of the control is replayed over. All that is read
// counts as hit, so that any hypothesis can be tried on it.
func (r *Incident) controlInput(span recount.Window) engine.Input {
	read := span
	if r.calc.Memory.Kind == recount.MemoryDuration {
		read = recount.Window{From: span.From.Add(-r.calc.Memory.Length), To: span.To, By: recount.ByEvent}
	}
	return engine.Input{Window: span, Read: read, Hits: recount.Hits{Window: read}}
}

func (r *Incident) compareSpan(ctx context.Context, l *live, span recount.Window, input engine.Input) (found comparison, err error) {
	session, err := r.open(ctx, input, cover.Select(r.snapshot, input.Read))
	if err != nil {
		return found, err
	}
	defer joined(&err, session.Close)
	if _, err := r.known(ctx, session, engine.SeeAll, span.String()); err != nil {
		return found, err
	}
	held, err := r.held(ctx, span)
	if err != nil {
		return found, err
	}
	found, err = r.compare(ctx, l, comparing{session: session, window: span, held: held})
	var e *recount.Error
	if errors.As(err, &e) && e.Code == recount.CodeLimit {
		// Everything differs: as red as a control can be, and no reason to stop.
		found.Pairs = append(found.Pairs, diff.Pair{})
		return found, nil
	}
	return found, err
}

// controlSpans are the spans before and after the window, as long as it, cut to
// the whole buckets that the archive holds complete.
func (r *Incident) controlSpans() []recount.Window {
	first, _, ok := reach(r.snapshot)
	if !ok {
		return nil
	}
	bucket := r.calc.Bucket
	oldest := bucket.Floor(first)
	if oldest.Before(first) { // its start may lie before the archive's
		oldest = bucket.Next(oldest)
	}
	before := recount.Window{From: bucket.Floor(r.window.From.Add(-r.window.Length())), To: r.window.From, By: recount.ByEvent}
	if before.From.Before(oldest) {
		before.From = oldest
	}
	// Rows behind the window that remember its events are compared, so they say nothing of what is healthy.
	after := recount.Window{From: r.compared.To, To: r.compared.To.Add(r.window.Length()), By: recount.ByEvent}
	if whole := bucket.Floor(r.snapshot.Watermark.Add(-r.source.Lateness)); whole.Before(after.To) {
		after.To = whole
	}
	after.To = bucket.Floor(after.To)
	var spans []recount.Window
	for _, w := range []recount.Window{before, after} {
		if w.From.Before(w.To) && r.alike(r.controlInput(w).Read) && cover.Complete(r.snapshot, w, r.controlInput(w).Read) == nil {
			spans = append(spans, w)
		}
	}
	return spans
}

// showPair is one wrong row in a line.
func (r *Incident) showPair(p diff.Pair) string {
	texts := func(values []recount.Value) string {
		if values == nil {
			return "no row"
		}
		parts := make([]string, len(values))
		for i, v := range values {
			parts[i] = r.shape.Values[i].Name + "=" + v.String()
		}
		return strings.Join(parts, " ")
	}
	if p.Key == nil {
		return "too many rows to show one"
	}
	return p.ShowKey(r.shape) + ": live " + texts(p.Seen) + ", right " + texts(p.Right)
}

// say fills in the reasons of a red control, as a person reads them.
func (a *accounting) say(l *live, c *recount.Control, reasons []diff.Reason, left []int) {
	for _, found := range reasons {
		parts := a.attempts[found.Try].with
		if parts == nil {
			parts = []attempt{a.attempts[found.Try]}
		}
		if found.Within != nil && found.Try > 0 {
			parts = append(slices.Clone(parts), attempt{reason: recount.ReasonRounding})
		}
		c.Reasons = append(c.Reasons, a.joinedReason(parts, found))
	}
	if len(left) > 0 {
		c.Reasons = append(c.Reasons, a.foreign(l, left))
	}
}

// joinedReason is what accounts say that hold at once.
func (a *accounting) joinedReason(parts []attempt, found diff.Reason) recount.ControlReason {
	var names, lines, places []string
	var whole recount.ControlReason
	for _, part := range parts {
		whole = a.reason(part, found)
		names = append(names, whole.Name)
		if whole.Line != "" {
			lines = append(lines, whole.Line)
		}
		if !slices.Contains(places, whole.Where) {
			places = append(places, whole.Where)
		}
	}
	if whole.Rows = found.Rows; len(parts) > 1 {
		whole.Name, whole.Text = strings.Join(names, "+"), strings.Join(names, " and ")+" at once"
		whole.Line, whole.Where = strings.Join(lines, "; "), strings.Join(places, "; ")
	}
	return whole
}

// calculationPlace and sourcePlace name the blocks of recount.yaml.
func (a *accounting) calculationPlace() string {
	return config.FileName + ", calculations: " + a.calc.Name
}

func (a *accounting) sourcePlace() string {
	return config.FileName + ", sources: " + a.source.Name
}

// reason is what one account says, and the line to add.
func (a *accounting) reason(t attempt, found diff.Reason) recount.ControlReason {
	out := recount.ControlReason{Name: t.reason, Where: a.calculationPlace()}
	switch t.reason {
	case recount.ReasonLate:
		out.Text = "late events, left out if they came after their bucket's end"
		if t.late > 0 {
			out.Text = fmt.Sprintf("late events, left out if they came %s after their bucket's end", lateness(t.late))
		}
		out.Line = "late: " + lateness(t.late)
	case recount.ReasonRounding:
		out.Text = "rounding: they differ by at most " + a.widest(found.Within)
		out.Line = a.compareLine(found.Within)
	case recount.ReasonRepeats:
		out.Text, out.Line = "repeats, counted each time that they came", "dedupe: false"
		switch {
		case a.once == 1:
			out.Text, out.Line, out.Where = out.Text+"; but 1 right row beside the window holds them once", "", ""
		case a.once > 1:
			out.Text, out.Line, out.Where = fmt.Sprintf("%s; but %d right rows beside the window hold them once", out.Text, a.once), "", ""
		}
	case recount.ReasonOrder:
		out.Text = "events applied in the order of arrival, not of " + a.source.Mapping.Order
		out.Line = "order: arrival"
	case recount.ReasonWindow:
		out.Text = fmt.Sprintf("%s gives them: the incident is longer than the window", t.cause)
		if t.partition != "" {
			out.Text = fmt.Sprintf("events of partition %s were missing here too", t.partition)
		}
		if a.inside {
			out.Where = ""
			out.Text = fmt.Sprintf("%s gives them: the window is not a good one", t.cause)
			if t.partition != "" {
				out.Text = fmt.Sprintf("events of partition %s were missing", t.partition)
			}
			break
		}
		out.Line, out.Where = a.widerWindow(found.At)
	case recount.ReasonCut:
		a.cut(&out, found.At)
	case recount.ReasonEarlier:
		out.Text, out.Where = "they stand at an earlier event than their last", ""
		if a.bucketed() && a.source.Mapping.IngestTime == "" {
			out.Text += ": late events? Say when events came, and it can be tried"
			out.Line, out.Where = "event: {ingest_time: FIELD}", a.sourcePlace()
		}
	}
	return out
}

// lateness spells a duration as recount.yaml does.
func lateness(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	return recount.Bucket{Size: d}.String()
}

// widest is the largest tolerance that a column needs.
func (a *accounting) widest(within diff.Nearness) string {
	if most := slices.Max(within); most > 0 {
		return diff.Tolerances[most-1]
	}
	return "0"
}

// compareLine is compare: with the tolerances that are needed beside those that
// are there.
func (a *accounting) compareLine(within diff.Nearness) string {
	var parts []string
	for i, c := range a.shape.Values {
		abs := a.rules[i].Abs
		if within[i] > 0 {
			abs = diff.Tolerances[within[i]-1]
		}
		if abs != "" {
			parts = append(parts, fmt.Sprintf("%s: {abs: %s}", c.Name, abs))
		}
	}
	return "compare: {" + strings.Join(parts, ", ") + "}"
}

// widerWindow is the window, widened over the buckets of rows; empty where it
// has no edges in time.
func (a *accounting) widerWindow(at []int) (flags, where string) {
	if !a.bucketed() || a.hits.Window.By != recount.ByEvent {
		return "", ""
	}
	from, to := a.asked.From, a.asked.To
	for _, i := range at {
		start, err := a.bucketTime(a.pairs[i].Key)
		if err != nil {
			continue
		}
		if start.Before(from) {
			from = start
		}
		if end := a.calc.Bucket.Next(start); end.After(to) {
			to = end
		}
	}
	return fmt.Sprintf("--from %s --to %s", recount.FormatTimestamp(from), recount.FormatTimestamp(to)), "recount plan " + a.calc.Name
}

// cut says that the worker had not finished the newest rows. The lateness that
// it takes keeps the control out of their buckets, and the window complete.
func (a *accounting) cut(out *recount.ControlReason, at []int) {
	if !a.bucketed() {
		out.Text = "they stand at an earlier event: the worker is not as far as it is taken to be"
		out.Line, out.Where = "--paused FILE", "recount plan "+a.calc.Name
		return
	}
	if out.Text = "the newest rows: the worker had not finished them"; a.inside {
		out.Text, out.Where = out.Text+"; verify an earlier window", ""
		return
	}
	out.Where = a.sourcePlace()
	var first time.Time
	for _, i := range at {
		if start, err := a.bucketTime(a.pairs[i].Key); err == nil && (first.IsZero() || start.Before(first)) {
			first = start
		}
	}
	least := a.snapshot.Watermark.Sub(a.calc.Bucket.Next(first))
	for _, step := range []time.Duration{time.Hour, time.Minute, time.Second, time.Microsecond} {
		wait := least.Truncate(step) + step
		if fits := wait <= a.snapshot.Watermark.Sub(a.window.To); fits && (step != time.Hour || least >= 12*time.Hour) {
			out.Line = "lateness: " + lateness(wait)
			return
		}
	}
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// foreign says what nothing explains, and shows a few of the rows. Where all of
// them are rows that no event makes and one part of the key tells them apart,
// where: leaves them out.
func (a *accounting) foreign(l *live, left []int) recount.ControlReason {
	const few = 3
	var shown []string
	for _, i := range left[:min(few, len(left))] {
		shown = append(shown, a.showPair(a.pairs[i]))
	}
	if len(left) > few {
		shown = append(shown, "…")
	}
	out := recount.ControlReason{
		Name: recount.ReasonForeign, Rows: int64(len(left)),
		Text: "nothing that was tried gives them; another writer? " + strings.Join(shown, "; "),
	}
	if len(left) < 2 || l.columns[0].Declared == "csv" {
		return out
	}
	for c, column := range a.shape.Key {
		value := a.pairs[left[0]].Key[c]
		one := column.Type.Kind == recount.KindString && plainName.MatchString(l.key[c].Name)
		for _, i := range left {
			p := a.pairs[i]
			one = one && p.Right == nil && p.Key[c] == value
		}
		if !one || slices.Contains(a.made, ownValue{c, value.Text}) {
			continue
		}
		condition := fmt.Sprintf("%s <> '%s'", l.key[c].Name, strings.ReplaceAll(value.Text, "'", "''"))
		switch {
		case a.calc.Where != "":
			condition = "(" + a.calc.Where + ") AND " + condition
		case a.bucketed(): // with where: it alone says which rows are the window's
			at := l.key[a.timeKey].Name
			condition = fmt.Sprintf("%s >= $from AND %s < $to AND %s", at, at, condition)
		}
		out.Line, out.Where = "where: "+condition, a.calculationPlace()+": target"
		break
	}
	return out
}

// RedReason refuses a plan whose red control has a reason that can be mended.
func RedReason(c *recount.Control, where string) error {
	best := c.Reasons[0]
	why := fmt.Sprintf("beside the window, where nothing is known to be wrong, %d of %d rows differ; %d of them are explained: %s",
		c.Wrong, c.Rows, best.Rows, best.Text)
	if len(c.Reasons) > 1 {
		why += "; the plan has more reasons"
	}
	return &recount.Error{
		Code: recount.CodeControl, What: "the control window is red", Where: where, Why: why,
		Next: fmt.Sprintf("if that is so, add to %s: %s; then plan again; --no-control applies all the same, and is recorded", best.Where, best.Line),
	}
}
