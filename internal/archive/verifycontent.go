package archive

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/positions"
)

// file verifies a file's bytes, then that it holds what its commit says.
func (v *verification) file(ctx context.Context, i int, f recount.DataFile) error {
	err := v.archive.verifyFile(ctx, f)
	var seqs []int64
	if err == nil {
		var got found
		err = v.archive.openFile(ctx, f.Name, func(ef *eventfile.File) error {
			var err error
			got, err = readFound(ef, v.dense(f))
			return err
		})
		if err == nil {
			seqs = got.seqs
			v.hold(f, got.numbers)
			if wrong := got.compare(v.chain.stream, f, v.chain.ids[i], true); wrong != "" {
				err = v.archive.otherContent(f.Name, wrong)
			}
		}
	}
	if err != nil {
		seqs = nil
		v.hold(f, nil)
	}
	if other := v.covered(f, seqs); err == nil {
		err = other
	}
	return err
}

func (a *Archive) otherContent(name, wrong string) error {
	return &recount.Error{
		Code: recount.CodeDamaged, What: "a file of the archive is not what its commit says", Where: a.where(name), Why: wrong,
		Next: "report this with the file: its bytes are as they were written, so a program wrote it wrongly",
	}
}

// found is what a file really holds.
type found struct {
	meta        eventfile.Meta
	seqs        []int64
	first, last int64 // times
	times       int
	ids         idSpan
	faults      int64
	spans       map[string]*recount.PositionSpan
	numbers     map[string][]positions.Span // of the partitions whose positions are dense
}

func readFound(ef *eventfile.File, dense map[string][]positions.Span) (found, error) {
	got := found{meta: ef.Meta(), spans: map[string]*recount.PositionSpan{}, numbers: dense}
	for group := range ef.Groups() {
		if err := got.read(ef, group); err != nil {
			return got, err
		}
	}
	return got, nil
}

func (got *found) read(ef *eventfile.File, group int) error {
	if err := ef.Longs(group, "seq", func(_ int, v int64, _ bool) error {
		got.seqs = append(got.seqs, v)
		return nil
	}); err != nil {
		return err
	}
	if err := ef.Longs(group, "time", func(_ int, v int64, ok bool) error {
		if ok {
			if got.times == 0 {
				got.first, got.last = v, v
			}
			got.first, got.last = min(got.first, v), max(got.last, v)
			got.times++
		}
		return nil
	}); err != nil {
		return err
	}
	if err := ef.Texts(group, "id", func(_ int, v []byte) error {
		if len(v) > 0 {
			if got.ids.first == "" || string(v) < got.ids.first {
				got.ids.first = string(v)
			}
			if string(v) > got.ids.last {
				got.ids.last = string(v)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := ef.Texts(group, "fault", func(_ int, v []byte) error {
		if v != nil {
			got.faults++
		}
		return nil
	}); err != nil {
		return err
	}
	return got.readSpans(ef, group)
}

func (got *found) readSpans(ef *eventfile.File, group int) error {
	of := make([]*recount.PositionSpan, 0, ef.Rows(group))
	if err := ef.Texts(group, "partition", func(_ int, v []byte) error {
		s := got.spans[string(v)]
		if s == nil {
			s = &recount.PositionSpan{Partition: string(v)}
			got.spans[s.Partition] = s
		}
		of = append(of, s)
		return nil
	}); err != nil {
		return err
	}
	return ef.Texts(group, "position", func(row int, v []byte) error {
		s := of[row]
		if s.Rows == 0 || string(v) < s.First {
			s.First = string(v)
		}
		if string(v) > s.Last {
			s.Last = string(v)
		}
		s.Rows++
		if numbers, dense := got.numbers[s.Partition]; dense {
			got.numbers[s.Partition] = positions.Append(numbers, string(v))
		}
		return nil
	})
}

// compare says what differs from the commit; empty if nothing does. Faults are
// compared where the events were made when the commit was.
func (got *found) compare(stream string, f recount.DataFile, ids idSpan, faults bool) string {
	spans := []recount.PositionSpan{}
	for _, partition := range slices.Sorted(maps.Keys(got.spans)) {
		spans = append(spans, *got.spans[partition])
	}
	n := len(got.seqs)
	folder := unknownHour.folder(stream)
	if f.TimeKnown {
		folder = hourOf(f.FirstTime.UnixMicro()).folder(stream)
	}
	grows := true
	for i := 1; i < n; i++ {
		grows = grows && got.seqs[i] > got.seqs[i-1]
	}
	switch {
	case got.meta.Stream != stream || got.meta.Format != f.Format || got.meta.Header != f.Header:
		return "its metadata name another stream, format or header"
	case int64(n) != f.Rows:
		return fmt.Sprintf("it has %d rows, not %d", n, f.Rows)
	case n > 0 && (got.seqs[0] != f.FirstSeq || got.seqs[n-1] != f.LastSeq) || !grows:
		return fmt.Sprintf("its sequence numbers are not those from %d to %d, growing", f.FirstSeq, f.LastSeq)
	case f.TimeKnown && (got.times != n || got.first != f.FirstTime.UnixMicro() || got.last != f.LastTime.UnixMicro()) || !f.TimeKnown && got.times > 0:
		return "its event times are others"
	case f.TimeKnown && hourOf(got.first) != hourOf(got.last) || !strings.HasPrefix(f.Name, folder):
		return "its event times are not of its folder's hour"
	case got.ids != ids:
		return "its ids are others"
	case faults && got.faults != f.Faults:
		return fmt.Sprintf("it has %d faulty events, not %d", got.faults, f.Faults)
	case !slices.Equal(spans, f.Spans):
		return "its positions are others"
	}
	return ""
}

// covered checks, with the last file of a commit, that its files hold each of
// its sequence numbers once. Files that cannot be read are damage enough.
func (v *verification) covered(f recount.DataFile, seqs []int64) error {
	const word = 64
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range broughtBy(f) {
		s := v.commits[a.Commit]
		n := v.chain.commits[a.Commit-1].counts.Events
		cut, _ := slices.BinarySearch(seqs, a.LastSeq+1)
		own := seqs[:cut]
		s.left--
		s.whole = s.whole && seqs != nil
		seqs = seqs[cut:]
		if !s.whole {
			s.bits = nil
			continue
		}
		if s.bits == nil {
			s.bits = make([]uint64, n/word+1)
		}
		for _, seq := range own {
			at := seq - s.first
			if at < 0 || at >= n || s.bits[at/word]>>(at%word)&1 == 1 {
				return v.archive.otherContent(f.Name, fmt.Sprintf("sequence number %d stands twice, or is not of commit %d", seq, a.Commit))
			}
			s.bits[at/word] |= 1 << (at % word)
		}
		if s.left == 0 {
			// As many rows as numbers, and none twice: all are there.
			s.bits = nil
		}
	}
	return nil
}

// broughtBy lists the commits that brought a file's events, each with its last
// sequence number: the file's own, or those that it was compacted out of.
func broughtBy(f recount.DataFile) []recount.Arrival {
	if len(f.Arrivals) == 0 {
		return []recount.Arrival{{LastSeq: f.LastSeq, Commit: f.Commit}}
	}
	return f.Arrivals
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

// hold takes in the positions of one file; nil: it could not be read.
func (v *verification) hold(f recount.DataFile, numbers map[string][]positions.Span) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range f.Spans {
		if v.held[s.Partition] == nil {
			v.held[s.Partition] = &positions.Held{}
		}
		if numbers == nil {
			v.held[s.Partition].Unread()
		}
		v.held[s.Partition].Add(numbers[s.Partition])
	}
}

// positions fills in what each position of a partition is, and returns the
// damages.
func (v *verification) positions(sum *PartitionSummary) []*recount.Error {
	sum.Gaps = map[recount.GapReason]int64{}
	for _, g := range v.chain.snapshot.Gaps {
		from, ok := positions.Number(g.From)
		to, also := positions.Number(g.To)
		if g.Partition == sum.Partition && ok && also {
			sum.Gaps[g.Reason] += to - from
		}
	}
	sum.Runs = v.chain.reached.Account(sum.Partition, v.held[sum.Partition], v.chain.snapshot.Gaps)
	var found []*recount.Error
	for _, run := range sum.Runs {
		e := &recount.Error{Code: recount.CodeDamaged, Where: fmt.Sprintf("stream %s, partition %s, positions %s to %s",
			v.chain.stream, sum.Partition, recount.ShortPosition(run.First), recount.ShortPosition(run.Last))}
		switch run.Kind {
		case positions.Hole:
			e.What, e.Why = "positions are missing in the archive", "no file holds an event of them, and no commit says that they hold none"
			e.Next = "report this with the commit log; the events can be brought in under another source's name if the bus still has them"
		case positions.Overlap:
			e.What, e.Why = "positions are archived twice", "two files hold events of the same positions"
			e.Next = "report this with the commit log; until it is mended, windows over these events count them twice"
		case positions.Sealed, positions.Lost, positions.Removed:
			continue
		}
		found = append(found, e)
	}
	return found
}

// marks verifies a file of marks and its counts.
func (v *verification) marks(ctx context.Context, m recount.MarksFile) error {
	if err := v.archive.verifyMarks(ctx, m); err != nil {
		return err
	}
	var marks []recount.Mark
	err := v.archive.openFile(ctx, m.Name, func(ef *eventfile.File) (err error) {
		marks, err = ef.Marks()
		return err
	})
	if err != nil {
		return err
	}
	want := v.chain.commits[m.Commit-1].counts
	got := counts{Events: want.Events}
	for _, mark := range marks {
		switch mark.Kind {
		case recount.MarkRepeat:
			got.Repeats++
		case recount.MarkConflict:
			got.Conflicts++
		case recount.MarkFault:
			got.Faults++
		}
		if mark.Seq < 1 || mark.Seq > v.chain.lastSeq {
			return v.archive.otherContent(m.Name, fmt.Sprintf("it marks event %d, which is not archived", mark.Seq))
		}
	}
	if int64(len(marks)) != m.Rows || got != want {
		return v.archive.otherContent(m.Name, fmt.Sprintf("it has %d marks (%d repeats, %d conflicts, %d faults), not as its commit says",
			len(marks), got.Repeats, got.Conflicts, got.Faults))
	}
	return nil
}
