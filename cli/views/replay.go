package views

import (
	"io"

	"recount/internal/app"
)

// Replay shows the outcome of a replay, whose rows went elsewhere.
type Replay interface {
	Replayed(app.Replayed) error
}

// NewReplay returns the side that o chooses. Where the rows went to standard
// output, a person's summary goes to o.Err, so that the rows stay a table; the
// JSON one is the last of the objects.
func NewReplay(o *Output) Replay {
	if o.JSON {
		return replayJSON{o.Out}
	}
	return replayHuman{o}
}

type replayHuman struct{ o *Output }

func (v replayHuman) Replayed(r app.Replayed) error {
	out, style := v.o.Out, v.o.Style
	if r.Out == "" {
		if v.o.Quiet {
			return nil
		}
		out, style = v.o.Err, v.o.ErrStyle
	}
	p := newPage(style)
	p.labelled("Window", 1, windowText(r.Window))
	if !r.Asked.From.IsZero() && r.Asked != r.Window {
		p.labelled("", 1, "widened to whole buckets from "+r.Asked.String())
	}
	p.labelled("Events", 2, append(p.eventItems(r.Events), "snapshot "+short(r.Snapshot))...)
	p.replayed(2, r.Unproved, r.Calculation, took(r.TookMS))
	rows := []string{counted(r.Rows, "row"), "digest " + short(r.Digest)}
	if r.Excluded > 0 {
		rows = append(rows, count(r.Excluded)+" left out, touched by a quarantined event")
	}
	if r.Out != "" {
		rows = append(rows, "written to "+ShellWord(r.Out))
	}
	p.labelled("Rows", 2, rows...)
	p.line(say("  "), span{"Nothing has been changed.", bold})
	return p.flush(out)
}

type replayJSON struct{ out io.Writer }

func (v replayJSON) Replayed(r app.Replayed) error {
	asked := r.Asked
	if asked.From.IsZero() {
		asked = r.Window
	}
	return emit(v.out, replayObject{
		head: typed("replay"), Calculation: r.Calculation, Window: jsonWindow(r.Window), Asked: jsonWindow(asked),
		Snapshot: r.Snapshot, Watermark: stamp(r.Watermark), Events: r.Events, Rows: decimalCount(r.Rows),
		Excluded: decimalCount(r.Excluded), Deterministic: r.Unproved == "", Digest: r.Digest, Out: orNull(r.Out), TookMS: r.TookMS,
	})
}

type replayObject struct {
	head
	Calculation   string     `json:"calculation"`
	Window        windowJSON `json:"window"`
	Asked         windowJSON `json:"asked"`
	Snapshot      string     `json:"snapshot"`
	Watermark     stamp      `json:"watermark"`
	Events        any        `json:"events"`
	Rows          string     `json:"rows"`
	Excluded      string     `json:"excluded"`
	Deterministic bool       `json:"deterministic"`
	Digest        string     `json:"digest"`
	Out           any        `json:"out"`
	TookMS        int64      `json:"took_ms"`
}
