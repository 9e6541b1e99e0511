package fold

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
)

// closing closes c after err.
func closing(c interface{ Close() error }, err error) error { return errors.Join(err, c.Close()) }

// show runs a fold and opens what stands after each event, in the order of along
// where that is not nil, or what each event gives alone. Closed, it takes its folder
// with it. Under along a fold that does not survive its events is refused.
func (s *session) show(ctx context.Context, j job, alone bool, along []int64) (*shownRows, error) {
	dir, err := s.folder()
	if err != nil {
		return nil, err
	}
	spec := s.frame(j, dir)
	spec.Show, spec.Alone, spec.Along, spec.Out = !alone, alone, along, filepath.Join(dir, "shown")
	if keys, keyed := j.keysBy(); keyed {
		spec.Keys = keys
	}
	var result run.Result
	if err = s.finish(ctx, j, &spec); err == nil {
		result, err = s.run(ctx, j, spec)
	}
	if err == nil && along != nil && len(result.Poisoned) > 0 {
		err = fmt.Errorf("follow %s along events that it does not survive: %w", name(j.v.Logic), recount.ErrUnsupported)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r, err := run.OpenShown(ctx, spec)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &shownRows{r, dir}, nil
}

// shownRows take their folder with them.
type shownRows struct {
	*run.ShownRows
	dir string
}

func (r *shownRows) Close() error { return errors.Join(r.ShownRows.Close(), os.RemoveAll(r.dir)) }

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
	r, err := s.show(ctx, j, false, nil)
	if err != nil {
		return err
	}
	for {
		one, ok := r.Next()
		if !ok {
			break
		}
		for _, key := range g[groupText(one.By, one.Bucket)] {
			if seen[key] != one.Seq {
				seen[key] = one.Seq
				counts[key] += one.Times
				out.add(key, stand{one.Seq, one.Partition, one.Position, one.ID, counts[key], nil})
			}
			if one.Made && recount.KeyText(one.Row.Key) == recount.KeyText(out.keys[key]) {
				out.stands[key][len(out.stands[key])-1].values = one.Row.Values
			}
		}
	}
	if err := closing(r, r.Err()); err != nil {
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
	j, err := s.job(ctx, v)
	if err != nil {
		return err
	}
	j.opened = true
	r, err := s.rows(ctx, j)
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
