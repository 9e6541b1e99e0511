package incident

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"recount"
	"recount/engine"
	"recount/internal/diff"
	"recount/internal/replay"
)

// fitFolds gives folds what their calculation says of their states: rows that
// remember their bucket alone are folded by bucket, and those that remember
// everything begin with the states of a checkpoint. The previous fold has states
// of its own, of which there is none.
func (r *Incident) fitFolds() {
	logics := []*recount.Logic{&r.calc.Logic}
	if r.calc.Previous != nil {
		previous := *r.calc.Previous
		r.calc.Previous = &previous
		logics = append(logics, r.calc.Previous)
	}
	r.calc.Logic.Versions = slices.Clone(r.calc.Logic.Versions)
	for i := range r.calc.Logic.Versions {
		logics = append(logics, &r.calc.Logic.Versions[i].Logic)
	}
	for _, l := range logics {
		if !l.Fold() {
			continue
		}
		if r.calc.Memory.Kind == recount.MemoryWindow {
			l.Bucket = r.calc.Bucket
		}
		if l == r.calc.Previous || r.calc.Memory.Kind != recount.MemoryUnbounded {
			continue
		}
		for _, name := range l.By {
			if i := slices.IndexFunc(r.source.Mapping.Fields, func(f recount.Field) bool { return f.Name == name }); i >= 0 {
				l.Opening = append(l.Opening, r.source.Mapping.Fields[i])
			}
		}
		l.Opening = append(l.Opening, recount.Field{Name: recount.StateColumn, Type: recount.Type{Kind: recount.KindString}})
	}
}

// nextKind says how a column of the previous logic gets the right type.
func nextKind(logic recount.Logic, name string, want recount.Type) string {
	if logic.Fold() {
		return fmt.Sprintf("let the previous fold return %s as %s", name, want)
	}
	return fmt.Sprintf("cast it in the previous logic, such as %s::%s", name, want)
}

// survived runs the previous fold once, as the right logic was run: events that a
// fold does not survive are known only then, and their rows are left out whatever
// explains them.
func (r *Incident) survived(ctx context.Context, session engine.Session) error {
	if r.calc.Previous == nil || !r.calc.Previous.Fold() {
		return nil
	}
	v := r.right
	v.Logic = *r.calc.Previous
	rows, err := session.Run(ctx, v)
	if err != nil {
		return err
	}
	return rows.Close()
}

// folds says that the right logic or the previous one is a fold.
func (r *Incident) folds() bool {
	return r.calc.Logic.Fold() || r.calc.Previous != nil && r.calc.Previous.Fold()
}

// exclude leaves out rows of events that a fold did not survive while hypotheses
// were tried.
func (r *Incident) exclude(ctx context.Context, pairs []diff.Pair) error {
	if !r.folds() {
		return nil
	}
	excluded, _, err := replay.Excluded(ctx, r.session, r.logics())
	if err != nil {
		return err
	}
	for i := range pairs {
		if _, out := excluded[pairs[i].Text]; out {
			pairs[i].Excluded, pairs[i].Cause, pairs[i].Event = true, "", ""
		}
	}
	return nil
}

// opened is the variant that makes the rows of a checkpoint; those of a fold are
// the states of its own keys.
func (r *Incident) opened() engine.Variant {
	v := r.right
	v.See, v.Columns = engine.SeeAll, nil
	if v.Logic.Fold() {
		v.Key = v.Logic.By
	}
	for _, f := range v.Logic.Opening {
		if !slices.Contains(v.Key, f.Name) {
			v.Columns = append(v.Columns, f.Name)
		}
	}
	return v
}

// resume is the folder in which the states of a fold over a long history are kept
// until the checkpoint is whole: a command that was killed goes on from there.
// Empty where the project's folder cannot be written.
func (r *Incident) resume() string {
	if !r.calc.Logic.Fold() {
		return ""
	}
	dir := filepath.Join(r.host.Dir(), ".recount", "resume-"+r.calc.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return ""
	}
	return dir
}
