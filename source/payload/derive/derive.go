// Package derive has the rules by which a value that is no JSON becomes canonical
// JSON: a row of Parquet, a value of Avro or Protobuf, a change of a database. All
// share them, so that one value has one text whichever way it came.
//
// The text is one object, the columns in the schema's order, no white space,
// nothing escaped that need not be. No value loses anything:
//
//	int64, uint64, decimal    a string of digits, as in all of Recount's JSON
//	smaller integers, floats  a number; NaN and the infinities are strings
//	bool, null                as they are
//	string                    a string, its bytes as they are
//	binary                    a string where it is UTF-8, else {"base64": "…"}
//	uuid                      a string
//	timestamp                 RFC 3339 with all its digits; Z where it is an instant,
//	                          without an offset where it is a local time
//	date, time                2024-06-10, 12:09:24.053
//	list, struct              an array, an object
//	map                       an object where all keys are texts by their type (Avro,
//	                          Protobuf), else an array of {"key": …, "value": …}
package derive

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"
)

// MostDigitBytes is the size that an unscaled decimal may have; more than any
// database's.
const MostDigitBytes = 1024

// Int64 appends a whole number of 64 bits, as a string.
func Int64(b []byte, n int64) []byte {
	return append(strconv.AppendInt(append(b, '"'), n, 10), '"')
}

// Uint64 appends a whole number of 64 bits, as a string.
func Uint64(b []byte, n uint64) []byte {
	return append(strconv.AppendUint(append(b, '"'), n, 10), '"')
}

// Float appends the shortest number that reads back as f, of 32 or 64 bits.
func Float(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}

// Decimal appends unscaled / 10^scale with all of its digits, as a string. A scale
// below zero appends zeros.
func Decimal(b []byte, unscaled *big.Int, scale int) []byte {
	if unscaled.Sign() < 0 {
		b = append(b, '"', '-')
	} else {
		b = append(b, '"')
	}
	digits := new(big.Int).Abs(unscaled).Append(nil, 10)
	for ; scale < 0 && unscaled.Sign() != 0; scale++ {
		digits = append(digits, '0')
	}
	whole := max(len(digits)-max(scale, 0), 0)
	if whole == 0 {
		b = append(b, '0')
	}
	b = append(b, digits[:whole]...)
	if scale > 0 {
		b = append(b, '.')
		for range scale - len(digits) {
			b = append(b, '0')
		}
		b = append(b, digits[whole:]...)
	}
	return append(b, '"')
}

// DecimalBytes appends a decimal whose unscaled value is given in two's
// complement, most significant byte first, as Avro and Kafka Connect have it. A
// value or scale beyond all databases is an error.
func DecimalBytes(b, unscaled []byte, scale int) ([]byte, error) {
	const farthest = 1000
	if len(unscaled) > MostDigitBytes || scale > farthest || scale < -farthest {
		return b, fmt.Errorf("a decimal of %d bytes and scale %d is too large", len(unscaled), scale)
	}
	n := new(big.Int).SetBytes(unscaled)
	if len(unscaled) > 0 && unscaled[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(unscaled))*8))
	}
	return Decimal(b, n, scale), nil
}

// Stamp appends an instant, or the local time that at shows in UTC.
func Stamp(b []byte, at time.Time, local bool) []byte {
	layout := "2006-01-02T15:04:05.999999999Z"
	if local {
		layout = layout[:len(layout)-1]
	}
	return append(at.UTC().AppendFormat(append(b, '"'), layout), '"')
}

// Date appends the day that lies that many days after 1970-01-01.
func Date(b []byte, days int64) []byte {
	const secondsPerDay = 24 * 60 * 60
	return append(time.Unix(days*secondsPerDay, 0).UTC().AppendFormat(append(b, '"'), time.DateOnly), '"')
}

// Clock appends a time of day. A time of a database may also be a span, below zero
// or above a day: its hours go on counting.
func Clock(b []byte, since time.Duration) []byte {
	b = append(b, '"')
	if since < 0 {
		b = append(b, '-')
	}
	// Seconds and nanoseconds are made positive one by one: the least Duration has
	// no positive.
	seconds, nanos := since/time.Second, since%time.Second
	whole, rest := uint64(max(seconds, -seconds)), uint64(max(nanos, -nanos))
	b = fmt.Appendf(b, "%02d:%02d:%02d", whole/3600, whole/60%60, whole%60)
	if rest != 0 {
		b = fmt.Appendf(b, ".%09d", rest)
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, '"')
}

// UUID appends 16 bytes as a UUID's text.
func UUID(b []byte, u [16]byte) []byte {
	b = append(b, '"')
	from := 0
	for i, to := range []int{4, 6, 8, 10, 16} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, u[from:to])
		from = to
	}
	return append(b, '"')
}

// Binary appends bytes: a string where they are UTF-8, else {"base64": "…"}.
func Binary(b, value []byte) []byte {
	if utf8.Valid(value) {
		return String(b, string(value))
	}
	b = append(b, `{"base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, value)
	return append(b, `"}`...)
}

// String appends a JSON string. Bytes that are no UTF-8 stay as they are: a reader
// finds them and says so, where a replacement would hide them.
func String(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0')
			b = hex.AppendEncode(b, []byte{c})
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
