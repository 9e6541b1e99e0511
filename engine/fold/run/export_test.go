package run

// Small makes parts and what fits into memory small, so that tests of few events
// go all the ways.
func Small() { partRows, leastShare = 8, 1<<10 }

// Whole takes Small back.
func Whole() { partRows, leastShare = 128<<10, 64<<10 }

// ParsePosition reads a position.
func ParsePosition(text []byte) (uint64, bool) { return parsePosition(text) }
