package fold

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
	"recount/engine/result"
)

// shownRow is a row that stands after an event, or the event without one.
type shownRow struct {
	by     []recount.Value
	bucket time.Time // zero: none
	event  known
	times  int64
	row    *recount.Row // nil: none; valid until the next call
}

// shownRows reads what a run under Show or Alone wrote.
type shownRows struct {
	texts *result.Texts
	by    int
	shape recount.Shape
	err   error
}

// shownOwn are the columns of such a file between those of the fold's key and
// those of the result.
var shownOwn = []string{"bucket", "seq", "partition", "position", "id", "time", "hit", "times", "made"}

func openShown(ctx context.Context, path string, by int, shape recount.Shape) (*shownRows, error) {
	var names []string
	for i := range by {
		names = append(names, "by"+strconv.Itoa(i))
	}
	texts, err := result.OpenTexts(ctx, path, slices.Concat(names, shownOwn, columnNames(shape)))
	if err != nil {
		return nil, err
	}
	return &shownRows{texts: texts, by: by, shape: shape}, nil
}

func (s *shownRows) next() (one shownRow, ok bool) {
	row, ok := s.texts.Next()
	if !ok || s.err != nil {
		return one, false
	}
	own := row[s.by:]
	var err error
	if !own[0].Null {
		one.bucket, err = recount.ParseTimestamp(own[0].Text)
	}
	var errSeq, errTimes error
	one.event.seq, errSeq = strconv.ParseInt(own[1].Text, 10, 64)
	one.times, errTimes = strconv.ParseInt(own[7].Text, 10, 64)
	if s.err = errors.Join(err, errSeq, errTimes); s.err != nil {
		s.err = fmt.Errorf("read states: %w", s.err)
		return one, false
	}
	one.by = slices.Clone(row[:s.by])
	one.event.partition, one.event.position, one.event.id, one.event.hit = own[2].Text, own[3].Text, own[4].Text, own[6].Text == "true"
	if own[8].Text == "true" {
		values := own[len(shownOwn):]
		one.row = &recount.Row{Key: values[:len(s.shape.Key)], Values: values[len(s.shape.Key):]}
	}
	return one, true
}

func (s *shownRows) close() error { return errors.Join(s.err, s.texts.Err(), s.texts.Close()) }

// closing closes c after err.
func closing(c interface{ Close() error }, err error) error { return errors.Join(err, c.Close()) }

// show runs a fold and hands on what stands after each event.
func (s *session) show(ctx context.Context, j job, alone bool, use func(shownRow) error) error {
	dir, err := s.folder()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the session's scratch goes anyway
	spec := s.frame(j, dir)
	spec.Show, spec.Alone, spec.Out = !alone, alone, filepath.Join(dir, "shown")
	if keys, keyed := j.keysBy(); keyed {
		spec.Keys = keys
	}
	if err := s.finish(ctx, j, &spec); err != nil {
		return err
	}
	if _, err := s.run(ctx, j, spec); err != nil {
		return err
	}
	r, err := openShown(ctx, spec.Out, len(spec.By), j.shape)
	if err != nil {
		return err
	}
	for {
		one, ok := r.next()
		if !ok {
			return r.close()
		}
		if err := use(one); err != nil {
			return errors.Join(err, r.close())
		}
	}
}

// finish gives a spec its events and its digest.
func (s *session) finish(ctx context.Context, j job, spec *run.Spec) error {
	if err := s.events(ctx, j, spec); err != nil {
		return err
	}
	var err error
	spec.Digest, err = s.digest(*spec, j)
	return err
}

// shown takes the stands of a fold from a run that shows them.
func (s *session) shown(ctx context.Context, v engine.Variant, out *states) error {
	v.Keys = out.keys
	j, err := s.job(ctx, v)
	if err != nil {
		return err
	}
	g, err := j.groups(out.wanted)
	if err != nil {
		return err
	}
	out.shape, out.stands = j.shape, make([][]stand, len(out.keys))
	counts := make([]int64, len(out.keys))
	seen := make([]int64, len(out.keys)) // the event that was counted last
	err = s.show(ctx, j, false, func(one shownRow) error {
		for _, key := range g[groupText(one.by, one.bucket)] {
			e := one.event
			if seen[key] != e.seq {
				seen[key] = e.seq
				counts[key] += one.times
				out.add(key, stand{e.seq, e.partition, e.position, e.id, counts[key], nil})
			}
			if one.row != nil && recount.KeyText(one.row.Key) == recount.KeyText(out.keys[key]) {
				out.stands[key][len(out.stands[key])-1].values = slices.Clone(one.row.Values)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.openingRows(ctx, v, out)
}

// openingRows fills in the rows of keys that have states from before the events.
func (s *session) openingRows(ctx context.Context, v engine.Variant, out *states) error {
	if len(v.Logic.Opening) == 0 || s.input.Opening == "" {
		return nil
	}
	v.Only = []int64{}
	r, err := s.Run(ctx, v)
	if err != nil {
		return err
	}
	out.unseen = make([][]recount.Value, len(out.keys))
	for {
		row, ok := r.Next()
		if !ok {
			return closing(r, r.Err())
		}
		if i, ok := out.at0(row.Key); ok {
			out.unseen[i] = slices.Clone(row.Values)
		}
	}
}
