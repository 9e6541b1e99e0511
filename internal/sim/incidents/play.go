package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"recount"
	"recount/adapter"
	"recount/internal/app"
)

// tally counts what a simulation found.
type tally struct {
	Histories     int `json:"histories"`
	Rows          int `json:"rows"`
	Corrected     int `json:"corrected"`
	Held          int `json:"held"`
	Refused       int `json:"refused"` // batches whose rows moved under every plan
	Broken        int `json:"broken"`  // batches that ended in an error
	WrongWrites   int `json:"wrong_writes"`
	WrongVerdicts int `json:"wrong_verdicts"`

	causes map[string]int
	modes  map[string]int // batches that had them
}

func newTally() tally { return tally{causes: map[string]int{}, modes: map[string]int{}} }

// sound says that nothing went wrong.
func (t tally) sound() bool { return t.Broken == 0 && t.WrongWrites == 0 && t.WrongVerdicts == 0 }

// game plays one batch through the product.
type game struct {
	b        *batch
	dir      string
	live     *live
	app      *app.App
	dsn      string // of PostgreSQL; empty: SQLite
	registry *adapter.Registry
	tally    *tally
	say      func(format string, args ...any)
	rng      *rand.Rand

	clock   *stepClock
	round   int // how many rounds of live traffic there were
	foreign map[string]bool
	rows    table             // the live rows, as last read
	texts   map[string]string // and as they are stored
}

// fail reports what is wrong with a row, and how to run its history alone.
func (g *game) fail(count *int, history int, format string, args ...any) {
	*count++
	g.say("%s\n  alone: go run ./internal/sim/incidents -seed %d -batch %d -history %d", fmt.Sprintf(format, args...), g.b.seed, g.b.number, history)
}

func historyOf(key string) int {
	n := -1
	_, _ = fmt.Sscanf(key, "h%d-", &n) // every key begins so
	return n
}

// play runs a batch from its first event to its last check.
func (g *game) play(ctx context.Context) (err error) {
	b := g.b
	db, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	g.live = &live{db: db, b: b}
	g.rng = rand.New(rand.NewPCG(b.seed, uint64(b.number)+2<<32)) //nolint:gosec // repeated by its seed
	g.clock = &stepClock{instant(planned).Add(24 * time.Hour)}
	if err := g.begin(ctx); err != nil {
		return err
	}
	defer func() {
		if g.app != nil {
			_ = g.app.Close()
		}
	}()
	g.tally.Histories += len(b.histories) - 1 // the filler is none
	err = g.correct(ctx)
	g.countModes()
	return err
}

// open opens the live table's database: one of its own, or the server's.
func (g *game) open(ctx context.Context) (database, error) {
	if g.dsn == "" {
		g.b.database = "sqlite: {path: live.db}"
		return openSQLite(ctx, filepath.Join(g.dir, "live.db"))
	}
	g.b.database = "postgres: {dsn: \"env:" + dsnName + "\"}"
	return openServer(ctx, g.dsn)
}

const dsnName = "SIM_DSN"

// begin makes log, project and table.
func (g *game) begin(ctx context.Context) (err error) {
	b := g.b
	if err := b.publish(g.dir, 0, planned); err != nil {
		return err
	}
	b.listIDs()
	b.widen()
	if err := b.writeProject(g.dir); err != nil {
		return err
	}
	if err := g.live.create(ctx); err != nil {
		return err
	}
	if err := g.live.put(ctx, g.firstRows()); err != nil {
		return err
	}
	g.app, err = app.Open(ctx, app.Options{
		Dir: g.dir, Registry: g.registry, Clock: g.clock, User: "sim", Program: "recount sim",
		Getenv: func(name string) (string, bool) { return g.dsn, name == dsnName && g.dsn != "" },
	})
	if err != nil {
		return err
	}
	return g.archive(ctx)
}

// firstRows are the rows as the workers, and other people, left them.
func (g *game) firstRows() table {
	b := g.b
	rows := table{}
	g.foreign = map[string]bool{}
	for _, h := range b.histories {
		mine := table{}
		for who, f := range h.faults {
			var seen []*entry
			for _, e := range h.log {
				if e.who == who && g.absorbed(h, e) && (b.memory != memoryWindow || b.reads(e)) {
					seen = append(seen, e)
				}
			}
			b.work(mine, seen, f)
		}
		g.editRows(h, mine)
		for key, r := range mine {
			r.frozen = b.write == "adjust" && h.frozen[whoOf(key)]
		}
		maps.Copy(rows, mine)
	}
	return rows
}

// absorbed says whether the rows have absorbed an entry by the present round.
func (g *game) absorbed(h *history, e *entry) bool { return g.absorbedBy(h, e, g.round) }

func (g *game) absorbedBy(h *history, e *entry, by int) bool {
	if g.b.running() && g.b.cut == cutPaused {
		return e.tick < g.b.pause[e.lane]
	}
	return e.tick < planned+by*round-g.lap(h, e.who, by)
}

// lap is how far the worker of a user's rows is behind the log. It has passed
// the error window: a row that still has hit events before it cannot be told
// from one that missed them.
func (g *game) lap(h *history, who string, by int) int {
	if !g.b.running() {
		return 0
	}
	lap := h.laps[who][by]
	for _, e := range h.log {
		if e.who == who && g.b.hit(e) && e.tick < planned+by*round && e.tick >= planned+by*round-lap {
			return 0
		}
	}
	return lap
}

// editRows is what other people did to a history's rows.
func (g *game) editRows(h *history, rows table) {
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		r := rows[key]
		kind := h.edits[whoOf(key)]
		if kind == editNone {
			continue
		}
		g.foreign[key] = true
		switch kind {
		case editNonsense:
			r.total, r.last = big.NewRat(90_000_000_37+int64(h.n), 100), "z"
		case editCent:
			r.total, r.n = r.total.Add(r.total, big.NewRat(1, 100)), r.n+1000
		case editDelete:
			delete(rows, key)
		case editNone:
		}
	}
	if h.ghost {
		key := fmt.Sprintf("h%04d-ghost", h.n)
		if g.b.bucketed() {
			key += "@" + instant(windowAt).Format(sqlTime)
		}
		rows[key] = &row{total: big.NewRat(77, 1), n: 3, last: "q"}
		g.foreign[key] = true
	}
}

func (g *game) request(out string) app.PlanRequest {
	return app.PlanRequest{
		Calculation: "totals", Out: out, Overrides: app.Overrides{AcceptTwoWay: true},
		Window: g.b.window(),
	}
}

// window is the window as it is typed.
func (b *batch) window() app.WindowRequest {
	r := app.WindowRequest{From: recount.FormatTimestamp(instant(b.from)), To: recount.FormatTimestamp(instant(b.to))}
	switch b.clock {
	case byIngest:
		r.By = recount.ByIngest
	case byPosition:
		r = app.WindowRequest{}
		for lane := range max(1, b.lanes-1) {
			r.FromPositions = append(r.FromPositions, b.edge(lane, b.from))
			r.ToPositions = append(r.ToPositions, b.edge(lane, b.to))
		}
	case byIDs:
		r = app.WindowRequest{IDs: hitFile}
	case byEvent:
	}
	return r
}

// judged is what the oracle says of all rows, by key.
func (g *game) judged() map[string]verdict {
	repeats := false
	for _, e := range g.b.all(0, planned+g.round*round) {
		repeats = repeats || e.repeat && !e.bad && g.b.reads(e)
	}
	accounts := g.b.accounts(repeats)
	all := map[string]verdict{}
	for _, h := range g.b.histories {
		mine := table{}
		for key, r := range g.rows {
			if historyOf(key) == h.n {
				mine[key] = r
			}
		}
		o := oracle{b: g.b, entries: g.archived(h), live: mine, accounts: accounts}
		maps.Copy(all, o.judge())
	}
	return all
}

func (g *game) archived(h *history) (list []*entry) {
	for _, e := range h.log {
		if e.tick < planned+g.round*round {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(x, y *entry) int { return x.seq - y.seq })
	return list
}

// plan plans, and holds the plan against the oracle.
func (g *game) plan(ctx context.Context) (*recount.Plan, error) {
	var err error
	if g.rows, g.texts, err = g.live.read(ctx); err != nil {
		return nil, err
	}
	made, err := g.app.Plan(ctx, g.request(planFile))
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	g.compare(made.Plan, g.judged())
	return made.Plan, nil
}

// compare counts the rows that plan and oracle judge otherwise.
func (g *game) compare(p *recount.Plan, want map[string]verdict) {
	got := map[string]recount.Change{}
	for _, c := range p.Changes {
		if len(c.Key) == 0 {
			g.fail(&g.tally.WrongVerdicts, -1, "batch %d: a change %s (%s) has no key", g.b.number, c.Action, c.Cause)
			continue
		}
		got[keyOf(c.Key)] = c
	}
	entries := entriesOf(p)
	var looked int64
	right := g.rightRows()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		w, c := want[key], got[key]
		delete(got, key)
		g.tally.Rows++
		if !w.beside {
			looked++
		}
		if w.action.Writes() {
			g.tally.causes[w.cause]++
		}
		if e, there := entries[key]; there && g.rows[key].frozen && c.Action == recount.ActionHeld {
			c.Action = recount.ActionUpdate // by an entry beside it
			c.After = sumOf(g.rows[key], e)
			delete(entries, key)
		}
		after := g.b.afterText(c, g.rows[key])
		switch {
		case g.b.begins() && w.action == recount.ActionHeld && (c.Action == "" && g.rows[key].text(g.b) == right[key].text(g.b) || c.Action == recount.ActionUpdate && after == right[key].text(g.b)):
			// A checkpoint knows the order of what came before it, the oracle does not. What
			// it says is true.
		case w.dim && c.Action == recount.ActionHeld:
		case w.action != c.Action:
			g.fail(&g.tally.WrongVerdicts, historyOf(key), "row %s: the plan says %q (%s), the oracle %q (%s); live %s, right %s", key, c.Action, c.Cause, w.action, w.cause, g.rows[key].text(g.b), w.after)
		case w.action.Writes() && c.Cause.Single() && w.cause == string(recount.CauseUnknown):
			// A single event was found that explains the row: it changes nothing, and the
			// oracle looks for none.
		case w.action.Writes() && string(c.Cause) != w.cause:
			g.fail(&g.tally.WrongVerdicts, historyOf(key), "row %s: the plan's cause is %s, the oracle's %s", key, c.Cause, w.cause)
		case (w.action == recount.ActionUpdate || w.action == recount.ActionInsert) && after != w.after:
			g.fail(&g.tally.WrongVerdicts, historyOf(key), "row %s: the plan makes it %s, the oracle %s", key, after, w.after)
		}
	}
	for key := range entries {
		g.fail(&g.tally.WrongVerdicts, historyOf(key), "row %s: an entry is planned, though the row is not frozen or not held", key)
	}
	for key, c := range got {
		g.fail(&g.tally.WrongVerdicts, historyOf(key), "row %s: the plan says %s (%s), the oracle does not know the row", key, c.Action, c.Cause)
	}
	g.checkControl(p, want)
	g.tally.Held += int(p.Body.Rows.Held)
	if p.Body.Rows.Checked != looked {
		g.fail(&g.tally.WrongVerdicts, -1, "batch %d: the plan looked at %d rows, the oracle at %d", g.b.number, p.Body.Rows.Checked, looked)
	}
}

// entriesOf are the planned entries by the key of the row beside which they stand.
func entriesOf(p *recount.Plan) map[string]recount.Change {
	entries := map[string]recount.Change{}
	for _, part := range p.With {
		for _, c := range part.Changes {
			entries[keyOf(c.Key[:len(c.Key)-1])] = c // the last is the run
		}
	}
	return entries
}

// sumOf is what a row's compared columns come to with an entry.
func sumOf(r *row, e recount.Change) []recount.Value {
	total, _ := new(big.Rat).SetString(e.After[0].Text)
	n, _ := new(big.Rat).SetString(e.After[1].Text)
	if total == nil || n == nil {
		return e.After
	}
	n.Add(n, big.NewRat(r.n, 1))
	return []recount.Value{recount.Text(total.Add(total, r.total).FloatString(2)), recount.Text(n.FloatString(0))}
}

func keyOf(key []recount.Value) string {
	if len(key) == 1 {
		return key[0].Text
	}
	at, err := recount.ParseTimestamp(key[1].Text)
	if err != nil {
		return key[0].Text + "@" + key[1].Text
	}
	return key[0].Text + "@" + at.UTC().Format(sqlTime)
}

// afterText is a change's after-image as rows are compared.
func (b *batch) afterText(c recount.Change, before *row) string {
	if c.After == nil {
		return "-"
	}
	r := before.clone()
	if r == nil {
		r = &row{total: new(big.Rat)}
	}
	for i, v := range c.After {
		switch b.compared()[i] {
		case "total":
			_, _ = r.total.SetString(v.Text) // what is no number stays what it was
		case "n":
			_, _ = fmt.Sscan(v.Text, &r.n)
		case "last":
			r.last = v.Text
		}
	}
	return r.text(b)
}

// compared are the value columns, in the order of the logic's result.
func (b *batch) compared() (list []string) {
	if b.lastWins {
		list = append(list, "last")
	}
	if b.sums() {
		list = append(list, "total")
	}
	return append(list, "n")
}

// stepClock tells the time of the game, which stands still within an act.
type stepClock struct{ at time.Time }

func (c *stepClock) Now() time.Time { return c.at }

// step lets some time pass.
func (c *stepClock) step() { c.at = c.at.Add(10 * time.Minute) }

// archive archives what reached the log.
func (g *game) archive(ctx context.Context) error {
	g.clock.step()
	_, err := g.app.ArchiveRun(ctx, nil)
	return err
}
