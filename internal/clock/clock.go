// Package clock is the one home of the wall clock. Everything else takes a
// Clock, so that tests and replays own the time.
package clock

import "time"

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
