// Package apply carries a plan out: all of it in one transaction, or nothing. A
// plan may correct several tables of one database; each step goes over all of
// them before the next begins. An apply and a rollback walk the same steps; a
// rollback leaves out the rows that moved, an apply refuses. The package knows no
// database: a target's transaction does what the steps say.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/target"
)

// Options are what an apply needs besides plan and target.
type Options struct {
	By        string
	Now       time.Time
	Overrides []string
	Progress  recount.Progress
	// OtherPlace says that the plan was made through another connection, whose
	// identity was compared with the plan's: then the server must be the same,
	// not the place where it answers.
	OtherPlace bool
	// Beside opens another table of the plan for reading, after the commit. It is
	// needed where the plan has several; what it opens is closed.
	Beside func(ctx context.Context, table string) (target.Target, error)
	// Explained asks, by the part's place in Plan.Parts, for the rows of a plan
	// that writes by delta; nil or missing: the worker stands still, so that each
	// row must be as planned.
	Explained []Explained
	// Before, where set, is called before each step with its name; an error ends
	// the apply there. Tests and the demo stop a run with it.
	Before func(step string) error
}

// Explained returns the keys of those locked rows, of the columns of the plan's
// body, that the plan's hypothesis explains at no position between plan and now.
type Explained func(ctx context.Context, rows []recount.Row) (unexplained [][]recount.Value, err error)

// Step is one step of the guard ladder.
type Step struct {
	Name string
	Text string // for a person
	run  func(*runner, context.Context) error
}

// Steps lists the steps in their order. Show prints them, apply walks them.
func Steps() []Step {
	return []Step{
		{"lock", "take the target's writer lock in one transaction", (*runner).lock},
		{"target", "the target and its schema are those of the plan", (*runner).sameTarget},
		{"once", "the plan was not applied before", (*runner).once},
		{"limit", "no more rows than the plan's limit", (*runner).limit},
		{"unmoved", "each row still reads as planned", (*runner).unmoved},
		{"write", "write the rows, each under its before-image", (*runner).write},
		{"read", "each row reads back its after-image", (*runner).readBack},
		{"record", "write ledger and undo rows", (*runner).record},
		{"commit", "commit", (*runner).commit},
		{"again", "look at the rows again after the commit", (*runner).lookAgain},
	}
}

// StepsOf lists the steps with the words that fit the plan.
func StepsOf(p *recount.Plan) []Step {
	steps := Steps()
	parts := p.Parts()
	delta := slices.ContainsFunc(parts, func(of recount.PlanPart) bool { return of.Body.Write == recount.WriteDelta })
	for i, s := range steps {
		switch {
		case s.Name == "lock" && len(parts) > 1:
			steps[i].Text = "take the writer locks of " + strings.Join(p.Tables(), ", ") + " in one transaction"
		case s.Name == "unmoved" && delta && p.Body.Kind == recount.PlanRollback:
			steps[i].Text = "lock each row as it is now; one that is gone is left"
		case s.Name == "unmoved" && delta:
			steps[i].Text = "lock each row; what it holds by now must be what the hypothesis makes of it"
		case s.Name == "write" && delta:
			steps[i].Text = "add the difference to what each row holds, under that before-image"
		}
	}
	return steps
}

type runner struct {
	target  target.Target
	plan    *recount.Plan
	opts    Options
	parts   []*part // in the plan's order
	order   []*part // those to which foreign keys lead come first
	receipt recount.Receipt
}

// These end the walk before its end: the plan was applied before, or there is
// nothing to write.
var (
	errAlready = errors.New("applied already")
	errNothing = errors.New("nothing to write")
)

// busyTries is how often a plan is carried out in all where the database ends
// the transaction in favour of live traffic.
const busyTries = 4

// Run carries the plan out. On an error nothing is changed, unless its code is
// CodeOutcome. Where the database ends the transaction to let live traffic
// through, it is begun again from its first step, with all guards.
func Run(ctx context.Context, t target.Target, p *recount.Plan, opts Options) (receipt recount.Receipt, err error) {
	for try := 1; ; try++ {
		receipt, err = once(ctx, t, p, opts)
		if !errors.Is(err, recount.ErrBusy) || try == busyTries || ctx.Err() != nil {
			return receipt, err
		}
	}
}

// once is one try of Run.
func once(ctx context.Context, t target.Target, p *recount.Plan, opts Options) (receipt recount.Receipt, err error) {
	r := &runner{target: t, plan: p, opts: opts, parts: partsOf(p)}
	if len(r.parts) > 1 && opts.Beside == nil {
		return receipt, errors.New("apply a plan of several tables: nothing opens the others")
	}
	r.receipt = recount.Receipt{Plan: p.ID, Kind: p.Body.Kind, Table: p.Body.Target.Table, Run: RunID(p.ID, opts.Now)}
	for _, of := range r.parts {
		rows := of.body.Rows
		r.receipt.Held, r.receipt.Extra, r.receipt.Excluded = r.receipt.Held+rows.Stay(), r.receipt.Extra+rows.Extra, r.receipt.Excluded+rows.Excluded
	}
	defer func() {
		if tx := r.parts[0].tx; tx != nil { // after a commit this does nothing
			err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
		}
	}()
	for _, step := range Steps() {
		if opts.Before != nil {
			if err := opts.Before(step.Name); err != nil {
				return r.receipt, err
			}
		}
		if err := step.run(r, ctx); err != nil {
			r.tables()
			if errors.Is(err, errAlready) || errors.Is(err, errNothing) {
				return r.receipt, nil
			}
			return r.receipt, fmt.Errorf("%s: %w", step.Name, err)
		}
		r.receipt.Steps = append(r.receipt.Steps, step.Name)
	}
	r.tables()
	return r.receipt, nil
}

// RunID names a run after its plan and the moment at which it was begun, so that
// a plan that was rolled back can be applied again under another name.
func RunID(plan string, at time.Time) string {
	sum := sha256.Sum256([]byte(plan + at.UTC().Format(time.RFC3339Nano)))
	const digits = 12
	return hex.EncodeToString(sum[:])[:digits]
}

// lock begins on the plan's own table and goes on to the others in the order of
// their names, so that two runs rarely wait for each other in a circle; those
// that do are refused as locked.
func (r *runner) lock(ctx context.Context) error {
	tx, err := r.target.Begin(ctx)
	if err != nil {
		return err
	}
	r.parts[0].tx = tx
	others := slices.Clone(r.parts[1:])
	slices.SortFunc(others, func(a, b *part) int { return strings.Compare(a.table(), b.table()) })
	for _, p := range others {
		if p.tx, err = tx.On(ctx, p.table()); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) sameTarget(ctx context.Context) (err error) {
	for _, p := range r.parts {
		if p.info, err = p.tx.Info(ctx); err != nil {
			return err
		}
		if err := SameTarget(*p.body, p.info, r.opts.OtherPlace); err != nil {
			return err
		}
		if err := p.fill(); err != nil {
			return err
		}
	}
	var note string
	if r.order, note = ordered(r.parts); note != "" {
		r.receipt.Notes = append(r.receipt.Notes, note)
	}
	return nil
}

// SameTarget refuses a plan for another target, or for a table whose schema
// changed since. otherPlace: see Options.
func SameTarget(body recount.PlanBody, info recount.TableInfo, otherPlace bool) error {
	planned, now := body.Target, info.Identity
	ledger := planned.Ledger == "" || planned.Ledger == now.Ledger
	place := planned.Place == now.Place || otherPlace && planned.Server != ""
	if planned.Adapter != now.Adapter || !place || planned.Server != now.Server || planned.Table != now.Table || !ledger {
		return &recount.Error{
			Code: recount.CodePlanTarget, What: "the plan is for another target",
			Where: fmt.Sprintf("planned for %s, this is %s", showIdentity(planned), showIdentity(now)),
			Why:   "a correction is right only for the rows that it was compared with",
			Next:  "check target: in recount.yaml and where its references lead, or plan again on this target",
		}
	}
	if body.Fingerprint == info.Fingerprint {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeSchemaChanged, What: "the table's schema changed since the plan", Where: showIdentity(now),
		Why:  "columns, keys, types or triggers are not those that the plan was made for" + hazards(body.Hazards, info.Hazards),
		Next: "plan again; the new plan names what a write sets off",
	}
}

func hazards(before, now []string) string {
	for _, h := range now {
		if !slices.Contains(before, h) {
			return "; new: " + h
		}
	}
	return ""
}

func showIdentity(i recount.Identity) string {
	parts := []string{i.Adapter, i.Place}
	if i.Table != i.Place {
		parts = append(parts, "table "+i.Table)
	}
	if i.Server != "" {
		parts = append(parts, "("+i.Server+")")
	}
	return strings.Join(parts, " ")
}

// once asks the ledger. A plan that was applied counts as done while its rows
// still hold what it wrote; rows to which a delta was added may have moved on,
// so that there the ledger alone decides.
func (r *runner) once(ctx context.Context) error {
	run, applied, err := r.parts[0].tx.Applied(ctx, r.plan.ID)
	if err != nil {
		return err
	}
	if !applied {
		return r.each(func(p *part) error { return p.know(r.receipt.Run, r.opts.Now) })
	}
	moved := map[*part][]recount.Change{}
	for _, p := range r.parts {
		if p.body.Write == recount.WriteDelta {
			continue
		}
		if err := p.know(run.ID, run.At); err != nil {
			return err
		}
		undone := make([]recount.Change, len(p.writes))
		for i, c := range p.writes {
			undone[i] = afterward(c)
		}
		if moved[p], err = p.moved(ctx, undone); err != nil {
			return err
		}
	}
	if n := lengths(moved); n > 0 {
		return r.stale(moved, fmt.Sprintf("run %s applied this plan, and %d of its rows changed since", run.ID, n))
	}
	r.receipt.Run, r.receipt.Already, r.receipt.Verified = run.ID, true, true
	return errAlready
}

func lengths(lists map[*part][]recount.Change) (n int) {
	for _, list := range lists {
		n += len(list)
	}
	return n
}

func (r *runner) each(act func(*part) error) error {
	for _, p := range r.parts {
		if err := act(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) limit(context.Context) error {
	return r.each(func(p *part) error {
		n := int64(len(p.writes))
		if n <= p.body.MaxChanges {
			return nil
		}
		return &recount.Error{
			Code: recount.CodeLimit, What: "the plan changes more rows than its limit", Where: showIdentity(p.body.Target),
			Why:  fmt.Sprintf("it changes %d rows, the limit is %d", n, p.body.MaxChanges),
			Next: "raise limits: {changes: …} in recount.yaml and plan again, if so many changes are meant",
		}
	})
}

// unmoved looks at every row of every table before the first is written. An
// apply of which one row moved is refused whole.
func (r *runner) unmoved(ctx context.Context) error {
	moved, planned := map[*part][]recount.Change{}, r.count()
	for i, p := range r.parts {
		var err error
		if p.body.Write == recount.WriteDelta {
			moved[p], err = r.resolve(ctx, i, p)
		} else {
			moved[p], err = p.moved(ctx, p.writes)
		}
		if err != nil {
			return err
		}
		if p.body.Kind != recount.PlanRollback {
			continue
		}
		gone, err := p.entriesGone(ctx)
		if err != nil {
			return err
		}
		p.leave(append(moved[p], gone...))
		delete(moved, p)
	}
	if r.count() == 0 { // no run is recorded that did nothing
		r.receipt.Run, r.receipt.Verified = "", true
		return errNothing
	}
	if n := lengths(moved); n > 0 {
		return r.stale(moved, fmt.Sprintf("%d of %d rows changed after the plan was made (%s)", n, planned,
			r.plan.Header.Made.UTC().Format("2006-01-02 15:04:05 UTC")))
	}
	return nil
}

// count counts the rows that are written.
func (r *runner) count() (n int) {
	for _, p := range r.parts {
		n += len(p.writes)
	}
	return n
}

// stale names the rows that moved, by table where there are several.
func (r *runner) stale(moved map[*part][]recount.Change, why string) error {
	var keys []string
	where := showIdentity(r.plan.Body.Target)
	for _, p := range r.parts {
		if len(moved[p]) == 0 {
			continue
		}
		text := ShowKeys(keysOf(moved[p]))
		if len(r.parts) > 1 {
			text = p.table() + ": " + text
		}
		if len(keys) == 0 {
			where = showIdentity(p.body.Target)
		}
		keys = append(keys, text)
	}
	return &recount.Error{
		Code: recount.CodeStale, What: fmt.Sprintf("plan %.8s cannot be applied: it is stale", r.plan.ID), Where: where,
		Why: why + ": " + strings.Join(keys, "; "), Next: r.again() + ", then apply the new plan",
	}
}

// again is the command that makes the plan anew, as far as a plan knows it.
func (r *runner) again() string {
	var calculations []string
	for _, p := range r.parts {
		if name := p.body.Calculation; p.body.Role == recount.RoleResult && !slices.Contains(calculations, name) {
			calculations = append(calculations, name)
		}
	}
	return "recount plan " + strings.Join(append(calculations, r.plan.Body.AskedFlags()...), " ")
}

func keysOf(changes []recount.Change) [][]recount.Value {
	out := make([][]recount.Value, len(changes))
	for i, c := range changes {
		out[i] = c.Key
	}
	return out
}

// ShowKeys lists a few keys for a message.
func ShowKeys(keys [][]recount.Value) string {
	const most = 5
	var parts []string
	for _, key := range keys[:min(most, len(keys))] {
		texts := make([]string, len(key))
		for i, v := range key {
			texts[i] = v.String()
		}
		parts = append(parts, strings.Join(texts, "/"))
	}
	if more := len(keys) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
