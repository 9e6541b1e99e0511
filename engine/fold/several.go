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

// mostSeveral bounds the events of all feeds of one run: they are on disk together,
// while runs one after the other need but one, and end with the first that
// explains all.
const mostSeveral = 4_000_000

// Several runs variants together.
func (s *session) Several(ctx context.Context, list []engine.Variant) (out engine.Several, err error) {
	if len(list) == 0 || !list[0].Logic.Fold() {
		return s.Session.Several(ctx, list)
	}
	jobs := make([]job, len(list))
	logged := true
	for i, v := range list {
		if v.Split != 0 || v.Shake != (engine.Shake{}) || v.Logic.Kind != list[0].Logic.Kind || v.Logic.Digest != list[0].Logic.Digest {
			return nil, s.alone(v, "they differ in more than what they see")
		}
		if jobs[i], err = s.job(ctx, v); err != nil {
			return nil, err
		}
		logged = logged && (s.input.Order == "" || v.Arrival)
	}
	dir, err := s.folder()
	if err != nil {
		return nil, err
	}
	defer func() {
		if out == nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	spec := s.frame(jobs[0], dir)
	spec.Out, spec.Several, spec.Resume, spec.MaxPoisoned = filepath.Join(dir, "several"), len(list), "", 1
	spec.Feed, spec.Logged = true, logged
	if keys, keyed := jobs[0].keysBy(); keyed {
		spec.Keys = keys
	}
	if err := s.runSeveral(ctx, jobs, spec); err != nil {
		return nil, err
	}
	rows, err := run.OpenTried(ctx, spec)
	if err != nil {
		return nil, err
	}
	return newSeveral(rows, jobs[0].shape, dir), nil
}

// alone is why variants are better run one after the other.
func (s *session) alone(v engine.Variant, why string) error {
	return fmt.Errorf("run several variants of %s at once: %s: %w", name(v.Logic), why, recount.ErrUnsupported)
}

// runSeveral feeds all variants to one run.
func (s *session) runSeveral(ctx context.Context, jobs []job, spec run.Spec) (err error) {
	defer func() {
		for _, f := range spec.Files {
			err = errors.Join(err, remove(engine.Feed{Path: f.Path}))
		}
	}()
	for i, j := range jobs {
		f, err := s.makeFeed(ctx, j.v, fed(spec))
		if err != nil {
			return err
		}
		spec.Files = append(spec.Files, run.File{Path: f.Path, Rows: f.Rows, Variant: i})
		if f.Rows*int64(len(jobs)) > mostSeveral {
			return s.alone(j.v, "they see many events")
		}
	}
	if spec.Digest, err = s.digest(spec, jobs[0]); err != nil {
		return err
	}
	result, err := jobs[0].kind.Run(ctx, jobs[0].v.Logic, spec)
	if e, ok := errors.AsType[*recount.Error](err); ok && ctx.Err() == nil && (e.Code == recount.CodePoison || e.Code == recount.CodeWorker) || len(result.Poisoned) > 0 {
		return s.alone(jobs[0].v, "it does not survive an event") // of which variant, a run of its own says
	}
	if err != nil {
		return fmt.Errorf("replay %s: %w", name(jobs[0].v.Logic), err)
	}
	return nil
}

// several gives the rows of one variant after the other.
type several struct {
	rows  *run.TriedRows
	shape recount.Shape
	dir   string
	next  int // variant
	head  run.Tried
	have  bool
}

func newSeveral(rows *run.TriedRows, shape recount.Shape, dir string) *several {
	s := &several{rows: rows, shape: shape, dir: dir}
	s.step()
	return s
}

// step reads the next row, which is kept: the one before is still in use.
func (s *several) step() {
	if s.head, s.have = s.rows.Next(); s.have {
		s.head.Row = recount.Row{Key: slices.Clone(s.head.Row.Key), Values: slices.Clone(s.head.Row.Values)}
	}
}

func (s *several) Next() engine.Rows {
	for s.have && s.head.Attempt < s.next {
		s.step()
	}
	s.next++
	return &oneOfSeveral{s, s.next - 1}
}

func (s *several) Close() error { return errors.Join(s.rows.Close(), os.RemoveAll(s.dir)) }

// oneOfSeveral are the rows of one variant.
type oneOfSeveral struct {
	of     *several
	number int
}

func (o *oneOfSeveral) Shape() recount.Shape { return o.of.shape }
func (o *oneOfSeveral) Err() error           { return o.of.rows.Err() }
func (o *oneOfSeveral) Close() error         { return nil }

func (o *oneOfSeveral) Next() (recount.Row, bool) {
	if !o.of.have || o.of.head.Attempt != o.number {
		return recount.Row{}, false
	}
	row := o.of.head.Row
	o.of.step()
	return row, true
}
