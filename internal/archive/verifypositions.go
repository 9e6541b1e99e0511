package archive

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"recount"
	"recount/internal/archive/positions"
)

// heldPositions is which positions of a partition the files hold, as far as they
// were read.
type heldPositions struct {
	set    positions.Set
	twice  []positions.Span
	unread bool // a file of it is damaged, which is said elsewhere
}

// dense has an entry for each partition of a file whose positions are numbers
// without holes.
func (v *verification) dense(f recount.DataFile) map[string][]positions.Span {
	dense := map[string][]positions.Span{}
	for _, s := range f.Spans {
		if _, ok := v.chain.reached.Dense(s.Partition); ok {
			dense[s.Partition] = nil
		}
	}
	return dense
}

// appended adds a position to spans; those of a file come in order, mostly.
func appended(spans []positions.Span, position string) []positions.Span {
	n, ok := positions.Number(position)
	if !ok || n == math.MaxInt64 {
		return spans
	}
	if last := len(spans) - 1; last >= 0 && spans[last].To == n {
		spans[last].To++
		return spans
	}
	return append(spans, positions.Span{From: n, To: n + 1})
}

func (v *verification) partition(name string) *heldPositions {
	p := v.held[name]
	if p == nil {
		p = &heldPositions{}
		v.held[name] = p
	}
	return p
}

// hold takes in the positions of one file.
func (v *verification) hold(numbers map[string][]positions.Span) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for partition, spans := range numbers {
		p := v.partition(partition)
		const most = 1000
		if twice := p.set.Add(spans); len(p.twice) < most {
			p.twice = append(p.twice, twice...)
		}
	}
}

func (v *verification) unread(f recount.DataFile) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range f.Spans {
		v.partition(s.Partition).unread = true
	}
}

// positions fills in what each position of a partition is, and returns the
// damages.
func (v *verification) positions(sum *PartitionSummary) []*recount.Error {
	sum.Gaps = map[recount.GapReason]int64{}
	var known, lost positions.Set
	for _, g := range v.chain.snapshot.Gaps {
		from, ok := positions.Number(g.From)
		to, also := positions.Number(g.To)
		if g.Partition != sum.Partition || !ok || !also {
			continue
		}
		sum.Gaps[g.Reason] += to - from
		if g.Lost() {
			lost.Add([]positions.Span{{From: from, To: to}})
		} else {
			known.Add([]positions.Span{{From: from, To: to}})
		}
	}
	from, dense := v.chain.reached.Dense(sum.Partition)
	held := v.held[sum.Partition]
	if !dense || held == nil || held.unread {
		return nil
	}
	sum.Dense = true
	gone := lost.Spans()
	gone = held.set.Without(gone)
	known.Add(held.set.Spans())
	all := known
	all.Add(gone)
	removed := v.removed(sum.Partition)
	var holes []positions.Span
	for _, s := range v.chain.reached.Stretches() {
		first, ok := positions.Number(max(s.First, from))
		last, also := positions.Number(s.Last)
		if s.Partition == sum.Partition && ok && also {
			holes = append(holes, all.Missing(positions.Span{From: first, To: last + 1})...)
		}
	}
	var taken []positions.Span
	holes, taken = parted(holes, &removed)
	for _, list := range []struct {
		kind  RunKind
		spans []positions.Span
	}{{RunSealed, known.Spans()}, {RunLost, gone}, {RunRemoved, taken}, {RunHole, holes}, {RunOverlap, held.twice}} {
		for _, s := range list.spans {
			sum.Runs = append(sum.Runs, PositionRun{Kind: list.kind, First: positions.Text(s.From), Last: positions.Text(s.To - 1)})
		}
	}
	slices.SortStableFunc(sum.Runs, func(a, b PositionRun) int { return cmp.Compare(a.First, b.First) })
	return v.damages(sum.Runs, sum.Partition)
}

// removed are the positions among which retention took events out.
func (v *verification) removed(partition string) positions.Set {
	var set positions.Set
	for _, s := range v.chain.reached.Removed(partition) {
		first, ok := positions.Number(s.First)
		last, also := positions.Number(s.Last)
		if ok && also {
			set.Add([]positions.Span{{From: first, To: last + 1}})
		}
	}
	return set
}

// parted parts spans into what is outside of a set and what is inside.
func parted(spans []positions.Span, set *positions.Set) (outside, inside []positions.Span) {
	outside = set.Without(spans)
	var out positions.Set
	out.Add(outside)
	return outside, out.Without(spans)
}

func (v *verification) damages(runs []PositionRun, partition string) []*recount.Error {
	var found []*recount.Error
	for _, run := range runs {
		e := &recount.Error{Code: recount.CodeDamaged, Where: fmt.Sprintf("stream %s, partition %s, positions %s to %s",
			v.chain.stream, partition, recount.ShortPosition(run.First), recount.ShortPosition(run.Last))}
		switch run.Kind {
		case RunHole:
			e.What, e.Why = "positions are missing in the archive", "no file holds an event of them, and no commit says that they hold none"
			e.Next = "report this with the commit log; the events can be brought in under another source's name if the bus still has them"
		case RunOverlap:
			e.What, e.Why = "positions are archived twice", "two files hold events of the same positions"
			e.Next = "report this with the commit log; until it is mended, windows over these events count them twice"
		case RunSealed, RunLost, RunRemoved:
			continue
		}
		found = append(found, e)
	}
	return found
}
