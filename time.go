package recount

import (
	"fmt"
	"strings"
	"time"
)

// timestampLayout has microseconds at most, the resolution of Parquet, DuckDB
// and PostgreSQL.
const timestampLayout = "2006-01-02T15:04:05.999999Z"

// FormatTimestamp returns the canonical text of an instant: RFC 3339 in UTC,
// to the microsecond, without trailing zeros.
func FormatTimestamp(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format(timestampLayout)
}

// timestampLayouts are the spellings that databases and engines print; each
// carries its offset.
var timestampLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999-07",
	"2006-01-02T15:04:05.999999999-0700",
	"2006-01-02 15:04:05.999999999-0700",
}

// ParseTimestamp reads an instant with its offset. A time without one is an
// error: ParseLocal reads those, given a zone.
func ParseTimestamp(text string) (time.Time, error) {
	s := strings.TrimSpace(text)
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time with an offset, such as 2024-06-10T12:00:00Z", clip(text))
}

var localLayouts = []string{
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04",
	"2006-01-02T15:04",
	time.DateOnly,
}

// LocalTimeError says why a wall-clock time names no single instant.
type LocalTimeError struct {
	Text  string
	Zone  string
	Times []time.Time // none: the clock skipped it; two: it stood twice
}

func (e *LocalTimeError) Error() string {
	if len(e.Times) == 0 {
		return fmt.Sprintf("%s does not exist in %s: the clock was put forward over it", e.Text, e.Zone)
	}
	return fmt.Sprintf("%s stands twice in %s, as %s and as %s: the clock was put back over it", e.Text, e.Zone,
		e.Times[0].Format(time.RFC3339), e.Times[1].Format(time.RFC3339))
}

// ParseLocal reads a time with an offset, or one without that is meant in zone
// (nil: such a time is an error). A wall-clock time that the zone skips or has
// twice gives a *LocalTimeError.
func ParseLocal(text string, zone *time.Location) (time.Time, error) {
	if t, err := ParseTimestamp(text); err == nil {
		return t, nil
	}
	s := strings.TrimSpace(text)
	for _, layout := range localLayouts {
		wall, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if zone == nil {
			return time.Time{}, fmt.Errorf("%q has no offset and no zone was given", clip(text))
		}
		return Local(wall, zone)
	}
	return time.Time{}, fmt.Errorf("%q is no time, such as 2024-06-10T12:00:00Z", clip(text))
}

// Local returns the instant at which a clock in zone shows wall's date and time
// (wall's own zone is ignored), or a *LocalTimeError.
func Local(wall time.Time, zone *time.Location) (time.Time, error) {
	if zone == time.UTC {
		return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), time.UTC), nil
	}
	utc := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), time.UTC)
	var found []time.Time
	// The zone's offsets a day before and after are the only candidates: no zone
	// changes its clock twice in two days.
	for _, probe := range []time.Time{utc.Add(-24 * time.Hour), utc.Add(24 * time.Hour)} {
		_, offset := probe.In(zone).Zone()
		at := utc.Add(-time.Duration(offset) * time.Second)
		back := at.In(zone)
		if back.Hour() == wall.Hour() && back.Minute() == wall.Minute() && back.Day() == wall.Day() && (len(found) == 0 || !found[0].Equal(at)) {
			found = append(found, at)
		}
	}
	if len(found) == 1 {
		return found[0].UTC(), nil
	}
	for i := range found {
		found[i] = found[i].In(zone)
	}
	return time.Time{}, &LocalTimeError{Text: wall.Format("2006-01-02 15:04:05.999999"), Zone: zone.String(), Times: found}
}
