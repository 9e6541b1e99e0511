package process

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frames reads an Arrow stream and looks at each message before the Arrow library
// does: a text that something printed is no message, and what a message says of
// its own lengths must lie within it, since the library makes room for as much as
// it is told.
type frames struct {
	in      *bufio.Reader
	pending []byte // of the message's head
	body    int64  // what is left of its body
	err     error
	stray   []byte // how the text began that stood where a message should
}

// continuation begins every message of an Arrow stream.
const continuation = 0xffffffff

// mostHead bounds the head of a message.
const mostHead = 4 << 20

var errStray = errors.New("no message")

func (f *frames) Read(p []byte) (int, error) {
	if len(f.pending) == 0 && f.body == 0 && f.err == nil {
		f.next()
	}
	if len(f.pending) > 0 {
		n := copy(p, f.pending)
		f.pending = f.pending[n:]
		return n, nil
	}
	if f.body > 0 {
		n, err := f.in.Read(p[:min(int64(len(p)), f.body)])
		f.body -= int64(n)
		return n, err
	}
	return 0, f.err
}

// next reads the head of the next message.
func (f *frames) next() {
	head := make([]byte, 8)
	n, err := io.ReadFull(f.in, head[:4])
	if n > 0 && (err != nil || binary.LittleEndian.Uint32(head) != continuation) {
		f.stray, f.err = head[:n], errStray
		return
	}
	if err == nil {
		_, err = io.ReadFull(f.in, head[4:])
	}
	if err != nil {
		f.err = err
		return
	}
	size := binary.LittleEndian.Uint32(head[4:])
	if size == 0 { // the end of the stream
		f.pending, f.err = head, io.EOF
		return
	}
	if size > mostHead {
		f.err = fmt.Errorf("the head of a message has %d bytes", size)
		return
	}
	f.pending = append(head, make([]byte, size)...)
	meta := f.pending[8:]
	if _, err := io.ReadFull(f.in, meta); err != nil {
		f.pending, f.err = nil, err
		return
	}
	if f.body, err = checkMessage(meta); err != nil {
		f.pending, f.body, f.err = nil, 0, err
	}
}

// The headers of messages that a worker sends.
const (
	headerSchema     = 1
	headerDictionary = 2
	headerBatch      = 3
)

var errMessage = errors.New("a message is damaged")

// checkMessage looks at the FlatBuffer of a message: all that a length decides
// must lie inside of it. It returns the length of the body.
func checkMessage(meta []byte) (body int64, err error) {
	m := flat{meta}
	root, ok := m.follow(0)
	if !ok {
		return 0, errMessage
	}
	if at, ok := m.field(root, 3, 8); ok {
		body = int64(binary.LittleEndian.Uint64(meta[at:])) //nolint:gosec // checked below
	}
	if body < 0 || body > mostAnswer {
		return 0, fmt.Errorf("a message of %d bytes", body)
	}
	kind, ok := m.field(root, 1, 1)
	header, ok2 := m.field(root, 2, 4)
	if !ok || !ok2 || !m.tables(root, 4) {
		return 0, errMessage
	}
	table, ok := m.follow(header)
	if !ok {
		return 0, errMessage
	}
	switch meta[kind] {
	case headerSchema:
		ok = m.tables(table, 2) && m.vector(table, 3, 8) && m.fields(table, 1, 0)
	case headerDictionary:
		var data int
		if data, ok = m.field(table, 1, 4); ok {
			if data, ok = m.follow(data); ok {
				ok = m.batch(data)
			}
		}
	case headerBatch:
		ok = m.batch(table)
	default:
		ok = false
	}
	if !ok {
		return 0, errMessage
	}
	return body, nil
}

// flat reads a FlatBuffer with every bound checked.
type flat struct{ b []byte }

// has says that n bytes stand at at.
func (f flat) has(at, n int) bool { return at >= 0 && n >= 0 && at <= len(f.b)-n }

// follow reads the offset at at.
func (f flat) follow(at int) (int, bool) {
	if !f.has(at, 4) {
		return 0, false
	}
	to := at + int(binary.LittleEndian.Uint32(f.b[at:]))
	return to, f.has(to, 4)
}

// field returns where field n of a table stands, and whether it is there with size
// bytes.
func (f flat) field(table, n, size int) (int, bool) {
	if !f.has(table, 4) {
		return 0, false
	}
	virtual := table - int(int32(binary.LittleEndian.Uint32(f.b[table:]))) //nolint:gosec // it is signed there
	if !f.has(virtual, 4) {
		return 0, false
	}
	length := int(binary.LittleEndian.Uint16(f.b[virtual:]))
	// As the library has it: a table of odd length may be read one byte too far.
	if 4+2*n >= length || !f.has(virtual+4+2*n, 2) {
		return 0, false
	}
	offset := int(binary.LittleEndian.Uint16(f.b[virtual+4+2*n:]))
	return table + offset, offset != 0 && f.has(table+offset, size)
}

// elements returns where the elements of a vector stand, and how many. A vector
// that is not there has none.
func (f flat) elements(table, n, size int) (at, count int, ok bool) {
	field, there := f.field(table, n, 4)
	if !there {
		return 0, 0, true
	}
	at, ok = f.follow(field)
	if !ok {
		return 0, 0, false
	}
	count = int(binary.LittleEndian.Uint32(f.b[at:]))
	return at + 4, count, count <= len(f.b)/size && f.has(at+4, count*size)
}

func (f flat) vector(table, n, size int) bool {
	_, _, ok := f.elements(table, n, size)
	return ok
}

// tables checks a vector of tables without vectors of their own.
func (f flat) tables(table, n int) bool {
	at, count, ok := f.elements(table, n, 4)
	for i := 0; ok && i < count; i++ {
		_, ok = f.follow(at + 4*i)
	}
	return ok
}

// deepest is how deep columns may lie in each other.
const deepest = 8

// fields checks a vector of the columns of a schema.
func (f flat) fields(table, n, depth int) bool {
	at, count, ok := f.elements(table, n, 4)
	if !ok || depth > deepest || count > mostColumns {
		return false
	}
	for i := range count {
		column, ok := f.follow(at + 4*i)
		if !ok || !f.tables(column, 6) || !f.fields(column, 5, depth+1) || !f.kind(column) {
			return false
		}
	}
	return true
}

// kind checks the vector of a union's type ids, the only one that a type has.
func (f flat) kind(column int) bool {
	const union = 14
	at, ok := f.field(column, 2, 1)
	if !ok || f.b[at] != union {
		return true
	}
	return false // no value of a result is a union
}

// batch checks the vectors of a record batch: nodes, buffers, and counts.
func (f flat) batch(table int) bool {
	return f.vector(table, 1, 16) && f.vector(table, 2, 16) && f.vector(table, 4, 8)
}
