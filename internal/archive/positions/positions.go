// Package positions reckons with positions that are numbers of a fixed width, as
// recount.PadPosition spells them, and keeps sets of them as spans.
package positions

import "recount"

// Number reads a position that is a number below 2^63; false for all others.
func Number(position string) (int64, bool) {
	if position == "" {
		return 0, false
	}
	n := int64(0)
	for _, c := range []byte(position) {
		const base, most = 10, (1<<63 - 1) / 10
		if c < '0' || c > '9' || n > most || n == most && c > '7' {
			return 0, false
		}
		n = n*base + int64(c-'0')
	}
	return n, true
}

// Text spells a number as a position.
func Text(n int64) string { return recount.PadPosition(decimal(n)) }

func decimal(n int64) string {
	const digits = 20
	buf := [digits]byte{}
	at := len(buf)
	for {
		at--
		buf[at] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(buf[at:])
		}
	}
}

// After is the position that follows a number; a position that is none follows
// itself, as far as is known.
func After(position string) string {
	return moved(position, '9', '0', 1)
}

// Before is the position that a number follows; 0 and a position that is no number
// stay as they are.
func Before(position string) string {
	return moved(position, '0', '9', -1)
}

// moved adds one to a string of digits, or takes one off, and keeps its width.
func moved(position string, full, turned byte, by int) string {
	b := []byte(position)
	for i := len(b) - 1; i >= 0; i-- {
		switch {
		case b[i] < '0' || b[i] > '9':
			return position
		case b[i] != full:
			if digits(b[:i]) {
				b[i] = byte(int(b[i]) + by)
				return string(b)
			}
			return position
		}
		b[i] = turned
	}
	return position
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
