package run

// Small makes parts and what fits into memory small, so that tests of few events
// go all the ways.
func Small() { partRows, leastShare = 8, 1<<10 }

// Whole takes Small back.
func Whole() { partRows, leastShare = 128<<10, 64<<10 }

// ParsePosition reads a position.
func ParsePosition(text []byte) (uint64, bool) { return parsePosition(text) }

// Pack packs columns of such widths, in so many chunks: a nil value is NULL.
func Pack(widths []int, columns [][][]byte, chunks int) (packed [][]byte) {
	var scratch scratch
	rows := len(columns[0])
	for n := range chunks {
		c := &chunk{columns: make([]column, len(widths))}
		for i, width := range widths {
			c.columns[i].width = width
			for _, v := range columns[i][rows*n/chunks : rows*(n+1)/chunks] {
				if v == nil {
					c.columns[i].appendNull()
				} else {
					c.columns[i].append(v)
				}
			}
			c.n = c.columns[i].n
		}
		packed = append(packed, c.stored(&scratch).kept().packed)
	}
	return packed
}

// Unpack reads packed chunks into one.
func Unpack(widths []int, packed [][]byte) (columns [][][]byte, err error) {
	var scratch scratch
	c := &chunk{columns: make([]column, len(widths))}
	for i, width := range widths {
		c.columns[i].width = width
	}
	for _, one := range packed {
		if err := (stored{packed: one}).read(c, &scratch); err != nil {
			return nil, err
		}
	}
	for i := range widths {
		var values [][]byte
		for row := range c.columns[i].n {
			if c.columns[i].null(row) {
				values = append(values, nil)
			} else {
				values = append(values, append([]byte{}, c.columns[i].at(row)...))
			}
		}
		columns = append(columns, values)
	}
	return columns, nil
}
