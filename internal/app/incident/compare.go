package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/engine"
	"recount/internal/config"
	"recount/internal/diff"
	"recount/internal/replay"
	"recount/target"
)

// live is the target's side of a comparison.
type live struct {
	target  target.Target
	info    recount.TableInfo
	note    string           // what is not known of the ledger; empty: nothing
	key     []recount.Column // the table's columns, in the order of the result's
	columns []recount.Column
	frozen  *frozen          // nil: no row is
	early   *diff.Sorted     // rows that were read before the archive was looked at; nil: none were
	carried []recount.Column // read beside the columns, not compared: bump first, then position and partition
}

// carry lists the table's columns that are read beside the compared ones.
func (r *Incident) carry() []string {
	var list []string
	for _, name := range []string{r.calc.Write.Bump, r.positionColumn(), r.calc.Cut.Partition} {
		if name != "" {
			list = append(list, name)
		}
	}
	return list
}

// positionColumn is the table's column that says how far a row is; empty: none,
// or none that is needed.
func (r *Incident) positionColumn() string {
	if r.taken == nil || r.taken.Kind != recount.CutColumn {
		return ""
	}
	return r.calc.Cut.Column
}

// openLive opens the target and finds the table's columns.
func (r *Incident) openLive(ctx context.Context) (*live, error) {
	t, err := r.host.OpenTarget(ctx, r.calc, false)
	if err != nil {
		return nil, err
	}
	l := &live{target: t}
	if l.info, err = t.Info(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if l.info.LedgerHidden {
		if err := r.findLedger(ctx, l); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	for _, c := range r.shape.Key {
		l.key = append(l.key, recount.Column{Name: r.tableColumn(c.Name)})
	}
	for _, c := range r.shape.Values {
		l.columns = append(l.columns, recount.Column{Name: r.tableColumn(c.Name)})
	}
	for _, name := range r.carry() {
		l.carried = append(l.carried, recount.Column{Name: name})
	}
	for _, columns := range [][]recount.Column{l.key, l.columns, l.carried} {
		for i, c := range columns {
			found, ok := l.info.Column(c.Name)
			if !ok {
				return nil, errors.Join(r.noColumn(l.info, c.Name), t.Close())
			}
			columns[i] = found
		}
	}
	if err := r.fitTypes(ctx, l); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	for _, c := range l.columns {
		if c.Generated {
			return nil, errors.Join(&recount.Error{
				Code: recount.CodeNoTable, What: fmt.Sprintf("column %s is computed by the database", c.Name), Where: l.info.Identity.Place + " " + l.info.Identity.Table,
				Why: "nothing can be written to it", Next: "leave it out of columns:, and name the columns that it is computed from",
			}, t.Close())
		}
	}
	return l, nil
}

// tableColumn is the table's name for a column of the result.
func (r *Incident) tableColumn(name string) string {
	if mapped, ok := r.calc.Columns[name]; ok {
		return mapped
	}
	return name
}

func (r *Incident) noColumn(info recount.TableInfo, name string) error {
	next := "name a column of the table under target: columns:"
	if near := recount.Nearest(name, names(info.Columns)); near != "" {
		next = fmt.Sprintf("did you mean %s? For a column of the result write columns: {…: %s}", near, near)
	}
	return &recount.Error{
		Code: recount.CodeNoTable, What: "the table has no column " + name, Where: info.Identity.Place + " " + info.Identity.Table,
		Why: fmt.Sprintf("calculation %s names it in %s", r.calc.Name, config.FileName), Next: next,
	}
}

// scan reads the live rows that belong to the span, in key order; carried columns
// come last. held, where not nil, has the buckets whose rows are wanted.
func (r *Incident) scan(ctx context.Context, l *live, window recount.Window, held map[time.Time]bool) (*diff.Sorted, error) {
	dir, err := r.host.Scratch("live")
	if err != nil {
		return nil, err
	}
	sorter := &diff.Sorter{
		Shape: r.comparedAs(l), Dir: dir, Place: l.info.Identity.Place + " " + l.info.Identity.Table,
		EmptyIsNull: l.columns[0].Declared == "csv",
	}
	if f := l.frozen; f != nil {
		sorter.Seen = func(text string, seen []recount.Value) []recount.Value {
			if !f.rows[text] {
				return seen
			}
			return r.adjusted(f, l, text, seen)
		}
	}
	if r.bucketed() && (r.calc.Where == "" || held != nil) {
		sorter.Keep = func(key []recount.Value) bool {
			at, err := r.bucketTime(key)
			return err == nil && window.Contains(at) && (held == nil || held[r.calc.Bucket.Floor(at)])
		}
	}
	query := target.Scan{Key: names(l.key), Columns: append(names(l.columns), names(l.carried)...), Where: r.calc.Where, Window: window}
	if err := l.target.Scan(ctx, query, sorter.Add); err != nil {
		return nil, err
	}
	return sorter.Sorted()
}

// comparison is what comparing a window found.
type comparison struct {
	diff.Outcome
	unknown []recount.Mark     // quarantined events whose rows are unknown
	live    int64              // live rows looked at
	touched map[string]bool    // nil: all rows are looked at
	held    map[time.Time]bool // buckets of rows that something else made; nil: not asked
	tried   []recount.Cause
	fatal   *Fatal             // keys that folds did not survive; nil: none
	cut     int                // combinations that were not tried
	idle    []string           // lists of hypotheses that hold no hit event
	holds   map[string]holding // why rows are held whatever the policy
	singles []string           // what a reader must know of single events as causes
}

// digest is the digest of recalculated rows, as diff.Compare makes it.
type digest struct{ hash hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) add(row recount.Row) {
	sum := recount.ChecksumBytes(append(slices.Clone(row.Key), row.Values...))
	_, _ = d.hash.Write(sum[:]) // a hash never fails
}

func (d digest) String() string { return hex.EncodeToString(d.hash.Sum(nil)) }

// comparing says what compare looks at.
type comparing struct {
	session engine.Session
	window  recount.Window     // the buckets whose rows are compared
	touched map[string]bool    // nil: all rows
	prove   bool               // the logic runs twice and must agree
	held    map[time.Time]bool // nil: all buckets of the window
}

// compare replays the right logic over a session and compares it with the live
// rows.
func (r *Incident) compare(ctx context.Context, l *live, c comparing) (out comparison, err error) {
	session := c.session
	var rows engine.Rows
	var sorted *diff.Sorted
	var excluded map[string][]recount.Value
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		sorted, err = r.scan(groupCtx, l, c.window, c.held)
		return err
	})
	group.Go(func() (err error) {
		if rows, err = r.rightRows(groupCtx, session, c.prove); err != nil {
			return err
		}
		if err := r.survived(groupCtx, session); err != nil {
			return err
		}
		excluded, out.unknown, err = replay.Excluded(groupCtx, session, r.logics())
		return err
	})
	err = group.Wait()
	if rows != nil {
		defer joined(&err, rows.Close)
	}
	if sorted != nil {
		defer joined(&err, sorted.Close)
	}
	if err != nil {
		return out, err
	}
	act := r.host.Progress().Begin("comparing", 0)
	defer act.End()
	shape := r.comparedAs(l)
	out.Outcome, err = diff.Compare(ctx, diff.Input{
		Right: r.within(rows, c.window), Live: sorted, Shape: shape, Touched: c.touched, Round: !slices.Equal(shape.Values, r.shape.Values), Rules: r.rules(), Excluded: excluded,
		// The limit is on what is written, which apply minds; this one is on memory.
		Most: max(r.calc.MaxChanges, config.DefaultMaxChanges), Place: l.info.Identity.Place + " " + l.info.Identity.Table,
	})
	out.live = sorted.Seen()
	return out, err
}

// rightRows runs the right logic.
func (r *Incident) rightRows(ctx context.Context, session engine.Session, prove bool) (engine.Rows, error) {
	if prove {
		return replay.Prove(ctx, session, r.right)
	}
	return session.Run(ctx, r.right)
}

// within leaves out rows of other buckets than the span's: what is read may
// reach further than what is compared.
func (r *Incident) within(rows diff.Rows, span recount.Window) diff.Rows {
	if !r.bucketed() || r.calc.Memory.Kind == recount.MemoryWindow && !r.unfinished {
		return rows
	}
	return spanRows{rows, r, span}
}

type spanRows struct {
	diff.Rows
	r    *Incident
	span recount.Window
}

func (s spanRows) Next() (recount.Row, bool) {
	for {
		row, ok := s.Rows.Next()
		if !ok {
			return row, false
		}
		if at, err := s.r.bucketTime(row.Key); err != nil || s.span.Contains(at) {
			return row, true
		}
	}
}

// comparedAs is the shape under whose types both sides are compared: the
// result's, but a column declared decimal(p,s) is compared after rounding to s,
// and one that the database spells in its own form in that form.
func (r *Incident) comparedAs(l *live) recount.Shape {
	shape := recount.Shape{Key: r.shape.Key, Values: slices.Clone(r.shape.Values)}
	for i, c := range shape.Values {
		table := l.columns[i].Type
		switch {
		case c.Type.Kind != table.Kind || c.Type.Kind == recount.KindInt64:
		case c.Type.Kind != recount.KindDecimal:
			shape.Values[i].Type.Form, shape.Values[i].Type.Step = table.Form, table.Step
		case table.Scale < c.Type.Scale:
			shape.Values[i].Type = recount.Decimal(recount.MaxPrecision, table.Scale)
		}
	}
	return shape
}

// logics are the logics under which a quarantined event may touch rows; none
// where the right one is not here.
func (r *Incident) logics() []engine.Variant {
	if r.calc.Logic.Brought() {
		return nil
	}
	list := []engine.Variant{r.right}
	if r.calc.Previous != nil && !r.calc.Previous.Brought() {
		v := r.right
		v.Logic = *r.calc.Previous
		list = append(list, v)
	}
	return list
}

// rules gives each compared column its rule.
func (r *Incident) rules() []recount.Rule {
	rules := make([]recount.Rule, len(r.shape.Values))
	for i, c := range r.shape.Values {
		rules[i] = r.calc.Compare[c.Name]
	}
	return rules
}

// explain tries the hypotheses until every pair has a cause; it returns the
// causes in the order tried, and how many combinations were left out.
func (r *Incident) explain(ctx context.Context, l *live, pairs []diff.Pair, repeats bool) (tried []recount.Cause, cut int, err error) {
	tried = []recount.Cause{}
	left := diff.Unexplained(pairs)
	hypotheses, cut := replay.Hypotheses(r.calc.Calculation, r.right, repeats, r.processed)
	act := r.host.Progress().Begin("trying what may have happened", int64(len(hypotheses)))
	defer act.End()
	trying := &trying{Incident: r, shape: r.comparedAs(l), pairs: pairs}
	for i := 0; i < len(hypotheses) && left > 0; i++ {
		tried = append(tried, hypotheses[i].Cause)
		if left, err = trying.next(ctx, hypotheses[i:]); err != nil {
			return nil, 0, errors.Join(fmt.Errorf("try %s: %w", hypotheses[i].Cause, err), trying.close())
		}
		act.Add(1)
	}
	return tried, cut, trying.close()
}

// changes turns pairs into the changes of a plan.
func (r *Incident) changes(pairs []diff.Pair, l *live) ([]recount.Change, error) {
	policy := diff.Policy{Given: r.calc.Hypotheses(), Unexplained: r.calc.Unexplained, Extra: r.extras()}
	out := make([]recount.Change, 0, len(pairs))
	for _, p := range pairs {
		c := recount.Change{Action: diff.Decide(p, policy), Cause: p.CauseOr(), At: p.At, Event: p.Event}
		if err := r.images(&c, p, l); err != nil {
			return nil, err
		}
		if c.Action == recount.ActionExcluded {
			c.Cause, c.Event = "", ""
		}
		out = append(out, c)
	}
	return out, nil
}

// images fills in key, before- and after-image as the table stores them.
func (r *Incident) images(c *recount.Change, p diff.Pair, l *live) (err error) {
	if p.Live != nil {
		c.Key, c.Before = p.Live.Key, p.Live.Values[:len(l.columns):len(l.columns)]
	} else if c.Key, err = r.fit(l.key, r.shape.Key, p.Key, make([]bool, len(p.Key)), p, l); err != nil {
		return err
	}
	writesOrShows := c.Action == recount.ActionUpdate || c.Action == recount.ActionInsert || c.Action == recount.ActionHeld
	if p.Right == nil || !writesOrShows {
		return r.bump(c, p)
	}
	// What is equal under the rules stays as it is stored: only what differs is
	// written, and so has to fit.
	shape, rules := r.comparedAs(l), r.rules()
	same := make([]bool, len(p.Right))
	for i, v := range p.Right {
		t := shape.Values[i].Type
		same[i] = p.Live != nil && diff.Equal(t, rules[i], diff.Under(t, v), p.Seen[i])
	}
	if c.After, err = r.fit(l.columns, r.shape.Values, p.Right, same, p, l); err != nil {
		if c.Action == recount.ActionHeld { // shown only, so it need not fit
			c.After = nil
			return r.bump(c, p)
		}
		return err
	}
	for i := range same {
		if same[i] {
			c.After[i] = c.Before[i]
		}
	}
	return r.bump(c, p)
}

// bump adds the column that counts a row's versions to both images: an update
// sets it one higher, an insert to one.
func (r *Incident) bump(c *recount.Change, p diff.Pair) error {
	if r.calc.Write.Bump == "" {
		return nil
	}
	if c.Action == recount.ActionInsert {
		c.After = append(c.After, recount.Text("1"))
		return nil
	}
	if c.Before == nil {
		return nil
	}
	before := p.Live.Values[len(c.Before)]
	n, ok := new(big.Int).SetString(before.Text, 10)
	if before.Null || !ok {
		return &recount.Error{
			Code: recount.CodeDoesNotFit, What: "the column that counts versions holds no whole number", Where: "row " + p.ShowKey(r.shape) + ", column " + r.calc.Write.Bump,
			Why: "it holds " + before.String() + ", so it cannot be counted up", Next: "mend the row, or take bump: out",
		}
	}
	c.Before = append(c.Before, before)
	if c.After != nil {
		c.After = append(c.After, recount.Text(n.Add(n, big.NewInt(1)).String()))
	}
	return nil
}

// fit gives recalculated values the texts that the table's columns store, but
// for those that stay.
func (r *Incident) fit(table, result []recount.Column, values []recount.Value, stay []bool, p diff.Pair, l *live) ([]recount.Value, error) {
	out := make([]recount.Value, len(values))
	for i, v := range values {
		if stay[i] {
			continue
		}
		if v.Null && table[i].Declared == "csv" {
			out[i] = recount.Text("") // how a CSV file says NULL
			continue
		}
		fitted, err := table[i].Fit(result[i].Type, v)
		if err == nil && !readsAs(table[i].Type, result[i].Type, fitted, v) {
			err = fmt.Errorf("column %s %s would hold %s for %s: %w", table[i].Name, table[i].Declared, fitted, v, recount.ErrDoesNotFit)
		}
		if err != nil {
			return nil, &recount.Error{
				Code: recount.CodeDoesNotFit, What: "a right value does not fit its column",
				Where: fmt.Sprintf("%s %s, row %s", l.info.Identity.Place, l.info.Identity.Table, p.ShowKey(r.shape)),
				Why:   err.Error(), Next: "widen the column, or round in the logic if that is what the worker does", Err: err,
			}
		}
		out[i] = fitted
	}
	return out, nil
}

// readsAs says whether what a column would store reads as the recalculated value
// again: else it were wrong as soon as it is written. What the column's form
// rounds is rounded on both sides.
func readsAs(table, result recount.Type, fitted, v recount.Value) bool {
	if table.Kind == result.Kind {
		result.Form, result.Step = table.Form, table.Step
	}
	return diff.Equal(result, recount.Rule{}, diff.Under(result, fitted), diff.Under(result, v))
}

// planColumns names the table's columns with the types under which they are
// compared, and those as which they are stored.
func planColumns(table, result []recount.Column) []recount.PlanColumn {
	out := make([]recount.PlanColumn, len(table))
	for i := range table {
		out[i] = recount.PlanColumn{Name: table[i].Name, Type: result[i].Type.String()}
		if stored := table[i].Type.String(); stored != out[i].Type {
			out[i].Stored = stored
		}
	}
	return out
}

// extras says what becomes of live rows that the right logic does not make. Where
// the hit events alone were read, events beside them may make such a row: it is
// deleted only if a given hypothesis makes it.
func (r *Incident) extras() recount.Extra {
	if r.right.See == engine.SeeHit && r.calc.Extra == recount.ExtraDelete {
		return recount.ExtraExplained
	}
	return r.calc.Extra
}
