// Package pack keeps many values of one type in one object, so that they are read
// again without a call of the store and a JSON parser for each. A pack is made
// from what it holds and can be made again; one that was written for another
// shape of the type is told by its layout.
package pack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Layout names the shape of a value: two types with the same layout are read and
// written alike.
func Layout(v any) string { return layout(reflect.TypeOf(v)) }

var instant = reflect.TypeFor[time.Time]()

func layout(t reflect.Type) string {
	switch {
	case t == instant:
		return "time"
	case t.Kind() == reflect.Struct:
		var b strings.Builder
		for f := range t.Fields() {
			fmt.Fprintf(&b, "%s %s;", f.Name, layout(f.Type))
		}
		return "{" + b.String() + "}"
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer:
		return t.Kind().String() + " " + layout(t.Elem())
	case t.Kind() == reflect.Map:
		return "map " + layout(t.Key()) + " " + layout(t.Elem())
	}
	return t.Kind().String()
}

// Append appends a value, which has exported fields, texts, whole numbers, truth
// values, times, slices, pointers and maps of texts alone. nil and empty are kept
// apart.
func Append(b []byte, v any) []byte { return write(b, reflect.ValueOf(v)) }

func write(b []byte, v reflect.Value) []byte {
	switch v.Kind() { //nolint:exhaustive // see default
	case reflect.String:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		return append(b, v.String()...)
	case reflect.Int, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return write(append(b, 1), v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return append(b, 0)
		}
		b = binary.AppendUvarint(b, uint64(v.Len())+1)
		for i := range v.Len() {
			b = write(b, v.Index(i))
		}
		return b
	case reflect.Map:
		texts, _ := reflect.TypeAssert[map[string]string](v.Convert(reflect.TypeFor[map[string]string]()))
		if texts == nil {
			return append(b, 0)
		}
		b = binary.AppendUvarint(b, uint64(len(texts))+1)
		for _, k := range slices.Sorted(maps.Keys(texts)) {
			b = write(write(b, reflect.ValueOf(k)), reflect.ValueOf(texts[k]))
		}
		return b
	default:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
		}
		for _, field := range v.Fields() {
			b = write(b, field)
		}
		return b
	}
}

// ErrDamaged says that a record is not what Append made.
var ErrDamaged = errors.New("the pack is damaged")

// reader reads values; its texts are parts of one string.
type reader struct {
	left string
	bad  bool
}

// Read reads what Append made into the value that v points at, whose type has the
// same layout.
func Read(record []byte, v any) error {
	r := &reader{left: string(record)}
	r.read(reflect.ValueOf(v).Elem())
	if r.bad || r.left != "" {
		return ErrDamaged
	}
	return nil
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(r.left) && i < binary.MaxVarintLen64; i++ {
		c := r.left[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.left = r.left[i+1:]
			return v
		}
	}
	r.bad, r.left = true, ""
	return 0
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.left)) {
		r.bad, r.left = true, ""
		return ""
	}
	s := r.left[:n]
	r.left = r.left[n:]
	return s
}

// count reads how many follow; ok is false for nil.
func (r *reader) count() (n int, ok bool) {
	u := r.uvarint()
	if u == 0 || r.bad {
		return 0, false
	}
	if u-1 > uint64(len(r.left)) {
		r.bad, r.left = true, ""
		return 0, false
	}
	return int(u - 1), true
}

func (r *reader) read(v reflect.Value) {
	switch v.Kind() { //nolint:exhaustive // see default
	case reflect.String:
		v.SetString(r.text())
		return
	case reflect.Int, reflect.Int64:
		v.SetInt(r.varint())
		return
	case reflect.Bool:
		v.SetBool(r.uvarint() == 1)
		return
	case reflect.Pointer:
		if r.uvarint() == 1 {
			v.Set(reflect.New(v.Type().Elem()))
			r.read(v.Elem())
		}
		return
	case reflect.Slice:
		n, ok := r.count()
		if !ok {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			r.read(v.Index(i))
		}
		return
	case reflect.Map:
		n, ok := r.count()
		if !ok {
			return
		}
		texts := make(map[string]string, n)
		for range n {
			k := r.text()
			texts[k] = r.text()
		}
		v.Set(reflect.ValueOf(texts).Convert(v.Type()))
	default:
		if v.Type() == instant {
			seconds := r.varint()
			*v.Addr().Interface().(*time.Time) = time.Unix(seconds, int64(r.uvarint())).UTC()
			return
		}
		for _, field := range v.Fields() {
			r.read(field)
		}
	}
}

// Writer writes records one after the other.
type Writer struct {
	z    *zstd.Encoder
	size []byte
}

// NewWriter returns a writer that is to be closed.
func NewWriter(w io.Writer) (*Writer, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(window))
	return &Writer{z: z}, err
}

const (
	window     = 1 << 20
	mostRecord = 1 << 28
)

// Write writes a record.
func (w *Writer) Write(record []byte) error {
	w.size = binary.AppendUvarint(w.size[:0], uint64(len(record)))
	if _, err := w.z.Write(w.size); err != nil {
		return err
	}
	_, err := w.z.Write(record)
	return err
}

// Close ends the pack.
func (w *Writer) Close() error { return w.z.Close() }

// Each hands the records of a pack to use, which must not keep them. Any error
// that is not use's is ErrDamaged or the reader's.
func Each(r io.Reader, use func(record []byte) error) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer z.Close()
	buffered := bufio.NewReaderSize(z, window/16)
	var record bytes.Buffer // grows with what is there, not with what a damaged size says
	for {
		n, err := binary.ReadUvarint(buffered)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n > mostRecord {
			err = fmt.Errorf("a record of %d bytes", n)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		record.Reset()
		if _, err := io.CopyN(&record, buffered, int64(n)); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if err := use(record.Bytes()); err != nil {
			return err
		}
	}
}
