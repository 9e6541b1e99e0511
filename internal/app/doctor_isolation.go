package app

import (
	"context"
	"slices"
	"strings"

	"recount/internal/sandbox"
)

// isolation checks that workers can be isolated on this machine, where a
// calculation has one.
func (d *doctor) isolation(ctx context.Context, calculations []string) {
	if !slices.ContainsFunc(calculations, func(name string) bool {
		calc, ok := d.app.Project.Calculations[name]
		return ok && calc.Folds()
	}) {
		return
	}
	d.check("isolation of workers", func() (string, error) {
		dir, err := d.app.folder("doctor")
		if err != nil {
			return "", err
		}
		s := sandbox.Supported(ctx, dir)
		has := s.Kernel + ": " + strings.Join(s.Has, ", ")
		switch {
		case s.Err != nil && d.app.opts.Unsandboxed:
			return "", warn{"workers are not isolated: " + s.Err.Error(), "run recount on a machine that can isolate them"}
		case s.Err != nil:
			return "", s.Err
		case d.app.opts.Unsandboxed:
			return "", warn{"workers are not isolated, though this machine can: " + has, "leave out --unsandboxed"}
		case len(s.Lacks) > 0:
			return "", warn{has + "; it lacks " + strings.Join(s.Lacks, "; "), "nothing stops; a newer kernel isolates more"}
		}
		return has, nil
	})
}
