package run

import (
	"context"
	"errors"
	"fmt"
	"math"

	"recount"
)

// findGroup finds which group of a batch ends a stepper: the last of the
// shortest run of groups, from the first on, that does.
func (d *driver) findGroup(ctx context.Context, k keyed, groups []filledGroup, p *Poison) (int, error) {
	low, high := 0, len(groups) // the first low are harmless, the first high are not
	for high-low > 1 {
		middle := (low + high) / 2
		failed, err := d.tryGroups(ctx, k, groups[0].place, middle)
		if err != nil {
			return 0, err
		}
		if failed != nil {
			high = middle
		} else {
			low = middle
		}
	}
	failed, err := d.tryGroups(ctx, k, groups[0].place, high)
	if err != nil {
		return 0, err
	}
	if failed == nil {
		return 0, d.unsteady(p)
	}
	return high - 1, nil
}

// unsteady is the error of a stepper that failed once, and not again with the
// same events.
func (d *driver) unsteady(p *Poison) error {
	if e, ok := errors.AsType[*recount.Error](p.Err); ok {
		return e
	}
	return &recount.Error{
		Code: recount.CodeWorker, What: "the calculation ended, and not again with the same events", Where: d.spec.Where, Why: p.Error(), Err: p.Err,
		Next: "look for what it keeps between keys, such as memory that grows",
	}
}

// findEvent finds the event of a group that ends a stepper: the last of the
// shortest run of events, from the first on, that does.
func (d *driver) findEvent(ctx context.Context, k keyed, at place, p *Poison) (int64, *Poison, error) {
	whole, err := d.try(ctx, k, at, math.MaxInt)
	if err != nil {
		return 0, nil, err
	}
	if whole.poison == nil {
		return 0, nil, d.unsteady(p)
	}
	if whole.poison.Seq != 0 {
		return whole.poison.Seq, whole.poison, nil
	}
	low, high, found := 0, whole.events, whole
	for high-low > 1 {
		middle := (low + high) / 2
		one, err := d.try(ctx, k, at, middle)
		if err != nil {
			return 0, nil, err
		}
		if one.poison != nil {
			high, found = middle, one
		} else {
			low = middle
		}
	}
	return found.last, found.poison, nil
}

// trial is what came of some events of one group.
type trial struct {
	poison *Poison
	events int   // that were handed over
	last   int64 // seq of the last of them
}

// try hands the first most events of a group to a new stepper. Less than all do
// not end the group.
func (d *driver) try(ctx context.Context, k keyed, at place, most int) (t trial, err error) {
	if err := k.seek(at); err != nil {
		return t, err
	}
	if err := d.fresh(ctx); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	var f filled
	for ended := false; !ended && t.events < most; {
		if err := k.fill(&f, min(d.batch, most-t.events)); err != nil {
			return t, err
		}
		if len(f.groups) == 0 {
			break
		}
		g := f.groups[0]
		f.groups, f.refs = f.groups[:1], f.refs[:g.to]
		if over := t.events + len(f.refs) - most; over > 0 { // groups that are never cut
			f.refs = f.refs[:len(f.refs)-over]
			f.groups[0].to, f.groups[0].end = len(f.refs), false
		}
		ended = g.end
		in, err := d.input(&f, 0)
		if err != nil {
			return t, err
		}
		_, err = d.stepper.Step(ctx, in)
		in.Record.Release()
		t.events += len(f.refs)
		if n := len(in.Seq); n > 0 {
			t.last = in.Seq[n-1]
		}
		if poison, ok := errors.AsType[*Poison](err); ok && ctx.Err() == nil {
			t.poison = poison
			return t, nil
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

// tryGroups hands whole groups to a new stepper, until it fails or n have been.
func (d *driver) tryGroups(ctx context.Context, k keyed, at place, n int) (failed *Poison, err error) {
	if err := k.seek(at); err != nil {
		return nil, err
	}
	if err := d.fresh(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	var f filled
	for number, going := int64(0), false; int(number) < n || going; {
		if err := k.fill(&f, d.batch); err != nil {
			return nil, err
		}
		if len(f.groups) == 0 {
			return nil, fmt.Errorf("read groups again: there are %d, not %d", number, n)
		}
		first := number
		if going {
			first--
		}
		if rest := n - int(first); len(f.groups) > rest {
			f.groups = f.groups[:rest]
			f.refs = f.refs[:f.groups[rest-1].to]
		}
		in, err := d.input(&f, first)
		if err != nil {
			return nil, err
		}
		_, err = d.stepper.Step(ctx, in)
		in.Record.Release()
		if poison, ok := errors.AsType[*Poison](err); ok && ctx.Err() == nil {
			return poison, nil
		}
		if err != nil {
			return nil, err
		}
		last := in.Groups[len(in.Groups)-1]
		number, going = last.Number+1, !last.End
	}
	return nil, nil
}
