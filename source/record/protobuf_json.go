package record

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"recount/source/payload/derive"
)

// A message of Protobuf becomes an object by the rules of package derive: its
// fields in the order of the schema, under the names that they have there.
//
//	int64, uint64, …                 a string of digits
//	bytes                            a string where it is UTF-8, else {"base64": "…"}
//	enum                             its name; the number of a value without one
//	a field without presence         its default where the value has none
//	optional, oneof, message         null where it is not there
//	repeated, map                    an array, an object whose keys are sorted
//	google.protobuf.Timestamp        RFC 3339 with Z
//	google.protobuf.Duration         1.5s
//	google.protobuf.*Value           the value; null where it is not there
//	google.protobuf.Struct, Value    the JSON that it stands for
//	confluent.type.Decimal           a string of digits

var errLongJSON = errors.New("its JSON would be too long")

type protobufWriter struct{ most int }

func (w *protobufWriter) message(b []byte, m protoreflect.Message) ([]byte, error) {
	if len(b) > w.most {
		return b, errLongJSON
	}
	if write := wellKnown(m.Descriptor().FullName()); write != nil {
		return write(w, b, m)
	}
	b = append(b, '{')
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		f := fields.Get(i)
		b = append(derive.String(b, string(f.Name())), ':')
		var err error
		if b, err = w.field(b, f, m); err != nil {
			return b, fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	return append(b, '}'), nil
}

func (w *protobufWriter) field(b []byte, f protoreflect.FieldDescriptor, m protoreflect.Message) ([]byte, error) {
	switch {
	case f.IsList():
		return w.list(b, f, m.Get(f).List())
	case f.IsMap():
		return w.entries(b, f.MapValue(), m.Get(f).Map())
	case f.HasPresence() && !m.Has(f):
		return append(b, "null"...), nil
	}
	return w.value(b, f, m.Get(f))
}

func (w *protobufWriter) list(b []byte, f protoreflect.FieldDescriptor, l protoreflect.List) (_ []byte, err error) {
	b = append(b, '[')
	for i := range l.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = w.value(b, f, l.Get(i)); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func (w *protobufWriter) entries(b []byte, f protoreflect.FieldDescriptor, m protoreflect.Map) (_ []byte, err error) {
	b = append(b, '{')
	for i, key := range sortedKeys(m) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(derive.String(b, key.String()), ':')
		if b, err = w.value(b, f, m.Get(key)); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func (w *protobufWriter) value(b []byte, f protoreflect.FieldDescriptor, v protoreflect.Value) ([]byte, error) {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool()), nil
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return derive.Int64(b, v.Int()), nil
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return derive.Uint64(b, v.Uint()), nil
	case protoreflect.FloatKind:
		return derive.Float(b, v.Float(), 32), nil
	case protoreflect.DoubleKind:
		return derive.Float(b, v.Float(), 64), nil
	case protoreflect.StringKind:
		return derive.String(b, v.String()), nil
	case protoreflect.BytesKind:
		return derive.Binary(b, v.Bytes()), nil
	case protoreflect.EnumKind:
		if named := f.Enum().Values().ByNumber(v.Enum()); named != nil {
			return derive.String(b, string(named.Name())), nil
		}
		return strconv.AppendInt(b, int64(v.Enum()), 10), nil
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return w.message(b, v.Message())
	}
	return b, fmt.Errorf("it has the kind %s", f.Kind())
}

type messageWriter func(w *protobufWriter, b []byte, m protoreflect.Message) ([]byte, error)

// wellKnown returns what writes a message that stands for one value; nil for any
// other.
func wellKnown(name protoreflect.FullName) messageWriter {
	switch name {
	case "google.protobuf.Timestamp":
		return (*protobufWriter).timestamp
	case "google.protobuf.Duration":
		return (*protobufWriter).duration
	case "google.protobuf.Value":
		return (*protobufWriter).chosen
	case "confluent.type.Decimal":
		return (*protobufWriter).decimal
	case "google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue",
		"google.protobuf.Int32Value", "google.protobuf.UInt32Value", "google.protobuf.Int64Value", "google.protobuf.UInt64Value",
		"google.protobuf.FloatValue", "google.protobuf.DoubleValue":
		return (*protobufWriter).only
	}
	return nil
}

// only writes the one field of a message.
func (w *protobufWriter) only(b []byte, m protoreflect.Message) ([]byte, error) {
	if m.Descriptor().Fields().Len() == 0 {
		return append(b, "null"...), nil
	}
	return w.field(b, m.Descriptor().Fields().Get(0), m)
}

// chosen writes the value of a oneof.
func (w *protobufWriter) chosen(b []byte, m protoreflect.Message) ([]byte, error) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); m.Has(f) && f.Name() != "null_value" {
			return w.value(b, f, m.Get(f))
		}
	}
	return append(b, "null"...), nil
}

// numbers reads the fields of a message whose names and kinds are fixed. A schema
// may declare another message of a name that is well known.
func numbers(m protoreflect.Message, names ...protoreflect.Name) ([]int64, error) {
	values := make([]int64, len(names))
	for i, name := range names {
		f := m.Descriptor().Fields().ByName(name)
		switch {
		case f == nil || f.IsList():
		case f.Kind() == protoreflect.Int32Kind || f.Kind() == protoreflect.Int64Kind:
			values[i] = m.Get(f).Int()
			continue
		}
		return nil, fmt.Errorf("the schema's %s has no number %s", m.Descriptor().FullName(), name)
	}
	return values, nil
}

const nanosPerSecond = 1_000_000_000

func (w *protobufWriter) timestamp(b []byte, m protoreflect.Message) ([]byte, error) {
	n, err := numbers(m, "seconds", "nanos")
	if err != nil {
		return b, err
	}
	const first, last = -62135596800, 253402300799 // the years 1 to 9999
	if n[0] < first || n[0] > last || n[1] < 0 || n[1] >= nanosPerSecond {
		return b, fmt.Errorf("a timestamp of %d seconds and %d nanoseconds is out of range", n[0], n[1])
	}
	return derive.Stamp(b, time.Unix(n[0], n[1]), false), nil
}

func (w *protobufWriter) duration(b []byte, m protoreflect.Message) ([]byte, error) {
	n, err := numbers(m, "seconds", "nanos")
	if err != nil {
		return b, err
	}
	const most = 315576000000 // seconds: 10,000 years
	if n[0] < -most || n[0] > most || n[1] <= -nanosPerSecond || n[1] >= nanosPerSecond || n[0] > 0 && n[1] < 0 || n[0] < 0 && n[1] > 0 {
		return b, fmt.Errorf("a duration of %d seconds and %d nanoseconds is out of range", n[0], n[1])
	}
	b = append(b, '"')
	if n[0] < 0 || n[1] < 0 {
		b = append(b, '-')
	}
	b = strconv.AppendInt(b, max(n[0], -n[0]), 10)
	if n[1] != 0 {
		b = fmt.Appendf(b, ".%09d", max(n[1], -n[1]))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, 's', '"'), nil
}

func (w *protobufWriter) decimal(b []byte, m protoreflect.Message) ([]byte, error) {
	n, err := numbers(m, "scale")
	if err != nil {
		return b, err
	}
	f := m.Descriptor().Fields().ByName("value")
	if f == nil || f.Kind() != protoreflect.BytesKind || f.IsList() {
		return b, errors.New("the schema's confluent.type.Decimal has no bytes value")
	}
	return derive.DecimalBytes(b, m.Get(f).Bytes(), int(n[0]))
}
