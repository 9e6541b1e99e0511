package incident

import (
	"context"
	"slices"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/config"
)

// elsewhere explains a row that something else made: the events that may have a
// part in it are listed, but the logic is not here to replay them.
func (e *explaining) elsewhere(ctx context.Context, p *recount.Plan) error {
	e.typesOf(p)
	whole, err := e.broughtRow(ctx)
	if err != nil {
		return err
	}
	name := shown(e.calc.Logic)
	e.out.Result, e.out.Elsewhere = whole, "the logic is not here: the rows come from "+name
	if e.digestOf(e.calc.Logic) != p.Body.Logic {
		e.out.Elsewhere += ", which has changed since the plan"
		if after := e.out.Change.After; after != nil {
			e.out.Result = after[:min(len(after), len(e.shape.Values))]
		}
	}
	query, named := e.query()
	if !named {
		e.out.Elsewhere += "; no column of the key is a field of the events, so they cannot be listed"
	} else if err := e.listed(ctx, query); err != nil {
		return err
	}
	if e.out.Right && whole == nil {
		return e.noRow()
	}
	return nil
}

// typesOf takes the types under which the plan compared its columns.
func (e *explaining) typesOf(p *recount.Plan) {
	take := func(columns []recount.Column, planned []recount.PlanColumn) []recount.Column {
		columns = slices.Clone(columns)
		for i := range min(len(columns), len(planned)) {
			if t, err := recount.ParseType(planned[i].Type); err == nil {
				columns[i].Type = t
			}
		}
		return columns
	}
	e.shape = recount.Shape{Key: take(e.shape.Key, p.Body.Key), Values: take(e.shape.Values, p.Body.Columns)}
	e.key = recount.KeyText(e.rowKey())
}

// broughtRow is the row of the key as it is now; nil where there is none.
func (e *explaining) broughtRow(ctx context.Context) (whole []recount.Value, err error) {
	rows, err := e.session.Run(ctx, e.right)
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	for {
		row, ok := rows.Next()
		if !ok {
			return whole, rows.Err()
		}
		if recount.KeyText(row.Key) == e.key {
			whole = slices.Clone(row.Values)
		}
	}
}

// listed lists the events of the row's fields and bucket.
func (e *explaining) listed(ctx context.Context, query engine.Query) error {
	events, err := e.candidates(ctx, query)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if e.bucketed() {
			at, err := e.bucketTime(e.rowKey())
			if err != nil || ev.Time.Before(at) || !ev.Time.Before(e.calc.Bucket.Next(at)) {
				continue
			}
		}
		step := ExplainStep{
			Seq: ev.Seq, ID: ev.ID, Time: ev.Time, Partition: ev.Partition, Position: ev.Position, Fields: e.fields(ev),
			Counted: ev.Mark == "" || ev.Mark == recount.MarkRepeat && !e.right.Dedupe,
		}
		step.Note = e.note(ev, step, 0)
		e.out.Steps = append(e.out.Steps, step)
	}
	return nil
}

func (e *explaining) noRow() error {
	return &recount.Error{
		Code: recount.CodeNoRow, What: "there is no such row", Where: config.FileName + ", calculation " + e.calc.Name,
		Why: "neither the plan nor the recalculated rows have the key " + strings.Join(texts(e.out.Change.Key), " "), Next: "recount show PLAN --all lists the plan's rows",
	}
}
