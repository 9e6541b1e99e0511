package duckdb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
)

// Feed has the child write the events. The logic stays here: it may be of a kind
// that DuckDB knows nothing of.
func (s *session) Feed(ctx context.Context, v engine.Variant, q engine.FeedQuery) (engine.Feed, error) {
	v.Logic = recount.Logic{}
	r, err := s.sent(ctx, v)
	if err != nil {
		return engine.Feed{}, fmt.Errorf("feed the events of %s: %w", s.input.Stream, err)
	}
	r.Out = s.out("feed")
	var a eventsAnswer
	if err := s.child.call(ctx, request{Feed: &feedRequest{runRequest: r, Columns: q.Columns}}, &a); err != nil {
		return engine.Feed{}, fmt.Errorf("feed the events of %s: %w", s.input.Stream, err)
	}
	return engine.Feed{Path: r.Out, Rows: a.Rows}, nil
}

// feed writes the events that a variant sees to a file, in no order, so that
// none of them waits for another.
func (w *worker) feed(ctx context.Context, r feedRequest) (eventsAnswer, error) {
	in := w.input
	v := variant{Variant: r.Variant, edges: r.Edges, logic: &checked{}}
	lists := slices.Clone(v.Missed)
	for _, a := range v.Again {
		lists = append(lists, a.EventList)
	}
	var err error
	if v.wheres, err = w.wheres(ctx, lists); err != nil {
		return eventsAnswer{}, err
	}
	if err := in.use(ctx, v.Split); err != nil {
		return eventsAnswer{}, err
	}
	query, where, err := in.chosen(ctx, v, v.Twice && v.Dedupe && v.Only == nil, true)
	if err != nil {
		return eventsAnswer{}, err
	}
	columns, err := in.feedColumns(v, r.Columns)
	if err != nil {
		return eventsAnswer{}, err
	}
	var n int64
	statement := "COPY (SELECT " + columns + " FROM (" + query + ") AS events" + where + ") TO " + literal(r.Out) +
		" (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE " + strconv.Itoa(groupRows) + ")"
	if err := in.db.row(ctx, statement, &n); err != nil {
		return eventsAnswer{}, runError(err, bound{}, in.Stream, in.Limits.MemoryMiB)
	}
	return eventsAnswer{Rows: n}, nil
}

// feedColumns lists the columns of a feed.
func (in *input) feedColumns(v variant, names []string) (string, error) {
	order, err := in.order(v)
	if err != nil {
		return "", err
	}
	if order == "" {
		// No partition has a NUL in its name: one sorts before what its name begins.
		order = "events.partition || chr(0) || events.position"
	}
	list := []string{"events." + seqColumn + " AS seq", order + " AS recount_order"}
	for _, name := range names {
		column, err := in.feedColumn(name)
		if err != nil {
			return "", err
		}
		list = append(list, column+" AS "+ident(name))
	}
	return strings.Join(list, ", "), nil
}

func (in *input) feedColumn(name string) (string, error) {
	column := "events." + ident(name)
	if name == "hit" || inEnvelope(name) {
		return column, nil
	}
	for _, f := range in.Fields {
		if f.Name == name {
			return plain(column, f.Type), nil
		}
	}
	return "", fmt.Errorf("feed the events of %s: there is no column %q: %w", in.Stream, name, recount.ErrNotFound)
}
