package record

import (
	"context"
	_ "embed" // the types that a registry knows by itself
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"recount/source/payload/avrojson"
)

// The JSON of a value of n bytes may have maxJSON + maxGrowth * n bytes.
const (
	maxJSON   = avrojson.MaxJSON
	maxGrowth = avrojson.MaxGrowth
)

//go:embed confluent_meta.proto
var confluentMeta string

//go:embed confluent_decimal.proto
var confluentDecimal string

// protobuf compiles the schema. What follows the id says which of its messages a
// value is.
func (s *schema) protobuf() (valueReader, error) {
	name := fmt.Sprintf("recount/schema-%d.proto", s.ID)
	files := map[string]string{"confluent/meta.proto": confluentMeta, "confluent/type/decimal.proto": confluentDecimal}
	for _, r := range s.References {
		files[r.Name] = r.Schema
	}
	files[name] = s.Schema
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(files)}),
		MaxParallelism: 1,
	}
	compiled, err := compiler.Compile(context.Background(), name)
	if err != nil {
		return nil, err
	}
	file := compiled[0]
	return func(b, data []byte) ([]byte, error) {
		indexes, data, err := messageIndexes(data)
		if err != nil {
			return b, err
		}
		message, err := messageAt(file.Messages(), indexes)
		if err != nil {
			return b, err
		}
		if err := checkBounds(message, data); err != nil {
			return b, err
		}
		m := dynamicpb.NewMessage(message)
		err = proto.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true, RecursionLimit: maxProtobufDepth}.Unmarshal(data, m)
		if err != nil {
			return b, err
		}
		w := protobufWriter{most: len(b) + maxJSON + maxGrowth*len(data)}
		return w.message(b, m)
	}, nil
}

// messageIndexes reads which message of a file a value is: the number of indexes
// and these, as zigzag numbers; a single 0 stands for the first message.
func messageIndexes(data []byte) ([]int, []byte, error) {
	next := func() (int64, error) {
		n, size := binary.Varint(data)
		if size <= 0 {
			return 0, errors.New("the indexes of its message are cut off")
		}
		data = data[size:]
		return n, nil
	}
	count, err := next()
	switch {
	case err != nil:
		return nil, nil, err
	case count == 0:
		return []int{0}, data, nil
	case count < 0 || count > maxProtobufDepth:
		return nil, nil, fmt.Errorf("it has %d indexes of its message", count)
	}
	indexes := make([]int, count)
	for i := range indexes {
		n, err := next()
		if err != nil {
			return nil, nil, err
		}
		const most = 1 << 20
		if n < 0 || n > most {
			return nil, nil, fmt.Errorf("an index of its message is %d", n)
		}
		indexes[i] = int(n)
	}
	return indexes, data, nil
}

// messageAt follows indexes down. The entries of maps are messages to a compiler
// and none to a registry.
func messageAt(list protoreflect.MessageDescriptors, indexes []int) (protoreflect.MessageDescriptor, error) {
	var found protoreflect.MessageDescriptor
	for _, index := range indexes {
		found = nil
		for i := range list.Len() {
			if list.Get(i).IsMapEntry() {
				continue
			}
			if index == 0 {
				found = list.Get(i)
				break
			}
			index--
		}
		if found == nil {
			return nil, fmt.Errorf("its schema has no message of the indexes %v", indexes)
		}
		list = found.Messages()
	}
	return found, nil
}

// sortedKeys gives the keys of a map an order: the bytes have none that holds.
func sortedKeys(m protoreflect.Map) []protoreflect.MapKey {
	keys := map[string]protoreflect.MapKey{}
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys[k.String()] = k
		return true
	})
	sorted := make([]protoreflect.MapKey, 0, len(keys))
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		sorted = append(sorted, keys[name])
	}
	return sorted
}
