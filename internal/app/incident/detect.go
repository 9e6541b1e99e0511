package incident

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/archive/cover"
	"recount/internal/diff"
	"recount/internal/replay"
	"recount/internal/solve"
)

// Detected is what the live differences say of the log.
type Detected struct {
	Calculation string
	Window      recount.Window // event time of the suspects
	Snapshot    string
	Taken       *recount.CutTaken // nil: closed
	Rows        int64             // rows compared
	Wrong       int64             // of which differ
	Events      int64             // contributions looked at
	Spans       []DetectedSpan
	// Explained counts the wrong rows that a replay under all spans reproduces;
	// Foreign shows the keys of the others, the first few.
	Explained int64
	Foreign   []string
	// Refused says why there is no answer; empty where there is one, or where no
	// row is wrong.
	Refused string
	TookMS  int64
}

// DetectedSpan is a run of positions that explains differences.
type DetectedSpan struct {
	Kind      string // "missed" or "again"
	Times     int    // of again
	Positions recount.PositionWindow
	Events    int64
	Keys      int64
}

// mostSuspects bounds the contributions that are held in memory.
const mostSuspects = 50_000_000

// Detect solves for the positions whose loss or repetition gives the differences
// between live and right rows, and replays its answer. TookMS is left open.
func (r *Incident) Detect(ctx context.Context) (out Detected, err error) {
	l, err := r.openLive(ctx)
	if err != nil {
		return out, err
	}
	defer joined(&err, l.target.Close)
	defer func() {
		if l.early != nil {
			err = closing(l.early, err)
		}
	}()
	if err := r.readEarly(ctx, l); err != nil {
		return out, err
	}
	r.whole = true // the log of all suspects is searched
	d := &detecting{Incident: r, out: &out}
	if err := d.start(ctx); err != nil {
		return out, err
	}
	defer joined(&err, r.close)
	out = Detected{Calculation: r.calc.Name, Window: r.asked, Snapshot: r.snapshot.ID, Taken: r.taken}
	if err := d.compare(ctx, l); err != nil {
		return out, err
	}
	if out.Wrong > 0 {
		err = d.solve(ctx, l)
	}
	return out, err
}

// detecting is one search.
type detecting struct {
	*Incident
	out   *Detected
	pairs []diff.Pair // the rows that are not right
}

// start opens a session over what the rows remember. Rows that stand at positions
// of their own are followed from their newest events: there no event counts as
// hit.
func (d *detecting) start(ctx context.Context) error {
	if c, ok := d.inexact(); ok {
		return &recount.Error{
			Code: recount.CodeNotAdditive, What: fmt.Sprintf("calculation %s cannot be solved for positions", d.calc.Name), Where: d.calc.Logic.Path,
			Why: whyInexact(c), Next: nextInexact,
		}
	}
	if !d.settles() {
		return d.begun(ctx)
	}
	if d.taken.Kind == recount.CutFound {
		return noCut(d.calc.Name, "nothing says how far its rows are, and a search needs to know it")
	}
	if err := d.locate(ctx); err != nil {
		return err
	}
	input := engine.Input{Window: d.window, Read: d.read, Hits: recount.Hits{Window: recount.Window{By: recount.ByPosition}}}
	session, err := d.open(ctx, input, cover.Select(d.snapshot, d.read))
	if err != nil {
		return err
	}
	if _, err := d.known(ctx, session, engine.SeeAll, openSpan(d.read)); err != nil {
		return errors.Join(err, session.Close())
	}
	d.session = session
	return nil
}

// compare finds the rows that are not right.
func (d *detecting) compare(ctx context.Context, l *live) error {
	var found comparison
	var err error
	if d.settles() {
		found, err = d.settleAll(ctx, l)
	} else {
		found, err = d.Incident.compare(ctx, l, comparing{session: d.session, window: d.compared, prove: true})
	}
	if err != nil {
		return err
	}
	d.out.Rows = found.Checked
	for _, p := range found.Pairs {
		if p.Excluded || p.Hold != "" {
			continue
		}
		d.out.Wrong++
		d.pairs = append(d.pairs, p)
	}
	return nil
}

// settleAll compares every row with the right one at its own position.
func (d *detecting) settleAll(ctx context.Context, l *live) (out comparison, err error) {
	made, err := d.madeKeys(ctx)
	if err != nil {
		return out, err
	}
	touched := make(map[string]bool, len(made))
	for text := range made {
		touched[text] = true
	}
	excluded, _, err := replay.Excluded(ctx, d.session, d.logics())
	if err != nil {
		return out, err
	}
	rows, err := d.runningRows(ctx, l, touched, excluded, &out)
	if err != nil {
		return out, err
	}
	if err := d.stand(ctx, l, rows, nil); err != nil {
		return out, err
	}
	for _, text := range sortedNames(rows) {
		d.judge(&out, text, rows[text])
	}
	return out, nil
}

// log is the suspects' contributions, partition by partition.
type log struct {
	partitions []string
	parts      []solve.Partition
	positions  [][]string // of each contribution
	keys       map[string]int32
	names      []string
}

// solve builds the log, solves it and replays the answer.
func (d *detecting) solve(ctx context.Context, l *live) error {
	g, err := d.readLog(ctx)
	if err != nil {
		return err
	}
	differences, err := d.differences(g)
	if err != nil {
		return err
	}
	act := d.host.Progress().Begin("solving", 0)
	answer, err := solve.Solve(ctx, solve.Input{Partitions: g.parts, Keys: len(g.names), Differences: differences})
	act.End()
	if err != nil {
		return err
	}
	const most = 10
	for _, key := range answer.Foreign[:min(most, len(answer.Foreign))] {
		d.out.Foreign = append(d.out.Foreign, g.names[key])
	}
	if answer.Refused != nil {
		d.out.Refused = answer.Refused.Why
		if p := answer.Refused.Partition; p >= 0 {
			d.out.Refused = "partition " + g.partitions[p] + ": " + d.out.Refused
		}
		return nil
	}
	for _, s := range answer.Spans {
		positions := g.positions[s.Partition]
		d.out.Spans = append(d.out.Spans, DetectedSpan{
			Kind: string(s.Kind), Times: s.Times, Events: int64(s.Events), Keys: int64(s.Keys),
			Positions: recount.PositionWindow{Partition: g.partitions[s.Partition], From: positions[s.From], To: after(positions, s.To-1)},
		})
	}
	return d.replayAnswer(ctx, l)
}

// after is the position behind that of the contribution at i.
func after(positions []string, i int) string {
	if n, ok := new(big.Int).SetString(positions[i], 10); ok && len(positions[i]) == recount.PositionWidth {
		return recount.PadPosition(n.Add(n, big.NewInt(1)).String())
	}
	for _, next := range positions[i:] {
		if next > positions[i] {
			return next
		}
	}
	return positions[i] + "~" // the last of its partition: anything that sorts behind it
}

// readLog reads what each suspect contributes.
func (d *detecting) readLog(ctx context.Context) (_ *log, err error) {
	v := d.right
	if !d.settles() {
		v.See = engine.SeeHit
	}
	rows, err := d.session.Each(ctx, v)
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	g := &log{keys: map[string]int32{}}
	for {
		c, ok := rows.Next()
		if !ok {
			return g, rows.Err()
		}
		if d.out.Events++; d.out.Events > mostSuspects {
			return nil, &recount.Error{
				Code: recount.CodeLimit, What: "too many events are suspected", Where: "calculation " + d.calc.Name,
				Why: fmt.Sprintf("more than %d contributions would have to be held in memory", mostSuspects), Next: "name a window: --from and --to",
			}
		}
		if err := g.add(c, d.shape.Values); err != nil {
			return nil, err
		}
	}
}

func (g *log) add(c engine.Contribution, columns []recount.Column) error {
	if n := len(g.partitions); n == 0 || g.partitions[n-1] != c.Partition {
		g.partitions = append(g.partitions, c.Partition)
		g.parts = append(g.parts, solve.Partition{Amounts: make([][]int64, len(columns))})
		g.positions = append(g.positions, nil)
	}
	at := len(g.parts) - 1
	p := &g.parts[at]
	p.Keys = append(p.Keys, g.key(recount.KeyText(c.Row.Key), c.Row.Key))
	g.positions[at] = append(g.positions[at], c.Position)
	for i, value := range c.Row.Values {
		n, err := scaled(value, columns[i])
		if err != nil {
			return fmt.Errorf("event %s: %w", c.ID, err)
		}
		p.Amounts[i] = append(p.Amounts[i], n)
	}
	return nil
}

func (g *log) key(text string, key []recount.Value) int32 {
	n, ok := g.keys[text]
	if !ok {
		n = int32(len(g.names)) //nolint:gosec // fewer keys than contributions, which are bounded
		g.keys[text] = n
		g.names = append(g.names, strings.Join(texts(key), " "))
	}
	return n
}

// scaled is a number in units of the column's last digit; NULL is zero.
func scaled(v recount.Value, c recount.Column) (int64, error) {
	if v.Null {
		return 0, nil
	}
	n, ok := new(big.Rat).SetString(v.Text)
	if !ok {
		return 0, fmt.Errorf("column %s: %q is no number", c.Name, v.Text)
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Type.Scale)), nil)
	n.Mul(n, new(big.Rat).SetInt(scale))
	if !n.IsInt() || !n.Num().IsInt64() {
		return 0, &recount.Error{
			Code: recount.CodeNotAdditive, What: "a value cannot be searched for", Where: "column " + c.Name,
			Why: v.Text + " has more digits than the column's type, or is too large", Next: "round in the logic, or compare another column",
		}
	}
	return n.Num().Int64(), nil
}

// differences are live minus right of each key, by value column.
func (d *detecting) differences(g *log) ([][]int64, error) {
	for _, p := range d.pairs { // a row without a suspect has no event to blame, but is there
		g.key(p.Text, p.Key)
	}
	out := make([][]int64, len(d.shape.Values))
	for i := range out {
		out[i] = make([]int64, len(g.names))
	}
	for _, p := range d.pairs {
		for i, c := range d.shape.Values {
			sides := [2]int64{}
			for j, side := range [][]recount.Value{p.Seen, p.Right} {
				if side == nil {
					continue
				}
				n, err := scaled(side[i], c)
				if err != nil {
					return nil, err
				}
				sides[j] = n
			}
			out[i][g.keys[p.Text]] = sides[0] - sides[1]
		}
	}
	return out, nil
}

// replayAnswer counts the rows that a replay under all spans reproduces, in a
// session of its own in which the spans are the hit events.
func (d *detecting) replayAnswer(ctx context.Context, l *live) (err error) {
	v := d.right
	hits := recount.Hits{Window: recount.Window{By: recount.ByPosition}}
	for _, s := range d.out.Spans {
		hits.Positions = append(hits.Positions, s.Positions)
		list := recount.EventList{Positions: []recount.PositionWindow{s.Positions}}
		if s.Kind == string(solve.Missed) {
			v.Missed = append(v.Missed, list)
			continue
		}
		v.Again = append(v.Again, recount.Again{EventList: list, Times: s.Times})
	}
	input := engine.Input{Window: d.window, Read: d.read, Hits: hits, Until: d.until}
	session, err := d.open(ctx, input, cover.Select(d.snapshot, d.read))
	if err != nil {
		return err
	}
	defer joined(&err, session.Close)
	before := d.session
	d.session = session
	defer func() { d.session = before }()
	cause := replay.Hypothesis{Cause: "detected", Variant: v}
	if !d.settles() {
		left, err := (&trying{Incident: d.Incident, shape: d.comparedAs(l), pairs: d.pairs}).next(ctx, []replay.Hypothesis{cause})
		d.out.Explained = d.out.Wrong - int64(left)
		return err
	}
	rows := map[string]*running{}
	for _, p := range d.pairs {
		rows[p.Text] = &running{key: p.Key, touched: true}
		if p.Live != nil {
			rows[p.Text].live = &diff.LiveRow{Text: p.Text, Key: p.Key, Row: *p.Live, Seen: p.Seen}
		}
	}
	if err := d.stand(ctx, l, rows, []replay.Hypothesis{cause}); err != nil {
		return err
	}
	for _, row := range rows {
		if v := diff.Settle(row.row); v.Cause == cause.Cause && v.Hold == "" {
			d.out.Explained++
		}
	}
	return nil
}
