package eventfile

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"recount"
)

// int128 is a scaled decimal in two's complement.
type int128 struct {
	hi int64
	lo uint64
}

// parseDecimal reads canonical text of decimal(p,s): a sign, digits, and just s
// of them after the point. It refuses more than 38 digits.
func parseDecimal(text string, scale int) (int128, bool) {
	s, neg := text, false
	if s != "" && s[0] == '-' {
		s, neg = s[1:], true
	}
	var hi, lo uint64
	some, digits, after := false, 0, -1 // digits counts from the first that is not 0
	for i := range len(s) {
		c := s[i]
		if c == '.' && after < 0 {
			after = 0
			continue
		}
		if c < '0' || c > '9' {
			return int128{}, false
		}
		if some = true; digits > 0 || c != '0' {
			digits++
		}
		if digits > recount.MaxPrecision {
			return int128{}, false
		}
		if after >= 0 {
			after++
		}
		carry, low := bits.Mul64(lo, 10)
		lo = low + uint64(c-'0')
		if lo < low {
			carry++
		}
		hi = hi*10 + carry
	}
	if !some || max(after, 0) != scale {
		return int128{}, false
	}
	if neg {
		lo = -lo
		hi = ^hi
		if lo == 0 {
			hi++
		}
	}
	return int128{hi: int64(hi), lo: lo}, true
}

// bytes writes n in as many big-endian bytes as dst has.
func (n int128) bytes(dst []byte) {
	var all [16]byte
	binary.BigEndian.PutUint64(all[:8], uint64(n.hi))
	binary.BigEndian.PutUint64(all[8:], n.lo)
	copy(dst, all[16-len(dst):])
}

// parseMicros reads canonical text of a timestamp. The plain form is read
// without the layouts of package time.
func parseMicros(s string) (int64, bool) {
	const plain = "2006-01-02T15:04:05Z"
	if len(s) < len(plain) || s[len(s)-1] != 'Z' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		t, err := recount.ParseTimestamp(s)
		return t.UnixMicro(), err == nil
	}
	day, ok := parseDay(s[:10])
	h, m, sec := two(s[11:]), two(s[14:]), two(s[17:])
	if !ok || h < 0 || h > 23 || m < 0 || m > 59 || sec < 0 || sec > 59 {
		return 0, false
	}
	micros := (int64(day)*86400 + int64(h*3600+m*60+sec)) * 1e6
	frac := s[19 : len(s)-1]
	if frac == "" {
		return micros, true
	}
	if frac[0] != '.' || len(frac) < 2 || len(frac) > 7 {
		return 0, false
	}
	part, unit := int64(0), int64(100000)
	for i := 1; i < len(frac); i++ {
		if frac[i] < '0' || frac[i] > '9' {
			return 0, false
		}
		part += int64(frac[i]-'0') * unit
		unit /= 10
	}
	return micros + part, true
}

func two(s string) int {
	if s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return -1
	}
	return int(s[0]-'0')*10 + int(s[1]-'0')
}

// parseDay reads YYYY-MM-DD as days since 1970.
func parseDay(s string) (int32, bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	century, year, month, day := two(s), two(s[2:]), two(s[5:]), two(s[8:])
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	t := time.Date(century*100+year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day {
		return 0, false
	}
	return int32(t.Unix() / 86400), true
}

// badValue is the error for a text that its column's type does not spell. The
// source must have made it canonical, so it is a mistake of the program.
func badValue(f recount.Field, text string) error {
	return fmt.Errorf("value %q of field %q is not canonical for %s", text, f.Name, f.Type)
}
