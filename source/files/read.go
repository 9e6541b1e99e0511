package files

import (
	"context"
	"fmt"

	"recount"
	"recount/source"
)

// readFile reads what of one file comes after cursor, and returns how large the
// file was when its end was reached.
func (s *Source) readFile(ctx context.Context, f file, cursor string, emit func(source.Batch) error) (int64, error) {
	st, err := parseCursor(cursor)
	if err != nil {
		return 0, recount.Located(err, s.where(f.partition))
	}
	log, base := "", int64(0)
	if f.log != f.partition {
		log, base = f.log, f.base
	}
	if cursor == "" {
		st.Log, st.Base = log, base
	}
	if st.Log != log || st.Base != base {
		return 0, s.renamed(f, st)
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

// renamed is the error of a file whose events have other positions in the archive
// than its name gives them now.
func (s *Source) renamed(f file, st state) error {
	was := "the records of a file were counted from 1"
	if st.Log != "" {
		was = fmt.Sprintf("it was of partition %s, from offset %d on", st.Log, st.Base)
	}
	return &recount.Error{
		Code: recount.CodeMapping, What: fmt.Sprintf("source %s was archived under other names:", s.env.Stream), Where: s.where(f.partition),
		Why: "when file " + f.partition + " was archived, " + was, Next: "put names: back as it was, or give the source a new name and archive it anew",
	}
}
