package eventfile

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"recount"
)

// batchRows is how many values are handed to a column's encoder at once.
const batchRows = 1024

// levels says which rows of a column have a value. Nothing is kept while all
// have one, or none.
type levels struct {
	rows, present int
	def           []int16 // nil while rows == present or present == 0
}

func (l *levels) add(present bool) {
	if l.def == nil && l.rows > 0 && (present && l.present == 0 || !present && l.present == l.rows) {
		l.def = make([]int16, l.rows, max(2*l.rows, batchRows))
		if l.present > 0 {
			for i := range l.def {
				l.def[i] = 1
			}
		}
	}
	l.rows++
	level := int16(0)
	if present {
		l.present++
		level = 1
	}
	if l.def != nil {
		l.def = append(l.def, level)
	}
}

func (l *levels) reset() { *l = levels{} }

// get returns the definition levels of all rows.
func (l *levels) get() []int16 {
	if l.def != nil {
		return l.def
	}
	if l.present == 0 {
		return allNull[:l.rows]
	}
	return allPresent[:l.rows]
}

var allNull, allPresent = constantLevels(0), constantLevels(1)

func constantLevels(level int16) []int16 {
	l := make([]int16, MaxGroupRows)
	for i := range l {
		l[i] = level
	}
	return l
}

// texts is a column of byte strings, kept end to end.
type texts struct {
	levels
	required bool
	data     []byte
	ends     []int32 // offsets; ends[0] is 0
}

func (c *texts) add(s string) {
	c.levels.add(true)
	c.data = append(c.data, s...)
	c.end()
}

func (c *texts) addBytes(b []byte) {
	c.levels.add(true)
	c.data = append(c.data, b...)
	c.end()
}

func (c *texts) end() {
	if len(c.ends) == 0 {
		c.ends = append(c.ends, 0)
	}
	c.ends = append(c.ends, int32(len(c.data)))
}

func (c *texts) addNull() { c.levels.add(false) }

func (c *texts) reset() {
	c.levels.reset()
	c.data, c.ends = c.data[:0], c.ends[:0]
}

// held is how many bytes are kept for values.
func (c *texts) held() int { return cap(c.data) + 4*cap(c.ends) }

func (c *texts) def() []int16 {
	if c.required {
		return nil
	}
	return c.get()
}

func (c *texts) write(w file.ColumnChunkWriter) error {
	return writeTexts(w, c, c.def(), nil)
}

func writeTexts(w file.ColumnChunkWriter, c *texts, def, rep []int16) error {
	cw, ok := w.(*file.ByteArrayColumnChunkWriter)
	if !ok {
		return wrongWriter(w)
	}
	if cw.SupportsArrowOffsets() && len(c.ends) > 0 {
		return writeArrow(cw, c, def, rep)
	}
	if done, err := writeDictionary(cw, c, def, rep); done || err != nil {
		return err
	}
	values := make([]parquet.ByteArray, max(len(c.ends)-1, 0))
	for i := range values {
		values[i] = c.data[c.ends[i]:c.ends[i+1]]
	}
	_, err := cw.WriteBatch(values, def, rep)
	return err
}

// writeArrow hands over a column that has no dictionary, a little at a time where
// each row has a value: a page is ended after what was handed over last.
func writeArrow(cw *file.ByteArrayColumnChunkWriter, c *texts, def, rep []int16) error {
	if rep != nil || c.present != c.rows {
		_, err := cw.WriteBatchArrow(c.data, c.ends, def, rep)
		return err
	}
	for from := 0; from < c.rows; {
		to := from + 1
		for to < c.rows && to-from < batchRows && c.ends[to+1]-c.ends[from] <= pageStep {
			to++
		}
		var levels []int16
		if def != nil {
			levels = def[from:to]
		}
		if _, err := cw.WriteBatchArrow(c.data, c.ends[from:to+1], levels, nil); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func wrongWriter(w file.ColumnChunkWriter) error {
	return fmt.Errorf("write column %q: unexpected writer %T", w.Descr().Name(), w)
}

// at returns the value of row i of a column without nulls.
func (c *texts) at(i int) []byte { return c.data[c.ends[i]:c.ends[i+1]] }

// longs is a column of INT64.
type longs struct {
	levels
	required bool
	values   []int64
}

func (c *longs) add(v int64) {
	c.levels.add(true)
	c.values = append(c.values, v)
}

func (c *longs) addNull() { c.levels.add(false) }

func (c *longs) reset() {
	c.levels.reset()
	c.values = c.values[:0]
}

func (c *longs) held() int { return 8 * cap(c.values) }

func (c *longs) write(w file.ColumnChunkWriter) error {
	cw, ok := w.(*file.Int64ColumnChunkWriter)
	if !ok {
		return wrongWriter(w)
	}
	var def []int16
	if !c.required {
		def = c.get()
	}
	_, err := cw.WriteBatch(c.values, def, nil)
	return err
}

// headerColumns are the two leaves of the list of headers. Levels are kept from
// the first row that has headers on.
type headerColumns struct {
	names, values     texts
	without           int // rows before the first with headers
	defName, defValue []int16
	rep               []int16
}

// The definition levels of the leaves: no list, an empty one, an element, its
// value.
const (
	defNoList int16 = iota
	defEmptyList
	defElement
	defValue
)

func (c *headerColumns) add(headers []recount.Header) {
	if headers == nil && c.rep == nil {
		c.without++
		return
	}
	if c.rep == nil {
		c.defName, c.defValue, c.rep = slices.Clone(allNull[:c.without]), slices.Clone(allNull[:c.without]), slices.Clone(allNull[:c.without])
	}
	if headers == nil {
		c.level(defNoList, defNoList, 0)
		return
	}
	if len(headers) == 0 {
		c.level(defEmptyList, defEmptyList, 0)
		return
	}
	for i, h := range headers {
		rep := int16(1)
		if i == 0 {
			rep = 0
		}
		c.names.add(h.Name)
		if h.Value == nil {
			c.level(defElement, defElement, rep)
			continue
		}
		c.values.addBytes(h.Value)
		c.level(defElement, defValue, rep)
	}
}

func (c *headerColumns) level(name, value, rep int16) {
	c.defName, c.defValue, c.rep = append(c.defName, name), append(c.defValue, value), append(c.rep, rep)
}

func (c *headerColumns) reset() {
	c.names.reset()
	c.values.reset()
	c.without, c.defName, c.defValue, c.rep = 0, nil, nil, nil
}

func (c *headerColumns) writeNames(w file.ColumnChunkWriter) error {
	return c.write(w, &c.names, c.defName)
}

func (c *headerColumns) writeValues(w file.ColumnChunkWriter) error {
	return c.write(w, &c.values, c.defValue)
}

func (c *headerColumns) write(w file.ColumnChunkWriter, leaf *texts, def []int16) error {
	if c.rep == nil {
		return writeTexts(w, leaf, allNull[:c.without], allNull[:c.without])
	}
	return writeTexts(w, leaf, def, c.rep)
}

// fieldColumn is a typed column made from canonical text.
type fieldColumn struct {
	field   recount.Field
	texts   texts
	longs   longs
	ints    []int32
	doubles []float64
	bools   []bool
	fixed   []byte // decimals of more than 18 digits, end to end
	width   int
	levels  levels // of ints, doubles, bools and fixed
}

func newFieldColumn(f recount.Field) *fieldColumn {
	c := &fieldColumn{field: f}
	if f.Type.Kind == recount.KindDecimal && f.Type.Precision > digitsInt64 {
		c.width = decimalBytes(f.Type.Precision)
	}
	return c
}

func (c *fieldColumn) isText() bool {
	return c.field.Type.Kind == recount.KindString || c.field.Type.Kind == recount.KindJSON
}

func (c *fieldColumn) isLong() bool {
	t := c.field.Type
	return t.Kind == recount.KindInt64 || t.Kind == recount.KindTimestamp ||
		t.Kind == recount.KindDecimal && t.Precision > digitsInt32 && t.Precision <= digitsInt64
}

// add appends a value, and says about how many bytes it takes.
func (c *fieldColumn) add(v recount.Value) (int, error) {
	switch {
	case v.Null && c.isText():
		c.texts.addNull()
		return 0, nil
	case v.Null && c.isLong():
		c.longs.addNull()
		return 0, nil
	case v.Null:
		c.levels.add(false)
		return 0, nil
	}
	const word = 8
	if c.isText() {
		c.texts.add(v.Text)
		return len(v.Text) + word, nil
	}
	if !c.addNumber(v.Text) {
		return 0, badValue(c.field, v.Text)
	}
	return word + c.width, nil
}

func (c *fieldColumn) addNumber(text string) bool {
	switch c.field.Type.Kind {
	case recount.KindInt64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			c.longs.add(n)
		}
		return err == nil
	case recount.KindTimestamp:
		micros, ok := parseMicros(text)
		if ok {
			c.longs.add(micros)
		}
		return ok
	case recount.KindDouble:
		f, err := strconv.ParseFloat(text, 64)
		if err == nil {
			c.doubles = append(c.doubles, f)
			c.levels.add(true)
		}
		return err == nil
	case recount.KindBool:
		c.bools = append(c.bools, text == "true")
		c.levels.add(true)
		return text == "true" || text == "false"
	case recount.KindDate:
		days, ok := parseDay(text)
		if ok {
			c.ints = append(c.ints, days)
			c.levels.add(true)
		}
		return ok
	case recount.KindDecimal:
		return c.addDecimal(text)
	case recount.KindString, recount.KindJSON:
	}
	return false
}

func (c *fieldColumn) addDecimal(text string) bool {
	n, ok := parseDecimal(text, c.field.Type.Scale)
	if !ok {
		return false
	}
	fits := n.hi == int64(n.lo)>>63
	switch {
	case c.width > 0:
		at := len(c.fixed)
		c.fixed = append(c.fixed, make([]byte, c.width)...)
		n.bytes(c.fixed[at:])
	case c.field.Type.Precision > digitsInt32:
		if fits {
			c.longs.add(int64(n.lo))
		}
		return fits
	default:
		if v := int64(n.lo); !fits || v < math.MinInt32 || v > math.MaxInt32 {
			return false
		}
		c.ints = append(c.ints, int32(n.lo))
	}
	c.levels.add(true)
	return true
}

func (c *fieldColumn) reset() {
	c.texts.reset()
	c.longs.reset()
	c.ints, c.doubles, c.bools, c.fixed = c.ints[:0], c.doubles[:0], c.bools[:0], c.fixed[:0]
	c.levels.reset()
}

func (c *fieldColumn) held() int {
	return c.texts.held() + c.longs.held() + 4*cap(c.ints) + 8*cap(c.doubles) + cap(c.bools) + cap(c.fixed)
}

func (c *fieldColumn) write(w file.ColumnChunkWriter) error {
	if c.isText() {
		return c.texts.write(w)
	}
	if c.isLong() {
		return c.longs.write(w)
	}
	var err error
	switch cw := w.(type) {
	case *file.Int32ColumnChunkWriter:
		_, err = cw.WriteBatch(c.ints, c.levels.get(), nil)
	case *file.Float64ColumnChunkWriter:
		_, err = cw.WriteBatch(c.doubles, c.levels.get(), nil)
	case *file.BooleanColumnChunkWriter:
		_, err = cw.WriteBatch(c.bools, c.levels.get(), nil)
	case *file.FixedLenByteArrayColumnChunkWriter:
		values := make([]parquet.FixedLenByteArray, len(c.fixed)/c.width)
		for i := range values {
			values[i] = c.fixed[i*c.width : (i+1)*c.width]
		}
		_, err = cw.WriteBatch(values, c.levels.get(), nil)
	default:
		err = wrongWriter(w)
	}
	return err
}
