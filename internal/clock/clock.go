// Package clock is the one home of the wall clock. Everything else takes a
// Clock, so that tests and replays own the time.
package clock

import (
	"context"
	"time"
)

// Clock tells the time.
type Clock interface {
	Now() time.Time
}

// System is the machine's clock, in UTC.
type System struct{}

// Now returns the present instant.
func (System) Now() time.Time { return time.Now().UTC() } //nolint:forbidigo // the one home of the wall clock

// Fixed always tells the same instant.
type Fixed time.Time

// Now returns the fixed instant.
func (f Fixed) Now() time.Time { return time.Time(f) }

// Timer is a Clock that also waits, and tells time that passed from a clock that
// was set.
type Timer interface {
	Clock
	// Passed is the time since some instant before; nobody sets it.
	Passed() time.Duration
	// Sleep returns after a while, or when ctx ends.
	Sleep(ctx context.Context, length time.Duration)
}

// TimerOf returns c itself if it is a Timer, and else one that tells c's instants
// and waits by the machine.
func TimerOf(c Clock) Timer {
	if t, ok := c.(Timer); ok {
		return t
	}
	return machine{c}
}

// machine waits by the machine's clock that nobody sets.
type machine struct{ Clock }

var began = time.Now() //nolint:forbidigo // the one home of the wall clock

func (machine) Passed() time.Duration { return time.Since(began) } //nolint:forbidigo // the one home of the wall clock

func (machine) Sleep(ctx context.Context, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
