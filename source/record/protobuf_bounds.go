package record

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The bounds of a Protobuf value. Its messages are built before they are written,
// and an item of one byte takes up to two hundred.
const (
	maxProtobuf      = 64 << 20
	maxProtobufDepth = 100
	maxItems         = 1_000_000 // messages, elements of lists and entries of maps
)

var errManyItems = fmt.Errorf("it has more than %d items", maxItems)

// itemCounter counts what a value would be built of, before it is.
type itemCounter struct{ items int }

func (c *itemCounter) add(n int) error {
	if c.items += n; c.items > maxItems {
		return errManyItems
	}
	return nil
}

// message counts the items of a message. What is broken is left to the decoder.
func (c *itemCounter) message(m protoreflect.MessageDescriptor, data []byte, depth int) error {
	if err := c.add(1); err != nil || depth > maxProtobufDepth {
		return err
	}
	for len(data) > 0 {
		number, kind, head := protowire.ConsumeTag(data)
		if head < 0 {
			return nil
		}
		size := protowire.ConsumeFieldValue(number, kind, data[head:])
		if size < 0 {
			return nil
		}
		value := data[head : head+size]
		data = data[head+size:]
		f := m.Fields().ByNumber(number)
		if f == nil {
			continue
		}
		if err := c.field(f, kind, value, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *itemCounter) field(f protoreflect.FieldDescriptor, kind protowire.Type, value []byte, depth int) error {
	inner := value
	switch kind {
	case protowire.BytesType:
		inner, _ = protowire.ConsumeBytes(value)
	case protowire.StartGroupType:
		inner, _ = protowire.ConsumeGroup(f.Number(), value)
	case protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type, protowire.EndGroupType:
	}
	switch {
	case f.Message() != nil && kind != protowire.VarintType && kind != protowire.Fixed32Type && kind != protowire.Fixed64Type:
		return c.message(f.Message(), inner, depth+1)
	case f.IsList() && kind == protowire.BytesType && packs(f.Kind()):
		return c.add(len(inner)) // as many as it can hold
	case f.IsList():
		return c.add(1)
	}
	return nil
}

func packs(k protoreflect.Kind) bool {
	return k != protoreflect.StringKind && k != protoreflect.BytesKind
}

// checkBounds refuses a value that would take more memory than it may.
func checkBounds(m protoreflect.MessageDescriptor, data []byte) error {
	if len(data) > maxProtobuf {
		return fmt.Errorf("it has %d bytes; Protobuf is read up to %d", len(data), maxProtobuf)
	}
	var c itemCounter
	return c.message(m, data, 0)
}
