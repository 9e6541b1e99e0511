package postgres

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"recount/source/payload/derive"
)

// The types that have a text of their own in JSON, by the number that every server
// has for them. All others, domains and enumerations among them, are strings.
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidOID         = 26
	oidFloat4      = 700
	oidFloat8      = 701
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidText        = 25
)

// elements are the types of lists, and what they are lists of. oidText stands for
// all that are strings.
var elements = map[uint32]uint32{
	1000: oidBool, 1001: oidBytea, 1016: oidInt8, 1005: oidInt2, 1007: oidInt4, 1028: oidOID, 1021: oidFloat4, 1022: oidFloat8,
	1115: oidTimestamp, 1185: oidTimestamptz,
	1002: oidText, 1003: oidText, 1009: oidText, 1014: oidText, 1015: oidText, // char, name, text, bpchar, varchar
	1231: oidText, 2951: oidText, 1182: oidText, 1183: oidText, 1270: oidText, 1187: oidText, // numeric, uuid, date, time, timetz, interval
	199: oidText, 3807: oidText, 1041: oidText, 651: oidText, // json, jsonb, inet, cidr
}

// appendValue appends a column's text as JSON, by the rules of package derive.
func appendValue(b []byte, oid uint32, text string) []byte {
	const base, bits = 10, 64
	switch oid {
	case oidBool:
		if text == "t" {
			return append(b, "true"...)
		}
		if text == "f" {
			return append(b, "false"...)
		}
	case oidInt2, oidInt4, oidOID:
		if n, err := strconv.ParseInt(text, base, bits); err == nil {
			return strconv.AppendInt(b, n, base)
		}
	case oidFloat4, oidFloat8:
		size := bits
		if oid == oidFloat4 {
			size = bits / 2
		}
		if f, err := strconv.ParseFloat(text, size); err == nil {
			return derive.Float(b, f, size)
		}
	case oidBytea:
		if raw, ok := bytesOf(text); ok {
			return derive.Binary(b, raw)
		}
	case oidTimestamp, oidTimestamptz:
		if at, ok := instant(text, oid == oidTimestamptz); ok {
			return derive.Stamp(b, at, oid == oidTimestamp)
		}
	}
	if element, ok := elements[oid]; ok {
		if out, ok := appendList(b, element, text); ok {
			return out
		}
	}
	return derive.String(b, text)
}

// bytesOf reads \x6162.
func bytesOf(text string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(text, `\x`)
	raw, err := hex.DecodeString(digits)
	return raw, ok && err == nil
}

// instant reads a time of the years 1 to 9999; infinity and others stay texts.
func instant(text string, zoned bool) (time.Time, bool) {
	layout := "2006-01-02 15:04:05.999999999"
	if zoned {
		layout += "-07"
	}
	at, err := time.Parse(layout, text)
	return at, err == nil
}

// appendList appends a list's text, {1,NULL,"a b"}, as a JSON array. One whose
// indexes do not begin at 1 says so in its text, and stays one.
func appendList(b []byte, element uint32, text string) ([]byte, bool) {
	const deepest = 6 // of the server's lists
	l := list{text: text, element: element, deepest: deepest}
	out, ok := l.append(b, 1)
	if !ok || l.at != len(text) {
		return b, false
	}
	return out, true
}

type list struct {
	text    string
	at      int
	element uint32
	deepest int
}

func (l *list) next() byte {
	if l.at < len(l.text) {
		return l.text[l.at]
	}
	return 0
}

func (l *list) append(b []byte, depth int) ([]byte, bool) {
	if l.next() != '{' || depth > l.deepest {
		return b, false
	}
	l.at++
	b = append(b, '[')
	if l.next() == '}' {
		l.at++
		return append(b, ']'), true
	}
	for {
		var ok bool
		switch l.next() {
		case '{':
			b, ok = l.append(b, depth+1)
		case '"':
			var text string
			if text, ok = l.quoted(); ok {
				b = appendValue(b, l.element, text)
			}
		default:
			word := l.word()
			ok = word != ""
			if word == "NULL" {
				b = append(b, "null"...)
			} else if ok {
				b = appendValue(b, l.element, word)
			}
		}
		if !ok {
			return b, false
		}
		switch l.next() {
		case ',':
			l.at++
			b = append(b, ',')
		case '}':
			l.at++
			return append(b, ']'), true
		default:
			return b, false
		}
	}
}

// quoted reads "a \"b\"".
func (l *list) quoted() (string, bool) {
	var out strings.Builder
	for l.at++; l.at < len(l.text); l.at++ {
		switch c := l.text[l.at]; c {
		case '"':
			l.at++
			return out.String(), true
		case '\\':
			if l.at++; l.at == len(l.text) {
				return "", false
			}
			out.WriteByte(l.text[l.at])
		default:
			out.WriteByte(c)
		}
	}
	return "", false
}

func (l *list) word() string {
	from := l.at
	for l.at < len(l.text) && !strings.ContainsRune(`,{}"\`, rune(l.text[l.at])) {
		l.at++
	}
	return l.text[from:l.at]
}
