package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The incident: of a day of events, the half hour from noon was processed wrong.
var (
	dayStart   = time.Date(2024, 6, 10, 0, 0, 0, 0, time.UTC)
	dayEnd     = dayStart.Add(24 * time.Hour)
	windowFrom = dayStart.Add(12 * time.Hour)
	windowTo   = windowFrom.Add(30 * time.Minute)
)

const (
	repeatEvery = 100 // one event in so many was sent twice
	wrongEvery  = 20  // one live row in so many is wrong
	sample      = 17  // seed of everything
)

// event is one generated event: milliseconds of the day, user and cents.
type event struct {
	id    int
	ms    uint32
	user  uint32
	cents int32
}

// totals are the right results: cents per user, and whether there are any.
type totals struct {
	cents []int64
	any   []bool
}

func newTotals(users int) *totals { return &totals{make([]int64, users), make([]bool, users)} }

func (t *totals) add(e event) {
	t.cents[e.user] += int64(e.cents)
	t.any[e.user] = true
}

// makeData writes events.csv, existing_window.csv and existing_day.csv and
// returns how many corrections of each are right.
func makeData(dir string, events, users int, ordered bool) (window, day int, err error) {
	rng := rand.New(rand.NewPCG(sample, uint64(events))) //nolint:gosec // the same file every time
	f, err := os.Create(filepath.Join(dir, "events.csv"))
	if err != nil {
		return 0, 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.WriteString("event_id,timestamp,user_id,value\n"); err != nil {
		return 0, 0, errors.Join(err, f.Close())
	}
	inWindow, inDay := newTotals(users), newTotals(users)
	msFrom, msTo := uint32(windowFrom.Sub(dayStart).Milliseconds()), uint32(windowTo.Sub(dayStart).Milliseconds())
	span := uint32(dayEnd.Sub(dayStart).Milliseconds())
	line := make([]byte, 0, 64)
	for n := 0; n < events; {
		e := event{id: n, ms: rng.Uint32N(span), user: rng.Uint32N(uint32(users)), cents: int32(rng.IntN(20000)) - 2000}
		if ordered {
			e.ms = uint32(uint64(n) * uint64(span) / uint64(events))
		}
		inDay.add(e)
		if e.ms >= msFrom && e.ms < msTo {
			inWindow.add(e)
		}
		copies := 1
		if rng.IntN(repeatEvery) == 0 {
			copies = 2
		}
		for ; copies > 0 && n < events; copies-- {
			line = appendEvent(line[:0], e)
			if _, err := w.Write(line); err != nil {
				return 0, 0, errors.Join(err, f.Close())
			}
			n++
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return 0, 0, err
	}
	if window, err = writeLive(filepath.Join(dir, "existing_window.csv"), inWindow, rng); err != nil {
		return 0, 0, err
	}
	day, err = writeLive(filepath.Join(dir, "existing_day.csv"), inDay, rng)
	return window, day, err
}

// appendEvent writes the event's line. Its id looks like those of a real shop:
// of fixed width and in no order.
func appendEvent(b []byte, e event) []byte {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(e.id)*0x9E3779B97F4A7C15)
	b = fmt.Appendf(b, "e%x,", key)
	b = dayStart.Add(time.Duration(e.ms)*time.Millisecond).AppendFormat(b, "2006-01-02 15:04:05.000")
	b = fmt.Appendf(b, ",u%06d,", e.user)
	return append(appendCents(b, int64(e.cents)), '\n')
}

func appendCents(b []byte, cents int64) []byte {
	if cents < 0 {
		b = append(b, '-')
		cents = -cents
	}
	b = strconv.AppendInt(b, cents/100, 10)
	return append(b, '.', byte('0'+cents/10%10), byte('0'+cents%10))
}

// writeLive writes the live rows: the right ones, but for one in wrongEvery that
// is changed or missing. It returns how many are.
func writeLive(name string, right *totals, rng *rand.Rand) (wrong int, err error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	_, _ = w.WriteString("user_id,value\n") // Flush tells
	line := make([]byte, 0, 64)
	for user, any := range right.any {
		if !any {
			continue
		}
		cents := right.cents[user]
		if rng.IntN(wrongEvery) == 0 {
			wrong++
			if rng.IntN(40) == 0 {
				continue
			}
			cents += 1 + rng.Int64N(5000)
		}
		line = fmt.Appendf(line[:0], "u%06d,", user)
		_, _ = w.Write(append(appendCents(line, cents), '\n'))
	}
	return wrong, errors.Join(w.Flush(), f.Close())
}
