package views

import (
	"io"

	"recount"
	"recount/internal/app"
)

// Replay shows the outcome of a replay, whose rows went elsewhere.
type Replay interface {
	Replayed(app.Replayed) error
	// Published shows a replay into a bus.
	Published(app.Published) error
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

func (v replayHuman) Published(r app.Published) error {
	p := newPage(v.o.Style)
	p.labelled("Replay", 2, r.Replay, "of "+r.Stream, "to "+r.Destination)
	window := []string{r.Hits.String()}
	if r.Only != "" {
		window = append(window, "only "+r.Only+" of "+r.Calculation)
	}
	p.labelled("Window", 2, append(window, "snapshot "+short(r.Snapshot))...)
	events := []string{counted(r.Events, "event"), size(r.Bytes), counted(int64(r.Partitions), "partition")}
	if r.Repeats > 0 {
		events = append(events, counted(r.Repeats, "repeat")+" left out")
	}
	if r.Quarantined > 0 {
		events = append(events, count(r.Quarantined)+" left out, quarantined")
	}
	p.labelled("Events", 2, events...)
	if r.DryRun {
		p.line(say("  "), span{"Nothing has been published.", bold})
		return p.flush(v.o.Out)
	}
	sent := []string{count(r.Sent) + " published"}
	if r.There > 0 {
		sent = append(sent, count(r.There)+" were there already")
	}
	p.labelled("Sent", 2, append(sent, took(r.TookMS))...)
	return p.flush(v.o.Out)
}

func (v replayJSON) Published(r app.Published) error {
	return emit(v.out, publishedObject{
		head: typed("published"), Replay: r.Replay, Stream: r.Stream, Calculation: orNull(r.Calculation), Only: orNull(r.Only), Destination: r.Destination,
		Window: jsonWindow(r.Hits.Window), Positions: list(r.Hits.Positions), Snapshot: r.Snapshot, Events: decimalCount(r.Events), Bytes: decimalCount(r.Bytes), Partitions: decimalCount(int64(r.Partitions)),
		Repeats: decimalCount(r.Repeats), Quarantined: decimalCount(r.Quarantined), Sent: decimalCount(r.Sent), There: decimalCount(r.There),
		DryRun: r.DryRun, TookMS: r.TookMS,
	})
}

type publishedObject struct {
	head
	Replay      string                   `json:"replay"`
	Stream      string                   `json:"stream"`
	Calculation any                      `json:"calculation"`
	Only        any                      `json:"only"`
	Destination string                   `json:"destination"`
	Window      windowJSON               `json:"window"`
	Positions   []recount.PositionWindow `json:"positions"`
	Snapshot    string                   `json:"snapshot"`
	Events      string                   `json:"events"`
	Bytes       string                   `json:"bytes"`
	Partitions  string                   `json:"partitions"`
	Repeats     string                   `json:"repeats"`
	Quarantined string                   `json:"quarantined"`
	Sent        string                   `json:"sent"`
	There       string                   `json:"there"`
	DryRun      bool                     `json:"dry_run"`
	TookMS      int64                    `json:"took_ms"`
}
