package turns_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
	"recount/engine"
	"recount/engine/enginetest"
	"recount/engine/fold/run"
	"recount/engine/fold/turns"
	"recount/engine/result"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func text(kind recount.Kind) recount.Type { return recount.Type{Kind: kind} }

var fields = []recount.Field{{Name: "user", Type: text(recount.KindString)}, {Name: "value", Type: text(recount.KindInt64)}}

var shape = recount.Shape{
	Key:    []recount.Column{{Name: "user", Type: text(recount.KindString)}, {Name: "part", Type: text(recount.KindInt64)}},
	Values: []recount.Column{{Name: "who", Type: text(recount.KindString)}, {Name: "state", Type: text(recount.KindString)}},
}

// teller is a fold whose state tells which fold took which event: words of its own
// letter and of what it reads.
type teller struct {
	letter string
	reads  []string
	poison map[int64]bool
	vague  bool
	// refuses are states that it cannot go on from.
	refuses string
}

// word is what the fold adds at an event.
func (f *teller) word(e enginetest.Event) string {
	word := f.letter
	for _, name := range f.reads {
		switch name {
		case "id":
			word += e.ID
		case "value":
			word += e.Fields[1].Text
		case "partition":
			word += "p" + e.Partition
		}
	}
	return word
}

// rows are none, one or two, and say who made them.
func (f *teller) rows(user, state string) (rows [][]recount.Value) {
	for part := range len(strings.Fields(state)) % 3 {
		rows = append(rows, []recount.Value{recount.Text(user), recount.Text(strconv.Itoa(part)), recount.Text(f.letter), recount.Text(state)})
	}
	return rows
}

func (f *teller) New(_ context.Context, _ int, w run.Wants) (run.Stepper, error) {
	return &told{teller: f, wants: w}, nil
}

// told is its stepper. It holds what is promised to every stepper: groups follow one
// another, and no key goes on that was not left open.
type told struct {
	*teller
	wants run.Wants
	next  int64
	open  bool
	user  string
	state string
}

func (s *told) Close() error { return nil }

func (s *told) Step(_ context.Context, in run.Batch) (a run.Answer, err error) {
	if int(in.Record.NumCols()) != len(s.reads) {
		return a, fmt.Errorf("a batch has %d columns", in.Record.NumCols())
	}
	for _, g := range in.Groups {
		if g.Begin == s.open || g.Begin && g.Number != s.next || !g.Begin && g.Number != s.next-1 {
			return a, fmt.Errorf("%s: group %d comes after %d", s.letter, g.Number, s.next-1)
		}
		if g.Begin {
			s.next, s.user, s.state = g.Number+1, g.Key[0].Text, ""
			if s.refuses != "" && strings.Contains(string(g.Opening), s.refuses) {
				return a, errors.New("it cannot read this state")
			}
			if g.Opening != nil {
				s.state = string(g.Opening)
			}
		}
		for at := g.From; at < g.To; at++ {
			if s.poison[in.Seq[at]] {
				p := &run.Poison{Group: g.Number, Seq: in.Seq[at], Err: errors.New("it cannot go on")}
				if s.vague {
					p.Group, p.Seq = -1, 0
				}
				return a, p
			}
			s.state = strings.TrimSpace(s.state + " " + s.read(in, at))
			if s.wants.Effects && in.Seq[at]%2 == 0 {
				a.Effects = append(a.Effects, recount.Effect{Kind: s.letter, Key: s.user, Seq: in.Seq[at], Payload: []byte(strconv.Quote(s.state))})
			}
			if s.wants.Show {
				s.tell(&a, g, at)
			}
		}
		s.open = !g.End
		switch {
		case g.End && g.From == g.To:
			s.tell(&a, g, -1)
		case g.End && !s.wants.Show:
			s.tell(&a, g, g.To-1)
		}
	}
	return a, nil
}

// read makes the word of an event out of a batch.
func (s *told) read(in run.Batch, at int) string {
	word := s.letter
	for i, name := range s.reads {
		if name == "partition" {
			word += "p"
		}
		word += in.Record.Column(i).ValueStr(at)
	}
	return word
}

func (s *told) tell(a *run.Answer, g run.Group, at int) {
	if s.wants.State {
		a.States = append(a.States, run.State{Group: g.Number, At: at, Bytes: []byte(s.state)})
	}
	if len(s.wants.Columns) > 0 {
		for _, row := range s.rows(s.user, s.state) {
			a.Rows = append(a.Rows, run.Row{Group: g.Number, At: at, Values: row})
		}
	}
}

// scene is a random history, with folds that take turns over it.
type scene struct {
	spec   run.Spec
	events []enginetest.Event
	folds  []*teller
}

func (s *scene) steppers() run.Steppers {
	parts := make([]run.Steppers, len(s.folds))
	for i, f := range s.folds {
		parts[i] = f
	}
	return turns.Steppers(s.spec, parts)
}

// turn is the plain rule: the first fold that is in force.
func (s *scene) turn(e enginetest.Event) int {
	hit := !e.Time.Before(s.spec.Hit.From) && e.Time.Before(s.spec.Hit.To)
	for i, t := range s.spec.Turns {
		if (hit || !t.Hit) && !e.Time.Before(t.Span.From) && (t.Span.To.IsZero() || e.Time.Before(t.Span.To)) {
			return i
		}
	}
	panic("an event is nobody's")
}

// stand is a key after an event.
type stand struct {
	user   string
	bucket time.Time
	seq    int64
	turn   int
	state  string
}

// fold is the oracle: one event after the other. It returns what stands after each
// event, and what stands at the end of each key.
func (s *scene) fold() (after, ends []stand) {
	keys := map[string][]enginetest.Event{}
	for _, e := range s.events {
		user := e.Fields[0].Text
		bucket := time.Time{}
		if !s.spec.Bucket.None() {
			bucket = s.spec.Bucket.Floor(e.Time)
		}
		name := user + "|" + bucket.Format(time.RFC3339)
		keys[name] = append(keys[name], e)
	}
	for name, events := range keys {
		user, at, _ := strings.Cut(name, "|")
		bucket, _ := time.Parse(time.RFC3339, at)
		slices.SortFunc(events, func(a, b enginetest.Event) int {
			return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Position, b.Position))
		})
		now := stand{user: user, bucket: bucket}
		dead := false
		for _, e := range events {
			now.seq, now.turn = e.Seq, s.turn(e)
			dead = dead || s.folds[now.turn].poison[e.Seq]
			now.state = strings.TrimSpace(now.state + " " + s.folds[now.turn].word(e))
			if !dead {
				after = append(after, now)
			}
		}
		if dead {
			after = slices.DeleteFunc(after, func(o stand) bool { return o.user == user && o.bucket.Equal(bucket) })
			continue
		}
		ends = append(ends, now)
	}
	return after, ends
}

func draw(t *rapid.T, tb testing.TB) *scene {
	at := func(what string) time.Time {
		return noon.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, what)) * time.Minute)
	}
	s := &scene{}
	b := enginetest.NewBuilder(tb, fields...)
	n := 0
	for range rapid.IntRange(1, 3).Draw(t, "files") {
		var list []enginetest.Event
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			n++
			list = append(list, enginetest.Event{Event: recount.Event{
				ID: fmt.Sprint("e", n), Partition: fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "partition")), Position: fmt.Sprintf("%020d", n), Time: at("time"), Data: []byte{},
				Fields: []recount.Value{recount.Text(rapid.SampledFrom([]string{"a", "b", "c", "dd"}).Draw(t, "user")), recount.Text(fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "value")))},
			}})
		}
		b.Add(list...)
		s.events = append(s.events, list...)
	}
	in := b.Input(noon, noon.Add(2*time.Hour))
	s.spec = run.Spec{
		Read: in.Window, Stream: in.Stream, Fields: fields, By: []string{"user"}, Shape: shape, Digest: "digest", Scratch: in.Scratch,
		Threads: rapid.IntRange(1, 3).Draw(t, "threads"), Batch: rapid.SampledFrom([]int{0, 1, 2, 7}).Draw(t, "batch"),
		Memory: rapid.SampledFrom([]int64{0, 1}).Draw(t, "memory"), Shake: engine.Shake{Batches: rapid.Bool().Draw(t, "batches"), Threads: rapid.Bool().Draw(t, "shaken")},
		Hit: recount.Window{From: at("from"), To: at("to"), By: recount.ByEvent},
	}
	for _, f := range in.Files {
		s.spec.Files = append(s.spec.Files, run.File{Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq})
	}
	s.takeTurns(t, at)
	return s
}

// takeTurns draws which folds share the history: versions that follow one another
// in time, a fold of the hit events, or both.
func (s *scene) takeTurns(t *rapid.T, at func(string) time.Time) {
	add := func(turn run.Turn) {
		f := &teller{letter: string("abcdef"[len(s.folds)]), reads: rapid.Permutation([]string{"id", "value", "partition"}).Draw(t, "reads")[:rapid.IntRange(0, 3).Draw(t, "few")]}
		s.folds = append(s.folds, f)
		turn.Name, turn.Where, turn.Reads = "v-"+f.letter, "fold "+f.letter, f.reads
		s.spec.Turns = append(s.spec.Turns, turn)
	}
	if rapid.Bool().Draw(t, "hit") {
		add(run.Turn{Hit: true})
	}
	var edges []time.Time
	for range rapid.IntRange(0, 3).Draw(t, "edges") {
		edges = append(edges, at("edge"))
	}
	slices.SortFunc(edges, time.Time.Compare)
	from := time.Time{}
	for _, edge := range slices.Compact(edges) {
		add(run.Turn{Span: recount.Window{From: from, To: edge}})
		from = edge
	}
	add(run.Turn{Span: recount.Window{From: from}})
	s.spec.Reads = turns.Reads(s.spec.Turns)
}

func read(t *rapid.T, path string, names ...string) (lines []string) {
	f, err := result.OpenTexts(context.Background(), path, names)
	if err != nil {
		t.Fatal(err)
	}
	for row, ok := f.Next(); ok; row, ok = f.Next() {
		lines = append(lines, fmt.Sprint(row))
	}
	if err := errors.Join(f.Err(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return lines
}

func (s *scene) rowsOf(ends []stand) (lines []string) {
	for _, e := range ends {
		for _, row := range s.folds[e.turn].rows(e.user, e.state) {
			if e.bucket.IsZero() {
				lines = append(lines, fmt.Sprint(row))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func same(t *rapid.T, what string, got, want []string) {
	t.Helper()
	got = slices.Sorted(slices.Values(got))
	if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Fatalf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(slices.Sorted(slices.Values(want)), "\n"))
	}
}

// check runs a property a few times: each writes files.
func check(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	const most = 30
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n <= most {
			property(rt)
		}
	})
}

func (s *scene) execute(t *rapid.T) run.Result {
	r, err := run.Execute(context.Background(), s.spec, s.steppers())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRowsAndEffectsAreThoseOfAPlainLoop(t *testing.T) {
	check(t, func(rt *rapid.T) {
		s := draw(rt, t)
		if rapid.Bool().Draw(rt, "poison") {
			for _, f := range s.folds {
				f.poison, f.vague = map[int64]bool{int64(rapid.IntRange(1, 40).Draw(rt, "bad")): true}, rapid.Bool().Draw(rt, "vague")
			}
		}
		s.spec.Out, s.spec.Effects = filepath.Join(s.spec.Scratch, "rows"), filepath.Join(s.spec.Scratch, "effects")
		s.execute(rt)
		after, ends := s.fold()
		same(rt, "rows", read(rt, s.spec.Out, "k0", "k1", "v0", "v1"), s.rowsOf(ends))
		var want []string
		for _, e := range after {
			if e.seq%2 == 0 {
				want = append(want, fmt.Sprint([]recount.Value{recount.Text(s.folds[e.turn].letter), recount.Text(e.user), recount.Text(fmt.Sprint(e.seq)), recount.Text(strconv.Quote(e.state))}))
			}
		}
		same(rt, "effects", read(rt, s.spec.Effects, "kind", "key", "seq", "payload"), want)
	})
}

func TestWhatIsShownIsThatOfAPlainLoop(t *testing.T) {
	check(t, func(rt *rapid.T) {
		s := draw(rt, t)
		s.spec.Show, s.spec.Memory = true, 0
		for i := range s.events { // keys whose events come in order of seq show each stand
			s.events[i].Partition = "0"
		}
		s.rewrite(t)
		s.spec.Out = filepath.Join(s.spec.Scratch, "shown")
		s.execute(rt)
		after, _ := s.fold()
		var want []string
		for _, e := range after {
			for _, row := range s.folds[e.turn].rows(e.user, e.state) {
				want = append(want, fmt.Sprint(e.seq, row))
			}
		}
		rows, err := run.OpenShown(context.Background(), s.spec)
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		for one, ok := rows.Next(); ok; one, ok = rows.Next() {
			if one.Made {
				got = append(got, fmt.Sprint(one.Seq, slices.Concat(one.Row.Key, one.Row.Values)))
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			rt.Fatal(err)
		}
		same(rt, "shown", got, want)
	})
}

// rewrite writes the events again, into one file.
func (s *scene) rewrite(tb testing.TB) {
	b := enginetest.NewBuilder(tb, fields...)
	b.Add(s.events...)
	in := b.Input(noon, noon.Add(2*time.Hour))
	f := in.Files[0]
	s.spec.Files = []run.File{{Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq}}
}

func TestBucketsAreKeysOfTheirOwn(t *testing.T) {
	check(t, func(rt *rapid.T) {
		s := draw(rt, t)
		s.spec.Bucket = recount.Bucket{Size: 10 * time.Minute, Zone: time.UTC}
		s.spec.Effects = filepath.Join(s.spec.Scratch, "effects") // rows of buckets are not told apart here
		s.execute(rt)
		after, _ := s.fold()
		var want []string
		for _, e := range after {
			if e.seq%2 == 0 {
				want = append(want, fmt.Sprint([]recount.Value{recount.Text(fmt.Sprint(e.seq)), recount.Text(strconv.Quote(e.state))}))
			}
		}
		same(rt, "effects", read(rt, s.spec.Effects, "seq", "payload"), want)
	})
}

// TestAHistoryCutInTwoIsTheWhole: states that are taken out at some time, and given
// back, make the rows of the whole, also of keys that have no event after it.
func TestAHistoryCutInTwoIsTheWhole(t *testing.T) {
	check(t, func(rt *rapid.T) {
		s := draw(rt, t)
		for i := range s.events { // the log keeps the order of time
			s.events[i].Partition, s.events[i].Position = "0", fmt.Sprintf("%020d", s.events[i].Time.UnixMicro()*100+int64(i))
		}
		s.rewrite(t)
		_, ends := s.fold()
		cut := noon.Add(time.Duration(rapid.IntRange(0, 61).Draw(rt, "cut")) * time.Minute)
		if s.spec.Turns[0].Hit && s.spec.Hit.From.Before(cut) {
			cut = s.spec.Hit.From // states of before the hit events
		}
		states := *s
		states.spec.Read.To = cut
		states.spec.Shape = recount.Shape{Key: shape.Key[:1], Values: []recount.Column{{Name: recount.StateColumn, Type: text(recount.KindString)}}}
		states.spec.Out = filepath.Join(s.spec.Scratch, "states")
		states.execute(rt)
		s.spec.Opening, s.spec.Read.From = opening(rt, t, states.spec.Out), cut
		s.spec.Out = filepath.Join(s.spec.Scratch, "rows")
		s.execute(rt)
		same(rt, "rows", read(rt, s.spec.Out, "k0", "k1", "v0", "v1"), s.rowsOf(ends))
	})
}

// opening writes states as a checkpoint has them.
func opening(t *rapid.T, tb testing.TB, path string) string {
	f, err := result.OpenTexts(context.Background(), path, []string{"k0", "v0"})
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for row, ok := f.Next(); ok; row, ok = f.Next() {
		rows = append(rows, []string{row[0].Text, row[1].Text})
	}
	if err := errors.Join(f.Err(), f.Close()); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(tb.TempDir(), "opening.parquet")
	if err := enginetest.WriteTexts(out, []string{"user", recount.StateColumn}, rows); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAStateThatIsNotTakenIsTold(t *testing.T) {
	for _, batch := range []int{0, 1} {
		b := enginetest.NewBuilder(t, fields...)
		event := func(id int, user string) enginetest.Event {
			return enginetest.Event{Event: recount.Event{
				ID: fmt.Sprint("e", id), Partition: "0", Position: fmt.Sprintf("%020d", id), Time: noon.Add(time.Duration(id) * time.Minute), Data: []byte{},
				Fields: []recount.Value{recount.Text(user), recount.Text("1")},
			}}
		}
		b.Add(event(1, "x"), event(2, "y"), event(3, "z"), event(11, "x"), event(12, "y"), event(13, "z"))
		in := b.Input(noon, noon.Add(time.Hour))
		edge := noon.Add(10 * time.Minute)
		s := &scene{folds: []*teller{{letter: "a", reads: []string{"id"}}, {letter: "b", reads: []string{"id"}, refuses: "ae2"}}}
		s.spec = run.Spec{
			Read: in.Window, Stream: in.Stream, Fields: fields, By: []string{"user"}, Shape: shape, Digest: "digest", Scratch: in.Scratch, Threads: 1, Batch: batch,
			Out: filepath.Join(in.Scratch, "rows"),
			Turns: []run.Turn{
				{Name: "net", Where: "net.py", Reads: []string{"id"}, Span: recount.Window{To: edge}}, {Name: "gross", Where: "gross.py", Reads: []string{"id"}, Span: recount.Window{From: edge}},
			},
		}
		s.spec.Reads = turns.Reads(s.spec.Turns)
		for _, f := range in.Files {
			s.spec.Files = append(s.spec.Files, run.File{Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq})
		}
		_, err := run.Execute(t.Context(), s.spec, s.steppers())
		e, ok := errors.AsType[*recount.Error](err)
		if !ok || e.Code != recount.CodeHandover || !strings.Contains(e.What, "gross") || e.Where != "gross.py, key user y" || e.Why != "it cannot read this state" {
			t.Errorf("batches of %d: got %+v", batch, err)
		}
	}
}
