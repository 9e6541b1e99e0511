package run

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"recount"
)

// results are what the keys of one part gave.
type results struct{ rows, effects records }

// forget drops what a group, or an attempt of it, has given.
func (r *results) forget(uid int64) {
	r.rows.forgotten[uid] = true
	r.effects.forgotten[uid] = true
}

// forgetKey drops what is shown of a key.
func (r *results) forgetKey(key int64) {
	r.rows.forgottenKeys[key] = true
}

// records are rows, each with the text by which it is sorted.
type records struct {
	arena         []byte
	list          []record
	forgotten     map[int64]bool
	forgottenKeys map[int64]bool
}

// record is a row in the arena: its sort text, then its values.
type record struct {
	uid, key      int64
	at, mid, till int
}

func newRecords() records {
	return records{forgotten: map[int64]bool{}, forgottenKeys: map[int64]bool{}}
}

func (r *records) add(uid, key int64, sort string, values []recount.Value) error {
	at := len(r.arena)
	r.arena = append(r.arena, sort...)
	mid := len(r.arena)
	r.arena = appendValues(r.arena, values)
	r.list = append(r.list, record{uid, key, at, mid, len(r.arena)})
	return nil
}

func (r *records) sort() {
	r.list = slices.DeleteFunc(r.list, func(x record) bool { return r.forgotten[x.uid] || r.forgottenKeys[x.key] })
	slices.SortFunc(r.list, func(a, b record) int {
		return cmp.Or(bytes.Compare(r.arena[a.at:a.mid], r.arena[b.at:b.mid]), cmp.Compare(a.at, b.at))
	})
}

// appendValues adds values: 0 for NULL, else the length plus one and the text.
func appendValues(b []byte, values []recount.Value) []byte {
	for _, v := range values {
		if v.Null {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(v.Text))+1)
		b = append(b, v.Text...)
	}
	return b
}
