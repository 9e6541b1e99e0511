package run_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
)

func TestMain(m *testing.M) {
	run.Small()
	if path := os.Getenv(childSpec); path != "" {
		child(path)
		return
	}
	m.Run()
}

// drawSpec draws a run over the files.
func drawSpec(t *rapid.T) run.Spec {
	window := func(name string) (w recount.Window) {
		if rapid.Bool().Draw(t, name+" from") {
			w.From = epoch.Add(time.Duration(rapid.IntRange(-100, 50).Draw(t, name)) * 10 * time.Minute)
		}
		if rapid.Bool().Draw(t, name+" to") {
			w.To = epoch.Add(time.Duration(rapid.IntRange(-50, 100).Draw(t, name)) * 10 * time.Minute)
		}
		return w
	}
	var names []string
	for _, f := range testFields {
		names = append(names, f.Name)
	}
	all := append([]string{"id", "stream", "type", "partition", "position", "time", "ingest_time", "key", "data", "headers", "hit"}, names...)
	s := run.Spec{
		Stream: "orders", Fields: testFields, Read: window("read"), Hit: window("hit"), Dedupe: rapid.Bool().Draw(t, "dedupe"), Until: map[string]string{},
		Reads: rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, len(all), rapid.ID).Draw(t, "reads"),
		By:    rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID).Draw(t, "by"),
		Batch: rapid.SampledFrom([]int{0, 1, 2, 7, 100}).Draw(t, "batch"), Threads: rapid.IntRange(1, 3).Draw(t, "threads"),
		Memory: rapid.SampledFrom([]int64{0, 1, 1, 8 << 10, 64 << 10}).Draw(t, "memory"),
	}
	if rapid.Bool().Draw(t, "until") {
		s.Until["p1"] = recount.PadPosition(fmt.Sprint(rapid.IntRange(0, 50).Draw(t, "until position")))
		s.Until["other"] = "0"
	}
	if rapid.IntRange(0, 2).Draw(t, "bucketed") == 0 {
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		s.Bucket = recount.Bucket{Size: rapid.SampledFrom([]time.Duration{time.Hour, 24 * time.Hour}).Draw(t, "bucket"), Zone: berlin}
	}
	s.Shape.Key = keyColumns(&s)
	s.Shape.Values = []recount.Column{{Name: "count", Type: recount.Type{Kind: recount.KindInt64}}, {Name: "chain", Type: recount.Type{Kind: recount.KindString}}}
	return s
}

func keyColumns(s *run.Spec) (columns []recount.Column) {
	for _, name := range s.By {
		columns = append(columns, recount.Column{Name: "by_" + name, Type: typeOf(name)})
	}
	if !s.Bucket.None() {
		columns = append(columns, recount.Column{Name: "bucket", Type: recount.Type{Kind: recount.KindTimestamp}})
	}
	return append(columns, recount.Column{Name: "part", Type: recount.Type{Kind: recount.KindInt64}})
}

func (s *scene) fold() *chainFold {
	f := &chainFold{reads: s.spec.Reads, bucket: !s.spec.Bucket.None(), poison: s.poison}
	for _, name := range s.spec.Reads {
		f.types = append(f.types, typeOf(name))
	}
	return f
}

// scene is a spec with the events that it is over.
type scene struct {
	spec     run.Spec
	events   []event
	poison   map[int64]bool
	openings map[string]string // by the text of a key
	opened   [][]recount.Value
}

// group are the events of one key, in order.
type group struct {
	key    []recount.Value // with the bucket
	by     []recount.Value
	events []*event
	state  string
}

// groups is the oracle's grouping.
func (s *scene) groups() []*group {
	found := map[string]*group{}
	find := func(by, key []recount.Value) *group {
		g := found[recount.KeyText(key)]
		if g == nil {
			g = &group{key: key, by: by, state: s.openings[recount.KeyText(by)]}
			found[recount.KeyText(key)] = g
		}
		return g
	}
	for i := range s.events {
		e := &s.events[i]
		if !inside(s.spec.Read, e.Time) || e.mark != "" && (e.mark != recount.MarkRepeat || s.spec.Dedupe) {
			continue
		}
		if until, ok := s.spec.Until[e.Partition]; ok && e.Position >= until {
			continue
		}
		var by []recount.Value
		for _, name := range s.spec.By {
			by = append(by, e.value(&s.spec, name))
		}
		if s.spec.Keys != nil && !slices.ContainsFunc(s.spec.Keys, func(k []recount.Value) bool { return reflect.DeepEqual(k, by) }) {
			continue
		}
		key := by
		if !s.spec.Bucket.None() {
			key = append(slices.Clone(by), recount.Text(recount.FormatTimestamp(s.spec.Bucket.Floor(e.Time))))
		}
		g := find(by, key)
		g.events = append(g.events, e)
	}
	for _, by := range s.opened {
		if s.spec.Keys == nil || slices.ContainsFunc(s.spec.Keys, func(k []recount.Value) bool { return reflect.DeepEqual(k, by) }) {
			find(by, by)
		}
	}
	var list []*group
	for _, g := range found {
		slices.SortFunc(g.events, func(a, b *event) int {
			partitions := strings.Compare(a.Partition, b.Partition)
			if s.spec.Shake.Interleave {
				partitions = -partitions
			}
			return cmp.Or(partitions, strings.Compare(a.Position, b.Position), cmp.Compare(a.seq, b.seq))
		})
		list = append(list, g)
	}
	return list
}

// fold is the oracle's state of a group after some of its events.
func (s *scene) fold1(g *group, events []*event) chainState {
	state := chainState{}
	if g.state != "" {
		state = parseState(g.state)
	}
	for _, e := range events {
		var values []recount.Value
		for _, name := range s.spec.Reads {
			values = append(values, e.value(&s.spec, name))
		}
		state = state.add(values)
	}
	return state
}

func (s *scene) poisoned(g *group) (int64, bool) {
	for _, e := range g.events {
		if s.poison[e.seq] {
			return e.seq, true
		}
	}
	return 0, false
}

// rows are what the oracle expects in Out, or the key that is NULL.
func (s *scene) rows() (rows [][]recount.Value, null bool) {
	for _, g := range s.groups() {
		if _, ok := s.poisoned(g); ok {
			continue
		}
		for _, row := range s.fold1(g, g.events).rows(g.key) {
			null = null || slices.Contains(row[:len(g.key)], recount.Null)
			rows = append(rows, row)
		}
	}
	keys := len(s.spec.Shape.Key)
	slices.SortFunc(rows, func(a, b []recount.Value) int {
		return strings.Compare(recount.KeyText(a[:keys]), recount.KeyText(b[:keys]))
	})
	return rows, null
}

func outNames(s *run.Spec) (names []string) {
	for i := range s.Shape.Key {
		names = append(names, "k"+strconv.Itoa(i))
	}
	for i := range s.Shape.Values {
		names = append(names, "v"+strconv.Itoa(i))
	}
	return names
}

// TestRowsAreThoseOfANaiveFold holds runs against a fold over a list of events.
func TestRowsAreThoseOfANaiveFold(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		dir := t.TempDir()
		s := scene{spec: drawSpec(rt), events: drawEvents(rt, 60)}
		s.spec.Files, s.spec.Marks = writeFiles(rt, dir, s.events)
		s.spec.Shake.Interleave = rapid.Bool().Draw(rt, "interleave")
		s.spec.Shake.Files = rapid.Bool().Draw(rt, "reversed")
		s.spec.Out, s.spec.Scratch = filepath.Join(dir, "rows"), dir
		want, null := s.rows()
		got, err := run.Execute(context.Background(), s.spec, s.fold())
		if null {
			if e := recount.AsError(err); err == nil || e.Code != recount.CodeResultKey {
				rt.Fatalf("error: got %v, want one of code %s", err, recount.CodeResultKey)
			}
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		rows, err := readRows(s.spec.Out, outNames(&s.spec))
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(rows, want) {
			rt.Fatalf("rows: got\n%v\nwant\n%v", rows, want)
		}
		if int(got.Rows) != len(want) {
			rt.Fatalf("counted rows: got %d, want %d", got.Rows, len(want))
		}
	})
}
