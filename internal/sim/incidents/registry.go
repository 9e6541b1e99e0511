package main

import (
	"context"

	"recount/adapter"
	"recount/engine"
	"recount/engine/fold"
	"recount/engine/fold/gofold"
)

// replaced is a registry with the adapters of another one, but for those of the
// same port and name as one of with.
func replaced(r *adapter.Registry, with ...adapter.Spec) (*adapter.Registry, error) {
	out := &adapter.Registry{}
	for _, spec := range with {
		if err := out.Add(spec); err != nil {
			return nil, err
		}
	}
	for _, port := range []adapter.Port{adapter.Source, adapter.Store, adapter.Engine, adapter.Target} {
		for _, name := range r.Names(port) {
			spec, _ := r.Lookup(port, name)
			if _, taken := out.Lookup(port, name); taken {
				continue
			}
			if err := out.Add(spec); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// foldsInside is the engine of folds whose folds run in this process.
func foldsInside() adapter.Spec {
	return adapter.Declare(adapter.Engine, "fold", "Runs this program's folds in its own process.",
		func(context.Context, adapter.Env, fold.Config) (engine.Engine, error) {
			return fold.New(gofold.NewInside()), nil
		})
}
