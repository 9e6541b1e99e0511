package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"recount"
	"recount/engine"
)

// Certified is what came of runs that were to be the same.
type Certified struct {
	Rows     int64
	Checksum string // SHA-256 over the checksums of the rows of the first run
	Runs     []recount.ShakenRun
	Columns  []recount.ColumnsOff
}

// Same says that every run gave what the first gave.
func (c Certified) Same() bool {
	return !slices.ContainsFunc(c.Runs, func(r recount.ShakenRun) bool { return !r.Same })
}

// Certify runs a variant as it is configured, then again with nothing varied, and
// once under each shake that its kind of logic has; each run is compared with the
// first, row by row. scratch is an empty folder.
func Certify(ctx context.Context, session engine.Session, v engine.Variant, scratch string, progress recount.Progress) (out Certified, err error) {
	v.Split, v.Shake = 0, engine.Shake{}
	shakes := append([]engine.Shake{{}}, engine.Shakes(v.Logic)...)
	act := progress.Begin("varying what must not matter", int64(len(shakes)+1))
	defer act.End()
	first := &kept{path: filepath.Join(scratch, "first")}
	if out.Rows, out.Checksum, err = first.keep(ctx, session, v); err != nil {
		return out, err
	}
	act.Add(1)
	off := map[string]int{}
	for _, shake := range shakes {
		run, columns, err := first.drawn(ctx, session, v, shake)
		if err != nil {
			return out, fmt.Errorf("vary %s: %w", shake, err)
		}
		out.Runs = append(out.Runs, run)
		for _, c := range columns {
			off[c]++
		}
		act.Add(1)
	}
	for _, c := range append(slices.Clone(first.shape.Key), first.shape.Values...) {
		if off[c.Name] > 0 {
			out.Columns = append(out.Columns, recount.ColumnsOff{Column: c.Name, Runs: off[c.Name]})
		}
	}
	return out, nil
}

// draws is how many other seeds are tried.
const draws = 3

// drawn compares a run under a shake; of other seeds several are tried until one
// differs, since under a half of them two things come in the same order.
func (k *kept) drawn(ctx context.Context, session engine.Session, v engine.Variant, shake engine.Shake) (out recount.ShakenRun, columns []string, err error) {
	tries := 1
	if shake.Seed {
		tries = draws
	}
	for shake.Draw = range tries {
		v.Shake = shake
		if out, columns, err = k.compare(ctx, session, v); err != nil || !out.Same {
			break
		}
	}
	return out, columns, err
}

// keep runs the variant and keeps its rows.
func (k *kept) keep(ctx context.Context, session engine.Session, v engine.Variant) (n int64, checksum string, err error) {
	rows, err := session.Run(ctx, v)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	k.shape = rows.Shape()
	w, err := k.create()
	if err != nil {
		return 0, "", err
	}
	hash := sha256.New()
	for {
		row, ok := rows.Next()
		if !ok {
			break
		}
		_, _ = io.WriteString(hash, recount.Checksum(append(slices.Clone(row.Key), row.Values...))) // a hash never fails
		w.add(row)
		n++
	}
	return n, hex.EncodeToString(hash.Sum(nil)), errors.Join(rows.Err(), w.close())
}

// compare runs the variant and compares its rows with those that are kept. It
// returns the names of the columns that differ, too.
func (k *kept) compare(ctx context.Context, session engine.Session, v engine.Variant) (out recount.ShakenRun, columns []string, err error) {
	out.Varied = v.Shake.String()
	rows, err := session.Run(ctx, v)
	if err != nil {
		failed, err := failure(ctx, err)
		out.Failed = failed
		return out, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	was, err := k.open()
	if err != nil {
		return out, nil, err
	}
	defer func() { err = errors.Join(err, was.close()) }()
	c := &comparing{shape: k.shape, off: make([]bool, len(k.shape.Key)+len(k.shape.Values)), out: &out}
	c.all(was, rows)
	if err := was.err(); err != nil {
		return out, nil, err
	}
	if err := rows.Err(); err != nil {
		failed, err := failure(ctx, err)
		out.Failed, out.Same = failed, false
		return out, nil, err
	}
	out.Same = out.Rows == 0
	for i, column := range append(slices.Clone(k.shape.Key), k.shape.Values...) {
		if c.off[i] {
			columns = append(columns, column.Name)
		}
	}
	return out, columns, nil
}

// failure is how a run ended that gave no rows though the first did. What is no
// fault of the logic remains an error.
func failure(ctx context.Context, err error) (string, error) {
	if ctx.Err() != nil {
		return "", err
	}
	e, ok := errors.AsType[*recount.Error](err)
	if !ok {
		return "", err
	}
	if LogicFault(e.Code) {
		return e.What + ": " + e.Why, nil
	}
	return "", err
}

// LogicFault says that an error is one of what a calculation does.
func LogicFault(code recount.Code) bool {
	switch code { //nolint:exhaustive // all others are not
	case recount.CodeWorker, recount.CodePoison, recount.CodeWorkerAnswer, recount.CodeResultKey, recount.CodeSQL, recount.CodeMemory:
		return true
	default:
		return false
	}
}

// comparing merges two runs in key order.
type comparing struct {
	shape recount.Shape
	off   []bool // by column: it differs
	out   *recount.ShakenRun
}

// ordered gives rows in key order.
type ordered interface {
	Next() (recount.Row, bool)
}

func (c *comparing) all(was, is ordered) {
	a, okA := was.Next()
	b, okB := is.Next()
	for okA || okB {
		order := 0
		switch {
		case !okB:
			order = -1
		case !okA:
			order = 1
		default:
			order = compareKeys(a.Key, b.Key)
		}
		switch {
		case order < 0:
			c.lone(a, true)
		case order > 0:
			c.lone(b, false)
		default:
			c.pair(a, b)
		}
		if order <= 0 {
			a, okA = was.Next()
		}
		if order >= 0 {
			b, okB = is.Next()
		}
	}
}

func compareKeys(a, b []recount.Value) int {
	x, y := recount.KeyText(a), recount.KeyText(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// lone counts a row that only one of the runs has.
func (c *comparing) lone(row recount.Row, was bool) {
	c.out.Rows++
	for i := range c.shape.Key {
		c.off[i] = true
	}
	if c.out.First != nil {
		return
	}
	c.out.First = &recount.Difference{Key: slices.Clone(row.Key), Lacks: "first"}
	if was {
		c.out.First.Lacks = "other"
	}
	if len(row.Values) == 0 {
		return
	}
	v := row.Values[0]
	if was {
		c.out.First.Was = &v
	} else {
		c.out.First.Is = &v
	}
}

// pair compares two rows of one key.
func (c *comparing) pair(a, b recount.Row) {
	differs := false
	for i := range a.Values {
		if a.Values[i] == b.Values[i] {
			continue
		}
		c.off[len(c.shape.Key)+i] = true
		if !differs && c.out.First == nil {
			was, is := a.Values[i], b.Values[i]
			c.out.First = &recount.Difference{Key: slices.Clone(a.Key), Column: c.shape.Values[i].Name, Was: &was, Is: &is}
		}
		differs = true
	}
	if differs {
		c.out.Rows++
	}
}
