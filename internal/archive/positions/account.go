package positions

import (
	"cmp"
	"math"
	"slices"

	"recount"
)

// RunKind says what a run of positions is.
type RunKind string

// The kinds of runs. Hole and Overlap are damages.
const (
	Sealed  RunKind = "sealed"  // each position is archived once, or lies in a gap whose events are none
	Lost    RunKind = "lost"    // the source deleted events before they were archived
	Removed RunKind = "removed" // retention took events out
	Hole    RunKind = "hole"    // neither archived nor in a gap
	Overlap RunKind = "overlap" // archived twice
)

// Run is a run of positions of one kind, both ends inside.
type Run struct {
	Kind        RunKind
	First, Last string
}

// Held is which positions of a partition the files hold, as far as they were read.
type Held struct {
	set    Set
	twice  []Span
	unread bool
}

// Add takes in the positions of one file.
func (h *Held) Add(spans []Span) {
	const most = 1000
	if twice := h.set.Add(spans); len(h.twice) < most {
		h.twice = append(h.twice, twice...)
	}
}

// Unread says that a file could not be read: nothing can be said of the partition.
func (h *Held) Unread() { h.unread = true }

// Append adds a position to the spans of a file, whose positions come in order,
// mostly.
func Append(spans []Span, position string) []Span {
	n, ok := Number(position)
	if !ok || n == math.MaxInt64 {
		return spans
	}
	if last := len(spans) - 1; last >= 0 && spans[last].To == n {
		spans[last].To++
		return spans
	}
	return append(spans, Span{n, n + 1})
}

// spanOf is the span between two positions, both inside.
func spanOf(first, last string) (Span, bool) {
	from, ok := Number(first)
	to, also := Number(last)
	return Span{from, to + 1}, ok && also
}

// Account says what each position of a partition is that was read, from what the
// files hold and the gaps that the commits name; nil where its positions are not
// dense, or a file could not be read.
func (r *Reached) Account(partition string, h *Held, gaps []recount.Gap) []Run {
	from, dense := r.Dense(partition)
	if !dense || h == nil || h.unread {
		return nil
	}
	var known, lost, removed Set
	for _, g := range gaps {
		span, ok := spanOf(g.From, Before(g.To))
		switch {
		case g.Partition != partition || !ok:
		case g.Lost():
			lost.Add([]Span{span})
		default:
			known.Add([]Span{span})
		}
	}
	for _, s := range r.Removed(partition) {
		if span, ok := spanOf(s.First, s.Last); ok {
			removed.Add([]Span{span})
		}
	}
	gone := h.set.Without(lost.Spans())
	known.Add(h.set.Spans())
	all := known
	all.Add(gone)
	var missing []Span
	for _, s := range r.Stretches() {
		if span, ok := spanOf(max(s.First, from), s.Last); ok && s.Partition == partition {
			missing = append(missing, all.Missing(span)...)
		}
	}
	holes := removed.Without(missing)
	var hole Set
	hole.Add(holes)
	var runs []Run
	for _, list := range []struct {
		kind  RunKind
		spans []Span
	}{{Sealed, known.Spans()}, {Lost, gone}, {Removed, hole.Without(missing)}, {Hole, holes}, {Overlap, h.twice}} {
		for _, s := range list.spans {
			runs = append(runs, Run{Kind: list.kind, First: Text(s.From), Last: Text(s.To - 1)})
		}
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return cmp.Compare(a.First, b.First) })
	return runs
}
