package recount

import (
	"fmt"
	"strings"
)

// PositionWindow is the half-open span [From, To) of positions of one partition.
// Positions are spelled as the archive's, of fixed width.
type PositionWindow struct {
	Partition string `json:"partition"`
	From      string `json:"from"`
	To        string `json:"to"`
}

// String shows the window with its brackets, without the zeros that pad numbers.
func (w PositionWindow) String() string {
	return fmt.Sprintf("%s:[%s, %s)", w.Partition, ShortPosition(w.From), ShortPosition(w.To))
}

// PositionWidth is the number of digits of a position that is a number.
const PositionWidth = 20

// PadPosition spells a number as a position of the archive; other texts stay as
// they are.
func PadPosition(text string) string {
	digits := strings.TrimLeft(text, "0")
	if text == "" || strings.Trim(text, "0123456789") != "" || len(digits) > PositionWidth {
		return text
	}
	return strings.Repeat("0", PositionWidth-len(digits)) + digits
}

// ShortPosition spells a position for a person: a number without the zeros that
// pad it.
func ShortPosition(position string) string {
	if len(position) != PositionWidth || strings.Trim(position, "0123456789") != "" {
		return position
	}
	if short := strings.TrimLeft(position, "0"); short != "" {
		return short
	}
	return "0"
}

// Hits says which events are in the error window. Window has the edges of
// ByEvent and of ByIngest; of the other clocks it is the hit events' span of
// event time, zero until it is known.
type Hits struct {
	Window    Window
	Positions []PositionWindow // of ByPosition
	IDs       *IDList          // of ByIDs
}

// String shows the window in the first line of every output.
func (h Hits) String() string {
	switch h.Window.By {
	case ByPosition:
		parts := make([]string, len(h.Positions))
		for i, p := range h.Positions {
			parts[i] = p.String()
		}
		return strings.Join(parts, " ")
	case ByIDs:
		return fmt.Sprintf("%d ids of %s", h.IDs.Count, h.IDs.From)
	case ByEvent, ByIngest:
	}
	return h.Window.String()
}
