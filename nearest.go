package recount

import (
	"slices"
	"unicode/utf8"
)

// Nearest returns the name of among that is most likely meant by name: the one
// with the fewest letters changed, added, dropped or swapped, if a third of the
// letters at most differ; else "". Of several the first in order of text.
func Nearest(name string, among []string) string {
	const longest = 64 // no name of ours is longer; the bound keeps hostile input cheap
	if name == "" || len(name) > longest {
		return ""
	}
	best, nearest := max(1, utf8.RuneCountInString(name)/3)+1, ""
	for _, candidate := range slices.Sorted(slices.Values(among)) {
		if len(candidate) > longest {
			continue
		}
		if d := distance([]rune(fold(name)), []rune(fold(candidate))); d < best {
			best, nearest = d, candidate
		}
	}
	return nearest
}

// fold makes names that differ in case and in - or _ alike.
func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c == '-':
			b[i] = '_'
		}
	}
	return string(b)
}

// distance counts the letters to change, add, drop or swap with their neighbour.
func distance(a, b []rune) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		now[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			now[j+1] = min(now[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], before[j-1]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
