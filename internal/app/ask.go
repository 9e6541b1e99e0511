package app

import (
	"context"
	"encoding/json"
	"io"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/app/outfile"
)

// Verify certifies that a calculation is deterministic, and shows that a window
// known to be good gives no difference. The certificate is kept in req.Out, where
// that is set.
func (a *App) Verify(ctx context.Context, req PlanRequest) (out Verified, err error) {
	began := a.now()
	a.as = req.As
	if err := a.free(outfile.Certificate, req.Out); err != nil {
		return out, err
	}
	r, err := a.prepare(ctx, req.Calculation, req.Window)
	if err == nil {
		err = a.shadowed(ctx, r)
	}
	if err != nil {
		return out, err
	}
	if out, err = r.Verify(ctx, req.Overrides); err != nil {
		return out, err
	}
	out.TookMS = a.now().Sub(began).Milliseconds()
	if out.Certificate != nil {
		out.Certificate.Program = a.opts.Program
	}
	if req.Out == "" {
		return out, nil
	}
	if out.Certificate == nil {
		return out, &recount.Error{
			Code: recount.CodeUnsupported, What: "there is no certificate to keep", Where: "recount.yaml, calculations: " + req.Calculation,
			Why: out.Unproved + ", so nothing was run", Next: "leave --out away, or give the calculation its logic",
		}
	}
	return out, outfile.Certificate.Write(a.path(req.Out), req.Out, func(w io.Writer) error { return writeCertificate(w, out.Certificate) })
}

// writeCertificate writes what --json prints.
func writeCertificate(w io.Writer, c *recount.Certificate) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Type   string `json:"type"`
		Schema int    `json:"schema"`
		*recount.Certificate
	}{"certificate", 1, c})
}

// Explain replays the events of one row alone, step by step, under the right
// logic and under the row's cause, or the previous logic.
func (a *App) Explain(ctx context.Context, req ExplainRequest) (Explanation, error) {
	p, err := a.loadPlan(req.File)
	if err != nil {
		return Explanation{}, err
	}
	a.as = p.Body.As
	return incident.Explain(ctx, host{a}, p, req)
}

// DetectRequest asks which events were lost or processed again.
type DetectRequest struct {
	Calculation string
	// Window names the suspects; without edges all archived events are.
	Window WindowRequest
	As     string // the version of the logic that is to be run for all events; empty: each for its time
}

// Detect solves for the positions whose loss or repetition gives the differences
// between live and right rows, and replays its answer.
func (a *App) Detect(ctx context.Context, req DetectRequest) (out Detected, err error) {
	began := a.now()
	a.as = req.As
	r, err := a.prepareDetect(ctx, req)
	if err != nil {
		return out, err
	}
	if out, err = r.Detect(ctx); err != nil {
		return out, err
	}
	out.TookMS = a.now().Sub(began).Milliseconds()
	return out, nil
}

// prepareDetect is prepare, with all archived events as the window where none is
// named.
func (a *App) prepareDetect(ctx context.Context, req DetectRequest) (*incident.Incident, error) {
	if req.Window.From == "" && req.Window.To == "" && len(req.Window.FromPositions) == 0 && req.Window.IDs == "" {
		r, err := incident.PrepareAll(ctx, host{a}, req.Calculation)
		if err != nil {
			return nil, err
		}
		return r, r.ReadCut(ctx, req.Window.Paused)
	}
	return a.prepare(ctx, req.Calculation, req.Window)
}

// shadowed lets the worker itself make the rows, where the calculation is one.
func (a *App) shadowed(ctx context.Context, r *incident.Incident) error {
	calc := r.Calculation()
	if calc.Shadow == nil {
		return nil
	}
	if err := r.KnowsTypes(ctx); err != nil {
		return err
	}
	return a.runShadow(ctx, r, calc)
}

// prepare makes the incident of a window as a person types it, and finds out how far
// the live rows are.
func (a *App) prepare(ctx context.Context, name string, window WindowRequest) (*incident.Incident, error) {
	r, err := a.prepareEvents(ctx, name, window)
	if err != nil {
		return nil, err
	}
	return r, r.ReadCut(ctx, window.Paused)
}

// prepareEvents is prepare for what depends on no live row.
func (a *App) prepareEvents(ctx context.Context, name string, window WindowRequest) (*incident.Incident, error) {
	hits, err := window.hits(a.opts.Dir)
	if err != nil {
		return nil, err
	}
	if window.Pull {
		if err := a.pullFor(ctx, name, hits); err != nil {
			return nil, err
		}
	}
	return incident.Prepare(ctx, host{a}, name, hits)
}
