package enginetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// types holds what Types counts.
func types(t *testing.T, h Harness) {
	t.Run("by type and version, as logic sees them", func(t *testing.T) {
		l := newLab(t, h)
		again := shaped(5, "v2", "b", "2", "{}")
		again.ID, again.Position = "2", "00000000000000000005"
		broken := shaped(6, "v9", "c", "NULL", "{}")
		broken.Fault = `field "value": it is none`
		l.Add(shaped(1, "v1", "a", "0", `{"cents": 150}`), shaped(2, "v2", "b", "2", "{}"), shaped(3, "", "a", "3", "{}"), shaped(4, "v1", "a", "0", `{"cents": 50}`), again, broken)
		l.Mark(recount.Mark{Seq: 5, Kind: recount.MarkRepeat, ID: "2", Time: again.Time},
			recount.Mark{Seq: 6, Kind: recount.MarkFault, ID: "6", Time: broken.Time, Broken: []string{"value"}, Why: broken.Fault})
		l.open()
		want(t, "types", l.types(engine.TypesQuery{Dedupe: true}), "NULL NULL 1+0 3 3 3", "v1 NULL 2+0 1 4 1", "v2 NULL 1+0 2 2 2", "v9 NULL 0+1 6 6 6")
		want(t, "with repeats", l.types(engine.TypesQuery{})[2:3], "v2 NULL 2+0 2 5 2")
		want(t, "by a field", l.types(engine.TypesQuery{Dedupe: true, Field: "user_id"}), "NULL a 1+0 3 3 3", "v1 a 2+0 1 4 1", "v2 b 1+0 2 2 2", "v9 c 0+1 6 6 6")
		if _, err := l.session.Types(t.Context(), engine.TypesQuery{Field: "price"}); err == nil {
			t.Error("a field that is neither text nor whole number was taken for a version")
		}
		renamed := cents
		renamed.Set = map[string]string{"value": cents.Set["value"], "type": "'v2'"}
		l.input(func(in *engine.Input) { in.Upcasts = []engine.Upcast{renamed} })
		want(t, "after an upcast", l.types(engine.TypesQuery{Dedupe: true}), "NULL NULL 1+0 3 3 3", "v2 NULL 3+0 1 4 1", "v9 NULL 0+1 6 6 6")
		want(t, "as SQL sees them", l.rows(query("SELECT type AS k, sum(value) AS total FROM events WHERE type = 'v2' GROUP BY type", []string{"k"}, "total")), "v2|4.00")
		l.input(func(in *engine.Input) {
			in.Hits = recount.Hits{Window: recount.Window{By: recount.ByPosition}, Positions: []recount.PositionWindow{{Partition: "0", From: fmt.Sprintf("%020d", 2), To: fmt.Sprintf("%020d", 4)}}}
		})
		want(t, "hit events", l.types(engine.TypesQuery{Dedupe: true, See: engine.SeeHit}), "NULL NULL 1+0 3 3 3", "v2 NULL 1+0 2 2 2")
		want(t, "the others", l.types(engine.TypesQuery{Dedupe: true, See: engine.SeeUnhit}), "v1 NULL 2+0 1 4 1", "v9 NULL 0+1 6 6 6")
		l.open(noon.Add(time.Hour), noon.Add(2*time.Hour))
		want(t, "of an empty window", l.types(engine.TypesQuery{Dedupe: true}))
	})
	t.Run("by a header", func(t *testing.T) {
		l := newLab(t, h)
		var list []Event
		for i, versions := range [][]string{{"1"}, {"1", "2"}, {}, {"\xff"}} {
			e := shaped(i+1, "v", "a", "1", "{}")
			for _, v := range versions {
				e.Headers = append(e.Headers, recount.Header{Name: "version", Value: []byte(v)}, recount.Header{Name: "Version", Value: []byte("7")})
			}
			list = append(list, e)
		}
		list[2].Headers = append(list[2].Headers, recount.Header{Name: "version"})
		l.Add(list...)
		l.open()
		want(t, "types", l.types(engine.TypesQuery{Dedupe: true, Header: "version"}), "v NULL 2+0 3 4 3", "v 1 1+0 1 1 1", "v 2 1+0 2 2 2")
	})
	t.Run("against an oracle", func(t *testing.T) {
		for seed := range uint64(4) {
			typeHistory(t, h, seed)
		}
	})
}

// types spells the counts: "type version used+quarantined first last example", the
// times in seconds from noon.
func (l *lab) types(q engine.TypesQuery) (list []string) {
	l.t.Helper()
	counts, err := l.session.Types(l.t.Context(), q)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range counts {
		if len(c.Position) != 20 || c.Partition != "0" {
			l.t.Errorf("place of %s: got %s@%s", c.ID, c.Partition, c.Position)
		}
		list = append(list, fmt.Sprintf("%s %s %d+%d %d %d %s", c.Type, c.Version, c.Used, c.Quarantined, int(c.First.Sub(noon).Seconds()), int(c.Last.Sub(noon).Seconds()), c.ID))
	}
	return list
}

// typeHistory holds Types against counting one event after the other, in several
// files, some of whose events lie outside.
func typeHistory(t *testing.T, h Harness, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	l := newLab(t, h)
	type group struct {
		used, bad, first, last int
		id                     string
	}
	groups := map[[2]string]*group{}
	var file []Event
	for n := 1; n <= 60; n++ {
		kind, user := []string{"a", "b", "B", "c é"}[r.IntN(4)], []string{"1", "2", "10"}[r.IntN(3)]
		e := shaped(n, kind, user, "1", "{}")
		at := r.IntN(40) // seconds; those from 30 on lie outside
		e.Time = noon.Add(time.Duration(at) * time.Second)
		bad := r.IntN(5) == 0
		if bad {
			l.Mark(recount.Mark{Seq: int64(n), Kind: recount.MarkConflict, ID: e.ID, Time: e.Time, Why: "another payload"})
		}
		if file = append(file, e); len(file) == 20 {
			l.Add(file...)
			file = nil
		}
		if at >= 30 {
			continue
		}
		g := groups[[2]string{kind, user}]
		if g == nil {
			g = &group{first: at, last: at, id: strconv.Itoa(n)}
			groups[[2]string{kind, user}] = g
		}
		g.first, g.last = min(g.first, at), max(g.last, at)
		if bad {
			g.bad++
			continue
		}
		g.used++
	}
	var rows []string
	keys := make([][2]string, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, k := range keys {
		g := groups[k]
		rows = append(rows, fmt.Sprintf("%s %s %d+%d %d %d %s", k[0], k[1], g.used, g.bad, g.first, g.last, g.id))
	}
	l.open(noon, noon.Add(30*time.Second))
	want(t, fmt.Sprintf("seed %d", seed), l.types(engine.TypesQuery{Dedupe: true, Field: "user_id"}), rows...)
}
