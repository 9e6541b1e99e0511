package files

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/source"
	"recount/source/payload"
)

// chunk is a batch whose events are still to be decoded.
type chunk struct {
	batch  source.Batch
	decode func(*payload.Scratch) ([]recount.Event, error)
	done   chan decoded
	err    error // in place of a batch: what ended the reading
}

type decoded struct {
	events []recount.Event
	err    error
}

// pipeline lets produce cut chunks, a few goroutines decode them, and hands
// them to emit in the order in which they were cut, on the caller's goroutine.
// An error of produce comes after all chunks before it were emitted. No
// goroutine outlives the call.
func pipeline(ctx context.Context, produce func(yield func(chunk) error) error, emit func(source.Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := min(max(runtime.GOMAXPROCS(0), 1), 4)
	order := make(chan chunk, workers)
	work := make(chan chunk)
	g, ctx := errgroup.WithContext(ctx)
	send := func(to chan<- chunk, c chunk) error {
		select {
		case to <- c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g.Go(func() error {
		defer close(order)
		defer close(work)
		err := produce(func(c chunk) error {
			c.done = make(chan decoded, 1)
			if err := send(order, c); err != nil {
				return err
			}
			return send(work, c)
		})
		if err != nil && ctx.Err() == nil {
			return send(order, chunk{err: err})
		}
		return ctx.Err()
	})
	for range workers {
		g.Go(func() error {
			var scratch payload.Scratch
			for c := range work {
				events, err := c.decode(&scratch)
				c.done <- decoded{events, err}
			}
			return nil
		})
	}
	err := drain(ctx, order, emit)
	cancel()
	_ = g.Wait() // whatever went wrong came through order, or is ctx's
	return err
}

func drain(ctx context.Context, order <-chan chunk, emit func(source.Batch) error) error {
	for {
		var c chunk
		var more bool
		select {
		case c, more = <-order:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read files: %w", err)
		}
		if !more {
			return nil
		}
		if c.err != nil {
			return c.err
		}
		var d decoded
		select {
		case d = <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("read files: %w", ctx.Err())
		}
		if d.err != nil {
			return d.err
		}
		c.batch.Events = d.events
		if err := emit(c.batch); err != nil {
			return err
		}
	}
}
