package incident

import (
	"context"
	"errors"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/archive/cover"
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
