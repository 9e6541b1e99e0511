package payload

import "strings"

// Nearest returns the name that a person most likely meant by name; empty where
// none is near.
func Nearest(name string, names []string) string {
	best, least := "", len(name)/2+1
	for _, candidate := range names {
		n := distance(strings.ToLower(strings.TrimSpace(name)), strings.ToLower(strings.TrimSpace(candidate)))
		if n < least {
			best, least = candidate, n
		}
	}
	return best
}

// distance counts the letters to add, drop or replace.
func distance(a, b string) int {
	const longest = 100 // names are short; a hostile header is not worth the time
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
