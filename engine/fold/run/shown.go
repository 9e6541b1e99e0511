package run

import (
	"encoding/binary"
	"strconv"
	"time"

	"recount"
)

// shownOwn are the columns of a file of shown rows between those of By and those
// of the shape.
var shownOwn = []string{"bucket", "seq", "partition", "position", "id", "time", "hit", "times", "made"}

// takeShown keeps what stands after each event of a batch. A group that is the
// prefix of a history counts at its end alone.
func (d *driver) takeShown(in Batch, a *Answer, states map[int][]byte) error {
	rows, err := d.rowsByEvent(in, a)
	if err != nil {
		return err
	}
	for i, g := range in.Groups {
		f := d.filled.groups[i]
		if f.prefix {
			if err := d.showEvent(in, i, f.as, g.To-1, times(in.Seq[g.From:g.To], d.seqOf(f.as)), rows, states); err != nil {
				return err
			}
			continue
		}
		for at := g.From; at < g.To; {
			last := at
			for last+1 < g.To && in.Seq[last+1] == in.Seq[at] {
				last++
			}
			if err := d.showEvent(in, i, d.filled.refs[last], last, last-at+1, rows, states); err != nil {
				return err
			}
			at = last + 1
		}
	}
	return nil
}

func times(seqs []int64, seq int64) (n int) {
	for _, s := range seqs {
		if s == seq {
			n++
		}
	}
	return n
}

func (d *driver) seqOf(r ref) int64 {
	return d.filled.chunks[r.chunk].columns[d.plan.seq].int64(int(r.row))
}

// rowsByEvent are an answer's rows by the event after which they stand.
func (d *driver) rowsByEvent(in Batch, a *Answer) (map[int][]Row, error) {
	rows := map[int][]Row{}
	last, lastAt := in.Groups[0].Number, none
	for _, row := range a.Rows {
		i, err := d.group(in, row.Group, last, "a row")
		if err != nil {
			return nil, err
		}
		g := in.Groups[i]
		at := row.At
		if !d.spec.Show {
			at = g.To - 1
		}
		if !within(at, g) || at != none && at < lastAt {
			return nil, d.bad("a row of group %d stands after event %d, which is none of its own or comes before that of another row", row.Group, at)
		}
		last, lastAt = row.Group, max(at, lastAt)
		rows[at] = append(rows[at], row)
	}
	return rows, nil
}

// showEvent keeps the rows that stand after an event, or that there is none.
func (d *driver) showEvent(in Batch, group int, event ref, at, n int, rows map[int][]Row, states map[int][]byte) error {
	f := d.filled.groups[group]
	by, err := d.plan.values(f.of, f.row)
	if err != nil {
		return err
	}
	own := d.nameEvent(f, event, n)
	stateAt := at
	if !d.spec.Show {
		stateAt = group
	}
	keep := func(values []recount.Value) error {
		made := recount.Text(strconv.FormatBool(values != nil))
		key := d.shownKey(by, own, values)
		if values == nil {
			values = make([]recount.Value, len(d.columns))
			for i := range values {
				values[i] = recount.Null
			}
		}
		all := append(append(append(append([]recount.Value(nil), by...), own...), made), values...)
		return d.results.rows.add(d.uid+int64(group), int64(f.place.key)+1, key, all)
	}
	if d.pure {
		state, ok := states[stateAt]
		if !ok {
			return d.bad("group %d has no state after event %d", in.Groups[group].Number, at)
		}
		values, err := d.stateRow(f, state)
		if err != nil {
			return err
		}
		return keep(values)
	}
	if len(rows[at]) == 0 {
		return keep(nil)
	}
	for _, row := range rows[at] {
		values, err := d.columnsOf(row, states, stateAt)
		if err != nil {
			return err
		}
		if err := keep(values); err != nil {
			return err
		}
	}
	return nil
}

// nameEvent returns the values of shownOwn but for the last.
func (d *driver) nameEvent(f filledGroup, event ref, n int) []recount.Value {
	c, row := d.filled.chunks[event.chunk], int(event.row)
	text := func(slot int) recount.Value {
		if c.columns[slot].null(row) {
			return recount.Null
		}
		return recount.Text(string(c.columns[slot].at(row)))
	}
	bucket, at := recount.Null, recount.Null
	if d.plan.bucketd {
		bucket = recount.Text(recount.FormatTimestamp(time.UnixMicro(d.bucketOf(f))))
	}
	if t := &c.columns[d.plan.time]; !t.null(row) {
		at = recount.Text(recount.FormatTimestamp(time.UnixMicro(t.int64(row))))
	}
	return []recount.Value{
		bucket, recount.Text(strconv.FormatInt(d.seqOf(event), 10)), recount.Text(d.builder.names[c.ordinal(d.plan.partition, row)]),
		text(d.plan.position), text(d.plan.id), at, recount.Text(strconv.FormatBool(c.columns[d.plan.hit].data[row] != 0)), recount.Text(strconv.Itoa(n)),
	}
}

// shownKey is the text by which a shown row is sorted: key, seq, key of the row;
// of events alone partition, position, seq, key of the row.
func (d *driver) shownKey(by, own, row []recount.Value) string {
	const bucket, seqAt, partition, position = 0, 1, 2, 3
	var seq [8]byte
	n, _ := strconv.ParseInt(own[seqAt].Text, 10, 64)
	binary.BigEndian.PutUint64(seq[:], uint64(n)) //nolint:gosec // sequence numbers are positive
	first := append(append([]recount.Value(nil), by...), own[bucket])
	if d.spec.Alone {
		first = []recount.Value{own[partition], own[position]}
	}
	key := recount.KeyText(append(first, recount.Text(""))) + string(seq[:])
	if row == nil {
		return key
	}
	return key + recount.KeyText(row[:len(d.spec.Shape.Key)])
}
