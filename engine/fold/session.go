package fold

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
)

// session runs folds; all else is the base session's.
type session struct {
	engine.Session // the base
	engine         *Engine
	input          engine.Input
	feeds          feeds
	poisoned       []poisoned
	folders        int
	closed         bool
}

func newSession(e *Engine, base engine.Session, input engine.Input) *session {
	return &session{Session: base, engine: e, input: input}
}

// job is a variant of a fold, ready to run.
type job struct {
	v     engine.Variant
	kind  Kind
	fold  run.Description
	shape recount.Shape
	// opened says that the states of `opening` themselves are asked for.
	opened bool
}

// begins says whether the run begins with the states of `opening`. Single events,
// and what was hit, stand alone.
func (j job) begins() bool {
	return len(j.v.Logic.Opening) > 0 && (j.opened || j.v.See != engine.SeeHit && j.v.Only == nil)
}

func (s *session) job(ctx context.Context, v engine.Variant) (job, error) {
	kind, d, err := s.engine.describe(ctx, v.Logic, s.input.Fields)
	if err != nil {
		return job{}, err
	}
	j := job{v: v, kind: kind, fold: d}
	find := func(names []string) (list []recount.Column, err error) {
		for _, name := range names {
			c, err := j.column(name, s.input.Fields)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
		return list, nil
	}
	if j.shape.Key, err = find(v.Key); err != nil {
		return j, err
	}
	j.shape.Values, err = find(v.Columns)
	return j, err
}

// column finds a column of the result.
func (j job) column(name string, fields []recount.Field) (recount.Column, error) {
	if name == recount.StateColumn {
		if !j.fold.State {
			return recount.Column{}, fmt.Errorf("keep the states of %s: it gives none: %w", j.v.Logic.Path, recount.ErrUnsupported)
		}
		return recount.Column{Name: name, Type: recount.Type{Kind: recount.KindString}}, nil
	}
	var names []string
	for _, c := range j.fold.Columns {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	if i := slices.IndexFunc(fields, func(f recount.Field) bool { return f.Name == name }); i >= 0 && slices.Equal(j.v.Columns, []string{recount.StateColumn}) && slices.Equal(j.v.Key, j.v.Logic.By) {
		return recount.Column{Name: name, Type: fields[i].Type}, nil // states stand by the fold's own keys
	}
	next := fmt.Sprintf("the fold returns %q", names)
	if near := recount.Nearest(name, names); near != "" {
		next = "did you mean " + near + "?"
	}
	return recount.Column{}, &recount.Error{
		Code: recount.CodeNoColumn, What: "the result lacks column " + name, Where: j.v.Logic.Path, Why: "the rows of the fold have no such column", Next: next,
	}
}

// folder makes a new folder for the files of one run. Where runs go on after a kill
// it is the same for the same run: a fold's process can write there alone.
func (s *session) folder() (string, error) {
	s.folders++
	at := s.input.Scratch
	if s.input.Resume != "" {
		at = s.input.Resume
	}
	dir, err := filepath.Abs(filepath.Join(at, "fold-"+strconv.Itoa(s.folders)))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// drop takes the folder of a run that failed, unless another may go on from it.
func (s *session) drop(dir string) error {
	if s.input.Resume != "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// run runs a spec and notes what it could not survive.
func (s *session) run(ctx context.Context, j job, spec run.Spec) (run.Result, error) {
	result, err := j.kind.Run(ctx, j.v.Logic, spec)
	if err != nil {
		return result, fmt.Errorf("replay %s: %w", name(j.v.Logic), err)
	}
	return result, s.note(ctx, j, result.Poisoned)
}

// Run runs a fold.
func (s *session) Run(ctx context.Context, v engine.Variant) (engine.Rows, error) {
	if !v.Logic.Fold() {
		return s.Session.Run(ctx, v)
	}
	j, err := s.job(ctx, v)
	if err != nil {
		return nil, err
	}
	return s.rows(ctx, j)
}

func (s *session) rows(ctx context.Context, j job) (*rows, error) {
	dir, err := s.folder()
	if err != nil {
		return nil, err
	}
	spec, err := s.spec(ctx, j, dir)
	if err == nil {
		_, err = s.run(ctx, j, spec)
	}
	if err == nil {
		var r *rows
		if r, err = openRows(ctx, spec.Out, dir, j); err == nil {
			return r, nil
		}
	}
	return nil, errors.Join(err, s.drop(dir))
}

// Close ends the base's session too.
func (s *session) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.feeds.close(), s.Session.Close())
}
