package incident

import (
	"context"

	"recount"
	"recount/internal/replay"
)

// certify runs the right logic under every shake that its kind has.
func (r *Incident) certify(ctx context.Context, overrides Overrides) (*recount.Certificate, error) {
	c := &recount.Certificate{
		Calculation: r.calc.Name, Kind: r.calc.Logic.Kind, Logic: r.calc.Logic.Digest, Window: r.window, Stream: r.source.Name, Snapshot: r.snapshot.ID,
		Key: names(r.shape.Key),
	}
	c.Window.From, c.Window.To, c.Window.By = c.Window.From.UTC(), c.Window.To.UTC(), r.hits.Window.By
	var err error
	if c.Events, err = r.session.Count(ctx, r.calc.Dedupe); err != nil {
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
