package recount

import (
	"fmt"
	"time"
)

// Clock names what a window is measured by.
type Clock string

// ByEvent measures a window by event time.
const ByEvent Clock = "event"

// Window is the half-open span [From, To) of instants.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	By   Clock     `json:"by"`
}

// Length is To minus From.
func (w Window) Length() time.Duration { return w.To.Sub(w.From) }

// Contains says whether t lies in [From, To).
func (w Window) Contains(t time.Time) bool { return !t.Before(w.From) && t.Before(w.To) }

// Overlaps says whether the closed span [first, last] shares an instant with w.
func (w Window) Overlaps(first, last time.Time) bool {
	return first.Before(w.To) && !last.Before(w.From)
}

// String shows the window with its brackets.
func (w Window) String() string {
	return fmt.Sprintf("[%s, %s)", FormatTimestamp(w.From), FormatTimestamp(w.To))
}

// Bucket is the grid on which results are kept: spans of Size that align in
// Zone. The zero Bucket means that results are not bucketed.
type Bucket struct {
	Size time.Duration
	Zone *time.Location
}

// None says that results are not bucketed.
func (b Bucket) None() bool { return b.Size == 0 }

// Floor returns the start of the bucket that holds t. Whole days follow the
// zone's calendar, so that a day may have 23 or 25 hours; shorter buckets align
// at the zone's midnight.
func (b Bucket) Floor(t time.Time) time.Time {
	if b.None() {
		return t
	}
	local := t.In(b.zone())
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, b.zone())
	const day = 24 * time.Hour
	if b.Size%day == 0 {
		days := int(b.Size / day)
		since := int(time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC).Unix() / int64(day/time.Second))
		back := ((since % days) + days) % days
		return time.Date(local.Year(), local.Month(), local.Day()-back, 0, 0, 0, 0, b.zone()).UTC()
	}
	return midnight.Add(t.Sub(midnight).Truncate(b.Size)).UTC()
}

// Next returns the end of the bucket that starts at start.
func (b Bucket) Next(start time.Time) time.Time {
	const day = 24 * time.Hour
	local := start.In(b.zone())
	if b.Size%day == 0 {
		return time.Date(local.Year(), local.Month(), local.Day()+int(b.Size/day), 0, 0, 0, 0, b.zone()).UTC()
	}
	next := start.Add(b.Size)
	// A day that the clock made shorter or longer ends at midnight all the same.
	if tomorrow := time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, b.zone()); next.After(tomorrow) {
		return tomorrow.UTC()
	}
	return next.UTC()
}

// Widen returns the smallest window of whole buckets that covers w.
func (b Bucket) Widen(w Window) Window {
	if b.None() {
		return w
	}
	w.From = b.Floor(w.From).UTC()
	if start := b.Floor(w.To); !start.Equal(w.To) {
		w.To = b.Next(start)
	}
	return w
}

func (b Bucket) zone() *time.Location {
	if b.Zone == nil {
		return time.UTC
	}
	return b.Zone
}
