package enginetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// world is a random history, and what an oracle knows of it that shares nothing
// with an engine: it goes through all events, one by one.
type world struct {
	events []known
	input  engine.Input
	order  bool
	folds  bool // events have a part in the row of their user alone
}

// known is an event with what is true of it.
type known struct {
	Event
	repeat, bad bool
	value       int // -1: NULL
	user        string
}

// follow is the logic of the random histories: each event has a part in the row
// of its user and in that of its partition.
const follow = `SELECT k, string_agg(id, ' ' ORDER BY position) AS ids, count(*) FILTER (WHERE hit) AS hits FROM (
SELECT user_id AS k, * FROM events UNION ALL SELECT 'p' || partition AS k, * FROM events WHERE user_id <> 'b') GROUP BY k`

func (w *world) hit(e known) bool {
	h := w.input.Hits
	switch h.Window.By {
	case recount.ByPosition:
		return within(e, h.Positions)
	case recount.ByIDs:
		return slices.Contains(h.IDs.IDs, e.ID)
	case recount.ByIngest:
		return !e.IngestTime.IsZero() && h.Window.Contains(e.IngestTime)
	case recount.ByEvent:
		return h.Window.Contains(e.Time)
	}
	return w.input.Window.Contains(e.Time)
}

func within(e known, windows []recount.PositionWindow) bool {
	return slices.ContainsFunc(windows, func(p recount.PositionWindow) bool {
		return p.Partition == e.Partition && e.Position >= p.From && e.Position < p.To
	})
}

// lists that name events; a condition is one that the oracle knows.
const oddPartition = "partition = '1'"

func (w *world) lists(l recount.EventList, e known) bool {
	return w.hit(e) && (l.From.IsZero() || !e.Time.Before(l.From)) && (l.To.IsZero() || e.Time.Before(l.To)) &&
		(len(l.Positions) == 0 || within(e, l.Positions)) && (l.IDs == nil || slices.Contains(l.IDs.IDs, e.ID)) &&
		(l.Except == nil || !slices.Contains(l.Except.IDs, e.ID)) && (l.Where == "" || e.Partition == "1")
}

// there says whether an event is read and sound.
func (w *world) there(e known) bool {
	until, ok := w.input.Until[e.Partition]
	return !e.bad && (!ok || e.Position < until)
}

// of says whether an event is one of those that a key has under a variant.
func (w *world) of(v engine.Variant, e known) bool {
	return w.there(e) && (!e.repeat || !v.Dedupe || v.Twice && w.hit(e))
}

// times is how often a variant sees an event.
func (w *world) times(v engine.Variant, e known) int {
	if !w.of(v, e) || !v.Within.From.IsZero() && e.Time.Before(v.Within.From) || !v.Within.To.IsZero() && !e.Time.Before(v.Within.To) {
		return 0
	}
	if v.See == engine.SeeHit && !w.hit(e) || v.See == engine.SeeUnhit && w.hit(e) {
		return 0
	}
	for _, m := range v.Missed {
		if w.lists(m, e) {
			return 0
		}
	}
	if v.Late != nil && w.hit(e) && !e.IngestTime.IsZero() {
		if end := e.Time.Truncate(10 * time.Minute).Add(10 * time.Minute); !e.IngestTime.Before(end.Add(*v.Late)) {
			return 0
		}
	}
	n := 1
	for _, a := range v.Again {
		if w.lists(a.EventList, e) {
			n += a.Times - 1
		}
	}
	return n
}

func (w *world) keys(e known) []string {
	if e.user == "b" || w.folds {
		return []string{e.user}
	}
	return []string{e.user, "p" + e.Partition}
}

// values are those of the row that events make, each given as often as it is
// seen; none: no row.
func (w *world) values(v engine.Variant, events []known) string {
	if len(events) == 0 {
		return "no row"
	}
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b known) int {
		if w.order && !v.Arrival {
			if c := cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.Partition, b.Partition)); c != 0 {
				return c
			}
		}
		if w.folds { // where nothing says otherwise, the log gives partitions no order
			return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Position, b.Position))
		}
		return cmp.Compare(a.Position, b.Position)
	})
	var list []string
	hits := 0
	for _, e := range sorted {
		list = append(list, e.ID)
		if w.hit(e) {
			hits++
		}
	}
	return strings.Join(list, " ") + "," + strconv.Itoa(hits)
}

func repeated(e known, n int) []known { return slices.Repeat([]known{e}, n) }

// states are those of the keys, as showState shows them.
func (w *world) states(v engine.Variant, q engine.StatesQuery) (list []string) {
	for _, key := range q.Keys {
		var mine []known
		start := int64(-1)
		for _, e := range w.events {
			if !w.of(v, e) || !slices.Contains(w.keys(e), key[0].Text) {
				continue
			}
			mine = append(mine, e)
			if w.hit(e) {
				start = e.Seq
			}
		}
		if len(mine) == 0 {
			continue
		}
		if start < 0 {
			start = mine[max(len(mine)-max(q.Unhit, 1), 0)].Seq
		}
		list = append(list, w.statesOf(v, q.Most, key, mine, start)...)
	}
	return list
}

func (w *world) statesOf(v engine.Variant, most int, key []recount.Value, mine []known, start int64) (list []string) {
	var seen []known
	var last known
	var from *known // the last hit event
	for i, e := range mine {
		if e.Seq == start && w.hit(e) {
			from = &mine[i]
		}
	}
	came := func(e known) time.Time {
		if e.IngestTime.After(e.Time) {
			return e.IngestTime
		}
		return e.Time
	}
	partitions := map[string]bool{}
	for i, e := range mine {
		if from != nil && !came(e).Before(came(*from)) {
			partitions[e.Partition] = true
		}
		n := w.times(v, e)
		seen = append(seen, repeated(e, n)...)
		if n > 0 {
			last = e
		}
		if e.Seq < start {
			continue
		}
		partitions[e.Partition] = true
		list = append(list, fmt.Sprintf("%s@%d %s:%s/%s last %s:%s/%s n=%d: %s", key[0], e.Seq, e.Partition, recount.ShortPosition(e.Position), e.ID,
			last.Partition, recount.ShortPosition(last.Position), last.ID, len(seen), w.values(v, seen)))
		if i == len(mine)-1 {
			list[len(list)-1] += " newest"
		}
	}
	more := ""
	if len(partitions) > 1 {
		more = " mixed"
	}
	if most > 0 && len(list) > most {
		list, more = list[len(list)-most:], more+" cut"
	}
	for i := range list {
		list[i] += more
	}
	return list
}

// each is what each event contributes, as tryEach shows it.
func (w *world) each(v engine.Variant) (list []string) {
	events := slices.Clone(w.events)
	slices.SortFunc(events, func(a, b known) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Position, b.Position))
	})
	for _, e := range events {
		n := w.times(v, e)
		if n == 0 {
			continue
		}
		keys := w.keys(e)
		slices.Sort(keys)
		for _, key := range keys {
			list = append(list, fmt.Sprintf("%s:%s@%d/%s %t %s|%s", e.Partition, recount.ShortPosition(e.Position), e.Seq, e.ID, w.hit(e), key, w.values(v, repeated(e, n))))
		}
	}
	return list
}

// rows are the rows of a run, as lab.rows shows them.
func (w *world) rows(v engine.Variant) (list []string) {
	byKey := map[string][]known{}
	for _, e := range w.events {
		for _, key := range w.keys(e) {
			if n := w.times(v, e); n > 0 {
				byKey[key] = append(byKey[key], repeated(e, n)...)
			}
		}
	}
	for key, events := range byKey {
		list = append(list, key+"|"+w.values(v, events))
	}
	slices.Sort(list)
	return list
}

// newWorld makes a random history in a lab.
func newWorld(l *lab, r *rand.Rand) *world {
	w := &world{folds: l.harness.folds()}
	n := 1 + r.IntN(60)
	var file []Event
	for i := range n {
		at := noon.Add(time.Duration(r.IntN(90)-30) * time.Minute)
		k := known{value: r.IntN(6) - 1, user: string(rune('a' + r.IntN(4)))}
		k.Event = order(strconv.Itoa(i), at, k.user, strconv.Itoa(max(k.value, 0)))
		if k.value < 0 {
			k.Fields[1] = recount.Null
		}
		if len(w.events) > 0 && r.IntN(6) == 0 {
			first := w.events[r.IntN(len(w.events))]
			if !first.repeat && !first.bad {
				k = first
				k.Time, k.repeat = at, true
			}
		} else if r.IntN(12) == 0 {
			k.bad = true
		}
		k.Event = place(k.Event, strconv.Itoa(r.IntN(3)), 10*i, time.Time{})
		if r.IntN(4) > 0 {
			k.IngestTime = k.Time.Add(time.Duration(r.IntN(40)-5) * time.Minute)
		}
		k.Seq = int64(3*i + 5)
		w.events = append(w.events, k)
		file = append(file, k.Event)
		if k.repeat || k.bad {
			kind := recount.MarkRepeat
			if k.bad {
				kind = recount.MarkConflict
			}
			l.Mark(recount.Mark{Seq: k.Seq, Kind: kind, ID: k.ID, Time: k.Time})
		}
		if r.IntN(10) == 0 {
			l.Add(file...)
			file = nil
		}
	}
	if len(file) > 0 {
		l.Add(file...)
	}
	w.order = r.IntN(2) == 0
	l.input(everything, func(in *engine.Input) {
		in.Hits = randomHits(r, n)
		in.Bucket = recount.Bucket{Size: 10 * time.Minute}
		if w.order {
			in.Order = "value"
		}
		if r.IntN(3) == 0 {
			in.Until = map[string]string{"1": pos(10 * r.IntN(n+1)), "9": pos(0)}
		}
		w.input = *in
	})
	return w
}

func randomHits(r *rand.Rand, n int) recount.Hits {
	window := recount.Window{From: noon, To: noon.Add(20 * time.Minute), By: recount.ByEvent}
	switch r.IntN(5) {
	case 0:
		return recount.Hits{Window: recount.Window{By: recount.ByPosition}, Positions: randomPositions(r, n)}
	case 1:
		return recount.Hits{Window: recount.Window{By: recount.ByIDs}, IDs: randomIDs(r, n)}
	case 2:
		window.By = recount.ByIngest
	case 3:
		return recount.Hits{}
	}
	return recount.Hits{Window: window}
}

func randomPositions(r *rand.Rand, n int) (list []recount.PositionWindow) {
	for range 1 + r.IntN(2) {
		from := r.IntN(10 * n)
		list = append(list, recount.PositionWindow{Partition: strconv.Itoa(r.IntN(3)), From: pos(from), To: pos(from + r.IntN(10*n))})
	}
	return list
}

func randomIDs(r *rand.Rand, n int) *recount.IDList {
	var list []string
	for i := range n + 2 {
		if r.IntN(3) == 0 {
			list = append(list, strconv.Itoa(i))
		}
	}
	return idList(list...)
}

func randomList(r *rand.Rand, n int) (l recount.EventList) {
	switch r.IntN(5) {
	case 0:
		l.From, l.To = noon.Add(5*time.Minute), noon.Add(15*time.Minute)
	case 1:
		l.Positions = randomPositions(r, n)
	case 2:
		l.IDs = randomIDs(r, n)
	case 3:
		l.Except = randomIDs(r, n)
	case 4:
		l.Where = oddPartition
	}
	return l
}

func randomVariant(r *rand.Rand, n int) engine.Variant {
	v := query(follow, []string{"k"}, "ids", "hits")
	v.Dedupe = r.IntN(4) > 0
	for range r.IntN(3) {
		v.Missed = append(v.Missed, randomList(r, n))
	}
	for range r.IntN(3) {
		v.Again = append(v.Again, recount.Again{EventList: randomList(r, n), Times: 2 + r.IntN(2)})
	}
	v.Twice, v.Arrival = r.IntN(3) == 0, r.IntN(3) == 0
	if r.IntN(3) == 0 {
		wait := time.Duration(r.IntN(15)) * time.Minute
		v.Late = &wait
	}
	v.Within = randomWithin(r)
	v.See = []engine.See{engine.SeeAll, engine.SeeAll, engine.SeeHit, engine.SeeUnhit}[r.IntN(4)]
	return v
}

// histories holds runs, states and contributions against the oracle.
func histories(t *testing.T, h Harness) {
	for seed := range uint64(8) {
		History(t, h, seed)
	}
}

// History makes a random history and runs random variants over it; what comes
// out is held against an oracle.
func History(t *testing.T, h Harness, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	l := newLab(t, h)
	w := newWorld(l, r)
	for range 4 {
		v := randomVariant(r, len(w.events))
		what := fmt.Sprintf("seed %d, %+v, hits %+v, order %t, until %v\n", seed, v, w.input.Hits, w.order, w.input.Until)
		rows := w.rows(v)
		want(t, "run: "+what, l.rows(v), rows...)
		sameInSplits(t, l, v, what)
		wantedRows(t, l, v, rows, what)
		q := engine.StatesQuery{Keys: keysOf("a", "b", "c", "d", "p0", "p1", "p2", "z"), Most: r.IntN(8), Unhit: r.IntN(4)}
		want(t, "states: "+what, l.states(v, q), w.states(v, q)...)
		got, err := l.tryEach(v)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "each: "+what, got, w.each(v)...)
		want(t, "feed: "+what, l.feed(v), w.feed(v)...)
		if t.Failed() {
			return
		}
	}
}

// sameInSplits: a run with other splits gives the same rows.
func sameInSplits(t *testing.T, l *lab, v engine.Variant, what string) {
	t.Helper()
	v = l.spell(v)
	first, err := l.session.Run(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	second := v
	second.Split = 1
	if v.Logic.Fold() {
		second.Split = 2 // an odd one turns the order of partitions round
	}
	if same, err := l.session.Same(t.Context(), second, first); err != nil || !same {
		t.Errorf("split: %s: same is %t, %v", what, same, err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

// wantedRows: Variant.Keys leaves out no row that is wanted, and makes none.
func wantedRows(t *testing.T, l *lab, v engine.Variant, rows []string, what string) {
	t.Helper()
	v.Keys = keysOf("a", "p1", "z")
	got := l.rows(v)
	for _, row := range rows {
		if key, _, _ := strings.Cut(row, "|"); slices.ContainsFunc(v.Keys, func(k []recount.Value) bool { return k[0].Text == key }) && !slices.Contains(got, row) {
			t.Errorf("keys: %s: row %q is missing", what, row)
		}
	}
	for _, row := range got {
		if !slices.Contains(rows, row) {
			t.Errorf("keys: %s: row %q is none", what, row)
		}
	}
}
