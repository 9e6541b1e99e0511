package fold

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
)

// Each folds every event by itself.
func (s *session) Each(ctx context.Context, v engine.Variant) (engine.Contributions, error) {
	if !v.Logic.Fold() {
		return s.Session.Each(ctx, v)
	}
	j, err := s.job(ctx, v)
	if err != nil {
		return nil, err
	}
	r, err := s.show(ctx, j, true, nil)
	if err != nil {
		return nil, err
	}
	out := &contributions{shownRows: r, shape: j.shape}
	if v.Keys != nil {
		out.keep = newWanted(v.Keys).at
	}
	return out, nil
}

// contributions are read from the file of a run.
type contributions struct {
	*shownRows
	shape recount.Shape
	keep  map[string]int // nil: all
}

func (c *contributions) Shape() recount.Shape { return c.shape }

func (c *contributions) Next() (engine.Contribution, bool) {
	for {
		one, ok := c.shownRows.Next()
		if !ok {
			return engine.Contribution{}, false
		}
		if !one.Made {
			continue
		}
		if c.keep != nil {
			if _, wanted := c.keep[recount.KeyText(one.Row.Key)]; !wanted {
				continue
			}
		}
		return engine.Contribution{Seq: one.Seq, Partition: one.Partition, Position: one.Position, ID: one.ID, Hit: one.Hit, Row: one.Row}, true
	}
}

// Effects runs a fold for what it would send.
func (s *session) Effects(ctx context.Context, v engine.Variant) (engine.Effects, error) {
	if !v.Logic.Fold() {
		return s.Session.Effects(ctx, v)
	}
	j, err := s.job(ctx, v)
	if err != nil {
		return nil, err
	}
	if !j.fold.Effects {
		return noEffects{}, nil
	}
	dir, err := s.folder()
	if err != nil {
		return nil, err
	}
	spec := s.frame(j, dir)
	spec.Effects = filepath.Join(dir, "effects")
	if keys, keyed := j.keysBy(); keyed {
		spec.Keys = keys
	}
	if err = s.finish(ctx, j, &spec); err == nil {
		_, err = s.run(ctx, j, spec)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r, err := run.OpenEffects(ctx, spec.Effects)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &effects{EffectRows: r, dir: dir, where: name(v.Logic)}, nil
}

type noEffects struct{}

func (noEffects) Next() (recount.Effect, bool) { return recount.Effect{}, false }
func (noEffects) Err() error                   { return nil }
func (noEffects) Close() error                 { return nil }

// effects are read from the file of a run, and their payloads brought to their
// canonical form.
type effects struct {
	*run.EffectRows
	dir   string
	where string
	err   error
}

func (e *effects) Next() (recount.Effect, bool) {
	if e.err != nil {
		return recount.Effect{}, false
	}
	one, ok := e.EffectRows.Next()
	if !ok {
		return one, false
	}
	payload, err := recount.Canonical(recount.Type{Kind: recount.KindJSON}, string(one.Payload))
	if err != nil {
		e.err = &recount.Error{
			Code: recount.CodeWorkerAnswer, What: "an effect cannot be read", Where: e.where, Why: "its payload is no JSON: " + err.Error(),
			Next: "let the fold give JSON as the payload of an effect",
		}
		return one, false
	}
	one.Payload = []byte(payload)
	return one, true
}

func (e *effects) Err() error { return errors.Join(e.err, e.EffectRows.Err()) }

func (e *effects) Close() error { return errors.Join(e.EffectRows.Close(), os.RemoveAll(e.dir)) }
