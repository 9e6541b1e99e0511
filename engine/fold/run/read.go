package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"recount"
	"recount/engine/result"
)

// Shown is a row that stands after an event under Spec.Show, or that an event
// gives alone under Spec.Alone.
type Shown struct {
	By     []recount.Value
	Bucket recount.Value // its start; NULL where there is no bucket
	// Seq and the others are the event's; Times is how often it came, of which this
	// is what stands after the last.
	Seq       int64
	Partition string
	Position  string
	ID        string
	Time      time.Time
	Hit       bool
	Times     int64
	// Made says that there is a row; else its values are NULL.
	Made bool
	Row  recount.Row
}

// ShownRows are the rows of a run with Spec.Show, sorted by recount.KeyText of By
// and the bucket, then by Seq, then by the row's key; or with Spec.Alone, sorted
// by partition, position, Seq, then by the row's key. Under Show, each event of a
// key has at least one, Made or not.
type ShownRows struct {
	texts *result.Texts
	path  string
	by    int
	shape recount.Shape
	err   error
}

// OpenShown opens what a run of the spec wrote to Spec.Out. The file is removed
// when it is closed.
func OpenShown(ctx context.Context, s Spec) (*ShownRows, error) {
	names := outColumns(&s)
	t, err := result.OpenTexts(ctx, s.Out, names)
	if err != nil {
		return nil, err
	}
	return &ShownRows{texts: t, path: s.Out, by: len(s.By), shape: s.Shape}, nil
}

// Next returns the next row.
func (r *ShownRows) Next() (s Shown, ok bool) {
	if r.err != nil {
		return s, false
	}
	row, ok := r.texts.Next()
	if !ok {
		r.err = r.texts.Err()
		return s, false
	}
	row = slices.Clone(row)
	s.By = row[:r.by:r.by]
	own := row[r.by:]
	const bucket, seq, partition, position, id, at, hit, times, made, count = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	s.Bucket, s.Partition, s.Position, s.ID = own[bucket], own[partition].Text, own[position].Text, own[id].Text
	s.Hit, s.Made = own[hit].Text == "true", own[made].Text == "true"
	s.Seq, r.err = number(own[seq])
	if r.err == nil {
		s.Times, r.err = number(own[times])
	}
	if r.err == nil {
		s.Time, r.err = instant(own[at])
	}
	keys := len(r.shape.Key)
	s.Row = recount.Row{Key: own[count : count+keys : count+keys], Values: own[count+keys:]}
	return s, r.err == nil
}

func number(v recount.Value) (int64, error) {
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read rows: %q is no number", v.Text)
	}
	return n, nil
}

func instant(v recount.Value) (time.Time, error) {
	if v.Null {
		return time.Time{}, nil
	}
	at, err := recount.ParseTimestamp(v.Text)
	if err != nil {
		return at, fmt.Errorf("read rows: %w", err)
	}
	return at, nil
}

// Err tells why Next ended.
func (r *ShownRows) Err() error { return r.err }

// Close closes and removes the file.
func (r *ShownRows) Close() error { return errors.Join(r.texts.Close(), remove(r.path)) }

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// EffectRows are the effects that a run wrote, sorted by kind, key, Seq; those of
// one event in the order in which it gave them.
type EffectRows struct {
	texts *result.Texts
	path  string
	err   error
}

// OpenEffects opens a file of effects. It is removed when it is closed.
func OpenEffects(ctx context.Context, path string) (*EffectRows, error) {
	t, err := result.OpenTexts(ctx, path, effectColumns)
	if err != nil {
		return nil, err
	}
	return &EffectRows{texts: t, path: path}, nil
}

// Next returns the next effect.
func (r *EffectRows) Next() (e recount.Effect, ok bool) {
	if r.err != nil {
		return e, false
	}
	row, ok := r.texts.Next()
	if !ok {
		r.err = r.texts.Err()
		return e, false
	}
	const kind, key, seq, partition, position, id, at, payload = 0, 1, 2, 3, 4, 5, 6, 7
	e = recount.Effect{
		Kind: row[kind].Text, Key: row[key].Text, Partition: row[partition].Text, Position: row[position].Text, EventID: row[id].Text,
		Payload: []byte(row[payload].Text),
	}
	e.Seq, r.err = number(row[seq])
	if r.err == nil {
		e.Time, r.err = instant(row[at])
	}
	return e, r.err == nil
}

// Err tells why Next ended.
func (r *EffectRows) Err() error { return r.err }

// Close closes and removes the file.
func (r *EffectRows) Close() error { return errors.Join(r.texts.Close(), remove(r.path)) }

// Tried is a row of an attempt under Spec.Single, or of a variant under Spec.Several.
type Tried struct {
	Attempt int
	Row     recount.Row
}

// TriedRows are the rows of a run with Spec.Single or Spec.Several, sorted by attempt, then by
// recount.KeyText of the row's key.
type TriedRows struct {
	texts *result.Texts
	path  string
	keys  int
	err   error
}

// OpenTried opens what a run of the spec wrote to Spec.Out. The file is removed
// when it is closed.
func OpenTried(ctx context.Context, s Spec) (*TriedRows, error) {
	t, err := result.OpenTexts(ctx, s.Out, outColumns(&s))
	if err != nil {
		return nil, err
	}
	return &TriedRows{texts: t, path: s.Out, keys: len(s.Shape.Key)}, nil
}

// Next returns the next row, which is valid until the next call.
func (r *TriedRows) Next() (t Tried, ok bool) {
	if r.err != nil {
		return t, false
	}
	row, ok := r.texts.Next()
	if !ok {
		r.err = r.texts.Err()
		return t, false
	}
	number, err := strconv.Atoi(row[0].Text)
	if err != nil {
		r.err = fmt.Errorf("read rows: %q is no attempt", row[0].Text)
		return t, false
	}
	return Tried{number, recount.Row{Key: row[1 : 1+r.keys : 1+r.keys], Values: row[1+r.keys:]}}, true
}

// Err is why there is no next row, if it is an error.
func (r *TriedRows) Err() error { return r.err }

// Close removes the file.
func (r *TriedRows) Close() error {
	return errors.Join(r.texts.Close(), remove(r.path))
}
