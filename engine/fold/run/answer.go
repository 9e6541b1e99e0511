package run

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"recount"
)

// stateColumn is where the state stands among all columns of the shape.
func (r *runner) stateColumn() int {
	i := slices.IndexFunc(r.columns, func(c recount.Column) bool { return c.Name == recount.StateColumn })
	if i < 0 {
		return none
	}
	return i
}

// wantsOf is what steppers are asked for.
func wantsOf(s *Spec) Wants {
	w := Wants{Show: s.Show, Effects: s.Effects != ""}
	pure := true
	for _, c := range slices.Concat(s.Shape.Key, s.Shape.Values) {
		if c.Name == recount.StateColumn {
			w.State = true
			continue
		}
		w.Columns = append(w.Columns, c)
		pure = pure && slices.Contains(s.By, c.Name)
	}
	if pure && w.State || s.Out == "" {
		w.Columns = nil
	}
	return w
}

// bad is the error of an answer that breaks the rules.
func (d *driver) bad(format string, args ...any) error {
	return &recount.Error{
		Code: recount.CodeWorkerAnswer, What: "the calculation's answer cannot be used", Where: d.spec.Where, Why: fmt.Sprintf(format, args...),
		Next: "let it answer for the keys that it was given, in their order, with the columns that it declares",
	}
}

// take keeps an answer.
func (d *driver) take(in Batch, a *Answer) error {
	if d.spec.Out != "" {
		if err := d.takeRows(in, a); err != nil {
			return err
		}
	}
	if d.spec.Effects == "" {
		return nil
	}
	return d.takeEffects(in, a)
}

// group finds a group of the batch by its number, which must not be below the
// last.
func (d *driver) group(in Batch, number, last int64, what string) (int, error) {
	first := in.Groups[0].Number
	if number < last {
		return 0, d.bad("%s of group %d comes after one of group %d", what, number, last)
	}
	i := number - first
	if i < 0 || i >= int64(len(in.Groups)) {
		return 0, d.bad("%s is of group %d, which is none of the groups %d to %d", what, number, first, first+int64(len(in.Groups))-1)
	}
	return int(i), nil
}

// states checks the states of an answer and returns them by group; under Show,
// by event.
func (d *driver) states(in Batch, a *Answer) (map[int][]byte, error) {
	if !d.wants.State {
		return nil, nil
	}
	found := make(map[int][]byte, len(a.States))
	last := in.Groups[0].Number
	for _, s := range a.States {
		i, err := d.group(in, s.Group, last, "a state")
		if err != nil {
			return nil, err
		}
		last = s.Group
		g := in.Groups[i]
		at := i
		switch {
		case d.spec.Show:
			if at = s.At; !within(at, g) {
				return nil, d.bad("a state of group %d stands after event %d, which is none of its own", s.Group, at)
			}
		case !g.End:
			return nil, d.bad("group %d has a state before its end", s.Group)
		}
		if !utf8.Valid(s.Bytes) {
			return nil, d.bad("the state of group %d is no text", s.Group)
		}
		if _, twice := found[at]; twice {
			return nil, d.bad("group %d has two states", s.Group)
		}
		found[at] = s.Bytes
	}
	return found, nil
}

// within says whether an event of the batch is the group's; -1 is where it has
// none.
func within(at int, g Group) bool {
	return at >= g.From && at < g.To || at == none && g.From == g.To
}

func (d *driver) takeRows(in Batch, a *Answer) error {
	states, err := d.states(in, a)
	if err != nil {
		return err
	}
	if d.named() {
		return d.takeShown(in, a, states)
	}
	if d.pure {
		return d.takeStates(in, states)
	}
	last := in.Groups[0].Number
	for _, row := range a.Rows {
		i, err := d.group(in, row.Group, last, "a row")
		if err != nil {
			return err
		}
		last = row.Group
		if !in.Groups[i].End {
			return d.bad("group %d has a row before its end", row.Group)
		}
		values, err := d.columnsOf(row, states, i)
		if err != nil {
			return err
		}
		if err := d.addRow(i, values); err != nil {
			return err
		}
	}
	return nil
}

// columnsOf puts a row's values and its state into the order of the shape.
func (d *driver) columnsOf(row Row, states map[int][]byte, at int) ([]recount.Value, error) {
	if len(row.Values) != len(d.wants.Columns) {
		return nil, d.bad("a row of group %d has %d values, not %d", row.Group, len(row.Values), len(d.wants.Columns))
	}
	if d.state == none {
		return row.Values, nil
	}
	state, ok := states[at]
	if !ok {
		return nil, d.bad("group %d has a row and no state", row.Group)
	}
	d.values = append(append(append(d.values[:0], row.Values[:d.state]...), recount.Text(string(state))), row.Values[d.state:]...)
	return d.values, nil
}

// takeStates makes a row of each key that ends and its state.
func (d *driver) takeStates(in Batch, states map[int][]byte) error {
	for i, g := range d.filled.groups {
		if !g.end {
			continue
		}
		state, ok := states[i]
		if !ok {
			return d.bad("group %d has no state", in.Groups[i].Number)
		}
		values, err := d.stateRow(g, state)
		if err != nil {
			return err
		}
		if err := d.addRow(i, values); err != nil {
			return err
		}
	}
	return nil
}

// stateRow is the row of a key and its state, in the order of the shape.
func (d *driver) stateRow(g filledGroup, state []byte) ([]recount.Value, error) {
	by, err := d.plan.values(g.of, g.row)
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	values := make([]recount.Value, len(d.columns))
	for i, c := range d.columns {
		if i == d.state {
			values[i] = recount.Text(string(state))
			continue
		}
		values[i] = by[slices.Index(d.spec.By, c.Name)]
	}
	return values, nil
}

// addRow keeps a row of the group that stands at i of the batch.
func (d *driver) addRow(i int, values []recount.Value) error {
	uid, key := d.uid+int64(i), d.rowKey(values)
	if !d.tried() {
		return d.results.rows.add(uid, 0, key, values[len(d.spec.Shape.Key):])
	}
	number := d.attemptOf(d.filled.groups[i])
	sort := binary.BigEndian.AppendUint64(nil, uint64(number)) //nolint:gosec // counted from 0
	return d.results.rows.add(uid, 0, string(sort)+key, slices.Concat([]recount.Value{recount.Text(strconv.Itoa(number))}, values))
}

// tried says that keys are folded several times.
func (r *runner) tried() bool { return r.attempts != nil || r.spec.Several > 0 }

// attemptOf is the attempt, or the variant, that a group is of.
func (d *driver) attemptOf(g filledGroup) int {
	if d.spec.Several > 0 {
		return d.plan.variantOf(g.of.columns[d.plan.key].at(g.row))
	}
	return g.number
}

// rowKey is the text by which a row is sorted.
func (d *driver) rowKey(values []recount.Value) string {
	return recount.KeyText(values[:len(d.spec.Shape.Key)])
}

func (d *driver) takeEffects(in Batch, a *Answer) error {
	at := in.Groups[0].From
	group := 0
	for _, e := range a.Effects {
		row, g, ok := d.eventOf(in, e.Seq, at, group)
		if !ok {
			return d.bad("an effect %s %s stands by event %d, which is none of the batch, or comes before one that was told of", e.Kind, e.Key, e.Seq)
		}
		at, group = row, g
		f := d.filled.groups[g]
		if f.prefix && !f.end {
			continue
		}
		if err := d.addEffect(d.uid+int64(g), e, d.filled.refs[row]); err != nil {
			return err
		}
	}
	return nil
}

// eventOf finds the first event of that seq from a row on.
func (d *driver) eventOf(in Batch, seq int64, at, group int) (row, g int, ok bool) {
	for row = at; row < len(in.Seq); row++ {
		if in.Seq[row] == seq {
			for group < len(in.Groups)-1 && row >= in.Groups[group].To {
				group++
			}
			return row, group, true
		}
	}
	return 0, 0, false
}

// addEffect keeps an effect with what names its event. Those of one event keep
// their order.
func (d *driver) addEffect(uid int64, e recount.Effect, r ref) error {
	c, row := d.filled.chunks[r.chunk], int(r.row)
	text := func(slot int) recount.Value {
		col := &c.columns[slot]
		if col.null(row) {
			return recount.Null
		}
		return recount.Text(string(col.at(row)))
	}
	at := recount.Null
	if times := &c.columns[d.plan.time]; !times.null(row) {
		at = recount.Text(recount.FormatTimestamp(time.UnixMicro(times.int64(row))))
	}
	d.sent++
	var place [16]byte
	binary.BigEndian.PutUint64(place[:], uint64(e.Seq)) //nolint:gosec // sequence numbers are positive
	binary.BigEndian.PutUint64(place[8:], d.sent)
	key := recount.KeyText([]recount.Value{recount.Text(e.Kind), recount.Text(e.Key)}) + string(place[:])
	return d.results.effects.add(uid, 0, key, []recount.Value{
		recount.Text(e.Kind), recount.Text(e.Key), recount.Text(strconv.FormatInt(e.Seq, 10)),
		recount.Text(d.builder.names[c.ordinal(d.plan.partition, row)]), text(d.plan.position), text(d.plan.id), at, recount.Text(string(e.Payload)),
	})
}
