package files

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"recount"
)

// table is a file in memory with the edits of one transaction. Rows are known by
// number: first those of the file, then the added ones.
type table struct {
	t     *Target
	d     dialect
	data  []byte
	spans []span
	added int
	// edited holds the new bytes of rows, line end included; nil: deleted.
	edited map[int][]byte
	index  *index
	rec    record // used again
}

// span is the place of a row in the file, line end included.
type span struct{ start, end int }

// load reads a table from the bytes of its file.
func (t *Target) load(data []byte) (*table, error) {
	d, err := t.parseHeader(data, true)
	if err != nil {
		return nil, err
	}
	b := &table{t: t, d: d, data: data, edited: map[int][]byte{}}
	line := 2
	for at := d.body; at < len(data); at += b.rec.next {
		if err := d.parse(data[at:], true, &b.rec); err != nil {
			return nil, t.broken(fmt.Sprintf("line %d: %s", line, err))
		}
		if n := len(b.rec.fields); n > 0 {
			if n != len(d.names) {
				return nil, t.broken(fmt.Sprintf("line %d has %d fields, the header has %d", line, n, len(d.names)))
			}
			b.spans = append(b.spans, span{at, at + b.rec.next})
		}
		line += countLines(data[at:at+b.rec.next], b.rec)
	}
	return b, nil
}

// raw returns the bytes of a row; nil if it was deleted.
func (b *table) raw(id int) []byte {
	if raw, ok := b.edited[id]; ok {
		return raw
	}
	return b.data[b.spans[id].start:b.spans[id].end]
}

// parse reads a row into b.rec; false if it was deleted.
func (b *table) parse(id int) ([]byte, bool) {
	raw := b.raw(id)
	if raw == nil {
		return nil, false
	}
	// A row was read once before, so that there is no error to come.
	return raw, b.d.parse(raw, true, &b.rec) == nil && len(b.rec.fields) == len(b.d.names)
}

// index finds rows by the text of their key: first has a row of each key, next
// leads from a row to another of the same key.
type index struct {
	columns []int
	first   map[string]int
	next    []int
}

const noRow = -1

// rows lists the rows of a key.
func (b *table) rows(columns []int, key []recount.Value) []int {
	if b.index == nil || !slices.Equal(b.index.columns, columns) {
		b.build(columns)
	}
	var ids []int
	id, ok := b.index.first[keyText(key)]
	for ok && id != noRow {
		if b.raw(id) != nil {
			ids = append(ids, id)
		}
		id = b.index.next[id]
	}
	return ids
}

func (b *table) build(columns []int) {
	n := len(b.spans) + b.added
	b.index = &index{columns: slices.Clone(columns), first: make(map[string]int, n), next: make([]int, 0, n)}
	key := make([]recount.Value, len(columns))
	for id := range n {
		raw, ok := b.parse(id)
		if !ok {
			b.index.next = append(b.index.next, noRow)
			continue
		}
		for i, c := range columns {
			key[i] = recount.Text(string(appendText(nil, raw, b.rec.fields[c])))
		}
		b.index.add(id, key)
	}
}

func (x *index) add(id int, key []recount.Value) {
	text := recount.KeyText(key)
	before, ok := x.first[text]
	if !ok {
		before = noRow
	}
	x.next = append(x.next, before)
	x.first[text] = id
}

// holds says whether a row's columns have the texts of values; NULL is the empty
// field.
func (b *table) holds(id int, columns []int, values []recount.Value) bool {
	raw, ok := b.parse(id)
	if !ok {
		return false
	}
	for i, c := range columns {
		if !sameText(raw, b.rec.fields[c], values[i].Text) {
			return false
		}
	}
	return true
}

// values returns texts of a row's columns.
func (b *table) values(id int, columns []int) ([]recount.Value, error) {
	raw, ok := b.parse(id)
	if !ok {
		return nil, b.t.broken("a row cannot be read back")
	}
	out := make([]recount.Value, len(columns))
	for i, c := range columns {
		text := string(appendText(nil, raw, b.rec.fields[c]))
		if !utf8.ValidString(text) {
			return nil, b.t.broken(fmt.Sprintf("column %q holds no text in UTF-8", b.d.names[c]))
		}
		out[i] = recount.Text(text)
	}
	return out, nil
}

// update gives some columns of a row other texts.
func (b *table) update(id int, columns []int, texts []string) {
	if raw, ok := b.parse(id); ok && len(columns) > 0 {
		b.edited[id] = b.d.replace(raw, b.rec, columns, texts)
	}
}

// remove deletes a row with its line end.
func (b *table) remove(id int) { b.edited[id] = nil }

// insert adds a row behind the others; columns that are not named stay empty.
func (b *table) insert(columns []int, values []recount.Value) {
	var raw []byte
	for c := range b.d.names {
		if c > 0 {
			raw = append(raw, b.d.delimiter)
		}
		text := ""
		if i := slices.Index(columns, c); i >= 0 {
			text = values[i].Text
		}
		raw = b.d.appendField(raw, text, false)
	}
	id := len(b.spans) + b.added
	b.edited[id] = append(raw, b.d.eol...)
	b.added++
	if b.index != nil {
		key := make([]recount.Value, len(b.index.columns))
		for i, c := range b.index.columns {
			if at := slices.Index(columns, c); at >= 0 {
				key[i] = recount.Text(values[at].Text)
			}
		}
		b.index.add(id, key)
	}
}

// render returns the bytes of the edited file.
func (b *table) render() []byte {
	size := len(b.data)
	for _, raw := range b.edited {
		size += len(raw)
	}
	out := make([]byte, 0, size)
	at := 0
	ids := slices.Sorted(maps.Keys(b.edited))
	for len(ids) > 0 && ids[0] < len(b.spans) {
		s := b.spans[ids[0]]
		out = append(out, b.data[at:s.start]...)
		out = append(out, b.edited[ids[0]]...)
		at, ids = s.end, ids[1:]
	}
	out = append(out, b.data[at:]...)
	open := !bytes.HasSuffix(b.data, []byte("\n"))
	ended := false
	for _, id := range ids {
		if b.edited[id] == nil {
			continue
		}
		if !bytes.HasSuffix(out, []byte("\n")) {
			out = append(out, b.d.eol...)
		}
		out, ended = append(out, b.edited[id]...), true
	}
	if open && ended { // as the file was, the last line has no end
		out = bytes.TrimSuffix(out, []byte(b.d.eol))
	}
	return out
}
