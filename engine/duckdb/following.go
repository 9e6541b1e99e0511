package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/engine"
	"recount/engine/result"
)

// HitSpan asks the child.
func (s *session) HitSpan(ctx context.Context, dedupe bool) (engine.HitSpan, error) {
	var span engine.HitSpan
	if err := s.child.call(ctx, request{HitSpan: &countRequest{Dedupe: dedupe}}, &span); err != nil {
		return span, fmt.Errorf("find hit events of %s: %w", s.input.Stream, err)
	}
	return span, nil
}

// mostEdges is how many buckets the hit events of a variant with Late may span.
const mostEdges = 1_000_000

// lateEdges returns the edges of the buckets that may have late events. Go knows
// the buckets of a zone, DuckDB does not.
func (s *session) lateEdges(ctx context.Context, v engine.Variant) ([]int64, error) {
	if v.Late == nil || s.input.Bucket.None() || s.edges != nil {
		return s.edges, nil
	}
	var a arrivalsAnswer
	if err := s.child.call(ctx, request{Arrivals: &struct{}{}}, &a); err != nil {
		return nil, err
	}
	s.edges = []int64{}
	if a.First == nil || a.Last == nil {
		return s.edges, nil
	}
	last := time.UnixMicro(*a.Last).UTC()
	at := s.input.Bucket.Floor(time.UnixMicro(*a.First).UTC())
	edges := []int64{at.UnixMicro()}
	for !at.After(last) {
		at = s.input.Bucket.Next(at)
		edges = append(edges, at.UnixMicro())
		if len(edges) > mostEdges {
			s.edges = nil
			return nil, &recount.Error{
				Code: recount.CodeLimit, What: "the late events lie in too many buckets", Where: s.input.Stream,
				Why:  fmt.Sprintf("there are more than %d buckets of %s from the first to the last", mostEdges, s.input.Bucket),
				Next: "choose a shorter window",
			}
		}
	}
	s.edges = edges
	return edges, nil
}

// request makes a variant ready for its way to the child.
func (s *session) request(ctx context.Context, v engine.Variant) (runRequest, error) {
	if err := s.engine.onlySQL(v.Logic); err != nil {
		return runRequest{}, err
	}
	return s.sent(ctx, v)
}

// sent is request for a variant whose logic is not run.
func (s *session) sent(ctx context.Context, v engine.Variant) (runRequest, error) {
	sent, err := s.sentVariant(v)
	if err != nil {
		return runRequest{}, err
	}
	edges, err := s.lateEdges(ctx, v)
	return runRequest{Variant: sent, Edges: edges}, err
}

// Several is for folds.
func (s *session) Several(context.Context, []engine.Variant) (engine.Several, error) {
	return nil, fmt.Errorf("run SQL over several variants at once: %w", recount.ErrUnsupported)
}

// Singles is for folds.
func (s *session) Singles(context.Context, engine.Variant, engine.SinglesQuery) (engine.Singles, error) {
	return engine.Singles{}, fmt.Errorf("leave single events out of SQL: %w", recount.ErrUnsupported)
}

// States runs in the child; keys are sorted here, so that their numbers are
// their order.
func (s *session) States(ctx context.Context, v engine.Variant, q engine.StatesQuery) (engine.States, error) {
	if q.Along != nil {
		return nil, fmt.Errorf("follow SQL along given events: %w", recount.ErrUnsupported)
	}
	r, err := s.request(ctx, v)
	if err != nil {
		return nil, err
	}
	r.Out = s.out("states")
	keys := slices.Clone(q.Keys)
	slices.SortFunc(keys, func(a, b []recount.Value) int { return strings.Compare(recount.KeyText(a), recount.KeyText(b)) })
	keys = slices.CompactFunc(keys, func(a, b []recount.Value) bool { return recount.KeyText(a) == recount.KeyText(b) })
	if q.Touching, err = s.sentTouching(q.Touching); err != nil {
		return nil, err
	}
	q.Keys = keys
	var a runAnswer
	if err := s.child.call(ctx, request{States: &statesRequest{r, q}}, &a); err != nil {
		return nil, fmt.Errorf("follow %s: %w", name(v.Logic), err)
	}
	f, err := openFollowed(ctx, r.Out, a.Shape, nil, a.Shape.Values)
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", name(v.Logic), err)
	}
	return &states{followed: f, keys: keys}, nil
}

// sentTouching keeps of logics what says which events they touch.
func (s *session) sentTouching(logics []engine.Variant) (sent []engine.Variant, err error) {
	for _, v := range logics {
		if err := s.engine.onlySQL(v.Logic); err != nil {
			return nil, err
		}
		sent = append(sent, engine.Variant{Logic: v.Logic, Key: v.Key})
	}
	return sent, nil
}

// Each runs in the child.
func (s *session) Each(ctx context.Context, v engine.Variant) (engine.Contributions, error) {
	r, err := s.request(ctx, v)
	if err != nil {
		return nil, err
	}
	r.Out = s.out("each")
	var a runAnswer
	if err := s.child.call(ctx, request{Each: &r}, &a); err != nil {
		return nil, fmt.Errorf("replay events alone by %s: %w", name(v.Logic), err)
	}
	f, err := openFollowed(ctx, r.Out, a.Shape, a.Shape.Key, a.Shape.Values)
	if err != nil {
		return nil, fmt.Errorf("replay events alone by %s: %w", name(v.Logic), err)
	}
	return &contributions{followed: f, where: v.Logic.Path}, nil
}

// followed reads a file of rows that have columns of ours before those of the
// result.
type followed struct {
	file    *result.File
	shape   recount.Shape
	record  arrow.RecordBatch
	at      int
	err     error
	done    bool
	own     int // how many columns stand before
	columns []recount.Column
}

func openFollowed(ctx context.Context, path string, shape recount.Shape, key, values []recount.Column) (*followed, error) {
	f, err := result.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return &followed{file: f, shape: shape, columns: slices.Concat(key, values)}, nil
}

func (f *followed) Shape() recount.Shape { return f.shape }

func (f *followed) Err() error { return f.err }

func (f *followed) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	return f.file.Close()
}

// next moves to the next row of the file; false at the end or on an error.
func (f *followed) next() bool {
	if f.err != nil || f.done {
		return false
	}
	f.at++
	for f.record == nil || f.at >= int(f.record.NumRows()) {
		record, err := f.file.Next()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			f.err = fmt.Errorf("read rows: %w", err)
			return false
		}
		f.record, f.at = record, 0
	}
	return true
}

// values reads n columns of the result, from the one numbered from.
func (f *followed) values(from, n int) []recount.Value {
	list := make([]recount.Value, n)
	for i := range list {
		v, err := result.ValueOf(f.record.Column(f.own+from+i), f.columns[from+i].Type, f.at)
		if err != nil {
			f.err = fmt.Errorf("read column %s: %w", f.columns[from+i].Name, err)
			return nil
		}
		list[i] = v
	}
	return list
}

func (f *followed) text(column int) string { return eventColumns{f.record}.text(column, f.at) }

func (f *followed) number(column int) int64 {
	if v, ok := f.record.Column(column).(*array.Int64); ok && !v.IsNull(f.at) {
		return v.Value(f.at)
	}
	f.err = fmt.Errorf("read rows: column %d holds no number", column)
	return 0
}

func (f *followed) flag(column int) bool {
	v, ok := f.record.Column(column).(*array.Boolean)
	return ok && !v.IsNull(f.at) && v.Value(f.at)
}

// states reads what states of the child wrote.
type states struct {
	*followed
	keys [][]recount.Value
}

const statesOwn = 13

func (s *states) Next() (engine.State, bool) {
	s.own = statesOwn
	if !s.next() {
		return engine.State{}, false
	}
	key := s.number(0)
	if key < 0 || key >= int64(len(s.keys)) {
		s.err = fmt.Errorf("read states: there is no key %d", key)
	}
	if s.err != nil {
		return engine.State{}, false
	}
	st := engine.State{
		Key: s.keys[key], Seq: s.number(1), Partition: s.text(2), Position: s.text(3), ID: s.text(4), LastPartition: s.text(5), LastPosition: s.text(6), LastID: s.text(7),
		Count: s.number(8), Newest: s.flag(9), Mixed: s.flag(10), Cut: s.flag(11),
	}
	if s.flag(12) {
		st.Values = s.values(0, len(s.columns))
	}
	return st, s.err == nil
}

// contributions reads what each of the child wrote.
type contributions struct {
	*followed
	where string
	last  engine.Contribution
}

const contributionsOwn = 5

func (c *contributions) Next() (engine.Contribution, bool) {
	c.own = contributionsOwn
	if !c.next() {
		return engine.Contribution{}, false
	}
	n := len(c.shape.Key)
	one := engine.Contribution{
		Seq: c.number(0), Partition: c.text(1), Position: c.text(2), ID: c.text(3), Hit: c.flag(4),
		Row: recount.Row{Key: c.values(0, n), Values: c.values(n, len(c.columns)-n)},
	}
	if c.err != nil {
		return engine.Contribution{}, false
	}
	for i, v := range one.Row.Key {
		if v.Null {
			c.err = result.NoKey(c.shape, one.Row.Key, i, result.Of{Where: c.where})
			return engine.Contribution{}, false
		}
	}
	if c.last.Seq == one.Seq && c.last.Row.Key != nil && recount.KeyText(c.last.Row.Key) == recount.KeyText(one.Row.Key) {
		c.err = result.Twice(c.shape, one.Row.Key, result.Of{Where: c.where})
		return engine.Contribution{}, false
	}
	c.last = one
	return one, true
}
