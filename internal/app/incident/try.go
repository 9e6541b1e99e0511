package incident

import (
	"context"
	"errors"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/diff"
	"recount/internal/replay"
)

// mostKeys bounds the rows that an engine is asked for by name; beyond it all
// rows are made.
const mostKeys = 50_000

// trying tries hypotheses one after the other. What a run of a fold costs is mostly
// its process, so that hypotheses which follow one another are run together where
// they have one logic and as many parts: those with more are seldom needed.
type trying struct {
	*Incident
	shape recount.Shape
	pairs []diff.Pair
	// together are the rows of hypotheses that were run together, of which so many
	// are not looked at yet.
	together engine.Several
	rest     int
}

// next tries the first of the hypotheses that are left, and says how many rows still
// have no cause.
func (t *trying) next(ctx context.Context, hypotheses []replay.Hypothesis) (left int, err error) {
	h := hypotheses[0]
	h.Variant.Keys = t.keys()
	if t.rest == 0 {
		if err := t.begin(ctx, hypotheses, h.Variant.Keys); err != nil {
			return 0, err
		}
	}
	var rows engine.Rows
	switch {
	case t.rest > 0:
		rows = t.together.Next()
		t.rest--
	case h.Cause == causePrevious:
		// A logic that is tried alone is proved deterministic, as the right one is:
		// the causes are part of the plan.
		rows, err = replay.Prove(ctx, t.session, h.Variant)
	default:
		rows, err = t.session.Run(ctx, h.Variant)
	}
	if err != nil {
		return 0, err
	}
	defer joined(&err, rows.Close)
	return diff.Explain(t.shape, t.rules(), t.pairs, h.Cause, diff.As(t.within(rows, t.compared), t.shape))
}

// keys are those of the rows without a cause; nil where they are too many to name.
func (t *trying) keys() (keys [][]recount.Value) {
	for _, p := range t.pairs {
		if p.Cause == "" && !p.Excluded && p.Hold == "" {
			keys = append(keys, p.Key)
		}
	}
	if len(keys) > mostKeys {
		return nil
	}
	return keys
}

// begin runs the hypotheses together that can be, if they are more than one.
func (t *trying) begin(ctx context.Context, hypotheses []replay.Hypothesis, keys [][]recount.Value) error {
	if err := t.close(); err != nil {
		return err
	}
	var list []engine.Variant
	first := hypotheses[0]
	for _, h := range hypotheses {
		v := h.Variant
		if h.Cause == causePrevious || !v.Logic.Fold() || v.Logic.Digest != first.Variant.Logic.Digest || parts(h) != parts(first) {
			break
		}
		v.Keys = keys
		list = append(list, v)
	}
	if len(list) < 2 || keys == nil {
		return nil
	}
	several, err := t.session.Several(ctx, list)
	if errors.Is(err, recount.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	t.together, t.rest = several, len(list)
	return nil
}

// parts is how many things a hypothesis says.
func parts(h replay.Hypothesis) int { return 1 + strings.Count(string(h.Cause), "+") }

// close ends what was run together.
func (t *trying) close() error {
	if t.together == nil {
		return nil
	}
	err := t.together.Close()
	t.together, t.rest = nil, 0
	return err
}
