package postgres

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount"
	"recount/source/payload"
	"recount/source/payload/derive"
	"recount/source/postgres/pgoutput"
	"recount/source/record"
)

// ours is the prefix of the logical message that begins a correction of our own.
const ours = "recount"

// transaction is one that is being read.
type transaction struct {
	pgoutput.Begin

	index   int64 // of the next change
	ours    bool  // it is a correction, and no event
	skipped int64 // changes of it that are none
	from    int64 // the first of them
}

// relation is a table as the stream describes it, with what its changes share.
type relation struct {
	pgoutput.Relation

	selected bool
	names    [][]byte // of the columns, as JSON with their colon
	origin   []byte   // the beginning of source, up to what each change has of its own
}

func (st *stream) describe(r pgoutput.Relation) *relation {
	rel := &relation{Relation: r, selected: st.source.selected(r.Schema, r.Table)}
	for _, c := range r.Columns {
		rel.names = append(rel.names, append(derive.String(nil, c.Name), ':'))
	}
	rel.origin = origin(st.mark.Database, r.Schema, r.Table)
	return rel
}

func origin(database, schema, table string) []byte {
	b := []byte(`"source":{"connector":"postgresql","db":`)
	b = derive.String(b, database)
	if schema+table != "" {
		b = derive.String(append(b, `,"schema":`...), schema)
		b = derive.String(append(b, `,"table":`...), table)
	}
	return b
}

// change is one change of a row, in the form of Debezium.
type change struct {
	op            string
	at            spot
	lsn           pgoutput.LSN // of the change itself
	xid           uint32
	time          time.Time
	before, after []byte // rows; nil: none
	unchanged     []string
	message       []byte
}

// payload writes the change.
func (c *change) payload(partition string, origin []byte) []byte {
	b := make([]byte, 0, len(c.before)+len(c.after)+len(c.message)+len(origin)+300)
	b = append(b, '{')
	if c.op == "m" {
		b = append(append(b, `"message":`...), c.message...)
	} else {
		b = row(append(b, `"before":`...), c.before)
		b = row(append(b, `,"after":`...), c.after)
	}
	if len(c.unchanged) > 0 {
		b = append(b, unchangedKey...)
		for i, name := range c.unchanged {
			if i > 0 {
				b = append(b, ',')
			}
			b = derive.String(b, name)
		}
		b = append(b, ']')
	}
	b = append(append(b, ','), origin...)
	b = derive.Int64(append(b, `,"ts_ms":`...), c.time.UnixMilli())
	b = derive.Int64(append(b, `,"ts_us":`...), c.time.UnixMicro())
	const base = 10
	b = strconv.AppendUint(append(b, `,"txId":`...), uint64(c.xid), base)
	b = derive.Uint64(append(b, `,"lsn":`...), uint64(c.lsn))
	b = derive.Uint64(append(b, `,"commit_lsn":`...), uint64(c.at.commit))
	b = derive.String(append(b, `},"op":`...), c.op)
	b = fmt.Appendf(b, `,"transaction":{"id":"%d:%d","total_order":"%d"}`, c.xid, uint64(c.at.commit), c.at.index+1)
	b = derive.String(append(b, `,"id":`...), fmt.Sprintf("%s:%s:%d", partition, c.at.commit, c.at.index))
	return append(b, '}')
}

func row(b, text []byte) []byte {
	if text == nil {
		return append(b, "null"...)
	}
	return append(b, text...)
}

// old writes the row as it was, as far as it is told.
func (r *relation) old(values []pgoutput.Value, keyOnly bool) []byte {
	if values == nil {
		return nil
	}
	b := []byte{'{'}
	for i, v := range values {
		if keyOnly && !r.Columns[i].Key || v.Kind == pgoutput.Unchanged {
			continue
		}
		b = r.column(b, i, v)
	}
	return append(b, '}')
}

// new writes the row as it is. What did not change and was not sent is taken from
// the whole old row, or else named.
func (r *relation) new(values, old []pgoutput.Value, keyOnly bool) (text []byte, unchanged []string) {
	b := []byte{'{'}
	for i, v := range values {
		if v.Kind == pgoutput.Unchanged {
			if old == nil || keyOnly || old[i].Kind == pgoutput.Unchanged {
				unchanged = append(unchanged, r.Columns[i].Name)
				continue
			}
			v = old[i]
		}
		b = r.column(b, i, v)
	}
	return append(b, '}'), unchanged
}

func (r *relation) column(b []byte, i int, v pgoutput.Value) []byte {
	if len(b) > 1 {
		b = append(b, ',')
	}
	b = append(b, r.names[i]...)
	if v.Kind == pgoutput.Null {
		return append(b, "null"...)
	}
	return appendValue(b, r.Columns[i].Type, string(v.Text))
}

// row makes the record of a changed row; false where it is no event.
func (st *stream) row(at spot, lsn pgoutput.LSN, rel *relation, op string, old, now []pgoutput.Value, keyOnly bool) (record.Record, bool, error) {
	for _, values := range [][]pgoutput.Value{old, now} {
		if values != nil && len(values) != len(rel.Columns) {
			return record.Record{}, false, st.source.broken(fmt.Errorf("a row of table %s.%s has %d values, and the table %d columns", rel.Schema, rel.Table, len(values), len(rel.Columns)))
		}
	}
	if st.source.config.Outbox.Table != "" {
		if op != "c" {
			return record.Record{}, false, nil // an outbox is emptied, and its events stay
		}
		return st.posted(at, rel, now)
	}
	c := change{op: op, at: at, lsn: lsn, xid: st.tx.XID, time: st.tx.Time, before: rel.old(old, keyOnly)}
	if now != nil {
		c.after, c.unchanged = rel.new(now, old, keyOnly)
	}
	return st.record(at, st.tx.Time, c.payload(st.mark.partition(), rel.origin)), true, nil
}

func (st *stream) record(at spot, when time.Time, value []byte) record.Record {
	return record.Record{Position: at.position(), Time: when, Appended: true, Value: value}
}

// posted is a row of the outbox: the payload's own bytes, and the other columns as
// headers.
func (st *stream) posted(at spot, rel *relation, values []pgoutput.Value) (record.Record, bool, error) {
	r := st.record(at, st.tx.Time, nil)
	found := false
	for i, c := range rel.Columns {
		text := values[i].Text
		if values[i].Kind == pgoutput.Null {
			text = nil
		} else if raw, ok := bytesOf(string(text)); ok && c.Type == oidBytea {
			text = raw
		} else {
			text = slices.Concat([]byte{}, text)
		}
		if c.Name == st.source.config.Outbox.Payload {
			r.Value, found = text, true
			continue
		}
		if at, ok := instant(string(text), c.Type == oidTimestamptz); ok && c.Type == oidTimestamptz {
			text = []byte(strings.Trim(string(derive.Stamp(nil, at, false)), `"`))
		}
		r.Headers = append(r.Headers, recount.Header{Name: c.Name, Value: text})
	}
	if !found {
		return r, false, st.source.misconfigured("outbox: names a column that is not there",
			fmt.Sprintf("table %s.%s has no column %q", rel.Schema, rel.Table, st.source.config.Outbox.Payload), "correct payload: of the outbox")
	}
	return r, true, nil
}

// said is a logical message.
func (st *stream) said(at spot, m pgoutput.Logical) record.Record {
	c := change{op: "m", at: at, lsn: m.LSN, xid: st.tx.XID, time: st.tx.Time}
	if st.source.config.Outbox.Table != "" {
		return st.record(at, c.time, slices.Concat([]byte{}, m.Content))
	}
	c.message = derive.String([]byte(`{"prefix":`), m.Prefix)
	c.message = derive.Binary(append(c.message, `,"content":`...), m.Content)
	c.message = append(c.message, '}')
	return st.record(at, c.time, c.payload(st.mark.partition(), origin(st.mark.Database, "", "")))
}

// unchangedKey begins the list of columns that were not sent.
const unchangedKey = `,"unchanged":[`

// columns are the columns of a row that a mapping names.
type columns struct {
	key    string   // of the event's key
	fields []string // by the mapping's fields; empty: it is none of a row
	names  []string // of the fields
}

func columnsOf(m recount.Mapping) (c columns, err error) {
	column := func(path string) (string, error) {
		if path == "" || strings.HasPrefix(path, "envelope:") || strings.HasPrefix(path, "header:") || strings.HasPrefix(path, "record:") {
			return "", nil
		}
		keys, err := payload.Keys(recount.Mapping{Key: path})
		if err != nil || len(keys) == 0 {
			return "", err
		}
		return keys[0], nil
	}
	if c.key, err = column(m.Key); err != nil {
		return c, err
	}
	for _, f := range m.Fields {
		path := f.Path
		if path == "" {
			path = f.Name
		}
		name, err := column(path)
		if err != nil {
			return c, err
		}
		c.fields, c.names = append(c.fields, name), append(c.names, f.Name)
	}
	return c, nil
}

// blame makes an event faulty whose fields lead to columns that were not sent: they
// have a value, and nobody knows it.
func (c columns) blame(e *recount.Event) {
	if !bytes.Contains(e.Data, []byte(unchangedKey)) {
		return
	}
	list, err := payload.Members(e.Data)
	if err != nil {
		return
	}
	var unchanged []byte
	for _, m := range list {
		if m.Key == "unchanged" {
			unchanged = m.Value
		}
	}
	if unchanged == nil {
		return
	}
	missing := func(column string) bool { return column != "" && bytes.Contains(unchanged, derive.String(nil, column)) }
	var names []string
	if missing(c.key) {
		e.Key = nil
		names = append(names, c.key)
	}
	for i, column := range c.fields {
		if missing(column) {
			e.Broken = append(e.Broken, c.names[i])
			if !slices.Contains(names, column) {
				names = append(names, column)
			}
		}
	}
	if len(names) == 0 {
		return
	}
	fault := fmt.Sprintf("column %s was not sent, since it did not change and is kept aside (TOAST): REPLICA IDENTITY FULL of its table sends it", strings.Join(names, ", "))
	if e.Fault != "" {
		fault = e.Fault + "; " + fault
	}
	e.Fault = fault
}
