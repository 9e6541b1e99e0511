package views

import (
	"strings"
	"time"

	"recount"
)

const maxPlot = 72

// bin is one column of the plot.
type bin struct{ events, wrong int64 }

// plot draws events and wrong rows over the window's minutes, one column a step
// or a few, both rows over the same axis.
func (p *page) plot(b *recount.PlanBody) {
	minutes := b.Minutes
	if len(minutes) < 2 || b.Events.Used == 0 {
		return
	}
	const usualNote = 14 // as in "most 139 in 1 min"
	room := min(maxPlot, p.st.width()-labelIndent-2-usualNote)
	bins, each, wrongKnown := binned(minutes, room)
	var events, wrong []int64
	for _, bin := range bins {
		events, wrong = append(events, bin.events), append(wrong, bin.wrong)
	}
	p.blank()
	step := minutes[1].From.Sub(minutes[0].From) * time.Duration(each)
	note := "most " + count(peak(events)) + " in " + duration(step)
	// A short window is drawn twice as wide, where that leaves the note whole.
	wide := 1
	if len(bins) <= maxPlot/2 && labelIndent+2*len(bins)+2+columns(note) <= p.st.width() {
		wide = 2
	}
	p.plotRow("events", events, wide, blue, note)
	if wrongKnown {
		p.plotRow("wrong", wrong, wide, orange, "most "+count(peak(wrong)))
	}
	p.axis(b.Window, wide*len(bins))
}

func peak(values []int64) int64 {
	var most int64
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

// binned joins steps so that at most most columns are left; each says how many
// steps a column joins.
func binned(minutes []recount.MinuteCount, most int) (bins []bin, each int, wrongKnown bool) {
	each = (len(minutes) + most - 1) / most
	bins = make([]bin, (len(minutes)+each-1)/each)
	for i, m := range minutes {
		b := &bins[i/each]
		b.events += max(m.Events, 0)
		if m.Wrong >= 0 {
			wrongKnown = true
			b.wrong += m.Wrong
		}
	}
	return bins, each, wrongKnown
}

func (p *page) plotRow(label string, values []int64, wide int, i ink, note string) {
	most := peak(values)
	var b strings.Builder
	for _, v := range values {
		b.WriteString(strings.Repeat(p.bar(v, most), wide))
	}
	p.line(span{"  " + pad(label, labelWidth, false), dim}, span{b.String(), i}, span{"  " + note, dim})
}

// bar is the block for v of at most most; only zero is empty.
func (p *page) bar(v, most int64) string {
	if v <= 0 || most <= 0 {
		return " "
	}
	steps := int64(len(p.g.blocks))
	// Halves the counts until the product cannot overflow.
	for most > 1<<55 {
		v, most = v>>1, most>>1
	}
	return p.g.blocks[min(max((v*steps-1)/most, 0), steps-1)]
}

// axis names the window's edges under the plot.
func (p *page) axis(w recount.Window, width int) {
	layout := "15:04"
	switch {
	case w.Length() > 24*time.Hour:
		layout = "2006-01-02 15:04"
	case w.From.Second() != 0 || w.To.Second() != 0 || w.From.Nanosecond() != 0 || w.To.Nanosecond() != 0:
		layout = "15:04:05"
	}
	from, to := w.From.UTC().Format(layout), w.To.UTC().Format(layout)
	room := max(width-len(from)-len(to)-2, 1)
	p.line(span{strings.Repeat(" ", labelIndent) + from + " " + strings.Repeat(p.g.rule, room) + " " + to + " UTC", dim})
}

// duration shows a span of time as a person says it: 1m, 30s, 2h.
func duration(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return count(int64(d/time.Hour)) + " h"
	case d >= time.Minute && d%time.Minute == 0:
		return count(int64(d/time.Minute)) + " min"
	case d >= time.Second && d%time.Second == 0:
		return count(int64(d/time.Second)) + " s"
	}
	return d.String()
}
