package kafka

import (
	"maps"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/source"
)

// reading is one partition that is being read. What is fetched belongs to the
// goroutine that fetches; the rest to the one that reads.
type reading struct {
	part
	name       string
	generation int
	compacted  bool
	last       int32 // the leadership of the last record that was read
	pulls      bool  // parts are read by themselves
	beyond     mark  // with pulls, how far the newest part reached before
	next       int64 // the first offset that was not handed over
	fetched    int64 // the first offset that was not fetched
}

func (r *reading) cursor() string {
	m := mark{
		Topic: r.topic, Partition: r.partition, ID: idText(r.id), Generation: r.generation, Next: r.next, Epoch: r.last, End: max(r.end, r.next),
		Pulled: r.pulls,
	}
	if r.pulls && r.beyond.Next > m.Next {
		m.Next, m.Epoch = r.beyond.Next, r.beyond.Epoch
	}
	return m.text()
}

// lost moves the reading over records that retention deleted: they were written
// before now.
func (r *reading) lost(to int64, now time.Time) source.Batch {
	b := source.Batch{Partition: r.name, Gaps: []recount.Gap{lost(r.name, r.next, to, now)}}
	r.next, r.fetched, r.last = to, to, -1 // nobody knows under whom those were written
	b.Cursor = r.cursor()
	return b
}

func lost(partition string, from, to int64, now time.Time) recount.Gap {
	g := gap(partition, from, to, recount.GapRetention)
	if g.Before = now.UTC().Truncate(time.Microsecond); g.Before.Before(now) {
		g.Before = g.Before.Add(time.Microsecond)
	}
	return g
}

// assignment is what a read has to do.
type assignment struct {
	now      time.Time
	readings []*reading
	// before is told before anything is read: what is lost, and where partitions
	// begin.
	before []source.Batch
	over   []source.Batch // of those, the ones that tell of logs which are gone
	lost   []recount.Gap  // that a run would tell as lost
}

// assign joins how the topics stand with what the archive has of them.
func (s *Source) assign(v view, known map[place]held, cut map[place]int64) assignment {
	a := assignment{now: s.env.Now()}
	names := s.names(known)
	topics := map[string]bool{}
	for at, h := range known {
		topics[at.topic] = topics[at.topic] || !h.mark.Pulled
	}
	there := map[place]bool{}
	for _, p := range v.parts {
		there[p.place] = true
		r := &reading{part: p, generation: 1, last: -1}
		h, ok := known[p.place]
		for _, older := range h.older {
			a.end(older, 0)
		}
		switch from, wasCut := cut[p.place]; {
		case !ok:
			r.name = names.of(p.place)
			a.begin(r, topics[p.topic])
		case wasCut:
			a.end(h, from)
			r.follow(h, from)
			a.begin(r, true)
		case h.mark.Over:
			r.follow(h, h.mark.From)
			a.begin(r, true)
		case h.mark.ID != "" && idText(p.id) != "" && h.mark.ID != idText(p.id):
			a.end(h, 0)
			r.follow(h, 0)
			a.begin(r, true)
		case h.mark.Pulled:
			r.name, r.generation, r.beyond = h.name, h.mark.Generation, h.mark
			a.begin(r, topics[p.topic])
		default:
			r.name, r.generation, r.last = h.name, h.mark.Generation, h.mark.Epoch
			r.next, r.fetched = h.mark.Next, h.mark.Next
			a.begin(r, true)
		}
		a.readings = append(a.readings, r)
	}
	a.gone(known, there, s.config.Topics)
	return a
}

// follow makes the reading the generation after what is held.
func (r *reading) follow(h held, from int64) {
	r.generation = h.mark.Generation + 1
	r.name = named(h.base(), r.generation)
	r.next, r.fetched = from, from
}

// begin tells what retention took away before a reading. Of a topic that the
// archive has never read it is no loss of the archive's, but no window may need it.
func (a *assignment) begin(r *reading, promised bool) {
	if r.start <= r.next {
		return
	}
	b := r.lost(r.start, a.now)
	a.before = append(a.before, b)
	if promised {
		a.lost = append(a.lost, b.Gaps...)
	}
}

// end tells that the log of a generation is gone, with all that was not read of
// it. Where it ended is not known: all positions from the cursor on are lost.
func (a *assignment) end(h held, from int64) {
	m := h.mark
	m.Over, m.Pulled, m.Last, m.From, m.Next = true, false, h.mark.Next, from, lastOffset
	first := h.mark.Next
	if h.mark.Pulled {
		first = 0 // what lies between the parts was never read
	}
	b := source.Batch{Partition: h.name, Gaps: []recount.Gap{lost(h.name, first, lastOffset, a.now)}, Cursor: m.text()}
	a.before, a.over, a.lost = append(a.before, b), append(a.over, b), append(a.lost, b.Gaps...)
}

// gone ends the partitions that a topic made anew has no more.
func (a *assignment) gone(known map[place]held, there map[place]bool, topics []string) {
	lost := slices.SortedFunc(maps.Keys(known), func(x, y place) int {
		if x.topic != y.topic {
			return strings.Compare(x.topic, y.topic)
		}
		return int(x.partition - y.partition)
	})
	for _, at := range lost {
		if there[at] || !slices.Contains(topics, at.topic) {
			continue
		}
		for _, older := range known[at].older {
			a.end(older, 0)
		}
		if !known[at].mark.Over {
			a.end(known[at], 0)
		}
	}
}

func splitWords(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
