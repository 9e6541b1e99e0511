// Package eventfile writes and reads the archive's Parquet files: events with
// their typed columns, and marks. docs/archive.md is its contract with every
// other reader. It knows no store, no commit and no clock. Rows are written as
// they are given, in that order; their compressed bytes may differ from one run
// to the next, since the compressor is not bound to one form.
package eventfile

import (
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"recount"
)

// FormatVersion is what recount.format says in every file.
const FormatVersion = "1"

// The envelope's columns, in their order in the file. Fields follow.
const (
	colSeq = iota
	colID
	colType
	colPartition
	colPosition
	colTime
	colIngestTime
	colKey
	colData
	colHeaderName
	colHeaderValue
	colFault
	envelopeColumns // leaf columns of the envelope
)

// Meta is what a file says of all its rows.
type Meta struct {
	Stream string
	Format string // of the payloads: csv, json, derived-json
	Header string // what a payload needs to be read again, such as the CSV header
	Fields []recount.Field
}

var (
	required = parquet.Repetitions.Required
	optional = parquet.Repetitions.Optional
	utf8Type = schema.StringLogicalType{}
	instant  = schema.NewTimestampLogicalTypeWithOpts(schema.WithTSIsAdjustedToUTC(), schema.WithTSTimeUnitType(schema.TimeUnitMicros))
)

const noLength = -1

func textNode(name string, rep parquet.Repetition) schema.Node {
	return schema.MustPrimitive(schema.NewPrimitiveNodeLogical(name, rep, utf8Type, parquet.Types.ByteArray, noLength, -1))
}

func instantNode(name string) schema.Node {
	return schema.MustPrimitive(schema.NewPrimitiveNodeLogical(name, optional, instant, parquet.Types.Int64, noLength, -1))
}

func headersNode() (schema.Node, error) {
	element, err := schema.NewGroupNode("element", required, schema.FieldList{
		textNode("name", required), schema.NewByteArrayNode("value", optional, -1),
	}, -1)
	if err != nil {
		return nil, err
	}
	return schema.ListOfWithName("headers", element, optional, -1)
}

// eventSchema returns the schema of a file of events.
func eventSchema(fields []recount.Field) (*schema.GroupNode, error) {
	headers, err := headersNode()
	if err != nil {
		return nil, fmt.Errorf("make schema of headers: %w", err)
	}
	list := schema.FieldList{
		schema.NewInt64Node("seq", required, -1),
		textNode("id", optional), textNode("type", optional), textNode("partition", required), textNode("position", required),
		instantNode("time"), instantNode("ingest_time"),
		schema.NewByteArrayNode("key", optional, -1), schema.NewByteArrayNode("data", optional, -1),
		headers,
		textNode("fault", optional),
	}
	for _, f := range fields {
		node, err := fieldNode(f)
		if err != nil {
			return nil, err
		}
		list = append(list, node)
	}
	return schema.NewGroupNode("events", required, list, -1)
}

func fieldNode(f recount.Field) (schema.Node, error) {
	switch f.Type.Kind {
	case recount.KindString, recount.KindJSON:
		return textNode(f.Name, optional), nil
	case recount.KindInt64:
		return schema.NewInt64Node(f.Name, optional, -1), nil
	case recount.KindDouble:
		return schema.NewFloat64Node(f.Name, optional, -1), nil
	case recount.KindBool:
		return schema.NewBooleanNode(f.Name, optional, -1), nil
	case recount.KindTimestamp:
		return instantNode(f.Name), nil
	case recount.KindDate:
		return schema.NewPrimitiveNodeLogical(f.Name, optional, schema.DateLogicalType{}, parquet.Types.Int32, noLength, -1)
	case recount.KindDecimal:
		physical, length := decimalLayout(f.Type)
		decimal := schema.NewDecimalLogicalType(int32(f.Type.Precision), int32(f.Type.Scale))
		return schema.NewPrimitiveNodeLogical(f.Name, optional, decimal, physical, length, -1)
	}
	return nil, fmt.Errorf("make schema of field %q: unknown kind %q", f.Name, f.Type.Kind)
}

const (
	digitsInt32 = 9 // decimals of so many digits fit INT32
	digitsInt64 = 18
)

// decimalLayout is the layout that Iceberg asks for: INT32, INT64, else as few
// bytes as hold the precision.
func decimalLayout(t recount.Type) (parquet.Type, int) {
	switch {
	case t.Precision <= digitsInt32:
		return parquet.Types.Int32, noLength
	case t.Precision <= digitsInt64:
		return parquet.Types.Int64, noLength
	}
	return parquet.Types.FixedLenByteArray, decimalBytes(t.Precision)
}

// decimalBytes is how many bytes of two's complement hold so many digits.
func decimalBytes(precision int) int {
	// log2(10) * precision bits and a sign, in whole bytes; exact for 1 to 38.
	const bitsPerDigit = 3.321928094887362
	bits := int(float64(precision)*bitsPerDigit) + 1 + 1
	return (bits + 7) / 8
}

// Row groups and pages: small enough to be passed over by their statistics,
// large enough that encodings pay.
const (
	// MaxGroupRows is how many rows a row group has at most.
	MaxGroupRows = 131072
	pageBytes    = 56 << 10 // with a step and the lengths, within one block of zstd, which then keeps no history
	pageStep     = 4 << 10
	dictBytes    = 2 << 20
	zstdLevel    = 1
)

// eventProps sets encodings column by column: the writer's default dictionary is
// several times slower and larger on columns whose values are all different.
func eventProps(fields []recount.Field, dictionary func(field int) bool) *parquet.WriterProperties {
	packed, shared, lengths := parquet.Encodings.DeltaBinaryPacked, parquet.Encodings.DeltaByteArray, parquet.Encodings.DeltaLengthByteArray
	opts := []parquet.WriterProperty{
		parquet.WithDictionaryDefault(false), parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(zstdLevel),
		parquet.WithDataPageSize(pageBytes), parquet.WithDictionaryPageSizeLimit(dictBytes), parquet.WithBatchSize(batchRows),
		parquet.WithMaxRowGroupLength(MaxGroupRows), parquet.WithCreatedBy("recount"), parquet.WithStats(true),
		parquet.WithEncodingFor("seq", packed), parquet.WithEncodingFor("time", packed), parquet.WithEncodingFor("ingest_time", packed),
		parquet.WithEncodingFor("id", shared), parquet.WithEncodingFor("position", shared),
		parquet.WithEncodingFor("data", lengths), parquet.WithEncodingFor("key", lengths),
		parquet.WithDictionaryFor("type", true), parquet.WithDictionaryFor("partition", true), parquet.WithDictionaryFor("fault", true),
		parquet.WithDictionaryFor("headers.list.element.name", true),
		// Nobody looks for a payload by its bytes.
		parquet.WithStatsFor("data", false), parquet.WithStatsFor("headers.list.element.value", false), parquet.WithStatsFor("fault", false),
	}
	for i, f := range fields {
		switch f.Type.Kind {
		case recount.KindString:
			if dictionary(i) {
				opts = append(opts, parquet.WithDictionaryFor(f.Name, true))
			} else {
				opts = append(opts, parquet.WithEncodingFor(f.Name, lengths))
			}
		case recount.KindJSON:
			opts = append(opts, parquet.WithEncodingFor(f.Name, lengths), parquet.WithStatsFor(f.Name, false))
		case recount.KindInt64, recount.KindTimestamp, recount.KindDate:
			opts = append(opts, parquet.WithEncodingFor(f.Name, packed))
		case recount.KindDecimal:
			if f.Type.Precision <= digitsInt64 {
				opts = append(opts, parquet.WithEncodingFor(f.Name, packed))
			}
		case recount.KindDouble, recount.KindBool:
		}
	}
	return parquet.NewWriterProperties(opts...)
}

func eventMetadata(m Meta) (metadata.KeyValueMetadata, error) {
	kv := metadata.NewKeyValueMetadata()
	for _, pair := range [][2]string{
		{"recount.format", FormatVersion}, {"recount.stream", m.Stream}, {"recount.payload", m.Format}, {"recount.header", m.Header},
	} {
		if err := kv.Append(pair[0], pair[1]); err != nil {
			return nil, fmt.Errorf("set metadata %s: %w", pair[0], err)
		}
	}
	return kv, nil
}
