package views

import (
	"io"
	"slices"

	"recount"
	"recount/internal/app"
)

// Replay shows the outcome of a replay, whose rows went elsewhere.
type Replay interface {
	Replayed(app.Replayed) error
	// Published shows a replay into a bus.
	Published(app.Published) error
	// Waits shows, beside the result, which worker is waited for.
	Waits(app.ShadowStatus) error
}

// NewReplay returns the side that o chooses. Where the rows went to standard
// output, a person's summary goes to o.Err, so that the rows stay a table; the
// JSON one is the last of the objects.
func NewReplay(o *Output) Replay {
	if o.JSON {
		return replayJSON{o.Out, o.Err}
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
	if r.Fatal != nil {
		p.wrapped(2, orange, r.Fatal.String()+".")
	}
	p.line(say("  "), span{"Nothing has been changed.", bold})
	return p.flush(out)
}

type replayJSON struct{ out, err io.Writer }

func (v replayJSON) Replayed(r app.Replayed) error {
	asked := r.Asked
	if asked.From.IsZero() {
		asked = r.Window
	}
	return emit(v.out, replayObject{
		head: typed("replay"), Calculation: r.Calculation, Window: jsonWindow(r.Window), Asked: jsonWindow(asked),
		Snapshot: r.Snapshot, Watermark: stamp(r.Watermark), Events: r.Events, Rows: decimalCount(r.Rows),
		Excluded: decimalCount(r.Excluded), Fatal: jsonFatal(r.Fatal), Deterministic: r.Unproved == "", Digest: r.Digest, Out: orNull(r.Out), TookMS: r.TookMS,
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
	Fatal         *fatalJSON `json:"fatal"`
	Deterministic bool       `json:"deterministic"`
	Digest        string     `json:"digest"`
	Out           any        `json:"out"`
	TookMS        int64      `json:"took_ms"`
}

type fatalJSON struct {
	Keys  string `json:"keys"`
	Event string `json:"event"`
	Key   object `json:"key"`
	Why   string `json:"why"`
}

func jsonFatal(f *app.Fatal) *fatalJSON {
	if f == nil {
		return nil
	}
	out := &fatalJSON{Keys: decimalCount(f.Keys), Event: f.Event, Key: object{}, Why: f.Why}
	for _, v := range f.Key {
		out.Key = append(out.Key, member{name: v.Name, value: v.Value})
	}
	return out
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

func (v replayHuman) Waits(s app.ShadowStatus) error {
	p := newPage(v.o.ErrStyle)
	text := "Group " + s.Group + " is at work: waiting until it has processed " + counted(s.Left, "message") + "."
	if s.Members == 0 {
		text = "Start the worker, unchanged, with the settings below: waiting until it has processed " + counted(s.Left, "message") + "."
	}
	p.wrapped(2, bold, text)
	for _, line := range [][2]string{
		{"bus", s.Place}, {"reads", s.To}, {"group", s.Group}, {"begins", "with the first message (auto.offset.reset=earliest; DeliverAll)"}, {"writes", s.Table},
	} {
		p.labelled(line[0], 1, line[1])
	}
	p.wrapped(2, plain, "It may stand still for "+recount.Bucket{Size: s.Timeout}.String()+". Ctrl-C loses nothing: the same command waits on.")
	return p.flush(v.o.Err)
}

func (v replayJSON) Waits(s app.ShadowStatus) error {
	return emit(v.err, shadowObject{
		head: typed("shadow"), Calculation: s.Calculation, Bus: s.Place, To: s.To, Group: s.Group, Table: s.Table, Members: decimalCount(int64(s.Members)),
		Messages: decimalCount(s.Messages), Left: decimalCount(s.Left), Timeout: recount.Bucket{Size: s.Timeout}.String(),
	})
}

type shadowObject struct {
	head
	Calculation string `json:"calculation"`
	Bus         string `json:"bus"`
	To          string `json:"to"`
	Group       string `json:"group"`
	Table       string `json:"table"`
	Members     string `json:"members"`
	Messages    string `json:"messages"`
	Left        string `json:"left"`
	Timeout     string `json:"timeout"`
}

// Effects shows what a worker would have sent.
type Effects interface {
	Effected(app.Effected) error
}

// NewEffects returns the side that o chooses.
func NewEffects(o *Output) Effects {
	if o.JSON {
		return effectsJSON{o.Out}
	}
	return effectsHuman{o}
}

type effectsHuman struct{ o *Output }

func (v effectsHuman) Effected(e app.Effected) error {
	p := newPage(v.o.Style)
	p.labelled("Window", 1, windowText(e.Window))
	if !e.Asked.From.IsZero() && e.Asked != e.Window {
		p.labelled("", 1, "widened to whole buckets from "+e.Asked.String())
	}
	p.labelled("Events", 2, append(p.eventItems(e.Events), "snapshot "+short(e.Snapshot))...)
	p.replayed(2, "", e.Calculation, took(e.TookMS))
	if l := e.Log; l != nil {
		items := []string{counted(l.Events.Used, "event") + " of " + l.Source, "noted within " + recount.Bucket{Size: l.Within}.String(), "snapshot " + short(l.Snapshot)}
		for _, left := range []struct {
			n    int64
			text string
		}{{l.Events.Duplicates, "sent again under their id, counted once"}, {l.Edge, "of other events, not judged"}, {l.Nameless, "without kind or key, passed by"}, {l.Unknown, "of quarantined events, not judged"}} {
			if left.n > 0 {
				items = append(items, count(left.n)+" "+left.text)
			}
		}
		p.labelled("Log", 3, items...)
	}
	if n := int64(len(e.Excluded)); n > 0 {
		p.labelled("Excluded", 2, counted(n, "key")+", whose fold did not survive an event: what it would have sent for them is not known")
		p.wrapped(labelIndent, plain, keyList(e.Excluded))
	}
	p.blank()
	p.effectKinds(e)
	p.effectDifferences(e)
	for _, file := range []struct{ name, what string }{{e.Out, "What should have been sent is in "}, {e.OutDiffer, "What was not sent so is in "}} {
		if file.name != "" {
			p.line(say("  " + file.what + ShellWord(file.name) + "."))
		}
	}
	p.line(span{"  Nothing has been sent.", bold}, say(" Recount sends nothing: what is to be done about it is yours to do."))
	return p.flush(v.o.Out)
}

// mostKinds and mostDifferences bound the lines of a screen.
const (
	mostKinds       = 10
	mostDifferences = 12
)

// effectKinds counts by kind.
func (p *page) effectKinds(e app.Effected) {
	if e.Log == nil {
		p.line(span{"  " + counted(e.Effects, "effect") + " would have been sent, held back", bold})
	} else {
		ink, text := blue, "all as they should be "+p.g.yes
		if e.Differ() > 0 {
			ink, text = orange, count(e.Differ())+" not as they should be"
		}
		p.line(span{"  " + counted(e.Effects, "effect") + " should have been sent " + p.g.dot + " ", bold}, span{text, ink})
	}
	t := table{head: []string{"kind", "asked for"}, indent: 4}
	if e.Log != nil {
		t.head = append(t.head, "sent so", "never sent", "sent wrongly", "sent twice", "not asked for")
	}
	t.right = slices.Repeat([]bool{true}, len(t.head))
	t.right[0] = false
	for _, k := range e.Kinds[:min(len(e.Kinds), mostKinds)] {
		row := []cell{{text: p.text(k.Kind)}, {text: count(k.Effects)}}
		for _, n := range []int64{k.Right, k.Never, k.Wrongly, k.Twice, k.Unasked}[:len(t.head)-2] {
			row = append(row, cell{text: count(n)})
		}
		t.rows = append(t.rows, row)
	}
	t.write(p)
	if more := len(e.Kinds) - mostKinds; more > 0 {
		p.line(say("    " + counted(int64(more), "kind") + " more"))
	}
	if len(e.Causes) > 0 {
		var items []string
		for _, c := range e.Causes {
			items = append(items, string(c.Cause)+" "+count(c.Rows))
		}
		p.labelled("Causes", 2, items...)
	}
}

// reasonTexts say the reasons to a person.
var reasonTexts = map[string]string{"never_sent": "never sent", "sent_wrongly": "sent wrongly", "sent_twice": "sent twice", "not_asked": "not asked for"}

// effectDifferences lists the first differences.
func (p *page) effectDifferences(e app.Effected) {
	if len(e.Differences) == 0 {
		return
	}
	p.blank()
	t := table{head: []string{"reason", "kind", "key", "event", "cause", "why"}, right: make([]bool, 6), fixed: []bool{true, false, false, false, true, false}, indent: 4}
	for _, d := range e.Differences[:min(len(e.Differences), mostDifferences)] {
		kind, key, event, why := "", "", "", d.Why
		if d.Sent != nil {
			kind, key, event = d.Sent.Kind, d.Sent.Key, d.Sent.EventID
		}
		if d.Right != nil {
			kind, key, event = d.Right.Kind, d.Right.Key, d.Right.EventID
		}
		if event == "" && d.Right != nil {
			event = d.Right.Partition + ":" + recount.ShortPosition(d.Right.Position)
		}
		if why == "" && d.Sent != nil {
			why = "noted " + recount.FormatTimestamp(d.Sent.Time)
		} else if why == "" {
			why = "due " + recount.FormatTimestamp(d.Right.Time)
		}
		row := make([]cell, 6)
		for i, text := range []string{reasonTexts[string(d.Reason)], kind, key, event, string(d.Cause), why} {
			row[i] = cell{text: p.text(text)}
		}
		t.rows = append(t.rows, row)
	}
	t.write(p)
	if more := len(e.Differences) - mostDifferences; more > 0 {
		p.line(say("    " + count(int64(more)) + " more: --differences FILE lists all"))
	}
	p.blank()
}

type effectsJSON struct{ out io.Writer }

func (v effectsJSON) Effected(e app.Effected) error {
	o := effectsObject{
		head: typed("effects"), Calculation: e.Calculation, Window: jsonWindow(e.Window), Asked: jsonWindow(e.Asked), Snapshot: e.Snapshot, Watermark: stamp(e.Watermark),
		Events: e.Events, Effects: decimalCount(e.Effects), Digest: e.Digest, Kinds: []effectKindJSON{}, Differences: decimalCount(e.Differ()), Causes: object{},
		Out: orNull(e.Out), OutDiffer: orNull(e.OutDiffer), TookMS: e.TookMS,
	}
	for _, k := range e.Kinds {
		kind := effectKindJSON{Kind: k.Kind, Effects: decimalCount(k.Effects)}
		if e.Log != nil {
			kind.Right, kind.Never, kind.Wrongly, kind.Twice, kind.Unasked = decimalCount(k.Right), decimalCount(k.Never), decimalCount(k.Wrongly), decimalCount(k.Twice), decimalCount(k.Unasked)
		}
		o.Kinds = append(o.Kinds, kind)
	}
	for _, c := range e.Causes {
		o.Causes = append(o.Causes, member{name: string(c.Cause), value: decimalCount(c.Rows)})
	}
	if l := e.Log; l != nil {
		o.Log = &effectLogJSON{
			Source: l.Source, Snapshot: l.Snapshot, Window: jsonWindow(l.Window), Within: recount.Bucket{Size: l.Within}.String(), Events: l.Events, Edge: decimalCount(l.Edge), Nameless: decimalCount(l.Nameless), Unknown: decimalCount(l.Unknown),
		}
	}
	o.Excluded, o.ExcludedKeys = decimalCount(int64(len(e.Excluded))), keyLists(e.Excluded)
	return emit(v.out, o)
}

type effectsObject struct {
	head
	Calculation  string              `json:"calculation"`
	Window       windowJSON          `json:"window"`
	Asked        windowJSON          `json:"asked"`
	Snapshot     string              `json:"snapshot"`
	Watermark    stamp               `json:"watermark"`
	Events       recount.EventCounts `json:"events"`
	Effects      string              `json:"effects"`
	Digest       string              `json:"digest"`
	Excluded     string              `json:"excluded"`
	ExcludedKeys [][]recount.Value   `json:"excluded_keys"`
	Kinds        []effectKindJSON    `json:"kinds"`
	Log          *effectLogJSON      `json:"log"`
	Differences  string              `json:"differences"`
	Causes       object              `json:"causes"`
	Out          any                 `json:"out"`
	OutDiffer    any                 `json:"out_differences"`
	TookMS       int64               `json:"took_ms"`
}

type effectKindJSON struct {
	Kind    string `json:"kind"`
	Effects string `json:"effects"`
	Right   any    `json:"right"`
	Never   any    `json:"never_sent"`
	Wrongly any    `json:"sent_wrongly"`
	Twice   any    `json:"sent_twice"`
	Unasked any    `json:"not_asked"`
}

type effectLogJSON struct {
	Source   string              `json:"source"`
	Snapshot string              `json:"snapshot"`
	Window   windowJSON          `json:"window"`
	Within   string              `json:"within"`
	Events   recount.EventCounts `json:"events"`
	Edge     string              `json:"edge"`
	Nameless string              `json:"nameless"`
	Unknown  string              `json:"quarantined"`
}
