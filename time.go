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
	if p, ok := parsePlain(s); ok {
		if p.hasOffset {
			return p.instant(), nil
		}
		return time.Time{}, errNoOffset(text)
	}
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errNoOffset(text)
}

func errNoOffset(text string) error {
	return fmt.Errorf("%q is no time with an offset, such as 2024-06-10T12:00:00Z", clip(text))
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
	at, offset, err := ParseWall(text)
	switch {
	case err != nil:
		return time.Time{}, err
	case offset:
		return at, nil
	case zone == nil:
		return time.Time{}, errNoZone(text)
	}
	return Local(at, zone)
}

// ParseWall reads a time and says whether it carries its offset. One that does
// is an instant; one that does not is what a clock shows, as if in UTC, for
// Local to make an instant of.
func ParseWall(text string) (at time.Time, offset bool, err error) {
	s := strings.TrimSpace(text)
	if p, ok := parsePlain(s); ok {
		return p.instant(), p.hasOffset, nil
	}
	if at, err := ParseTimestamp(s); err == nil {
		return at, true, nil
	}
	for _, layout := range localLayouts {
		if wall, err := time.Parse(layout, s); err == nil {
			return wall, false, nil
		}
	}
	return time.Time{}, false, fmt.Errorf("%q is no time, such as 2024-06-10T12:00:00Z", clip(text))
}

func errNoZone(text string) error {
	return fmt.Errorf("%q has no offset and no zone was given", clip(text))
}

// plainTime is a time in the spelling that nearly all have:
// 2024-06-10[T ]12:09:24[.053][Z|+02:00]. Reading it by hand is ten times
// faster than by layouts, and an import reads one for each event.
type plainTime struct {
	wall      time.Time // as the clock shows it, in UTC
	offset    time.Duration
	hasOffset bool
}

func (p plainTime) instant() time.Time {
	if p.offset == 0 {
		return p.wall
	}
	return p.wall.Add(-p.offset)
}

// parsePlain says ok only for what the layouts accept too; anything else, sound
// or not, is left to them.
func parsePlain(s string) (plainTime, bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(s) < seconds || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return plainTime{}, false
	}
	century, year, month, day := two(s, 0), two(s, 2), two(s, 5), two(s, 8)
	hour, minute, second := two(s, 11), two(s, 14), two(s, 17)
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || day > daysOf(century*100+year, month) || hour < 0 || hour > 23 ||
		minute < 0 || minute > 59 || second < 0 || second > 59 {
		return plainTime{}, false
	}
	nanos, i := 0, seconds
	if i < len(s) && s[i] == '.' {
		unit := int(100 * time.Millisecond)
		for i++; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			nanos += int(s[i]-'0') * unit
			unit /= 10 // past the ninth digit the rest counts nothing
		}
		if i == seconds+1 {
			return plainTime{}, false
		}
	}
	p := plainTime{wall: time.Date(century*100+year, time.Month(month), day, hour, minute, second, nanos, time.UTC)}
	if rest := s[i:]; len(rest) == len("+00") && s[10] == ' ' {
		return p.withOffset(rest + ":00") // as PostgreSQL prints it
	}
	return p.withOffset(s[i:])
}

func daysOf(year, month int) int {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4 || month == 6 || month == 9 || month == 11:
		return 30
	}
	return 31
}

func (p plainTime) withOffset(s string) (plainTime, bool) {
	switch {
	case s == "":
		return p, true
	case s == "Z":
		p.hasOffset = true
		return p, true
	case len(s) != len("+02:00") || s[3] != ':' || s[0] != '+' && s[0] != '-':
		return plainTime{}, false
	}
	hours, minutes := two(s, 1), two(s, 4)
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return plainTime{}, false
	}
	p.offset, p.hasOffset = time.Duration(hours)*time.Hour+time.Duration(minutes)*time.Minute, true
	if s[0] == '-' {
		p.offset = -p.offset
	}
	return p, true
}

// two reads the two digits at s[i]; -1 if they are none.
func two(s string, i int) int {
	a, b := s[i]-'0', s[i+1]-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
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
		_, shown := back.Zone()
		if back.Add(time.Duration(shown)*time.Second).Equal(utc) && (len(found) == 0 || !found[0].Equal(at)) {
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

// instantText is an instant, or "open" for none.
func instantText(t time.Time) string {
	if t.IsZero() {
		return "open"
	}
	return FormatTimestamp(t)
}
