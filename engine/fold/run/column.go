package run

import (
	"encoding/binary"
	"slices"
)

// column are values of some rows: fixed ones end to end, or texts with where each
// ends. It is what rows are kept in from the file to the batch.
type column struct {
	width int // bytes of a value; 0: texts
	data  []byte
	ends  []uint32
	// valid has a byte for each row, 0 for NULL; nil while no row is NULL.
	valid []byte
	n     int
}

func (c *column) reset() {
	c.data, c.ends, c.valid, c.n = c.data[:0], c.ends[:0], nil, 0
}

// bytes is about how much memory the column's rows take.
func (c *column) bytes() int { return len(c.data) + 4*len(c.ends) + len(c.valid) }

func (c *column) null(row int) bool { return c.valid != nil && c.valid[row] == 0 }

// at returns a row's bytes, which belong to the column.
func (c *column) at(row int) []byte {
	if c.width > 0 {
		return c.data[row*c.width : (row+1)*c.width]
	}
	return c.data[c.start(row):c.ends[row]]
}

func (c *column) start(row int) uint32 {
	if row == 0 {
		return 0
	}
	return c.ends[row-1]
}

func (c *column) int64(row int) int64 {
	return int64(binary.LittleEndian.Uint64(c.data[row*8:])) //nolint:gosec // the same bits
}

func (c *column) uint64(row int) uint64 { return binary.LittleEndian.Uint64(c.data[row*8:]) }

// append adds a value.
func (c *column) append(v []byte) {
	c.data = append(c.data, v...)
	c.end(true)
}

func (c *column) appendInt64(v int64) {
	c.data = binary.LittleEndian.AppendUint64(c.data, uint64(v)) //nolint:gosec // the same bits
	c.end(true)
}

var zeros [16]byte

func (c *column) appendNull() {
	c.data = append(c.data, zeros[:c.width]...)
	c.end(false)
}

// end ends a row whose bytes were added.
func (c *column) end(valid bool) {
	if c.width == 0 {
		c.ends = append(c.ends, uint32(len(c.data))) //nolint:gosec // a chunk is far smaller
	}
	c.n++
	switch {
	case valid && c.valid == nil:
	case valid:
		c.valid = append(c.valid, 1)
	default:
		c.invalid()
	}
}

// invalid says that the row that ended last is NULL.
func (c *column) invalid() {
	for len(c.valid) < c.n-1 {
		c.valid = append(c.valid, 1)
	}
	c.valid = append(c.valid, 0)
}

// appendFrom adds a row of another column of the same form.
func (c *column) appendFrom(from *column, row int) {
	c.data = append(c.data, from.at(row)...)
	c.end(!from.null(row))
}

// chunk are rows of all slots of a plan.
type chunk struct {
	columns []column
	n       int
	// ranked says that places have the ranks of partitions, no more their numbers.
	ranked bool
	// order is where the chunk stands among those of its part: chunks that are
	// gathered by it hold a file's rows in the file's order.
	order int
}

func (p *plan) newChunk() *chunk {
	c := &chunk{columns: make([]column, len(p.slots))}
	for i, s := range p.slots {
		c.columns[i].width = s.width
	}
	return c
}

func (c *chunk) bytes() (n int) {
	for i := range c.columns {
		n += c.columns[i].bytes()
	}
	return n
}

func (c *chunk) reset() {
	for i := range c.columns {
		c.columns[i].reset()
	}
	c.n, c.ranked = 0, false
}

// reserve makes room for so many rows' fixed values.
func (p *plan) reserve(c *chunk, rows int) {
	for i, s := range p.slots {
		if size := rows * s.width; s.kept && cap(c.columns[i].data) < size {
			c.columns[i].data = make([]byte, 0, size)
		}
		if s.kept && s.width == 0 && cap(c.columns[i].ends) < rows {
			c.columns[i].ends = make([]uint32, 0, rows)
		}
	}
}

// appendRow adds a row's kept values.
func (p *plan) appendRow(to, from *chunk, row int) {
	for i, s := range p.slots {
		if s.kept {
			to.columns[i].appendFrom(&from.columns[i], row)
		}
	}
	to.n++
}

// appendRows adds rows of another column of the same form.
func (c *column) appendRows(from *column, rows []int32) {
	switch {
	case c.valid != nil || from.valid != nil || c.width != 0 && c.width != 8:
		for _, row := range rows {
			c.appendFrom(from, int(row))
		}
	case c.width == 0:
		c.appendTexts(from, rows)
	default:
		at := len(c.data)
		c.data = slices.Grow(c.data, 8*len(rows))[:at+8*len(rows)]
		to := c.data[at:]
		for i, row := range rows {
			binary.LittleEndian.PutUint64(to[8*i:], binary.LittleEndian.Uint64(from.data[8*row:]))
		}
		c.n += len(rows)
	}
}

// appendTexts is appendRows for texts of which none is NULL. Short ones are copied
// with what lies behind them, which the next overwrites.
func (c *column) appendTexts(from *column, rows []int32) {
	const short = 16
	size := 0
	for _, row := range rows {
		size += int(from.ends[row] - from.start(int(row)))
	}
	at := len(c.data)
	data := slices.Grow(c.data, size+short)[:at+size+short]
	c.ends = slices.Grow(c.ends, len(rows))
	for _, row := range rows {
		began, end := int(from.start(int(row))), int(from.ends[row])
		if n := end - began; n <= short && began+short <= len(from.data) {
			v, to := from.data[began:began+short], data[at:at+short]
			binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(v))
			binary.LittleEndian.PutUint64(to[8:], binary.LittleEndian.Uint64(v[8:]))
		} else {
			copy(data[at:], from.data[began:end])
		}
		at += end - began
		c.ends = append(c.ends, uint32(at)) //nolint:gosec // a chunk is far smaller
	}
	c.data = data[:at]
	c.n += len(rows)
}
