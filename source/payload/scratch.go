package payload

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"recount"
)

// Scratch holds what one goroutine needs again and again while it decodes, and
// the memory that the texts of its events share: one allocation serves
// thousands of values. The zero Scratch is ready.
type Scratch struct {
	raw    []raw
	hints  []int // where the values of each want stood in the payload before
	cells  []string
	find   finder
	values []recount.Value
	texts  strings.Builder
	keys   []byte
	stamp  []byte
	zone   zoneSpan
	why    string
	faults int
}

// The sizes of what is allocated at once.
const (
	valuesAtOnce = 4096
	bytesAtOnce  = 32 << 10
)

func (s *Scratch) begin(wants int) {
	s.why, s.faults = "", 0
	if cap(s.raw) < wants {
		s.raw = make([]raw, wants)
		s.hints = make([]int, wants)
	}
	s.raw = s.raw[:wants]
	clear(s.raw)
}

// Values returns n values out of the shared memory; nil for none.
func (s *Scratch) Values(n int) []recount.Value {
	if n == 0 {
		return nil
	}
	if len(s.values) < n {
		s.values = make([]recount.Value, max(n, valuesAtOnce))
	}
	out := s.values[:n:n]
	s.values = s.values[n:]
	return out
}

// Text returns b as a string out of the shared memory. A Builder never changes
// what was written, so parts of it stay valid while it grows.
func (s *Scratch) Text(b []byte) string {
	if s.texts.Cap()-s.texts.Len() < len(b) {
		s.texts = strings.Builder{}
		s.texts.Grow(max(len(b), bytesAtOnce))
	}
	from := s.texts.Len()
	s.texts.Write(b)
	return s.texts.String()[from:]
}

// bytes returns a copy of text out of the shared memory.
func (s *Scratch) bytes(text string) []byte {
	if cap(s.keys)-len(s.keys) < len(text) {
		s.keys = make([]byte, 0, max(len(text), bytesAtOnce))
	}
	from := len(s.keys)
	s.keys = append(s.keys, text...)
	return s.keys[from:len(s.keys):len(s.keys)]
}

// blame notes a fault; the first one is told, the others are counted.
func (s *Scratch) blame(format string, args ...any) {
	if s.faults == 0 {
		s.why = fmt.Sprintf(format, args...)
	}
	s.faults++
}

// blameMissing is blame, unless a fault was noted for the value already.
func (s *Scratch) blameMissing(r raw, format string, args ...any) {
	if r.kind == rawAbsent || r.kind == rawText && r.text == "" {
		s.blame(format, args...)
	}
}

func (s *Scratch) sentence() string {
	if s.faults > 1 {
		return s.why + " (and " + strconv.Itoa(s.faults-1) + " more)"
	}
	return s.why
}

// quote shows a payload's text to a person, clipped.
func quote(text string) string {
	const most = 60
	if len(text) > most {
		return fmt.Sprintf("%.*q…", most, text)
	}
	return strconv.Quote(text)
}

// zoneSpan is a run of wall-clock times over which a zone's offset stays the
// same: looking the zone up for each event would cost more than all else.
type zoneSpan struct {
	known    bool
	from, to time.Time // wall-clock times as if in UTC
	offset   time.Duration
}

// local returns the instant at which a clock in zone shows wall.
func (s *Scratch) local(wall time.Time, zone *time.Location) (time.Time, error) {
	if zone == time.UTC {
		return wall, nil
	}
	if s.zone.known && !wall.Before(s.zone.from) && wall.Before(s.zone.to) {
		return wall.Add(-s.zone.offset), nil
	}
	at, err := recount.Local(wall, zone)
	if err != nil {
		return time.Time{}, err
	}
	// No offset reaches a day, so a wall-clock time that is further than a day
	// from both changes of the clock names one instant, under one offset.
	const day = 24 * time.Hour
	start, end := at.In(zone).ZoneBounds()
	_, offset := at.In(zone).Zone()
	s.zone = zoneSpan{known: true, offset: time.Duration(offset) * time.Second, from: wall.Add(-day), to: wall.Add(day)}
	if !start.IsZero() && s.zone.from.Before(start.UTC().Add(2*day)) {
		s.zone.known = false
	}
	if !end.IsZero() && s.zone.to.After(end.UTC().Add(-2*day)) {
		s.zone.known = false
	}
	return at, nil
}
