package run

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"recount"
)

// results are what the keys of one part gave.
type results struct{ rows, effects *records }

func (r *runner) newResults(spill func() (*spillFile, error)) *results {
	return &results{r.newRecords(spill), r.newRecords(spill)}
}

// forget drops what a group, or an attempt of it, has given.
func (r *results) forget(uid int64) {
	r.rows.forgotten[uid] = true
	r.effects.forgotten[uid] = true
}

// forgetKey drops what is shown of a key.
func (r *results) forgetKey(key int64) { r.rows.forgottenKeys[key] = true }

// records are rows, each with the text by which it is sorted.
type records struct {
	arena []byte
	list  []record
	// runs are sorted records that did not fit into memory.
	runs          []blocks
	spill         func() (*spillFile, error)
	most          int // bytes of the arena
	block         int
	forgotten     map[int64]bool
	forgottenKeys map[int64]bool
}

// record is a row in the arena: its sort text, then its values. uid is that of
// its group, key, under Show, one more than that of its key.
type record struct {
	uid, key      int64
	at, mid, till int
}

// recordBytes is about how much memory a record takes besides its texts.
const recordBytes = 40

func (r *runner) newRecords(spill func() (*spillFile, error)) *records {
	return &records{
		spill: spill, most: int(r.memory.records) / (2 * r.threads), block: r.memory.block(len(r.parts)),
		forgotten: map[int64]bool{}, forgottenKeys: map[int64]bool{},
	}
}

func (r *records) add(uid, key int64, sort string, values []recount.Value) error {
	at := len(r.arena)
	r.arena = append(r.arena, sort...)
	mid := len(r.arena)
	r.arena = appendValues(r.arena, values)
	r.list = append(r.list, record{uid, key, at, mid, len(r.arena)})
	if r.size() < r.most {
		return nil
	}
	return r.flush()
}

func (r *records) size() int { return len(r.arena) + recordBytes*len(r.list) }

// flush writes what is in memory as a run.
func (r *records) flush() error {
	if len(r.list) == 0 {
		return nil
	}
	f, err := r.spill()
	if err != nil {
		return err
	}
	r.sort()
	w := &blockWriter{to: f, from: f.end, block: r.block}
	for _, x := range r.list {
		if err := w.add(x.uid, x.key, r.arena[x.at:x.mid], r.arena[x.mid:x.till]); err != nil {
			return err
		}
	}
	run, err := w.finish()
	r.runs = append(r.runs, run)
	r.arena, r.list = r.arena[:0], r.list[:0]
	return err
}

// sort sorts what is in memory and leaves out what is forgotten.
func (r *records) sort() {
	r.list = slices.DeleteFunc(r.list, func(x record) bool { return r.isForgotten(x.uid, x.key) })
	slices.SortFunc(r.list, func(a, b record) int {
		return cmp.Or(bytes.Compare(r.arena[a.at:a.mid], r.arena[b.at:b.mid]), cmp.Compare(a.at, b.at))
	})
}

func (r *records) isForgotten(uid, key int64) bool { return r.forgotten[uid] || r.forgottenKeys[key] }

// sources are all records, as sorted runs.
func (r *records) sources(part int) (all []*source) {
	keep := func(s *source) bool { return !r.isForgotten(s.uid, s.key) }
	for _, run := range r.runs {
		all = append(all, &source{part: part, run: len(all), next: run.reader(), keep: keep})
	}
	if len(r.list) == 0 {
		return all
	}
	at := 0
	return append(all, &source{part: part, run: len(all), keep: keep, next: func(s *source) (bool, error) {
		if at == len(r.list) {
			return false, nil
		}
		x := r.list[at]
		s.uid, s.key, s.sort, s.values = x.uid, x.key, r.arena[x.at:x.mid], r.arena[x.mid:x.till]
		at++
		return true, nil
	}})
}

// source gives records in order.
type source struct {
	part, run    int
	uid, key     int64
	sort, values []byte
	next         func(*source) (bool, error)
	keep         func(*source) bool
}

// step moves to the next record that is kept; false at the end.
func (s *source) step() (bool, error) {
	for {
		ok, err := s.next(s)
		if err != nil || !ok {
			return false, err
		}
		if s.keep == nil || s.keep(s) {
			return true, nil
		}
	}
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
