package kinesis

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the format's own checksum
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"google.golang.org/protobuf/encoding/protowire"

	"recount/source/record"
)

// magic begins a record of the Kinesis Producer Library that holds several.
var magic = []byte{0xf3, 0x89, 0x9a, 0xc2}

// mostInner is how many records one can hold: a position has four digits for them.
const mostInner = 9999

// recordsOf is a record, or those that it holds. What begins like an aggregate and
// is none, by its checksum, is a record of its own.
func recordsOf(r *types.Record) ([]record.Record, error) {
	sequence := aws.ToString(r.SequenceNumber)
	at, err := position(sequence, 0)
	if err != nil {
		return nil, err
	}
	data := r.Data
	if data == nil {
		data = []byte{} // there are no tombstones: a record without bytes is an empty one
	}
	plain := record.Record{Position: at, Time: aws.ToTime(r.ApproximateArrivalTimestamp), Appended: true, Key: []byte(aws.ToString(r.PartitionKey)), Value: data}
	inner, ok := inside(data)
	if !ok || len(inner) > mostInner {
		return []record.Record{plain}, nil
	}
	list := make([]record.Record, len(inner))
	for i, one := range inner {
		list[i] = plain
		list[i].Key, list[i].Value = one.key, one.data
		if list[i].Position, err = position(sequence, i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// innerRecord is one record of an aggregate.
type innerRecord struct{ key, data []byte }

// inside takes an aggregate apart: the magic, a message of Protocol Buffers, and the
// message's MD5.
func inside(data []byte) ([]innerRecord, bool) {
	if !bytes.HasPrefix(data, magic) || len(data) < len(magic)+md5.Size {
		return nil, false
	}
	message, sum := data[len(magic):len(data)-md5.Size], data[len(data)-md5.Size:]
	if got := md5.Sum(message); !bytes.Equal(got[:], sum) { //nolint:gosec // see above
		return nil, false
	}
	const keyTable, records = 1, 3
	var keys [][]byte
	var parts [][]byte
	err := fields(message, func(number protowire.Number, _ uint64, text []byte) {
		switch number { //nolint:exhaustive // other fields may come
		case keyTable:
			keys = append(keys, text)
		case records:
			parts = append(parts, text)
		}
	})
	if err != nil || len(parts) == 0 {
		return nil, false
	}
	list := make([]innerRecord, len(parts))
	for i, part := range parts {
		const keyIndex, content = 1, 3
		key := uint64(len(keys))
		one := innerRecord{data: []byte{}}
		err := fields(part, func(number protowire.Number, n uint64, text []byte) {
			switch number { //nolint:exhaustive // other fields may come
			case keyIndex:
				key = n
			case content:
				one.data = text
			}
		})
		if err != nil || key >= uint64(len(keys)) {
			return nil, false
		}
		one.key = keys[key]
		list[i] = one
	}
	return list, true
}

// fields calls each for every field of a message that is a number or bytes.
func fields(message []byte, each func(number protowire.Number, n uint64, text []byte)) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		switch kind { //nolint:exhaustive // see default
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(message)
			if n < 0 {
				return protowire.ParseError(n)
			}
			each(number, v, nil)
			message = message[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return protowire.ParseError(n)
			}
			each(number, 0, v)
			message = message[n:]
		default:
			return errors.New("a field of another kind")
		}
	}
	return nil
}
