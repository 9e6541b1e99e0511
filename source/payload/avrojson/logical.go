package avrojson

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"recount/source/payload/derive"
)

// logical is what a value means beyond its type.
type logical uint8

const (
	plain logical = iota
	decimal
	uuid
	date
	clockMillis
	clockMicros
	clockNanos
	stampMillis
	stampMicros
	stampNanos
	localMillis
	localMicros
	localNanos
	duration
	freeDecimal // a record of a scale and a value
)

// marked is what a mark may stand on. A mark on another type says nothing, as
// Avro has it.
type marked struct {
	means logical
	on    []kind
}

var logicals = map[string]marked{
	"decimal":                {decimal, []kind{kindBytes, kindFixed}},
	"uuid":                   {uuid, []kind{kindFixed}},
	"date":                   {date, []kind{kindInt}},
	"time-millis":            {clockMillis, []kind{kindInt}},
	"time-micros":            {clockMicros, []kind{kindLong}},
	"timestamp-millis":       {stampMillis, []kind{kindLong}},
	"timestamp-micros":       {stampMicros, []kind{kindLong}},
	"timestamp-nanos":        {stampNanos, []kind{kindLong}},
	"local-timestamp-millis": {localMillis, []kind{kindLong}},
	"local-timestamp-micros": {localMicros, []kind{kindLong}},
	"local-timestamp-nanos":  {localNanos, []kind{kindLong}},
	"duration":               {duration, []kind{kindFixed}},
}

// connects are the types of Kafka Connect and Debezium. The timestamps of
// io.debezium.time know no zone; those of Connect are instants.
var connects = map[string]marked{
	"org.apache.kafka.connect.data.Date":      {date, []kind{kindInt}},
	"org.apache.kafka.connect.data.Time":      {clockMillis, []kind{kindInt}},
	"org.apache.kafka.connect.data.Timestamp": {stampMillis, []kind{kindLong}},
	"org.apache.kafka.connect.data.Decimal":   {decimal, []kind{kindBytes}},
	"io.debezium.time.Date":                   {date, []kind{kindInt}},
	"io.debezium.time.Time":                   {clockMillis, []kind{kindInt}},
	"io.debezium.time.MicroTime":              {clockMicros, []kind{kindLong}},
	"io.debezium.time.NanoTime":               {clockNanos, []kind{kindLong}},
	"io.debezium.time.Timestamp":              {localMillis, []kind{kindLong}},
	"io.debezium.time.MicroTimestamp":         {localMicros, []kind{kindLong}},
	"io.debezium.time.NanoTimestamp":          {localNanos, []kind{kindLong}},
	"io.debezium.data.VariableScaleDecimal":   {freeDecimal, []kind{kindRecord}},
}

// mark reads what the type's other properties say.
func (n *node) mark(o map[string]any) {
	name, _ := o["logicalType"].(string)
	m, ok := logicals[name]
	if !ok {
		name, _ = o["connect.name"].(string)
		m = connects[name]
	}
	fits := false
	for _, k := range m.on {
		fits = fits || k == n.kind
	}
	switch {
	case !fits:
		return
	case m.means == decimal:
		if scale, err := number(o, "scale"); err == nil {
			n.scale = scale
		}
	case m.means == uuid && n.size != 16, m.means == duration && n.size != 12:
		return
	case m.means == freeDecimal && !n.isFreeDecimal():
		return
	}
	n.logical = m.means
}

func (n *node) isFreeDecimal() bool {
	return len(n.fields) == 2 && n.fields[0].key == `"scale":` && n.fields[0].typ.kind == kindInt &&
		n.fields[1].key == `"value":` && n.fields[1].typ.kind == kindBytes
}

// whole appends an int or a long.
func whole(b []byte, n *node, v int64) ([]byte, error) {
	switch n.logical {
	case plain:
		if n.kind == kindLong {
			return derive.Int64(b, v), nil
		}
		return fmt.Appendf(b, "%d", v), nil
	case date:
		return derive.Date(b, v), nil
	case clockMillis:
		return derive.Clock(b, time.Duration(v)*time.Millisecond), nil
	case clockMicros:
		if v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
			return b, fmt.Errorf("%d microseconds are no time of day", v)
		}
		return derive.Clock(b, time.Duration(v)*time.Microsecond), nil
	case clockNanos:
		return derive.Clock(b, time.Duration(v)), nil
	case stampMillis, localMillis:
		return derive.Stamp(b, time.UnixMilli(v), n.logical == localMillis), nil
	case stampMicros, localMicros:
		return derive.Stamp(b, time.UnixMicro(v), n.logical == localMicros), nil
	case stampNanos, localNanos:
		return derive.Stamp(b, time.Unix(0, v), n.logical == localNanos), nil
	case decimal, uuid, duration, freeDecimal:
	}
	return b, fmt.Errorf("an integer has the logical type %d", n.logical)
}

// octets appends bytes or a fixed.
func octets(b []byte, n *node, v []byte) ([]byte, error) {
	switch n.logical {
	case decimal:
		return derive.DecimalBytes(b, v, n.scale)
	case uuid:
		return derive.UUID(b, [16]byte(v)), nil
	case duration:
		return fmt.Appendf(b, `{"months":%d,"days":%d,"milliseconds":%d}`,
			binary.LittleEndian.Uint32(v), binary.LittleEndian.Uint32(v[4:]), binary.LittleEndian.Uint32(v[8:])), nil
	case plain, date, clockMillis, clockMicros, clockNanos, stampMillis, stampMicros, stampNanos, localMillis, localMicros, localNanos, freeDecimal:
	}
	return derive.Binary(b, v), nil
}
