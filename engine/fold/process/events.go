package process

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/engine/fold/run"
)

// eventWriter writes events of a batch as lines of NDJSON.
type eventWriter struct {
	reads   []string
	json    map[string]bool // the fields that hold JSON
	columns []columnWriter
}

// columnWriter appends the value of a row.
type columnWriter struct {
	name  []byte // as JSON, with the colon
	array arrow.Array
	write func(b []byte, i int) []byte
}

// bind prepares the writer for a batch.
func (w *eventWriter) bind(in run.Batch) error {
	w.columns = w.columns[:0]
	for _, name := range w.reads {
		at := in.Record.Schema().FieldIndices(name)
		if len(at) != 1 {
			return fmt.Errorf("write events for the worker: the batch has no column %q", name)
		}
		a := in.Record.Column(at[0])
		write, err := writerOf(a)
		if text, ok := a.(*array.String); ok && w.json[name] {
			write = func(b []byte, i int) []byte { return appendJSON(b, text.Value(i)) }
		}
		if err != nil {
			return fmt.Errorf("write events for the worker: column %q: %w", name, err)
		}
		label := append(appendText(nil, name), ':')
		w.columns = append(w.columns, columnWriter{label, a, write})
	}
	return nil
}

func (w *eventWriter) event(b []byte, seq int64, i int) ([]byte, error) {
	b = append(b, `{"event":{`...)
	for n, c := range w.columns {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, c.name...)
		if c.array.IsNull(i) {
			b = append(b, "null"...)
			continue
		}
		b = c.write(b, i)
	}
	b = append(b, `},"seq":`...)
	b = appendInt(b, seq)
	return append(b, "}\n"...), nil
}

// writerOf returns what writes the values of an array, as docs/worker-protocol.md
// spells them.
func writerOf(a arrow.Array) (func([]byte, int) []byte, error) {
	switch a := a.(type) {
	case *array.String:
		return func(b []byte, i int) []byte { return appendText(b, a.Value(i)) }, nil
	case *array.LargeString:
		return func(b []byte, i int) []byte { return appendText(b, a.Value(i)) }, nil
	case *array.Int64:
		return func(b []byte, i int) []byte { return appendInt(b, a.Value(i)) }, nil
	case *array.Float64:
		return func(b []byte, i int) []byte { return appendDouble(b, a.Value(i)) }, nil
	case *array.Boolean:
		return func(b []byte, i int) []byte { return strconv.AppendBool(b, a.Value(i)) }, nil
	case *array.Timestamp:
		return func(b []byte, i int) []byte {
			return append(appendTime(append(b, '"'), int64(a.Value(i))), '"')
		}, nil
	case *array.Date32:
		return func(b []byte, i int) []byte {
			return append(a.Value(i).ToTime().AppendFormat(append(b, '"'), time.DateOnly), '"')
		}, nil
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		return func(b []byte, i int) []byte {
			return append(append(append(b, '"'), a.Value(i).ToString(scale)...), '"')
		}, nil
	case *array.Binary:
		return func(b []byte, i int) []byte { return appendBytes(b, a.Value(i)) }, nil
	case *array.List:
		return headersWriter(a)
	}
	return nil, fmt.Errorf("it has the type %s", a.DataType())
}

// headersWriter writes headers as [{"name":…,"value":base64 or null}…].
func headersWriter(a *array.List) (func([]byte, int) []byte, error) {
	parts, ok := a.ListValues().(*array.Struct)
	if !ok || parts.NumField() != 2 {
		return nil, fmt.Errorf("it has the type %s", a.DataType())
	}
	names, okName := parts.Field(0).(*array.String)
	values, okValue := parts.Field(1).(*array.Binary)
	if !okName || !okValue {
		return nil, fmt.Errorf("it has the type %s", a.DataType())
	}
	return func(b []byte, i int) []byte {
		b = append(b, '[')
		from, to := a.ValueOffsets(i)
		for j := int(from); j < int(to); j++ {
			if j > int(from) {
				b = append(b, ',')
			}
			b = append(appendText(append(b, `{"name":`...), names.Value(j)), `,"value":`...)
			if values.IsNull(j) {
				b = append(b, "null}"...)
				continue
			}
			b = append(appendBytes(b, values.Value(j)), '}')
		}
		return append(b, ']')
	}, nil
}

// safeInt is the largest whole number that every reader of JSON holds.
const safeInt = 1<<53 - 1

// appendInt writes a number, or a text where a reader might round it.
func appendInt(b []byte, n int64) []byte {
	if n > safeInt || n < -safeInt {
		return append(strconv.AppendInt(append(b, '"'), n, 10), '"')
	}
	return strconv.AppendInt(b, n, 10)
}

func appendDouble(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// appendTime writes microseconds since 1970 as recount.FormatTimestamp does.
func appendTime(b []byte, micros int64) []byte {
	return time.UnixMicro(micros).UTC().AppendFormat(b, "2006-01-02T15:04:05.999999Z")
}

func appendBytes(b, value []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), value), '"')
}

// appendText writes a text as JSON. Bytes that are no UTF-8 become U+FFFD, as
// encoding/json has it; U+2028 and U+2029, which some readers take for line ends,
// are escaped.
func appendText(b []byte, s string) []byte {
	wide := false
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == '"' || c == '\\' || c == 0xe2 {
			return appendOddText(b, s)
		}
		wide = wide || c >= utf8.RuneSelf
	}
	if wide && !utf8.ValidString(s) {
		return appendOddText(b, s)
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendOddText(b []byte, s string) []byte {
	line, err := jsonLine(s)
	if err != nil { // no text is an error
		return append(b, `""`...)
	}
	return append(b, bytes.TrimSuffix(line, []byte("\n"))...)
}

// appendCompact writes JSON without spaces between its parts.
func appendCompact(b, text []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, text) != nil {
		return append(b, text...)
	}
	return append(b, out.Bytes()...)
}

// appendJSON writes JSON as it is; a text that is none stays a text.
func appendJSON(b []byte, text string) []byte {
	if json.Valid([]byte(text)) {
		return appendCompact(b, []byte(text))
	}
	return appendText(b, text)
}

// appendValue writes a canonical value of a type.
func appendValue(b []byte, t recount.Type, v recount.Value) []byte {
	if v.Null {
		return append(b, "null"...)
	}
	switch t.Kind {
	case recount.KindInt64:
		if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
			return appendInt(b, n)
		}
	case recount.KindDouble:
		if f, err := strconv.ParseFloat(v.Text, 64); err == nil {
			return appendDouble(b, f)
		}
	case recount.KindBool:
		return append(b, v.Text...)
	case recount.KindJSON:
		return appendJSON(b, v.Text)
	case recount.KindString, recount.KindDecimal, recount.KindTimestamp, recount.KindDate:
	}
	return appendText(b, v.Text)
}
