package eventfile

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"recount"
)

// Rows is the rows of one row group, column by column. It is filled once, written
// once, and may be used again after Reset.
type Rows struct {
	n                             int
	bytes                         int64
	seq, time, ingest             longs
	id, kind, partition, position texts
	key, data, fault              texts
	headers                       headerColumns
	fields                        []*fieldColumn
}

// NewRows returns empty rows with the given typed columns.
func NewRows(fields []recount.Field) *Rows {
	r := &Rows{}
	r.seq.required, r.partition.required, r.position.required = true, true, true
	for _, f := range fields {
		r.fields = append(r.fields, newFieldColumn(f))
	}
	return r
}

// Len is the number of rows.
func (r *Rows) Len() int { return r.n }

// Bytes is about how much memory the values take.
func (r *Rows) Bytes() int64 { return r.bytes }

// Held is about how much memory is kept for values, whether there are any or not.
func (r *Rows) Held() int64 {
	held := int64(r.headers.names.held() + r.headers.values.held())
	for _, c := range []*texts{&r.id, &r.kind, &r.partition, &r.position, &r.key, &r.data, &r.fault} {
		held += int64(c.held())
	}
	for _, c := range []*longs{&r.seq, &r.time, &r.ingest} {
		held += int64(c.held())
	}
	for _, f := range r.fields {
		held += int64(f.held())
	}
	return held
}

// Reset empties the rows and keeps their memory.
func (r *Rows) Reset() {
	r.n, r.bytes = 0, 0
	for _, c := range []*longs{&r.seq, &r.time, &r.ingest} {
		c.reset()
	}
	for _, c := range []*texts{&r.id, &r.kind, &r.partition, &r.position, &r.key, &r.data, &r.fault} {
		c.reset()
	}
	r.headers.reset()
	for _, f := range r.fields {
		f.reset()
	}
}

// MaxEventBytes is how large one event may be: offsets within a row group are
// 31 bits wide.
const MaxEventBytes = 1 << 30

// perRow is about what a row takes besides its texts: numbers and offsets.
const perRow = 64

// Append adds an event. timeKnown says whether its time is one; the event's
// texts must be valid UTF-8 (see Sound) and its fields as many as the columns.
func (r *Rows) Append(seq int64, e *recount.Event, timeKnown bool) error {
	size := perRow + len(e.ID) + len(e.Type) + len(e.Partition) + len(e.Position) + len(e.Key) + len(e.Data) + len(e.Fault)
	for i, c := range r.fields {
		n, err := c.add(e.Fields[i])
		if err != nil {
			return err
		}
		size += n
	}
	r.seq.add(seq)
	addText(&r.id, e.ID)
	addText(&r.kind, e.Type)
	r.partition.add(e.Partition)
	r.position.add(e.Position)
	addTime(&r.time, e.Time, timeKnown)
	addTime(&r.ingest, e.IngestTime, !e.IngestTime.IsZero())
	addBytes(&r.key, e.Key)
	addBytes(&r.data, e.Data)
	r.headers.add(e.Headers)
	for _, h := range e.Headers {
		size += perRow + len(h.Name) + len(h.Value)
	}
	addText(&r.fault, e.Fault)
	r.n++
	r.bytes += int64(size)
	return nil
}

func addText(c *texts, s string) {
	if s == "" {
		c.addNull()
		return
	}
	c.add(s)
}

// addBytes keeps none apart from an empty one: a tombstone is no empty payload.
func addBytes(c *texts, b []byte) {
	if b == nil {
		c.addNull()
		return
	}
	c.addBytes(b)
}

func addTime(c *longs, t time.Time, known bool) {
	if !known {
		c.addNull()
		return
	}
	c.add(t.UnixMicro())
}

// lowCardinality says whether few values of a text field are different, judged by
// its first rows.
func (r *Rows) lowCardinality(field int) bool {
	const sample = 4096
	c := &r.fields[field].texts
	n := min(sample, len(c.ends)-1)
	if n <= 0 {
		return true
	}
	seen := make(map[string]struct{}, n)
	for i := range n {
		seen[string(c.at(i))] = struct{}{}
	}
	return len(seen) <= n/2+1
}

// Unsound names the first text of an event that is no UTF-8 and so cannot stand
// in a column of text: "id", "type", or a field by its index.
func Unsound(e *recount.Event, fields []recount.Field) (name string, field int) {
	if !utf8.ValidString(e.ID) {
		return "id", -1
	}
	if !utf8.ValidString(e.Type) {
		return "type", -1
	}
	for i, v := range e.Fields {
		if !utf8.ValidString(v.Text) {
			return fields[i].Name, i
		}
	}
	return "", -1
}

// The instants that a file of the archive can hold.
var (
	firstInstant = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	pastInstant  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
)

func holdable(t time.Time) bool { s := t.Unix(); return s >= firstInstant && s < pastInstant }

// Prepare makes an event fit for the columns: what cannot stand in one becomes a
// fault, and is in Data all the same. An event without fields gets NULLs.
func Prepare(e *recount.Event, fields []recount.Field) (timeKnown bool, err error) {
	if len(e.Fields) == 0 {
		e.Fields = make([]recount.Value, len(fields))
		for i := range e.Fields {
			e.Fields[i] = recount.Null
		}
	}
	if size := len(e.Data) + len(e.Key); size > MaxEventBytes {
		return false, fmt.Errorf("event at %s of partition %q has %d bytes; %d are the most", e.Position, e.Partition, size, MaxEventBytes)
	}
	timeKnown = e.Fault == "" || !e.Time.IsZero()
	if timeKnown && !holdable(e.Time) {
		timeKnown = false
		blame(e, "its time lies outside the years 1 to 9999")
	}
	if !e.IngestTime.IsZero() && !holdable(e.IngestTime) {
		e.IngestTime = time.Time{}
		blame(e, "its ingest time lies outside the years 1 to 9999")
	}
	for name, field := Unsound(e, fields); name != "" || field >= 0; name, field = Unsound(e, fields) {
		switch {
		case field >= 0:
			e.Fields[field] = recount.Null
			e.Broken = append(e.Broken, name)
		case name == "id":
			e.ID = ""
		default:
			e.Type = ""
		}
		blame(e, fmt.Sprintf("its %s is no UTF-8", name))
	}
	e.Fault = strings.ToValidUTF8(e.Fault, "\uFFFD")
	return timeKnown, nil
}

func blame(e *recount.Event, fault string) {
	if e.Fault != "" {
		fault = e.Fault + "; " + fault
	}
	e.Fault = fault
}
