package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"time"

	"recount"
	"recount/internal/replay"
)

// Replayed is the outcome of a replay: its rows are written elsewhere.
type Replayed struct {
	Calculation string
	Window      recount.Window
	Asked       recount.Window
	Snapshot    string
	Watermark   time.Time
	Events      recount.EventCounts
	Rows        int64
	Digest      string // over all rows in key order
	Excluded    int64
	Fatal       *Fatal // keys that are left out; nil where none is
	Unproved    string // why determinism is not proved; empty where it is
	Out         string // file; empty: standard output
	TookMS      int64
}

// Rows are the rows of a replay, which are made when Each is called.
type Rows struct {
	r         *Incident
	excluded  map[string][]recount.Value
	overrides Overrides
	out       *Replayed
}

// Replay recalculates the window and hands its rows to write. Out and TookMS are
// left open. It opens no target.
func (r *Incident) Replay(ctx context.Context, overrides Overrides, write func(*Rows) error) (out Replayed, err error) {
	if err := r.begun(ctx); err != nil {
		return out, err
	}
	defer joined(&err, r.close)
	out = Replayed{Calculation: r.calc.Name, Window: r.window, Asked: r.typed(), Snapshot: r.snapshot.ID, Watermark: r.snapshot.Watermark}
	if out.Events, err = r.count(ctx); err != nil {
		return out, err
	}
	if err := r.refuseEmpty(out.Events, overrides.AllowEmpty); err != nil {
		return out, err
	}
	out.Unproved = r.unproved()
	err = write(&Rows{r: r, overrides: overrides, out: &out})
	return out, err
}

// Columns names the columns of the rows: those of the key, then the values.
func (s *Rows) Columns() []string { return append(names(s.r.shape.Key), names(s.r.shape.Values)...) }

// Each proves the calculation and calls line with each row and its checksum, in
// key order, but for excluded rows. That there is no row is told at the end.
func (s *Rows) Each(ctx context.Context, line func(values []recount.Value, checksum string) error) (err error) {
	rows, err := replay.Prove(ctx, s.r.session, s.r.right)
	if err != nil {
		return err
	}
	defer joined(&err, rows.Close)
	if err := s.exclude(ctx); err != nil {
		return err
	}
	hash := sha256.New()
	for {
		row, ok := rows.Next()
		if !ok {
			break
		}
		if _, touched := s.excluded[recount.KeyText(row.Key)]; touched {
			continue
		}
		values := append(slices.Clone(row.Key), row.Values...)
		sum := recount.Checksum(values)
		_, _ = io.WriteString(hash, sum) // a hash never fails
		if err := line(values, sum); err != nil {
			return err
		}
		s.out.Rows++
	}
	s.out.Digest = hex.EncodeToString(hash.Sum(nil))
	if err := rows.Err(); err != nil {
		return err
	}
	if s.out.Fatal, err = s.r.fatal(ctx, s.out.Rows); err != nil {
		return err
	}
	return s.r.refuseNoRows(s.out.Rows+s.out.Excluded, s.overrides.AllowEmpty)
}

// exclude finds the rows to leave out. Which events a fold does not survive is
// known when it has run.
func (s *Rows) exclude(ctx context.Context) error {
	r := s.r
	excluded, unknown, err := replay.Excluded(ctx, r.session, r.logics())
	if err != nil {
		return err
	}
	if len(unknown) > 0 && !s.overrides.WithoutQuarantined {
		return r.refuseUnknown(ctx, unknown)
	}
	s.excluded, s.out.Excluded = excluded, int64(len(excluded))
	if r.calc.Folds() {
		s.out.Events, err = r.count(ctx)
	}
	return err
}

// Verified is the outcome of verify: determinism, and no difference where none
// is expected.
type Verified struct {
	Calculation string
	// Certificate says what was varied and whether the rows stayed the same; nil
	// where there is no logic here to be run. Of a calculation that is not
	// deterministic it is all that is known.
	Certificate *recount.Certificate
	Window      recount.Window
	Runs        int
	Unproved    string // why determinism is not proved; empty where it is
	Digest      string
	Rows        recount.RowCounts
	First       *recount.Change // a wrong row, if there is one
	Red         recount.Control // why rows are wrong, where some are
	Key         []recount.PlanColumn
	Columns     []recount.PlanColumn
	TookMS      int64
}

// Verify certifies that the calculation is deterministic and, where it is, compares
// a window that is known to be good. TookMS and the certificate's program are left
// open.
func (r *Incident) Verify(ctx context.Context, overrides Overrides) (out Verified, err error) {
	l, err := r.openLive(ctx)
	if err != nil {
		return out, err
	}
	defer joined(&err, l.target.Close)
	if err := r.begun(ctx); err != nil {
		return out, err
	}
	defer joined(&err, r.close)
	if out.Unproved = r.unproved(); out.Unproved == "" {
		if out.Certificate, err = r.certify(ctx, overrides); err != nil {
			return out, err
		}
		if !out.Certificate.Deterministic {
			out.Calculation, out.Window = r.calc.Name, r.window
			return out, nil
		}
	}
	overrides.AcceptTwoWay = true // how much is wrong is what verify is to say
	p, err := r.planned(ctx, l, overrides)
	if err != nil {
		return out, err
	}
	out = Verified{
		Calculation: r.calc.Name, Certificate: out.Certificate, Window: r.window, Runs: 2, Unproved: out.Unproved, Digest: p.Body.Digest, Rows: p.Body.Rows,
		Key: p.Body.Key, Columns: p.Body.Columns,
	}
	if out.Unproved != "" {
		out.Runs = 0 // there was nothing to run
	}
	for i, c := range p.Changes {
		if c.Action != recount.ActionExcluded {
			out.First = &p.Changes[i]
			break
		}
	}
	out.Red, err = r.verified(ctx, l)
	return out, err
}

// certify runs the right logic under every shake that its kind has.
func (r *Incident) certify(ctx context.Context, overrides Overrides) (*recount.Certificate, error) {
	var inputs recount.PlanBody
	r.bodyOfInputs(&inputs)
	c := &recount.Certificate{
		Calculation: r.calc.Name, Kind: r.calc.Logic.Kind, Logic: r.logicDigest(), Window: r.window, Stream: r.source.Name, Snapshot: r.snapshot.ID,
		Key: names(r.shape.Key), As: r.calc.As, Versions: inputs.Versions, Upcasts: inputs.Upcasts, Lookups: inputs.Lookups,
	}
	c.Window.From, c.Window.To, c.Window.By = c.Window.From.UTC(), c.Window.To.UTC(), r.hits.Window.By
	var err error
	if c.Events, err = r.count(ctx); err != nil {
		return nil, err
	}
	if err := r.refuseEmpty(c.Events, overrides.AllowEmpty); err != nil {
		return nil, err
	}
	scratch, err := r.host.Scratch("certificate")
	if err != nil {
		return nil, err
	}
	done, err := replay.Certify(ctx, r.session, r.right, scratch, r.host.Progress())
	if err != nil {
		return nil, err
	}
	c.Rows, c.Checksum, c.Runs, c.Columns, c.Deterministic = done.Rows, done.Checksum, done.Runs, done.Columns, done.Same()
	return c, nil
}
