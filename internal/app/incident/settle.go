package incident

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"recount"
	"recount/engine"
	"recount/internal/diff"
	"recount/internal/replay"
)

// mostStates bounds the newest positions at which a row is looked for.
const mostStates = 256

// mostUnhit bounds them for rows that no hit event touches: the worker is not far
// behind the archive.
const mostUnhit = 32

// mostSampled bounds the rows beside the touched ones that are looked at as a
// control, where each row has a cut of its own.
const mostSampled = 2000

// running is what settle knows of one row.
type running struct {
	key      []recount.Value
	live     *diff.LiveRow // nil: there is no row
	touched  bool
	excluded bool
	row      diff.Running
}

// settle compares rows each of which stands at a position of its own: the live
// row must be what some account gives at one position (diff.Settle).
func (r *Incident) settle(ctx context.Context, l *live, touched map[string]bool, repeats bool) (out comparison, err error) {
	out.touched = touched
	if err := r.mayBeAhead(ctx); err != nil {
		return out, err
	}
	if out.Digest, out.Rows, err = r.proved(ctx); err != nil {
		return out, err
	}
	if err := r.survived(ctx, r.session); err != nil {
		return out, err
	}
	var excluded map[string][]recount.Value
	if excluded, out.unknown, err = replay.Excluded(ctx, r.session, r.logics()); err != nil {
		return out, err
	}
	rows, err := r.runningRows(ctx, l, touched, excluded, &out)
	if err != nil {
		return out, err
	}
	hypotheses, cut := replay.Hypotheses(r.calc.Calculation, r.right, repeats, r.processed)
	out.cut = cut
	if err := r.stand(ctx, l, rows, hypotheses); err != nil {
		return out, err
	}
	for _, h := range hypotheses {
		out.tried = append(out.tried, h.Cause)
	}
	for _, text := range slices.Sorted(maps.Keys(rows)) {
		r.judge(&out, text, rows[text])
	}
	return out, nil
}

// proved runs the right logic twice over all that is read, so that what follows
// is known to be deterministic.
func (r *Incident) proved(ctx context.Context) (digest string, n int64, err error) {
	rows, err := replay.Prove(ctx, r.session, r.right)
	if err != nil {
		return "", 0, err
	}
	defer joined(&err, rows.Close)
	sum := newDigest()
	for {
		row, ok := rows.Next()
		if !ok {
			return sum.String(), n, rows.Err()
		}
		sum.add(row)
		n++
	}
}

// runningRows reads the live rows of the touched keys, of a sample of the others,
// and of those that no event makes.
func (r *Incident) runningRows(ctx context.Context, l *live, touched map[string]bool, excluded map[string][]recount.Value, out *comparison) (rows map[string]*running, err error) {
	made, err := r.madeKeys(ctx)
	if err != nil {
		return nil, err
	}
	sorted := l.early
	rows = map[string]*running{}
	sampled := 0
	err = sorted.Each(func(row diff.LiveRow) error {
		_, out1 := excluded[row.Text]
		key, isMade := made[row.Text]
		switch {
		case touched[row.Text] || out1 || !isMade:
			rows[row.Text] = &running{key: row.Key, live: &row, touched: true, excluded: out1}
		case sampled < mostSampled:
			sampled++
			rows[row.Text] = &running{key: key, live: &row}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.live = sorted.Seen()
	for text := range touched {
		if _, there := rows[text]; !there {
			if _, out1 := excluded[text]; !out1 { // those are added below
				rows[text] = &running{key: made[text], touched: true}
			}
		}
	}
	for text, key := range excluded {
		if _, there := rows[text]; !there {
			rows[text] = &running{key: key, touched: true, excluded: true}
		}
	}
	return rows, nil
}

// madeKeys are the keys of all rows that the right logic or the previous one
// makes, by their text.
func (r *Incident) madeKeys(ctx context.Context) (map[string][]recount.Value, error) {
	made := map[string][]recount.Value{}
	for _, v := range r.logics() {
		err := r.eachKey(ctx, v, func(row recount.Row) {
			if text := recount.KeyText(row.Key); made[text] == nil {
				made[text] = slices.Clone(row.Key)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}

// stand fills in at which positions the rows stand under the right logic and
// under every hypothesis.
func (r *Incident) stand(ctx context.Context, l *live, rows map[string]*running, hypotheses []replay.Hypothesis) error {
	var keys [][]recount.Value
	for _, text := range slices.Sorted(maps.Keys(rows)) {
		if row := rows[text]; !row.excluded && row.key != nil {
			keys = append(keys, row.key)
		}
	}
	shape, rules := r.comparedAs(l), r.rules()
	for _, row := range rows {
		row.row = diff.Running{Shape: shape, Rules: rules, Known: r.taken.Kind == recount.CutColumn}
		row.row.Counts = row.row.Known && r.calc.Cut.Is == recount.IsVersion
		if row.live != nil {
			row.row.Seen = row.live.Seen
			row.row.Last, row.row.Says = r.lastOf(l, row.live.Row)
		}
	}
	err := r.eachState(ctx, r.right, keys, func(text string, s engine.State) {
		row := rows[text]
		row.row.Right = append(row.row.Right, r.standOf(s))
		row.row.Mixed, row.row.Cut = row.row.Mixed || s.Mixed, row.row.Cut || s.Cut
	})
	if err != nil {
		return err
	}
	act := r.host.Progress().Begin("trying what may have happened", int64(len(hypotheses)))
	defer act.End()
	for _, h := range hypotheses {
		err := r.eachState(ctx, h.Variant, keys, func(text string, s engine.State) {
			row := &rows[text].row
			if n := len(row.Accounts); n == 0 || row.Accounts[n-1].Cause != h.Cause {
				row.Accounts = append(row.Accounts, diff.Account{Cause: h.Cause})
			}
			last := &row.Accounts[len(row.Accounts)-1]
			last.Stands = append(last.Stands, r.standOf(s))
		})
		if err != nil {
			return fmt.Errorf("try %s: %w", h.Cause, err)
		}
		act.Add(1)
	}
	return nil
}

// eachState runs a variant for keys as of the positions at which they may stand.
func (r *Incident) eachState(ctx context.Context, v engine.Variant, keys [][]recount.Value, each func(string, engine.State)) (err error) {
	if len(keys) == 0 {
		return nil
	}
	states, err := r.session.States(ctx, v, engine.StatesQuery{Keys: keys, Most: mostStates, Unhit: mostUnhit, Touching: r.logics()})
	if err != nil {
		return err
	}
	defer joined(&err, states.Close)
	for {
		s, ok := states.Next()
		if !ok {
			return states.Err()
		}
		each(recount.KeyText(s.Key), s)
	}
}

// standOf is a state as diff settles it.
func (r *Incident) standOf(s engine.State) diff.Stand {
	stand := diff.Stand{Seq: s.Seq, At: s.Partition + ":" + recount.ShortPosition(s.Position)}
	if s.Values != nil {
		stand.Values = slices.Clone(s.Values)
	}
	switch r.calc.Cut.Is {
	case recount.IsVersion:
		if s.Count > 0 { // else there is no row that could say so
			stand.Last = strconv.FormatInt(s.Count, 10)
		}
	case recount.IsEventID:
		stand.Last = s.LastID
	case recount.IsOffset:
		if stand.Last = s.LastPosition; r.calc.Cut.Partition != "" && s.LastPosition != "" {
			stand.Last = s.LastPartition + ":" + s.LastPosition
		}
	}
	return stand
}

// lastOf reads a live row's position column, as standOf spells it and as a person
// reads it; empty for NULL.
func (r *Incident) lastOf(l *live, row recount.Row) (last, says string) {
	if r.taken.Kind != recount.CutColumn {
		return "", ""
	}
	at := len(l.columns)
	if r.calc.Write.Bump != "" {
		at++
	}
	v := row.Values[at]
	switch {
	case v.Null:
		return "", ""
	case r.calc.Cut.Is != recount.IsOffset:
		return v.Text, v.Text
	case r.calc.Cut.Partition == "":
		return recount.PadPosition(v.Text), v.Text
	case row.Values[at+1].Null:
		return "", ""
	}
	partition := row.Values[at+1].Text
	return partition + ":" + recount.PadPosition(v.Text), partition + ":" + v.Text
}

// judge counts one row and keeps it where it is not right.
func (r *Incident) judge(out *comparison, text string, row *running) {
	pair := diff.Pair{Text: text, Key: row.key, Excluded: row.excluded}
	if row.live != nil {
		live := row.live.Row
		pair.Live, pair.Seen = &live, row.live.Seen
	}
	if row.excluded {
		out.Checked++
		out.Pairs = append(out.Pairs, pair)
		return
	}
	if row.live == nil && !slices.ContainsFunc(row.row.Right, func(s diff.Stand) bool { return s.Values != nil }) {
		return // there is no row, and none is right
	}
	verdict := diff.Settle(row.row)
	if len(row.row.Right) == 0 { // no event makes the row
		verdict = diff.Verdict{}
	}
	if len(row.row.Right) == 0 && !row.touched { // all of its events lie before a checkpoint
		return
	}
	pair.Right, pair.Cause, pair.Hold, pair.At = verdict.After, verdict.Cause, verdict.Hold, verdict.At
	switch {
	case !row.touched && (verdict.Ahead || row.row.Mixed && !verdict.Correct):
		return // traffic went over it, or the log gives it no order: it says nothing of the others
	case !row.touched:
		out.Beside.Rows++
		if verdict.Correct {
			return
		}
		out.Beside.Add(pair)
		return
	case verdict.Correct:
		out.Checked++
		out.Right++
		return
	}
	if pair.Hold != "" && pair.Right == nil && pair.Live == nil && len(row.row.Right) > 0 {
		for _, s := range row.row.Right { // the newest is shown, not written
			if s.Values != nil {
				pair.Right = s.Values
			}
		}
	}
	out.Checked++
	out.Pairs = append(out.Pairs, pair)
	if pair.Hold != "" {
		out.hold(pair.Hold, verdict.Detail, pair.ShowKey(r.shape))
	}
}

// holding says of how many rows something is so, and of one of them what.
type holding struct {
	rows  int64
	first string
}

// hold notes why a row is held.
func (c *comparison) hold(why, detail, key string) {
	if c.holds == nil {
		c.holds = map[string]holding{}
	}
	h := c.holds[why]
	if h.rows++; h.first == "" && detail != "" {
		h.first = " (" + key + ": " + detail + ")"
	}
	c.holds[why] = h
}

// touchedKeys finds the result keys to which a hit event contributes, by their
// text; nil where every row of the window is looked at. A key is touched if the
// hit events alone make a row of it, under the right logic or the previous one,
// or if the right row is another without them.
func (r *Incident) touchedKeys(ctx context.Context) (map[string]bool, error) {
	if r.everything() || r.calc.Logic.Brought() {
		return nil, nil
	}
	act := r.host.Progress().Begin("which rows were hit", 0)
	defer act.End()
	touched := map[string]bool{}
	for _, v := range r.logics() {
		if err := r.eachKey(ctx, hitAlone(v), func(row recount.Row) { touched[recount.KeyText(row.Key)] = true }); err != nil {
			return nil, err
		}
	}
	return touched, r.touchedByDifference(ctx, touched)
}

func (r *Incident) eachKey(ctx context.Context, v engine.Variant, each func(recount.Row)) (err error) {
	rows, err := r.session.Run(ctx, v)
	if err != nil {
		return fmt.Errorf("find touched rows: %w", err)
	}
	defer joined(&err, rows.Close)
	for {
		row, ok := rows.Next()
		if !ok {
			return rows.Err()
		}
		each(row)
	}
}

// touchedByDifference adds the keys whose right row is another without the hit
// events: an event may matter to a row that it does not make alone. Where rows hold
// hit events alone, those make them.
func (r *Incident) touchedByDifference(ctx context.Context, touched map[string]bool) (err error) {
	if r.right.See == engine.SeeHit {
		return nil
	}
	all, err := r.session.Run(ctx, r.right)
	if err != nil {
		return err
	}
	defer joined(&err, all.Close)
	without := r.right
	without.See = engine.SeeUnhit
	rest, err := r.session.Run(ctx, without)
	if err != nil {
		return err
	}
	defer joined(&err, rest.Close)
	a, haveA := all.Next()
	b, haveB := rest.Next()
	for haveA || haveB {
		var textA, textB string
		if haveA {
			textA = recount.KeyText(a.Key)
		}
		if haveB {
			textB = recount.KeyText(b.Key)
		}
		switch {
		case haveA && (!haveB || textA < textB):
			touched[textA] = true
			a, haveA = all.Next()
		case haveB && (!haveA || textB < textA):
			touched[textB] = true
			b, haveB = rest.Next()
		default:
			if !slices.Equal(a.Values, b.Values) {
				touched[textA] = true
			}
			a, haveA = all.Next()
			b, haveB = rest.Next()
		}
	}
	if err := all.Err(); err != nil {
		return err
	}
	return rest.Err()
}
