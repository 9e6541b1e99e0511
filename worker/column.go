package worker

import "recount"

// Column is the values of one column of a batch, in plain slices. Which of them
// is set follows from the column's type. It is for engines.
type Column struct {
	// Valid is a bitmap, least bit first, of the values that are not NULL, that of
	// the first at bit Start; nil: none is NULL.
	Valid []byte
	Start int
	// Ints are those of int64; of timestamp, in microseconds since 1970; and of
	// date, in days.
	Ints    []int64
	Doubles []float64 // of double
	Bools   []bool    // of bool and hit
	// Texts are those of string, json, key and data: value i is
	// Text[Offsets[i]:Offsets[i+1]].
	Text    string
	Offsets []int32
	// Decimals are those of decimal.
	Decimals []Decimal
	// Headers are those of headers.
	Headers [][]recount.Header
}

// Null says whether value i is NULL.
func (c *Column) Null(i int) bool {
	if c.Valid == nil {
		return false
	}
	i += c.Start
	return c.Valid[i>>3]&(1<<(i&7)) == 0
}

func (c *Column) text(i int) string { return c.Text[c.Offsets[i]:c.Offsets[i+1]] }
