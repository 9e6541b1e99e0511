package fold

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/result"
)

// wanted are the result keys whose states are wanted, in order of their text.
type wanted struct {
	keys [][]recount.Value
	at   map[string]int // by the key's text
}

func newWanted(keys [][]recount.Value) wanted {
	w := wanted{keys: slices.Clone(keys), at: map[string]int{}}
	slices.SortFunc(w.keys, func(a, b []recount.Value) int { return strings.Compare(recount.KeyText(a), recount.KeyText(b)) })
	w.keys = slices.CompactFunc(w.keys, func(a, b []recount.Value) bool { return recount.KeyText(a) == recount.KeyText(b) })
	for i, key := range w.keys {
		w.at[recount.KeyText(key)] = i
	}
	return w
}

// groups says of each key of a fold which of the wanted keys are of it.
type groups map[string][]int

// groups finds the fold's keys of the wanted ones. Where the fold's keys end with
// buckets, a column of the result has to say which.
func (j job) groups(w wanted) (groups, error) {
	at, ok := j.byInKey()
	if !ok {
		return nil, j.notKeyed("the key of its rows lacks a field of the fold's own key (by), so that a row does not name its events")
	}
	timed := slices.IndexFunc(j.shape.Key, func(c recount.Column) bool {
		return c.Type.Kind == recount.KindTimestamp || c.Type.Kind == recount.KindDate
	})
	if !j.v.Logic.Bucket.None() && timed < 0 {
		return nil, j.notKeyed("the key of its rows does not say which bucket they are of")
	}
	g := groups{}
	for i, key := range w.keys {
		by := make([]recount.Value, len(at))
		for n, c := range at {
			by[n] = key[c]
		}
		bucket := recount.Null
		if !j.v.Logic.Bucket.None() {
			start, err := bucketOf(key[timed].Text, j.shape.Key[timed].Type, j.v.Logic.Bucket)
			if err != nil {
				continue // no event has such a bucket
			}
			bucket = recount.Text(recount.FormatTimestamp(start))
		}
		text := groupText(by, bucket)
		g[text] = append(g[text], i)
	}
	return g, nil
}

func (j job) notKeyed(why string) error {
	return &recount.Error{
		Code: recount.CodeNotKeyed, What: "the rows cannot be followed event by event", Where: j.v.Logic.Path, Why: why,
		Next: "let key: of the calculation name the fields of by:, and the bucket where rows have one",
	}
}

// groupText is a fold's key as one text.
func groupText(by []recount.Value, bucket recount.Value) string {
	return recount.KeyText(append(slices.Clone(by), bucket))
}

func bucketOf(text string, t recount.Type, b recount.Bucket) (time.Time, error) {
	if t.Kind == recount.KindDate {
		zone := b.Zone
		if zone == nil {
			zone = time.UTC
		}
		at, err := time.ParseInLocation(time.DateOnly, text, zone)
		return b.Floor(at), err
	}
	at, err := recount.ParseTimestamp(text)
	return b.Floor(at), err
}

// known is an event of a key.
type known struct {
	seq       int64
	partition string
	position  string
	id        string
	came      time.Time // the later of event time and ingest time
	hit       bool
}

// history are the events of the wanted keys, each in order of seq.
type history struct {
	wanted
	events [][]known
}

// histories reads the events of the wanted keys: those that the logics, of which
// the first is the variant's own, make rows of.
func (s *session) histories(ctx context.Context, v engine.Variant, logics []engine.Variant, w wanted) (*history, error) {
	h := &history{wanted: w, events: make([][]known, len(w.keys))}
	others := map[int64][]int{} // events by seq that SQL makes rows of
	var folds []job
	var of []groups
	for _, l := range logics {
		if !l.Logic.Fold() {
			if err := s.contributing(ctx, v, l, w, others); err != nil {
				return nil, err
			}
			continue
		}
		j, err := s.job(ctx, l)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(folds, func(k job) bool {
			return slices.Equal(k.v.Logic.By, l.Logic.By) && k.v.Logic.Bucket == l.Logic.Bucket && slices.Equal(k.v.Key, l.Key)
		}) {
			continue
		}
		g, err := j.groups(w)
		if err != nil {
			return nil, err
		}
		folds, of = append(folds, j), append(of, g)
	}
	err := s.eachEvent(ctx, v, folds, func(e known, by [][]recount.Value, at time.Time) {
		mine := slices.Clone(others[e.seq])
		for i, j := range folds {
			bucket := recount.Null
			if !j.v.Logic.Bucket.None() {
				bucket = recount.Text(recount.FormatTimestamp(j.v.Logic.Bucket.Floor(at)))
			}
			mine = append(mine, of[i][groupText(by[i], bucket)]...)
		}
		slices.Sort(mine)
		for _, key := range slices.Compact(mine) {
			h.events[key] = append(h.events[key], e)
		}
	})
	for _, events := range h.events {
		slices.SortFunc(events, func(a, b known) int { return cmp.Compare(a.seq, b.seq) })
	}
	return h, err
}

// contributing notes the events of which SQL makes rows of wanted keys.
func (s *session) contributing(ctx context.Context, v, l engine.Variant, w wanted, others map[int64][]int) (err error) {
	l.Dedupe, l.Twice, l.Keys = v.Dedupe, v.Twice, w.keys
	each, err := s.Session.Each(ctx, engine.Variant{Logic: l.Logic, Key: l.Key, Columns: l.Columns, Dedupe: l.Dedupe, Twice: l.Twice, Keys: l.Keys})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, each.Close()) }()
	for {
		c, ok := each.Next()
		if !ok {
			return each.Err()
		}
		if i, ok := w.at[recount.KeyText(c.Row.Key)]; ok {
			others[c.Seq] = append(others[c.Seq], i)
		}
	}
}

// eachEvent reads all events that a variant could see, with the values of the
// keys of folds.
func (s *session) eachEvent(ctx context.Context, v engine.Variant, folds []job, use func(e known, by [][]recount.Value, at time.Time)) (err error) {
	own := []string{"seq", "partition", "position", "id", "time", "ingest_time", "hit"}
	names := slices.Clone(own)
	for _, j := range folds {
		names = append(names, j.v.Logic.By...)
	}
	f, err := s.feed(ctx, engine.Variant{Dedupe: v.Dedupe, Twice: v.Twice}, names[1:])
	if err != nil {
		return err
	}
	unique := slices.Compact(slices.Sorted(slices.Values(names)))
	rows, err := result.OpenTexts(ctx, f.Path, unique)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	at := func(name string) int { return slices.Index(unique, name) }
	places := make([]int, len(own))
	for i, name := range own {
		places[i] = at(name)
	}
	for {
		row, ok := rows.Next()
		if !ok {
			return rows.Err()
		}
		e, when, err := knownOf(row, places)
		if err != nil {
			return err
		}
		by := make([][]recount.Value, len(folds))
		for i, j := range folds {
			for _, name := range j.v.Logic.By {
				value, err := s.canonical(name, row[at(name)])
				if err != nil {
					return err
				}
				by[i] = append(by[i], value)
			}
		}
		use(e, by, when)
	}
}

// canonical spells a field's value as keys do.
func (s *session) canonical(name string, v recount.Value) (recount.Value, error) {
	i := slices.IndexFunc(s.input.Fields, func(f recount.Field) bool { return f.Name == name })
	if v.Null || i < 0 || s.input.Fields[i].Type.Kind != recount.KindJSON {
		return v, nil
	}
	text, err := recount.Canonical(s.input.Fields[i].Type, v.Text)
	return recount.Text(text), err
}

// knownOf reads the columns seq, partition, position, id, time, ingest_time, hit,
// which stand at these places.
func knownOf(row []recount.Value, at []int) (e known, when time.Time, err error) {
	if _, err := fmt.Sscan(row[at[0]].Text, &e.seq); err != nil {
		return e, when, fmt.Errorf("read a feed: %w", err)
	}
	e.partition, e.position, e.id, e.hit = row[at[1]].Text, row[at[2]].Text, row[at[3]].Text, row[at[6]].Text == "true"
	if when, err = recount.ParseTimestamp(row[at[4]].Text); err != nil {
		return e, when, fmt.Errorf("read a feed: %w", err)
	}
	e.came = when
	if taken := row[at[5]]; !taken.Null {
		ingest, err := recount.ParseTimestamp(taken.Text)
		if err != nil {
			return e, when, fmt.Errorf("read a feed: %w", err)
		}
		if ingest.After(e.came) {
			e.came = ingest
		}
	}
	return e, when, nil
}
