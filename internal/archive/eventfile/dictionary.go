package eventfile

import (
	"bytes"
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// numbering numbers the values of a column of few different ones. The writer's own
// table costs as much as compressing such a column.
type numbering struct {
	values []parquet.ByteArray
	bytes  int                    // of all values
	rows   []int32                // of each row, the index into values
	slots  [2 * mostEntries]int16 // index + 1; 0: free
}

// mostEntries is how many values a dictionary has at most, a power of two.
const mostEntries = 1 << 10

// number fills the dictionary from a column without nulls; false: it has too many
// values.
func (d *numbering) number(c *texts) bool {
	d.rows = make([]int32, c.rows)
	last := int32(-1)
	for i := range d.rows {
		v := c.at(i)
		if last < 0 || !bytes.Equal(d.values[last], v) {
			if last = d.find(v); last < 0 {
				return false
			}
		}
		d.rows[i] = last
	}
	return true
}

// find returns the index of a value, which is added if it is new; -1: there is no
// room.
func (d *numbering) find(v []byte) int32 {
	at := spread(v)
	for ; d.slots[at%uint64(len(d.slots))] != 0; at++ {
		if i := int32(d.slots[at%uint64(len(d.slots))]) - 1; bytes.Equal(d.values[i], v) {
			return i
		}
	}
	if d.bytes += len(v); len(d.values) == mostEntries || d.bytes > dictBytes/2 {
		return -1
	}
	d.values = append(d.values, v)
	d.slots[at%uint64(len(d.slots))] = int16(len(d.values))
	return int32(len(d.values)) - 1
}

// spread is a number by the length and the ends of a value.
func spread(v []byte) uint64 {
	const odd, word = 0x9e3779b97f4a7c15, 8
	h := uint64(len(v))
	if len(v) >= word {
		h ^= binary.LittleEndian.Uint64(v) ^ binary.LittleEndian.Uint64(v[len(v)-word:])*odd
	} else {
		for _, b := range v {
			h = h<<word ^ uint64(b)
		}
	}
	h *= odd
	return h >> 32
}

// write hands the rows over. Pages have the least and the greatest value of all:
// where few are different, each page is likely to have both.
func (d *numbering) write(w *file.ByteArrayColumnChunkWriter, into dictionaryEncoder, def []int16) error {
	list := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	defer list.Release()
	ends := []parquet.ByteArray{d.values[0], d.values[0]}
	for _, v := range d.values {
		list.Append(v)
		if bytes.Compare(v, ends[0]) < 0 {
			ends[0] = v
		}
		if bytes.Compare(v, ends[1]) > 0 {
			ends[1] = v
		}
	}
	values := list.NewArray()
	defer values.Release()
	if err := into.PutDictionary(values); err != nil {
		return err
	}
	for from := 0; from < len(d.rows); from += batchRows {
		to := min(from+batchRows, len(d.rows))
		if s, ok := w.PageStatistics().(*metadata.ByteArrayStatistics); ok && s != nil {
			s.Update(ends, 0)
		}
		var levels []int16
		if def != nil {
			levels = def[from:to]
		}
		if err := writeIndices(w, d.rows[from:to], levels); err != nil {
			return err
		}
	}
	return nil
}

func writeIndices(w *file.ByteArrayColumnChunkWriter, rows []int32, def []int16) error {
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(rows))}
	data := array.NewData(arrow.PrimitiveTypes.Int32, len(rows), buffers, nil, 0, 0)
	defer data.Release()
	indices := array.NewInt32Data(data)
	defer indices.Release()
	return w.WriteDictIndices(indices, def, nil)
}

// dictionaryEncoder is what a writer's encoder offers while it makes a dictionary.
type dictionaryEncoder interface {
	PutDictionary(values arrow.Array) error
	NumEntries() int
}

// writeDictionary writes a column of few values; false: it is none, and nothing was
// written.
func writeDictionary(w *file.ByteArrayColumnChunkWriter, c *texts, def, rep []int16) (done bool, err error) {
	into, ok := w.CurrentEncoder().(dictionaryEncoder)
	if !ok || into.NumEntries() > 0 || rep != nil || c.rows == 0 || c.present != c.rows {
		return false, nil
	}
	d := &numbering{}
	if !d.number(c) {
		return false, nil
	}
	return true, d.write(w, into, def)
}
