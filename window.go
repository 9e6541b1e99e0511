package recount

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Clock names what a window is measured by.
type Clock string

// The clocks.
const (
	ByEvent    Clock = "event"    // event time
	ByIngest   Clock = "ingest"   // when the source took the event in
	ByPosition Clock = "position" // positions in the log, by partition
	ByIDs      Clock = "ids"      // a list of event ids
)

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

// String shows the size as recount.yaml spells it: 10m, 1h, 24h or none.
func (b Bucket) String() string {
	if b.None() {
		return "none"
	}
	text := b.Size.String() // 10m0s, 1h0m0s
	for _, zero := range []string{"m0s", "h0m"} {
		if short, ok := strings.CutSuffix(text, zero); ok {
			text = short + zero[:1]
		}
	}
	return text
}

// None says that results are not bucketed.
func (b Bucket) None() bool { return b.Size == 0 }

const day = 24 * time.Hour

// Floor returns the start of the bucket that holds t. Whole days follow the
// zone's calendar, so that a day may have 23 or 25 hours; shorter buckets align
// at the zone's midnight.
func (b Bucket) Floor(t time.Time) time.Time {
	if b.None() {
		return t
	}
	year, month, date := b.dayOf(t)
	if b.Size%day == 0 {
		days := int(b.Size / day)
		since := int(time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() / int64(day/time.Second))
		back := ((since % days) + days) % days
		return b.dayStart(year, month, date-back)
	}
	midnight := b.dayStart(year, month, date)
	return midnight.Add(t.Sub(midnight).Truncate(b.Size))
}

// Next returns the end of the bucket that starts at start.
func (b Bucket) Next(start time.Time) time.Time {
	year, month, date := b.dayOf(start)
	if b.Size%day == 0 {
		return b.dayStart(year, month, date+int(b.Size/day))
	}
	next := start.Add(b.Size)
	// A day that the clock made shorter or longer ends at midnight all the same.
	if tomorrow := b.dayStart(year, month, date+1); next.After(tomorrow) {
		return tomorrow
	}
	return next.UTC()
}

// dayOf returns the day to which t belongs. It is the one that a clock shows,
// but where the clock is put back over midnight: there it shows yesterday for a
// second time, when today has begun.
func (b Bucket) dayOf(t time.Time) (year int, month time.Month, date int) {
	year, month, date = t.In(b.zone()).Date()
	if !b.dayStart(year, month, date+1).After(t) {
		date++
	}
	return year, month, date
}

// dayStart returns the first instant of a day in the bucket's zone. Where the
// clock is put forward at midnight the day starts at one; where it is put back
// over midnight, at the earlier of two.
func (b Bucket) dayStart(year int, month time.Month, date int) time.Time {
	wall := time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	at, err := Local(wall, b.zone())
	var two *LocalTimeError
	switch {
	case err == nil:
		return at
	case errors.As(err, &two) && len(two.Times) > 0:
		return two.Times[0].UTC()
	}
	// Midnight was skipped: the day starts when the clock was put forward.
	at = time.Date(year, month, date, 0, 0, 0, 0, b.zone())
	before, after := at.ZoneBounds()
	_, offset := at.Zone()
	if at.Add(time.Duration(offset) * time.Second).UTC().Before(wall) {
		return after.UTC()
	}
	return before.UTC()
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
