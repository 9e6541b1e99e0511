//go:build !race

package archive_test

// underRace says that the race detector makes everything some ten times slower.
const underRace = false
