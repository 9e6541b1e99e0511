package diff

import (
	"maps"
	"slices"

	"recount"
)

// pending walks the excluded keys in order, beside the merge.
type pending struct {
	keys []string
	at   int
}

func newPending(excluded map[string][]recount.Value) *pending {
	return &pending{keys: slices.Sorted(maps.Keys(excluded))}
}

// before takes the next excluded key that sorts before text; at the end, any.
func (p *pending) before(text string, end bool) (string, bool) {
	if p.at >= len(p.keys) || !end && p.keys[p.at] >= text {
		return "", false
	}
	p.at++
	return p.keys[p.at-1], true
}

// take says whether text is the next excluded key, and passes it.
func (p *pending) take(text string) bool {
	if p.at < len(p.keys) && p.keys[p.at] == text {
		p.at++
		return true
	}
	return false
}
