package fold

import (
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/engine/fold/run"
	"recount/engine/fold/turns"
)

// turns are those of a logic that is several folds; nil: it is one.
func (e *Engine) turns(ctx context.Context, logic recount.Logic, fields []recount.Field) (list []run.Turn, err error) {
	for _, v := range logic.Versions {
		_, d, err := e.describe(ctx, v.Logic, fields)
		if err != nil {
			return nil, err
		}
		reads := job{fold: d}.reads(fields)
		list = append(list, run.Turn{Name: v.Name, Where: name(v.Logic), Hit: v.Hit, Span: v.Effective, Reads: reads})
	}
	return list, nil
}

// describeTurns says what folds are that take turns over the events of a key, and
// refuses those of which one cannot go on from the state of another.
func (e *Engine) describeTurns(ctx context.Context, logic recount.Logic, fields []recount.Field) (kind Kind, d run.Description, err error) {
	first := logic.Versions[0]
	refused := func(v recount.Version, why string) error {
		return &recount.Error{
			Code: recount.CodeHandover, What: "the state of a key cannot be handed over", Where: name(v.Logic), Why: why,
			Next: "let both keep the same state under the same key, and return the same columns; or, of versions, choose one for all with --as; or, of previous, write over: all",
		}
	}
	for i, v := range logic.Versions {
		if v.Logic.Kind != first.Logic.Kind || !v.Logic.Fold() {
			return nil, d, refused(v, fmt.Sprintf("%s is of kind %s, and %s of kind %s", first.Name, first.Logic.Kind, v.Name, v.Logic.Kind))
		}
		k, one, err := e.describe(ctx, v.Logic, fields)
		if err != nil {
			return nil, d, err
		}
		if i == 0 {
			kind, d = k, one
		}
		if why := apart(first, d, v, one); why != "" {
			return nil, d, refused(v, why)
		}
		d.Effects = d.Effects || one.Effects
		d.Columns = slices.DeleteFunc(slices.Clone(d.Columns), func(c recount.Column) bool { return !slices.Contains(one.Columns, c) })
	}
	list, err := e.turns(ctx, logic, fields)
	d.Reads = turns.Reads(list)
	return kind, d, err
}

// apart says why two folds cannot take turns; empty: they can.
func apart(a recount.Version, first run.Description, b recount.Version, second run.Description) string {
	stateless := func(v recount.Version) string {
		return fmt.Sprintf("%s gives no state of a key", v.Name)
	}
	switch {
	case !first.State:
		return stateless(a)
	case !second.State:
		return stateless(b)
	case first.StateForm != second.StateForm:
		return fmt.Sprintf("the states of %s and %s are of different types", a.Name, b.Name)
	case !slices.Equal(a.Logic.By, b.Logic.By):
		return fmt.Sprintf("the keys of %s are made of %q, and those of %s of %q", a.Name, a.Logic.By, b.Name, b.Logic.By)
	}
	for _, c := range first.Columns {
		i := slices.IndexFunc(second.Columns, func(o recount.Column) bool { return o.Name == c.Name })
		if i >= 0 && second.Columns[i].Type != c.Type {
			return fmt.Sprintf("column %s is %s in %s and %s in %s", c.Name, c.Type, a.Name, second.Columns[i].Type, b.Name)
		}
	}
	return ""
}
