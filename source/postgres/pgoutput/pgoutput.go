// Package pgoutput reads the messages that PostgreSQL's plugin of that name sends:
// transactions that committed, in the order of their commits. It knows version 1
// of the protocol, with texts as values. It opens no connection, and says of any
// bytes either what they mean or that they are broken.
package pgoutput

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// LSN is a place in the log of a server.
type LSN uint64

// String spells a place as the server does: 0/16B3748.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// ParseLSN reads a place.
func ParseLSN(text string) (LSN, error) {
	high, low, ok := strings.Cut(text, "/")
	const base, bits = 16, 32
	h, err := strconv.ParseUint(high, base, bits)
	l, err2 := strconv.ParseUint(low, base, bits)
	if !ok || err != nil || err2 != nil {
		return 0, fmt.Errorf("%q is no place in a log, such as 0/16B3748", text)
	}
	return LSN(h<<bits | l), nil
}

// epoch is where the server's clock begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// At is the instant of so many microseconds of the server's clock.
func At(micros int64) time.Time {
	const second = 1_000_000
	return time.Unix(epoch.Unix()+micros/second, micros%second*int64(time.Microsecond)).UTC()
}

// Since is the reverse of At.
func Since(at time.Time) int64 { return at.UnixMicro() - epoch.UnixMicro() }

// Message is one of the types below.
type Message any

// Begin opens a transaction.
type Begin struct {
	Commit LSN // where the record of its commit begins
	Time   time.Time
	XID    uint32
}

// Commit ends it.
type Commit struct {
	LSN  LSN
	End  LSN // where the record after it begins
	Time time.Time
}

// Identity says what the server keeps of an old row.
type Identity byte

// The identities.
const (
	IdentityDefault Identity = 'd' // the primary key
	IdentityNothing Identity = 'n'
	IdentityFull    Identity = 'f'
	IdentityIndex   Identity = 'i'
)

// Relation describes a table, before the first change of it and anew where it is
// altered.
type Relation struct {
	ID            uint32
	Schema, Table string
	Identity      Identity
	Columns       []Column
}

// Column is one column of a table.
type Column struct {
	Name string
	Key  bool // part of what an old row is told by
	Type uint32
}

// Kind says what a value is.
type Kind byte

// The kinds of values.
const (
	Null      Kind = 'n'
	Unchanged Kind = 'u' // kept aside by the server (TOAST), and not written anew
	Text      Kind = 't'
)

// Value is a column's value. Its text is a part of the message.
type Value struct {
	Kind Kind
	Text []byte
}

// Insert is a new row.
type Insert struct {
	Relation uint32
	New      []Value
}

// Update is a row that changed. Old is nil where the server tells none; OldKey says
// that of it only the columns of the identity are known.
type Update struct {
	Relation uint32
	Old, New []Value
	OldKey   bool
}

// Delete is a row that is gone, told as in Update.
type Delete struct {
	Relation uint32
	Old      []Value
	OldKey   bool
}

// Truncate empties tables.
type Truncate struct{ Relations []uint32 }

// Logical is a message that a session wrote to the log (pg_logical_emit_message).
type Logical struct {
	Transactional bool // part of a transaction; else it stands by itself at LSN
	LSN           LSN
	Prefix        string
	Content       []byte
}

// Other is a message that says nothing of rows: a type's name, an origin.
type Other struct{ Tag byte }

// Parse reads one message. What it returns points into data.
func Parse(data []byte) (Message, error) {
	if len(data) == 0 {
		return nil, errors.New("a message is empty")
	}
	r := &reader{b: data[1:]}
	var m Message
	switch data[0] {
	case 'B':
		m = Begin{Commit: LSN(r.uint64()), Time: At(int64(r.uint64())), XID: r.uint32()} //nolint:gosec // the bits are a signed number's
	case 'C':
		r.byte()                                                                            // flags, of which there are none
		m = Commit{LSN: LSN(r.uint64()), End: LSN(r.uint64()), Time: At(int64(r.uint64()))} //nolint:gosec // the bits are a signed number's
	case 'R':
		m = r.relation()
	case 'I':
		m = r.insert()
	case 'U':
		m = r.update()
	case 'D':
		m = r.remove()
	case 'T':
		m = r.truncate()
	case 'M':
		m = Logical{Transactional: r.byte()&1 != 0, LSN: LSN(r.uint64()), Prefix: r.text(), Content: r.bytes(int64(r.uint32()))}
	case 'O', 'Y':
		return Other{Tag: data[0]}, nil
	default:
		return nil, fmt.Errorf("a message of the unknown kind %q", data[0])
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes are left over", len(r.b))
	}
	if r.err != nil {
		return nil, fmt.Errorf("a message of kind %q is broken: %w", data[0], r.err)
	}
	return m, nil
}

var errShort = errors.New("it is cut short")

// reader takes a message apart. After an error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) bytes(n int64) []byte {
	if r.err != nil || n < 0 || n > int64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	const size = 2
	if b := r.bytes(size); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	const size = 4
	if b := r.bytes(size); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	const size = 8
	if b := r.bytes(size); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// text reads up to a zero byte.
func (r *reader) text() string {
	if r.err == nil {
		for i, c := range r.b {
			if c == 0 {
				out := string(r.b[:i])
				r.b = r.b[i+1:]
				return out
			}
		}
	}
	r.fail(errShort)
	return ""
}

func (r *reader) relation() Relation {
	rel := Relation{ID: r.uint32(), Schema: r.text(), Table: r.text(), Identity: Identity(r.byte())}
	if rel.Schema == "" {
		rel.Schema = "pg_catalog" // the server leaves it out
	}
	n := int(r.uint16())
	// Each column takes ten bytes or more: what is announced is no reason to take memory.
	const least = 10
	if n > len(r.b)/least {
		r.fail(errShort)
		return rel
	}
	rel.Columns = make([]Column, n)
	for i := range rel.Columns {
		key := r.byte()&1 != 0
		rel.Columns[i] = Column{Name: r.text(), Key: key, Type: r.uint32()}
		r.uint32() // the type's modifier: texts are printed under it already
	}
	return rel
}

func (r *reader) tuple() []Value {
	n := int(r.uint16())
	if n > len(r.b) {
		r.fail(errShort)
		return nil
	}
	values := make([]Value, n)
	for i := range values {
		switch kind := Kind(r.byte()); kind {
		case Null, Unchanged:
			values[i].Kind = kind
		case Text:
			values[i] = Value{Kind: kind, Text: r.bytes(int64(r.uint32()))}
		default:
			r.fail(fmt.Errorf("a value is of the unknown kind %q", byte(kind)))
			return values
		}
	}
	return values
}

const (
	newRow = 'N'
	oldRow = 'O'
	oldKey = 'K'
)

func (r *reader) insert() Insert {
	m := Insert{Relation: r.uint32()}
	r.want(newRow)
	m.New = r.tuple()
	return m
}

func (r *reader) want(tag byte) {
	if got := r.byte(); r.err == nil && got != tag {
		r.fail(fmt.Errorf("a row is of the kind %q, not %q", got, tag))
	}
}

func (r *reader) update() Update {
	m := Update{Relation: r.uint32()}
	switch tag := r.byte(); tag {
	case oldRow, oldKey:
		m.OldKey, m.Old = tag == oldKey, r.tuple()
		r.want(newRow)
	case newRow:
	default:
		r.fail(fmt.Errorf("a row is of the unknown kind %q", tag))
	}
	m.New = r.tuple()
	return m
}

func (r *reader) remove() Delete {
	m := Delete{Relation: r.uint32()}
	tag := r.byte()
	if tag != oldRow && tag != oldKey {
		r.fail(fmt.Errorf("a row is of the unknown kind %q", tag))
	}
	m.OldKey, m.Old = tag == oldKey, r.tuple()
	return m
}

func (r *reader) truncate() Truncate {
	n := int64(r.uint32())
	r.byte() // whether it cascades, restarts: what it empties is listed
	const size = 4
	if n > int64(len(r.b)/size) {
		r.fail(errShort)
		return Truncate{}
	}
	m := Truncate{Relations: make([]uint32, n)}
	for i := range m.Relations {
		m.Relations[i] = r.uint32()
	}
	return m
}
