package files

import (
	"bytes"
	"errors"
	"io"
	"math"
)

// The sizes of what is read and handed over at once.
const (
	blockBytes   = 1 << 20
	batchRecords = 8192
	// maxRecordBytes bounds what a quote that is never closed can swallow.
	maxRecordBytes = 64 << 20
)

var errLongLine = errors.New("a line or object is longer than 64 MiB")

// span is where one record lies in its block.
type span struct{ from, to int32 }

// block is a run of a file that begins and ends between records. It owns data.
type block struct {
	data  []byte
	spans []span
}

// cutter cuts a stream of bytes into records and hands them over in blocks. The
// blocks' data, joined, are the stream.
type cutter struct {
	r    io.Reader
	kind format
	buf  []byte // what was read; the bytes before from were handed over
	from int
	end  bool // r has no more
	// open tells what the last record lacked.
	open string
	most int // bytes of a record
	room int // bytes of a buffer
}

func newCutter(r io.Reader, kind format) *cutter {
	return &cutter{r: r, kind: kind, most: maxRecordBytes, room: blockBytes}
}

// next returns a block of at most most records; io.EOF when there is nothing
// left, not even an empty line.
func (c *cutter) next(most int) (block, error) {
	for {
		b, err := c.cut(most)
		if err != nil || len(b.data) > 0 {
			return b, err
		}
		if c.end {
			return block{}, io.EOF
		}
		if err := c.fill(); err != nil {
			return block{}, err
		}
	}
}

// cut takes what is whole out of the buffer.
func (c *cutter) cut(most int) (block, error) {
	pos := c.from
	var spans []span
	for len(spans) < most && pos < len(c.buf) && pos-c.from < math.MaxInt32/2 {
		length, next, open, err := c.record(c.buf[pos:])
		if err != nil {
			return block{}, err
		}
		if next == 0 {
			break
		}
		if length > 0 {
			if spans == nil {
				spans = make([]span, 0, min(most, batchRecords))
			}
			spans = append(spans, span{int32(pos - c.from), int32(pos - c.from + length)}) //nolint:gosec // bounded by the loop
			c.open = open
		}
		pos += next
	}
	b := block{data: c.buf[c.from:pos:pos], spans: spans}
	c.from = pos
	return b, nil
}

// record measures the record at the beginning of b: its length without the line
// end, and where the next one begins; next 0 means that more must be read.
func (c *cutter) record(b []byte) (length, next int, open string, err error) {
	last := c.end || len(b) >= c.most
	switch c.kind { //nolint:exhaustive // Parquet is cut by its own reader
	case formatCSV:
		length, next, open = recordCSV(b, last)
	case formatJSON:
		length, next, open = recordJSON(b, last)
	default:
		length, next, open = line(b, bytes.IndexByte(b, '\n'), last)
		if isSpace(b[:length]) {
			length = 0
		}
	}
	if next == len(b) && last && !c.end && open != "" {
		return 0, 0, "", errLongLine
	}
	return length, next, open, nil
}

// fill reads more behind what is left. Blocks own their bytes, so it reads into
// a new buffer, larger where even one record did not fit.
func (c *cutter) fill() error {
	left := c.buf[c.from:]
	buf := make([]byte, max(c.room, 2*len(left)))
	n := copy(buf, left)
	for n < len(buf) && !c.end {
		// Not io.ReadFull: it calls the end of a stream what gzip calls a cut one.
		m, err := c.r.Read(buf[n:])
		n += m
		c.end = errors.Is(err, io.EOF)
		if err != nil && !c.end {
			return err
		}
	}
	c.buf, c.from = buf[:n], 0
	return nil
}

func isSpace(b []byte) bool {
	return len(bytes.TrimLeft(b, " \t\r")) == 0
}

// line measures the line at the beginning of b whose "\n" stands at nl.
func line(b []byte, nl int, last bool) (length, next int, open string) {
	switch {
	case nl >= 0:
		length, next = nl, nl+1
	case last:
		length, next, open = len(b), len(b), openLine
	default:
		return 0, 0, ""
	}
	if length > 0 && b[length-1] == '\r' {
		length--
	}
	return length, next, open
}

// recordCSV measures a CSV record as encoding/csv would: a line end inside of
// quotes is part of it. Where the quotes are broken, what is read as one broken
// record is the first line, if a quote there was never closed properly, so that
// a stray quote costs one line and not all that follow.
func recordCSV(b []byte, last bool) (length, next int, open string) {
	nl := bytes.IndexByte(b, '\n')
	first := b
	if nl >= 0 {
		first = b[:nl]
	} else if !last {
		return 0, 0, ""
	}
	if bytes.IndexByte(first, '"') < 0 {
		return line(b, nl, last)
	}
	for i := 0; ; i++ { // i is where a field begins
		if i < len(b) && b[i] == '"' {
			after, closed := closingQuote(b, i+1)
			if !last && (!closed || after == len(b) || b[after] == '\r' && after+1 == len(b)) {
				return 0, 0, "" // what follows decides
			}
			if !closed {
				length, next, _ = line(b, nl, last)
				return length, next, openQuote
			}
			if after < len(b) && b[after] == ',' {
				i = after
				continue
			}
			if end := lineEnd(b[after:]); end >= 0 {
				return whole(b, after, after+end)
			}
			return line(b, nl, last)
		}
		end := bytes.IndexByte(b[i:], '\n')
		if end < 0 && !last {
			return 0, 0, ""
		}
		rest := b[i:]
		if end >= 0 {
			rest, end = b[i:i+end], i+end
		}
		comma := bytes.IndexByte(rest, ',')
		if comma < 0 || bytes.IndexByte(rest[:comma], '"') >= 0 {
			return line(b, end, last)
		}
		i += comma
	}
}

// whole measures a record whose last field was quoted.
func whole(b []byte, length, next int) (int, int, string) {
	if b[next-1] == '\n' {
		return length, next, ""
	}
	return length, next, openLine
}

// closingQuote returns the index after the quote that closes a field whose
// content begins at i.
func closingQuote(b []byte, i int) (after int, closed bool) {
	for {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return 0, false
		}
		i += q + 1
		if i == len(b) || b[i] != '"' {
			return i, true
		}
		i++
	}
}

// lineEnd measures the line end that b begins with, -1 if it begins with none.
// The end of the file is one.
func lineEnd(b []byte) int {
	switch {
	case len(b) == 0:
		return 0
	case b[0] == '\n':
		return 1
	case b[0] == '\r' && len(b) == 1:
		return 1
	case b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return -1
}
