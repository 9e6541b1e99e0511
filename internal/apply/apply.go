// Package apply carries a plan out: all of it in one transaction, or nothing.
// An apply and a rollback walk the same steps; a rollback leaves out the rows
// that moved, an apply refuses. The package knows no database: a target's
// transaction does what the steps say.
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
	// Before, where set, is called before each step with its name; an error ends
	// the apply there. Tests and the demo stop a run with it.
	Before func(step string) error
}

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

type runner struct {
	target  target.Target
	tx      target.Tx
	plan    *recount.Plan
	opts    Options
	key     []string
	columns []string
	writes  []recount.Change // what is written, in key order
	receipt recount.Receipt
}

// These end the walk before its end: the plan was applied before, or there is
// nothing to write.
var (
	errAlready = errors.New("applied already")
	errNothing = errors.New("nothing to write")
)

// Run carries the plan out. On an error nothing is changed, unless its code is
// CodeOutcome.
func Run(ctx context.Context, t target.Target, p *recount.Plan, opts Options) (receipt recount.Receipt, err error) {
	r := &runner{target: t, plan: p, opts: opts, key: names(p.Body.Key), columns: names(p.Body.Columns)}
	for _, c := range p.Changes {
		if c.Action.Writes() {
			r.writes = append(r.writes, c)
		}
	}
	rows := p.Body.Rows
	r.receipt = recount.Receipt{
		Plan: p.ID, Kind: p.Body.Kind, Table: p.Body.Target.Table, Run: RunID(p.ID, opts.Now),
		Held: rows.Held, Extra: rows.Extra, Excluded: rows.Excluded,
	}
	defer func() {
		if r.tx != nil { // after a commit this does nothing
			err = errors.Join(err, r.tx.Rollback(context.WithoutCancel(ctx)))
		}
	}()
	for _, step := range Steps() {
		if opts.Before != nil {
			if err := opts.Before(step.Name); err != nil {
				return r.receipt, err
			}
		}
		if err := step.run(r, ctx); err != nil {
			if errors.Is(err, errAlready) || errors.Is(err, errNothing) {
				return r.receipt, nil
			}
			return r.receipt, fmt.Errorf("%s: %w", step.Name, err)
		}
		r.receipt.Steps = append(r.receipt.Steps, step.Name)
	}
	return r.receipt, nil
}

// RunID names a run after its plan and the moment at which it was begun, so that
// a plan that was rolled back can be applied again under another name.
func RunID(plan string, at time.Time) string {
	sum := sha256.Sum256([]byte(plan + at.UTC().Format(time.RFC3339Nano)))
	const digits = 12
	return hex.EncodeToString(sum[:])[:digits]
}

func names(columns []recount.PlanColumn) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

func (r *runner) lock(ctx context.Context) error {
	tx, err := r.target.Begin(ctx)
	if err != nil {
		return err
	}
	r.tx = tx
	return nil
}

func (r *runner) sameTarget(ctx context.Context) error {
	info, err := r.tx.Info(ctx)
	if err != nil {
		return err
	}
	return SameTarget(r.plan, info, r.opts.OtherPlace)
}

// SameTarget refuses a plan for another target, or for a table whose schema
// changed since. otherPlace: see Options.
func SameTarget(p *recount.Plan, info recount.TableInfo, otherPlace bool) error {
	planned, now := p.Body.Target, info.Identity
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
	if p.Body.Fingerprint == info.Fingerprint {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeSchemaChanged, What: "the table's schema changed since the plan", Where: showIdentity(now),
		Why:  "columns, keys, types or triggers are not those that the plan was made for" + hazards(p.Body.Hazards, info.Hazards),
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

func (r *runner) once(ctx context.Context) error {
	run, applied, err := r.tx.Applied(ctx, r.plan.ID)
	if err != nil || !applied {
		return err
	}
	undone := make([]recount.Change, len(r.writes))
	for i, c := range r.writes {
		undone[i] = afterward(c)
	}
	moved, err := r.moved(ctx, undone)
	if err != nil {
		return err
	}
	if len(moved) > 0 {
		return r.stale(moved, fmt.Sprintf("run %s applied this plan, and %d of its rows changed since", run.ID, len(moved)))
	}
	r.receipt.Run, r.receipt.Already, r.receipt.Verified = run.ID, true, true
	return errAlready
}

// afterward turns a change into one whose before-image is what the change left
// behind, to ask whether that is still so.
func afterward(c recount.Change) recount.Change {
	switch c.Action {
	case recount.ActionDelete:
		return recount.Change{Action: recount.ActionInsert, Key: c.Key, After: c.Before}
	case recount.ActionInsert:
		return recount.Change{Action: recount.ActionDelete, Key: c.Key, Before: c.After}
	case recount.ActionUpdate, recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
	}
	return recount.Change{Action: c.Action, Key: c.Key, Before: c.After, After: c.Before}
}

// moved asks the transaction action by action, since a call takes one.
func (r *runner) moved(ctx context.Context, changes []recount.Change) ([]recount.Change, error) {
	var moved []recount.Change
	for _, group := range byAction(changes) {
		m, err := r.tx.Moved(ctx, r.key, r.columns, group)
		if err != nil {
			return nil, err
		}
		moved = append(moved, m...)
	}
	return moved, nil
}

// byAction groups changes by action: deletes before updates before inserts, so
// that a key that is freed can be taken.
func byAction(changes []recount.Change) [][]recount.Change {
	var groups [][]recount.Change
	for _, a := range []recount.Action{recount.ActionDelete, recount.ActionUpdate, recount.ActionInsert} {
		var group []recount.Change
		for _, c := range changes {
			if c.Action == a {
				group = append(group, c)
			}
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
	}
	return groups
}

func (r *runner) limit(context.Context) error {
	if n := int64(len(r.writes)); n > r.plan.Body.MaxChanges {
		return &recount.Error{
			Code: recount.CodeLimit, What: "the plan changes more rows than its limit", Where: showIdentity(r.plan.Body.Target),
			Why:  fmt.Sprintf("it changes %d rows, the limit is %d", n, r.plan.Body.MaxChanges),
			Next: "raise limits: {changes: …} in recount.yaml and plan again, if so many changes are meant",
		}
	}
	return nil
}

func (r *runner) unmoved(ctx context.Context) error {
	moved, err := r.moved(ctx, r.writes)
	if err != nil {
		return err
	}
	if len(moved) > 0 && r.plan.Body.Kind == recount.PlanRollback {
		r.leave(moved)
		moved = nil
	}
	if len(r.writes) == 0 { // no run is recorded that did nothing
		r.receipt.Run, r.receipt.Verified = "", true
		return errNothing
	}
	if len(moved) == 0 {
		return nil
	}
	return r.stale(moved, fmt.Sprintf("%d of %d rows changed after the plan was made (%s)", len(moved), len(r.writes),
		r.plan.Header.Made.UTC().Format("2006-01-02 15:04:05 UTC")))
}

// leave drops the moved rows from a rollback and lists them.
func (r *runner) leave(moved []recount.Change) {
	gone := map[string]bool{}
	for _, c := range moved {
		gone[recount.KeyText(c.Key)] = true
		r.receipt.RolledOut = append(r.receipt.RolledOut, c.Key)
	}
	r.writes = slices.DeleteFunc(r.writes, func(c recount.Change) bool { return gone[recount.KeyText(c.Key)] })
}

func (r *runner) stale(moved []recount.Change, why string) error {
	return &recount.Error{
		Code: recount.CodeStale, What: fmt.Sprintf("plan %.8s cannot be applied: it is stale", r.plan.ID), Where: showIdentity(r.plan.Body.Target),
		Why: why + ": " + ShowKeys(keysOf(moved)),
		Next: fmt.Sprintf("recount plan %s --from %s --to %s, then apply the new plan", r.plan.Body.Calculation,
			recount.FormatTimestamp(r.plan.Body.Asked.From), recount.FormatTimestamp(r.plan.Body.Asked.To)),
	}
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
