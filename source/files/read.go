package files

import (
	"context"

	"recount/source"
)

// readFile reads what of one file comes after cursor, and returns how large the
// file was when its end was reached.
func (s *Source) readFile(ctx context.Context, f file, cursor string, emit func(source.Batch) error) (int64, error) {
	st, err := parseCursor(cursor)
	if err != nil {
		return 0, located(err, s.where(f.partition))
	}
	if f.listed >= 0 && f.listed == st.Size && (st.Done || !st.Whole) && st.Size > 0 {
		return f.listed, nil
	}
	switch f.format { //nolint:exhaustive // the others are lines
	case formatParquet:
		return s.readParquet(ctx, f, st, emit)
	case formatAvro:
		return s.readAvro(ctx, f, st, emit)
	}
	return s.readLines(ctx, f, st, emit)
}
