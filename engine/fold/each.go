package fold

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strconv"

	"recount"
	"recount/engine"
	"recount/engine/result"
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
	out := &contributions{shape: j.shape}
	keep := newWanted(v.Keys)
	err = s.show(ctx, j, true, func(one shownRow) error {
		if one.row == nil {
			return nil
		}
		if _, ok := keep.at[recount.KeyText(one.row.Key)]; !ok && v.Keys != nil {
			return nil
		}
		e := one.event
		out.list = append(out.list, engine.Contribution{
			Seq: e.seq, Partition: e.partition, Position: e.position, ID: e.id, Hit: e.hit,
			Row: recount.Row{Key: slices.Clone(one.row.Key), Values: slices.Clone(one.row.Values)},
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out.list, func(a, b engine.Contribution) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Position, b.Position), cmp.Compare(recount.KeyText(a.Row.Key), recount.KeyText(b.Row.Key)))
	})
	return out, nil
}

// contributions are held in memory: they are asked for of one window.
type contributions struct {
	shape recount.Shape
	list  []engine.Contribution
}

func (c *contributions) Shape() recount.Shape { return c.shape }
func (c *contributions) Err() error           { return nil }
func (c *contributions) Close() error         { return nil }

func (c *contributions) Next() (engine.Contribution, bool) {
	if len(c.list) == 0 {
		return engine.Contribution{}, false
	}
	one := c.list[0]
	c.list = c.list[1:]
	return one, true
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
		return &effects{}, nil
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
	if err := s.finish(ctx, j, &spec); err != nil {
		return nil, err
	}
	if _, err := s.run(ctx, j, spec); err != nil {
		return nil, err
	}
	texts, err := result.OpenTexts(ctx, spec.Effects, effectColumns)
	if err != nil {
		return nil, err
	}
	return &effects{texts: texts, where: name(v.Logic)}, nil
}

// effectColumns are those of a file of effects.
var effectColumns = []string{"kind", "key", "seq", "partition", "position", "id", "time", "payload"}

// effects are read from their file; without one there are none.
type effects struct {
	texts *result.Texts
	where string
	err   error
}

func (e *effects) Next() (one recount.Effect, ok bool) {
	if e.texts == nil || e.err != nil {
		return one, false
	}
	row, ok := e.texts.Next()
	if !ok {
		return one, false
	}
	one = recount.Effect{Kind: row[0].Text, Key: row[1].Text, Partition: row[3].Text, Position: row[4].Text, EventID: row[5].Text}
	if one.Seq, e.err = strconv.ParseInt(row[2].Text, 10, 64); e.err == nil && !row[6].Null {
		one.Time, e.err = recount.ParseTimestamp(row[6].Text)
	}
	payload := ""
	if e.err == nil {
		payload, e.err = recount.Canonical(recount.Type{Kind: recount.KindJSON}, row[7].Text)
	}
	if e.err != nil {
		e.err = &recount.Error{
			Code: recount.CodeWorkerAnswer, What: "an effect cannot be read", Where: e.where, Why: e.err.Error(),
			Next: "let the fold give JSON as the payload of an effect",
		}
		return one, false
	}
	one.Payload = []byte(payload)
	return one, true
}

func (e *effects) Err() error { return e.err }

func (e *effects) Close() error {
	if e.texts == nil {
		return nil
	}
	return closing(e.texts, e.texts.Err())
}
