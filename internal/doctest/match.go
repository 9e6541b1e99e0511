package doctest

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Match says whether the lines that a page expects agree with those that came.
func Match(want, got []string, now time.Time) bool {
	for i, line := range want {
		if line == "..." {
			for skip := 0; skip <= len(got)-i; skip++ {
				if Match(want[i+1:], got[i+skip:], now) {
					return true
				}
			}
			return false
		}
		if i >= len(got) || !MatchLine(line, got[i], now) {
			return false
		}
	}
	return len(want) == len(got)
}

var (
	spaces   = regexp.MustCompile(` {2,}`)
	rules    = regexp.MustCompile(`[─━]{2,}`)
	duration = regexp.MustCompile(`\b\d+(\.\d+)? ?(µs|ms|s)\b`)
	instant  = regexp.MustCompile(`\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z| UTC|[+-]\d{2}:\d{2})?`)
	word     = regexp.MustCompile(`[0-9A-Za-z]+|[^0-9A-Za-z]+`)
	hexID    = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
	digit    = regexp.MustCompile(`[0-9]`)
	letter   = regexp.MustCompile(`[a-f]`)
)

// MatchLine says whether one line agrees.
func MatchLine(want, got string, now time.Time) bool {
	if want == got {
		return true
	}
	got = hideNow(got, now)
	want = hideTimes(want, got)
	want, got = duration.ReplaceAllString(want, "<took>"), duration.ReplaceAllString(got, "<took>")
	if strings.Contains(got, "<") {
		// What varies may vary in width, and so does the padding after it.
		want, got = spaces.ReplaceAllString(want, " "), spaces.ReplaceAllString(got, " ")
		want, got = rules.ReplaceAllString(want, "─"), rules.ReplaceAllString(got, "─")
	}
	pieces := strings.Split(want, "...")
	if len(pieces) == 1 {
		return sameWords(want, got)
	}
	return matchPieces(pieces, got)
}

// hideNow replaces the times around now.
func hideNow(line string, now time.Time) string {
	const near = 48 * time.Hour
	return instant.ReplaceAllStringFunc(line, func(text string) string {
		for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04"} {
			if at, err := time.Parse(layout, text[:len(layout)]); err == nil && at.Sub(now).Abs() < near {
				return "<time>"
			}
		}
		return text
	})
}

// hideTimes replaces the times of want at the places where got has lost its own.
func hideTimes(want, got string) string {
	hidden := regexp.MustCompile(`<time>|`+instant.String()).FindAllString(got, -1)
	i := -1
	return instant.ReplaceAllStringFunc(want, func(text string) string {
		i++
		if i < len(hidden) && hidden[i] == "<time>" {
			return "<time>"
		}
		return text
	})
}

// sameWords compares word for word; two ids of the same length are the same.
func sameWords(want, got string) bool {
	a, b := word.FindAllString(want, -1), word.FindAllString(got, -1)
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !bothIDs(a[i], b[i]) {
			return false
		}
	}
	return true
}

// bothIDs: one of the two must hold digits and letters, so that plain numbers are
// not taken for ids; the other may by chance hold digits alone.
func bothIDs(a, b string) bool {
	mixed := func(s string) bool { return digit.MatchString(s) && letter.MatchString(s) }
	return len(a) == len(b) && hexID.MatchString(a) && hexID.MatchString(b) && (mixed(a) || mixed(b))
}

// matchPieces finds the pieces between "..." in order, the first at the start
// and the last at the end.
func matchPieces(pieces []string, got string) bool {
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(got) < len(first)+len(last) || !sameWords(first, got[:len(first)]) || !sameWords(last, got[len(got)-len(last):]) {
		return false
	}
	got = got[len(first) : len(got)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		at := strings.Index(got, piece)
		if at < 0 {
			return false
		}
		got = got[at+len(piece):]
	}
	return true
}

// Diff shows both sides, one line each: a space where they agree, - for what the
// page says, + for what came.
func Diff(want, got []string, now time.Time) string {
	// length[i][j] is the longest agreement of want[i:] and got[j:].
	length := make([][]int, len(want)+1)
	for i := range length {
		length[i] = make([]int, len(got)+1)
	}
	for i, w := range slices.Backward(want) {
		for j, g := range slices.Backward(got) {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if MatchLine(w, g, now) {
				length[i][j] = length[i+1][j+1] + 1
			}
		}
	}
	var b strings.Builder
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && MatchLine(want[i], got[j], now):
			b.WriteString("  " + got[j] + "\n")
			i, j = i+1, j+1
		case i < len(want) && (j == len(got) || length[i+1][j] >= length[i][j+1]):
			b.WriteString("- " + want[i] + "\n")
			i++
		default:
			b.WriteString("+ " + got[j] + "\n")
			j++
		}
	}
	return b.String()
}
