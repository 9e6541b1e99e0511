package main

import (
	"context"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/target"
	"recount/target/sqlite"
)

// TestAPlantedMistakeIsFound breaks one rule of the product at a time, through
// its ports, and expects that rows are made wrong.
func TestAPlantedMistakeIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped in short mode: each mistake takes some batches to be met")
	}
	for name, plant := range map[string]planted{
		"a row is written though it moved":           {tx: func(tx target.Tx) target.Tx { return unguarded{tx} }},
		"an undo row is lost":                        {target: func(t target.Target) target.Target { return forgetful{t} }},
		"the right row is that of one event too few": {session: func(s engine.Session) engine.Session { return oneBehind{s} }},
		"repeats count":                              {session: func(s engine.Session) engine.Session { return undeduped{s} }},
		"the last minutes of what is read are left out": {input: func(in *engine.Input) {
			if !in.Read.To.IsZero() {
				in.Read.To = in.Read.To.Add(-5 * time.Minute)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, 2, 0, 0)
			s.registry = plant.registry(t)
			s.say = func(string, ...any) {}
			// Not every batch has what the mistake needs: about one in five has rows
			// that move under a plan which sets values.
			const batches, histories = 40, 40
			for number := range batches {
				found := newTally()
				// A mistake may also make the product refuse; then the next batch tells.
				if err := s.playOne(t.Context(), s.draw(number, histories), &found); err != nil {
					t.Logf("batch %d: %v", number, err)
				}
				if found.WrongWrites > 0 {
					return
				}
			}
			t.Errorf("no wrong write in %d batches", batches)
		})
	}
}

// planted wraps ports of the product.
type planted struct {
	input   func(*engine.Input)
	session func(engine.Session) engine.Session
	target  func(target.Target) target.Target
	tx      func(target.Tx) target.Tx
}

// registry has the adapters of the product, but for the wrapped ones.
func (p planted) registry(t *testing.T) *adapter.Registry {
	t.Helper()
	base, _ := adapter.Default.Lookup(adapter.Engine, "duckdb")
	live, _ := adapter.Default.Lookup(adapter.Target, "sqlite")
	r, err := replaced(adapter.Default,
		adapter.Declare(base.Port, base.Name, base.Summary, func(ctx context.Context, env adapter.Env, config duckdb.Config) (engine.Engine, error) {
			e, err := adapter.Open[engine.Engine](ctx, adapter.Default, base.Port, base.Name, env, &config)
			return &wrappedEngine{e, p}, err
		}),
		adapter.Declare(live.Port, live.Name, live.Summary, func(ctx context.Context, env adapter.Env, config sqlite.Config) (target.Target, error) {
			t, err := adapter.Open[target.Target](ctx, adapter.Default, live.Port, live.Name, env, &config)
			return p.wrap(t), err
		}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p planted) wrap(live target.Target) target.Target {
	if p.target != nil {
		live = p.target(live)
	}
	if p.tx != nil {
		live = withTx{live, p.tx}
	}
	return live
}

type wrappedEngine struct {
	engine.Engine
	planted planted
}

func (e *wrappedEngine) Close() error {
	if c, ok := e.Engine.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

func (e *wrappedEngine) Open(ctx context.Context, in engine.Input) (engine.Session, error) {
	if e.planted.input != nil {
		e.planted.input(&in)
	}
	s, err := e.Engine.Open(ctx, in)
	if err == nil && e.planted.session != nil {
		s = e.planted.session(s)
	}
	return s, err
}

// undeduped forgets to drop repeats.
type undeduped struct{ engine.Session }

func (s undeduped) Run(ctx context.Context, v engine.Variant) (engine.Rows, error) {
	v.Dedupe = false
	return s.Session.Run(ctx, v)
}

func (s undeduped) Same(ctx context.Context, v engine.Variant, earlier engine.Rows) (bool, error) {
	v.Dedupe = false
	return s.Session.Same(ctx, v, earlier)
}

// oneBehind gives a row of the right logic as it was one event earlier.
type oneBehind struct{ engine.Session }

func (s oneBehind) States(ctx context.Context, v engine.Variant, q engine.StatesQuery) (engine.States, error) {
	states, err := s.Session.States(ctx, v, q)
	if err != nil || len(v.Missed)+len(v.Again) > 0 || v.Late != nil || v.Twice || v.Arrival || v.Logic.Path != "right.sql" {
		return states, err
	}
	return &lagging{States: states}, nil
}

type lagging struct {
	engine.States
	key    string
	values []recount.Value
}

func (s *lagging) Next() (engine.State, bool) {
	state, ok := s.States.Next()
	if !ok {
		return state, false
	}
	now := append([]recount.Value(nil), state.Values...)
	if text := recount.KeyText(state.Key); text == s.key && state.Values != nil && s.values != nil {
		state.Values = s.values
	} else {
		s.key = text
	}
	s.values = now
	return state, true
}

// withTx wraps the transactions of a target.
type withTx struct {
	target.Target
	wrap func(target.Tx) target.Tx
}

func (t withTx) Begin(ctx context.Context) (target.Tx, error) {
	tx, err := t.Target.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return t.wrap(tx), nil
}

// unguarded writes whatever a row holds by now.
type unguarded struct{ target.Tx }

func (unguarded) Moved(context.Context, []string, []string, []recount.Change) ([]recount.Change, error) {
	return nil, nil
}

func (tx unguarded) Write(ctx context.Context, key, columns []string, changes []recount.Change) (int64, error) {
	now := map[string][]recount.Value{}
	var keys [][]recount.Value
	for _, c := range changes {
		keys = append(keys, c.Key)
	}
	err := tx.Read(ctx, key, columns, keys, func(row recount.Row) error {
		now[recount.KeyText(row.Key)] = row.Values
		return nil
	})
	if err != nil {
		return 0, err
	}
	forced := append([]recount.Change(nil), changes...)
	for i, c := range forced {
		if values := now[recount.KeyText(c.Key)]; c.Before != nil && values != nil {
			forced[i].Before = values
		}
	}
	return tx.Tx.Write(ctx, key, columns, forced)
}

// forgetful loses the first undo row of a run.
type forgetful struct{ target.Target }

func (t forgetful) Undo(ctx context.Context, run string, each func(recount.Change) error) error {
	first := true
	return t.Target.Undo(ctx, run, func(c recount.Change) error {
		if first {
			first = false
			return nil
		}
		return each(c)
	})
}
