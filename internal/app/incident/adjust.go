package incident

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"recount"
	"recount/internal/diff"
	"recount/target"
)

// frozen is what is known of the rows that are never edited: which they are, and
// what entries beside them amount to.
type frozen struct {
	info    recount.TableInfo
	rows    map[string]bool           // by the key's text
	entries map[string][]*big.Rat     // their amounts, by the key's text and value column
	own     map[string][]*big.Rat     // those of them that runs of the ledger made
	amounts []string                  // the entry's column of each value column, empty where it has none
	columns map[string]recount.Column // of the entries, by name
}

// readFrozen reads which live rows are frozen, and the entries beside them. Nil
// where the calculation adjusts nothing.
func (r *Incident) readFrozen(ctx context.Context, l *live) (_ *frozen, err error) {
	w := r.calc.Write
	if w.Mode != recount.WriteAdjust {
		return nil, nil
	}
	f := &frozen{rows: map[string]bool{}, entries: map[string][]*big.Rat{}, own: map[string][]*big.Rat{}, columns: map[string]recount.Column{}}
	where := w.Frozen
	if r.calc.Where != "" {
		where = "(" + r.calc.Where + "\n) AND (" + w.Frozen + "\n)"
	}
	scan := target.Scan{Key: names(l.key), Columns: names(l.columns), Where: where, Window: r.compared}
	err = l.target.Scan(ctx, scan, func(row recount.Row) error {
		f.rows[recount.KeyText(r.resultKey(row.Key))] = true
		return nil
	})
	if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeConfig {
		e.What, e.Next = "the target's `frozen` cannot be used", "correct `frozen:` of the calculation's target in recount.yaml"
	}
	if err != nil {
		return nil, err
	}
	t, info, err := r.beside(ctx, w.Adjust.Table)
	if err != nil {
		return nil, err
	}
	defer joined(&err, t.Close)
	f.info = info
	if err := r.entryColumns(f); err != nil {
		return nil, err
	}
	return f, r.readEntries(ctx, t, f)
}

// entryColumns finds the columns of an entry.
func (r *Incident) entryColumns(f *frozen) error {
	columns := r.calc.Write.Adjust.Columns
	for _, name := range columns {
		c, ok := f.info.Column(name)
		if !ok {
			return r.noColumn(f.info, name)
		}
		f.columns[name] = c
	}
	for _, c := range r.shape.Key {
		if columns[c.Name] == "" {
			return r.noEntryColumn("key column "+c.Name, "an entry must say which row it adjusts")
		}
	}
	for _, c := range r.shape.Values {
		if columns[c.Name] != "" && c.Type.Kind != recount.KindInt64 && c.Type.Kind != recount.KindDecimal {
			return r.noEntryColumn("an amount for column "+c.Name, "it is a "+c.Type.String()+", and only int64 and decimal have amounts that add up")
		}
		f.amounts = append(f.amounts, columns[c.Name])
	}
	return nil
}

func (r *Incident) noEntryColumn(what, why string) error {
	return &recount.Error{
		Code: recount.CodeNoColumn, What: "the adjustment entry lacks " + what, Where: "recount.yaml, calculations: " + r.calc.Name + ": target: adjust: columns",
		Why: why, Next: "name the entry's column for each key column of the result, for the amounts, for reason and for run",
	}
}

// readEntries adds up the entries that are there already, and apart from them
// those that runs made.
func (r *Incident) readEntries(ctx context.Context, t target.Target, f *frozen) error {
	runs, err := t.Runs(ctx)
	if err != nil && !errors.Is(err, recount.ErrPermission) { // whose entries they are is not known then
		return err
	}
	known := map[string]bool{}
	for _, run := range runs {
		known[recount.WholeID(run.ID)] = true
	}
	var key, amounts []string
	var places []int
	for _, c := range r.shape.Key {
		key = append(key, r.calc.Write.Adjust.Columns[c.Name])
	}
	for i, name := range f.amounts {
		if name != "" {
			amounts, places = append(amounts, name), append(places, i)
		}
	}
	scan := target.Scan{Key: key, Columns: append(amounts, r.calc.Write.Adjust.Columns["run"]), Window: r.compared}
	return t.Scan(ctx, scan, func(row recount.Row) error {
		values := make([]*big.Rat, len(f.amounts))
		for i := range values {
			values[i] = new(big.Rat)
		}
		for i, v := range row.Values[:len(places)] {
			if v.Null {
				continue
			}
			if _, ok := values[places[i]].SetString(v.Text); !ok {
				return fmt.Errorf("read entries of %s: %q is no amount", f.info.Identity.Table, v.Text)
			}
		}
		text := recount.KeyText(r.resultKey(row.Key))
		addTo(f.entries, text, values)
		if known[row.Values[len(places)].Text] {
			addTo(f.own, text, values)
		}
		return nil
	})
}

// adjusted returns the compared values of a live row with the entries beside it.
func (r *Incident) adjusted(f *frozen, l *live, text string, seen []recount.Value) []recount.Value {
	return r.plus(l, seen, f.entries[text], 1)
}

// unadjusted sets what hypotheses are held against besides: they may know of no
// entry that a run made, but what somebody else booked is a change by hand.
func (r *Incident) unadjusted(f *frozen, l *live, pairs []diff.Pair) {
	if f == nil {
		return
	}
	for i := range pairs {
		if p := &pairs[i]; p.Live != nil && f.rows[p.Text] && f.own[p.Text] != nil {
			p.Was = r.plus(l, p.Seen, f.own[p.Text], -1)
		}
	}
}

// plus adds amounts, or takes them away, to compared values; those that are no
// numbers stay.
func (r *Incident) plus(l *live, seen []recount.Value, amounts []*big.Rat, sign int64) []recount.Value {
	if amounts == nil {
		return seen
	}
	out := slices.Clone(seen)
	for i := range out {
		n := new(big.Rat)
		if amounts[i].Sign() == 0 {
			continue
		}
		if !out[i].Null {
			if _, ok := n.SetString(out[i].Text); !ok {
				return seen
			}
		}
		t := r.comparedAs(l).Values[i].Type
		out[i] = diff.Under(t, recount.Text(n.Add(n, new(big.Rat).Mul(big.NewRat(sign, 1), amounts[i])).FloatString(t.Scale)))
	}
	return out
}

// adjustments makes the part of the entries: for each frozen row that is wrong,
// what is right less what the row and the entries beside it say. The changes of
// those rows become held: they are not edited.
func (r *Incident) adjustments(f *frozen, main recount.PlanBody, l *live, pairs []diff.Pair, changes []recount.Change) (*recount.PlanPart, error) {
	if f == nil {
		return nil, nil
	}
	columns := r.calc.Write.Adjust.Columns
	body := besideBody(main, recount.RoleAdjust, f.info)
	for _, c := range r.shape.Key {
		body.Key = append(body.Key, planColumn(f.columns[columns[c.Name]]))
	}
	body.Key = append(body.Key, planColumn(f.columns[columns["run"]]))
	for i, name := range f.amounts {
		if name != "" {
			body.Columns = append(body.Columns, recount.PlanColumn{Name: name, Type: r.shape.Values[i].Type.String()})
		}
	}
	for _, what := range []string{"reason", "period", "at"} {
		if columns[what] != "" {
			body.Columns = append(body.Columns, planColumn(f.columns[columns[what]]))
		}
	}
	body.Entry = &recount.Entry{Reason: columns["reason"], Run: columns["run"], At: columns["at"]}
	for _, name := range f.amounts {
		if name != "" {
			body.Entry.Amounts = append(body.Entry.Amounts, name)
		}
	}
	var inserts []recount.Change
	for i := range changes {
		c := &changes[i]
		if !f.rows[pairs[i].Text] || !c.Action.Writes() {
			continue
		}
		entry, err := r.entry(f, l, pairs[i], *c)
		if err != nil {
			return nil, err
		}
		c.Action, c.Adjusted = recount.ActionHeld, true
		inserts = append(inserts, entry)
	}
	if len(inserts) == 0 {
		return nil, nil
	}
	made := part(body, inserts)
	return &made, nil
}

func planColumn(c recount.Column) recount.PlanColumn {
	return recount.PlanColumn{Name: c.Name, Type: c.Type.String()}
}

// entry is the adjustment of one frozen row.
func (r *Incident) entry(f *frozen, l *live, p diff.Pair, c recount.Change) (recount.Change, error) {
	const every = "name the entry's column for every column that can be wrong, or leave the row out with where:"
	refuse := func(why, next string) error {
		return &recount.Error{
			Code: recount.CodeDoesNotFit, What: "a frozen row cannot be adjusted", Where: fmt.Sprintf("%s %s, row %s", l.info.Identity.Place, l.info.Identity.Table, p.ShowKey(r.shape)),
			Why: why, Next: next,
		}
	}
	if p.Live == nil || p.Right == nil {
		return c, refuse("it is to be inserted or deleted, and an entry can only change amounts", every)
	}
	columns := r.calc.Write.Adjust.Columns
	e := recount.Change{Action: recount.ActionInsert, Cause: c.Cause}
	for i, column := range r.shape.Key {
		v, err := f.columns[columns[column.Name]].Fit(column.Type, p.Key[i])
		if err != nil {
			return e, refuse(err.Error(), "widen the entry's column, or name another under adjust: columns")
		}
		e.Key = append(e.Key, v)
	}
	e.Key = append(e.Key, recount.Text(recount.RunPlaceholder))
	for i, column := range r.shape.Values {
		same := diff.Equal(r.comparedAs(l).Values[i].Type, r.rules()[i], diff.Under(r.comparedAs(l).Values[i].Type, p.Right[i]), p.Seen[i])
		if f.amounts[i] == "" {
			if !same {
				return e, refuse("column "+column.Name+" is wrong too, and no column of the entry stands for it", every)
			}
			continue
		}
		amount := new(big.Rat)
		if !same {
			right, ok := new(big.Rat).SetString(p.Right[i].Text)
			seen, okSeen := new(big.Rat).SetString(p.Seen[i].Text)
			if !ok || !okSeen {
				return e, refuse("column "+column.Name+" holds NULL or no number", every)
			}
			amount.Sub(right, seen)
		}
		v, err := f.columns[f.amounts[i]].Fit(column.Type, recount.Text(amount.FloatString(column.Type.Scale)))
		if err != nil {
			return e, refuse(err.Error(), "widen the entry's column, or name another under adjust: columns")
		}
		e.After = append(e.After, v)
	}
	return r.entryRest(f, e, p)
}

// entryRest fills in reason, period and time.
func (r *Incident) entryRest(f *frozen, e recount.Change, p diff.Pair) (recount.Change, error) {
	columns := r.calc.Write.Adjust.Columns
	texts := map[string]string{
		"reason": fmt.Sprintf("recount %s: %s", r.calc.Name, p.CauseOr()),
		"at":     recount.AtPlaceholder,
		"period": r.window.String(),
	}
	if r.bucketed() {
		if at, err := r.bucketTime(p.Key); err == nil {
			texts["period"] = recount.FormatTimestamp(at)
		}
	}
	for _, what := range []string{"reason", "period", "at"} {
		name := columns[what]
		if name == "" {
			continue
		}
		if what == "at" {
			e.After = append(e.After, recount.Text(recount.AtPlaceholder))
			continue
		}
		from := recount.Type{Kind: recount.KindString}
		if k := f.columns[name].Type.Kind; k == recount.KindTimestamp || k == recount.KindDate {
			from.Kind = recount.KindTimestamp
		}
		v, err := f.columns[name].Fit(from, recount.Text(texts[what]))
		if err != nil {
			return e, &recount.Error{
				Code: recount.CodeDoesNotFit, What: "an entry's " + what + " does not fit its column", Where: f.info.Identity.Table + ", column " + name,
				Why: err.Error(), Next: "make the column text, or a time for period and at", Err: err,
			}
		}
		e.After = append(e.After, v)
	}
	return e, nil
}
