package run

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount"
)

const (
	// defaultBatch is how many events a batch has where nobody says.
	defaultBatch = 8192
	// shakenBatch is no divisor of it.
	shakenBatch = 1009
	// smallBatch is for runs of less than fewRows events, which would be one batch
	// otherwise.
	smallBatch = 61
	fewRows    = 16 * shakenBatch
	// shakenBits says how many times as many parts a shaken run has, as a logarithm.
	shakenBits = 3
	// defaultPoisoned is how many events may be poison.
	defaultPoisoned = 1000
)

// driver hands the keys of parts to a stepper, one batch after the other. It is
// used by one goroutine.
type driver struct {
	*runner
	stepper Stepper
	builder *builder
	number  int64 // of the next group
	filled  filled
	groups  []Group
	// uid tells apart the groups of a part and their attempts: what an attempt that
	// failed has given is dropped by it.
	uid     int64
	going   bool // the last group goes on in the next batch
	pure    bool // rows are keys with their states
	state   int  // the shape's column that is the state; none
	results *results
	values  []recount.Value
	scratch scratch
	sent    uint64     // effects so far
	poison  []Poisoned // of the part
	file    *spillFile // of rows
}

func (r *runner) newDriver() *driver {
	d := &driver{runner: r, builder: newBuilder(r.plan, r.names.list), state: r.stateColumn()}
	d.pure = d.state != none && len(r.wants.Columns) == 0
	return d
}

func (d *driver) close() error {
	if d.stepper == nil {
		return nil
	}
	s := d.stepper
	d.stepper, d.number = nil, 0
	return s.Close()
}

// fresh makes a stepper where there is none.
func (d *driver) fresh(ctx context.Context) error {
	if d.stepper != nil {
		return nil
	}
	s, err := d.steppers.New(ctx, int(d.made.Add(1)-1), d.wants)
	if err != nil {
		return err
	}
	d.stepper, d.number = s, 0
	return nil
}

// fold folds all keys of a part into results.
func (d *driver) fold(ctx context.Context, k keyed, out *results) error {
	d.results, d.going = out, false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := k.fill(&d.filled, d.batch); err != nil {
			return err
		}
		if len(d.filled.groups) == 0 {
			return nil
		}
		if err := d.fresh(ctx); err != nil {
			return err
		}
		err := d.step(ctx)
		if poison, ok := errors.AsType[*Poison](err); ok && ctx.Err() == nil {
			err = d.poisoned(ctx, k, poison)
		}
		if err != nil {
			return err
		}
	}
}

// input makes the batch of what is filled. The numbers of its groups follow one
// another.
func (d *driver) input(f *filled, number int64) (Batch, error) {
	d.groups = d.groups[:0]
	for i, g := range f.groups {
		one := Group{Number: number + int64(i), From: g.from, To: g.to, Begin: g.begin, End: g.end}
		if g.opened {
			one.Opening = g.opening
		}
		if g.begin {
			key, err := d.plan.values(g.of, g.row)
			if err != nil {
				return Batch{}, fmt.Errorf("read a key: %w", err)
			}
			one.Key, one.Bucket = key, d.bucketOf(g)
		}
		d.groups = append(d.groups, one)
	}
	record := d.builder.record(f)
	return Batch{Record: record, Seq: d.builder.seq, Groups: d.groups}, nil
}

func (d *driver) bucketOf(g filledGroup) int64 {
	if !d.plan.bucketd {
		return 0
	}
	return bucketOf(g.of.columns[d.plan.key].at(g.row))
}

// step hands over what is filled and keeps what comes of it.
func (d *driver) step(ctx context.Context) error {
	first := d.number
	if d.going {
		first--
	}
	in, err := d.input(&d.filled, first)
	if err != nil {
		return err
	}
	answer, err := d.stepper.Step(ctx, in)
	in.Record.Release()
	if err != nil {
		return err
	}
	if !d.going {
		d.uid++
	}
	if err := d.take(in, &answer); err != nil {
		return err
	}
	last := len(in.Groups) - 1
	d.uid += int64(last)
	d.number, d.going = in.Groups[last].Number+1, !in.Groups[last].End
	return nil
}

// stop ends the stepper, whose state nobody knows, and forgets what the group
// that went on from the last batch has given.
func (d *driver) stop() {
	_ = d.close() // it failed already
	if d.going {
		d.results.forget(d.uid)
	}
	d.going = false
}

// poisoned finds the event that ended the stepper, drops its key and goes on
// before the batch that failed.
func (d *driver) poisoned(ctx context.Context, k keyed, p *Poison) error {
	began := d.number
	if d.going {
		began--
	}
	d.stop()
	groups := append([]filledGroup(nil), d.filled.groups...)
	seqs := slices.Clone(d.builder.seq)
	guilty := none
	if p.Group >= 0 {
		if guilty = int(p.Group - began); guilty < 0 || guilty >= len(groups) {
			return fmt.Errorf("a stepper blames group %d, which is not in its batch: %w", p.Group, p.Err)
		}
	}
	if guilty == none {
		var err error
		if guilty, err = d.findGroup(ctx, k, groups, p); err != nil {
			return err
		}
	}
	seq, why := p.Seq, p
	if p.Group < 0 || seq == 0 {
		var err error
		if seq, why, err = d.findEvent(ctx, k, groups[guilty].place, p); err != nil {
			return err
		}
	}
	g := groups[guilty]
	key, err := d.plan.values(g.of, g.row)
	if err != nil {
		return fmt.Errorf("read a key: %w", err)
	}
	first := g.begin && !g.opened && g.from < g.to && seqs[g.from] == seq
	if err := d.addPoisoned(Poisoned{Seq: seq, Key: key, Why: said(why), First: first, Attempt: d.attemptOf(g)}); err != nil {
		return err
	}
	k.drop(g.place)
	if d.spec.Show {
		d.results.forgetKey(int64(g.place.key) + 1)
	}
	return k.seek(groups[0].place)
}

// said is what there is to say of an event that ended a stepper, without the
// frame of an error of its own.
func said(p *Poison) string {
	if e, ok := errors.AsType[*recount.Error](p.Err); ok && e.Why != "" {
		return e.Why
	}
	return p.Error()
}

// addPoisoned keeps a poisoned event, and refuses too many.
func (d *driver) addPoisoned(p Poisoned) error {
	d.poison = append(d.poison, p)
	r := d.runner
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Poisoned = append(r.result.Poisoned, p)
	most := r.spec.MaxPoisoned
	if most <= 0 {
		most = defaultPoisoned
	}
	if len(r.result.Poisoned) <= most {
		return nil
	}
	return &recount.Error{
		Code: recount.CodePoison, What: "too many events end the calculation", Where: r.spec.Where,
		Why:  fmt.Sprintf("more than %d events, the last of them number %d: %s", most, p.Seq, p.Why),
		Next: "mend the calculation: so many are no single bad events",
	}
}
