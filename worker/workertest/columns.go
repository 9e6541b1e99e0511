package workertest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"recount"
	"recount/worker"
)

var (
	text    = recount.Type{Kind: recount.KindString}
	instant = recount.Type{Kind: recount.KindTimestamp}
)

// envelope are the types of the columns that every event has. Those that are
// bytes in the archive are texts here.
var envelope = map[string]recount.Type{
	"id": text, "stream": text, "type": text, "partition": text, "position": text, "time": instant, "ingest_time": instant,
	"key": text, "data": text, "hit": {Kind: recount.KindBool},
}

// columnOf makes a column of canonical values, as an engine would.
func columnOf(t recount.Type, values []recount.Value) (worker.Column, error) {
	c := worker.Column{Offsets: []int32{0}}
	if slices.ContainsFunc(values, func(v recount.Value) bool { return v.Null }) {
		c.Valid = make([]byte, (len(values)+7)/8)
	}
	for i, v := range values {
		if c.Valid != nil && !v.Null {
			c.Valid[i/8] |= 1 << (i % 8)
		}
		if err := appendTo(&c, t, v); err != nil {
			return c, err
		}
	}
	return c, nil
}

func appendTo(c *worker.Column, t recount.Type, v recount.Value) (err error) {
	switch t.Kind {
	case recount.KindString, recount.KindJSON:
		c.Text += v.Text
		c.Offsets = append(c.Offsets, int32(len(c.Text)))
	case recount.KindInt64:
		var n int64
		if !v.Null {
			n, err = strconv.ParseInt(v.Text, 10, 64)
		}
		c.Ints = append(c.Ints, n)
	case recount.KindDouble:
		var f float64
		if !v.Null {
			f, err = strconv.ParseFloat(v.Text, 64)
		}
		c.Doubles = append(c.Doubles, f)
	case recount.KindDecimal:
		var d worker.Decimal
		if !v.Null {
			d, err = worker.ParseDecimal(v.Text)
		}
		c.Decimals = append(c.Decimals, d)
	case recount.KindBool:
		c.Bools = append(c.Bools, v.Text == "true")
	case recount.KindTimestamp:
		var at time.Time
		n := int64(worker.NoTime)
		if !v.Null {
			at, err = recount.ParseTimestamp(v.Text)
			n = at.UnixMicro()
		}
		c.Ints = append(c.Ints, n)
	case recount.KindDate:
		var at time.Time
		if !v.Null {
			at, err = time.Parse(time.DateOnly, v.Text)
		}
		const day = 24 * 60 * 60
		c.Ints = append(c.Ints, at.Unix()/day)
	default:
		return fmt.Errorf("a column has the unknown type %q", t)
	}
	return err
}
