package fold

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"recount"
	"recount/engine"
	"recount/engine/result"
)

// rows are those of one run. Closed, they take their folder with them.
type rows struct {
	*result.Rows
	dir  string
	path string
	done bool
}

func openRows(ctx context.Context, path, dir string, j job) (*rows, error) {
	r, err := result.OpenRows(ctx, path, j.shape, result.Of{Where: name(j.v.Logic), Fold: true})
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", name(j.v.Logic), err)
	}
	return &rows{Rows: r, dir: dir, path: path}, nil
}

func (r *rows) Close() error {
	if r.done {
		return nil
	}
	r.done = true
	return errors.Join(r.Rows.Close(), os.RemoveAll(r.dir))
}

// Same compares the files of two runs, row by row: neither is held in memory.
func (s *session) Same(ctx context.Context, v engine.Variant, earlier engine.Rows) (bool, error) {
	if !v.Logic.Fold() {
		return s.Session.Same(ctx, v, earlier)
	}
	first, ok := earlier.(*rows)
	if !ok || first.done {
		return false, nil
	}
	j, err := s.job(ctx, v)
	if err != nil || !sameShape(first.Shape(), j.shape) {
		return false, err
	}
	second, err := s.rows(ctx, j)
	if err != nil {
		return false, err
	}
	same, err := sameRows(ctx, j.shape, first.path, second.path)
	return same, errors.Join(err, second.Close())
}

func sameShape(a, b recount.Shape) bool {
	equal := func(a, b []recount.Column) bool {
		return slices.EqualFunc(a, b, func(a, b recount.Column) bool { return a.Name == b.Name && a.Type == b.Type })
	}
	return equal(a.Key, b.Key) && equal(a.Values, b.Values)
}

// columnNames are those of the columns of a file of rows.
func columnNames(shape recount.Shape) []string {
	var names []string
	for i := range shape.Key {
		names = append(names, "k"+strconv.Itoa(i))
	}
	for i := range shape.Values {
		names = append(names, "v"+strconv.Itoa(i))
	}
	return names
}

func sameRows(ctx context.Context, shape recount.Shape, first, second string) (same bool, err error) {
	a, err := result.OpenTexts(ctx, first, columnNames(shape))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	b, err := result.OpenTexts(ctx, second, columnNames(shape))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for {
		x, haveX := a.Next()
		y, haveY := b.Next()
		if haveX != haveY || !slices.Equal(x, y) {
			return false, errors.Join(a.Err(), b.Err())
		}
		if !haveX {
			err := errors.Join(a.Err(), b.Err())
			return err == nil, err
		}
	}
}
