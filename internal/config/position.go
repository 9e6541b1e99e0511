package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"recount"
)

// ParsePosition reads a partition and a position of it, as in 3:41200. The last
// colon divides them. The position comes back as the archive spells it.
func ParsePosition(text string) (partition, position string, err error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", "", errors.New("a position is written with its partition, as in 3:41200")
	}
	partition, position = text[:i], text[i+1:]
	odd := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar }
	switch {
	case partition == "":
		return "", "", errors.New("the partition before the colon is missing, as in 3:41200")
	case position == "":
		return "", "", errors.New("the position after the colon is missing, as in 3:41200")
	case strings.ContainsFunc(text, odd):
		return "", "", errors.New("it has a space or a control character in it; a position is written as in 3:41200")
	case strings.HasPrefix(position, "-") || strings.HasPrefix(position, "+"):
		return "", "", errors.New("a position has no sign")
	case !strings.ContainsAny(position, "0123456789"):
		return "", "", errors.New("a position has a digit at least, as in 3:41200")
	}
	return partition, recount.PadPosition(position), nil
}

// PositionWindow joins the two edges of one partition, or says why they are no
// window.
func PositionWindow(from, to string) (recount.PositionWindow, error) {
	var w recount.PositionWindow
	var err error
	if w.Partition, w.From, err = ParsePosition(from); err != nil {
		return w, fmt.Errorf("%q: %w", clip(from), err)
	}
	partition, end, err := ParsePosition(to)
	switch {
	case err != nil:
		return w, fmt.Errorf("%q: %w", clip(to), err)
	case partition != w.Partition:
		return w, fmt.Errorf("the edges are of partition %q and of partition %q; a window has one", clip(w.Partition), clip(partition))
	case len(end) != len(w.From):
		// Positions compare as texts, which is their order only at one width.
		return w, errors.New("the edges are positions of different kinds: one is longer than the other")
	case w.From >= end:
		return w, errors.New("from is not before to; the end is excluded")
	}
	w.To = end
	return w, nil
}
