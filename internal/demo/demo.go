// Package demo plays one incident from beginning to end in a folder of its own:
// a shop whose worker went wrong for half an hour is repaired, and the repair is
// taken back. It uses the same commands as everybody, through internal/app, and
// touches nothing outside its folder.
package demo

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"recount"
	"recount/internal/app"
)

// Names of the demo's project.
const (
	Calculation = "revenue"
	Table       = "revenue"
	planFile    = "fix.plan"
	secondFile  = "again.plan"
)

// Narrator shows the demo's stages.
type Narrator interface {
	// Stage begins a stage; command is what a person would type for it, empty
	// where there is none. It returns when the person wants to go on.
	Stage(title, text, command string) error
	Archived(list []app.ArchiveRan)
	Planned(p app.Planned)
	Explained(e app.Explanation)
	Receipt(r recount.Receipt)
	Compared(p app.Planned)
	// Fact is one proved statement.
	Fact(text string)
}

// Options are what the demo needs.
type Options struct {
	App      app.Options // Dir is the shop's folder, which must be empty
	Narrator Narrator
	// Die is the command line of this program that applies a plan and kills itself
	// between its writes and their commit; the plan's file is added to it.
	Die []string
}

type demo struct {
	Options
	app *app.App
	db  *sql.DB
}

// Run plays the demo.
func Run(ctx context.Context, opts Options) (err error) {
	d := &demo{Options: opts}
	events, err := build(ctx, opts.App.Dir)
	if err != nil {
		return err
	}
	if d.db, err = openShop(opts.App.Dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.db.Close()) }()
	if d.app, err = app.Open(ctx, opts.App); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.app.Close()) }()
	stop := d.traffic(ctx)
	defer func() { err = errors.Join(err, stop()) }()
	for _, stage := range []func(context.Context) error{
		func(ctx context.Context) error { return d.archive(ctx, events) },
		d.plan, d.explain, d.apply, d.breakAgain, d.kill, d.rollback,
	} {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) archive(ctx context.Context, events int) error {
	err := d.Narrator.Stage("A shop", fmt.Sprintf(
		"%d orders and refunds lie in orders.jsonl; a worker keeps revenue by ten minutes and product in shop.db.\n"+
			"From 12:00 to 12:30 it ran a version that added refunds; it lost some events while it was down, and was sent others twice.\n"+
			"Since then somebody mended one row by hand, and one event's amount was written with a comma. Orders keep coming in.", events),
		"recount archive run --once")
	if err != nil {
		return err
	}
	list, err := d.app.ArchiveRun(ctx, nil)
	if err != nil {
		return err
	}
	d.Narrator.Archived(list)
	return nil
}

func (d *demo) request(out string) app.PlanRequest {
	return app.PlanRequest{
		Calculation: Calculation, Out: out,
		Window: app.WindowRequest{From: recount.FormatTimestamp(incidentFrom), To: recount.FormatTimestamp(incidentTo)},
	}
}

func (d *demo) command(verb string) string {
	return fmt.Sprintf("recount %s %s --from %s --to %s", verb, Calculation, recount.FormatTimestamp(incidentFrom), recount.FormatTimestamp(incidentTo))
}

func (d *demo) plan(ctx context.Context) error {
	err := d.Narrator.Stage("What should have been", "Recalculate the half hour from the archived events, compare it with what is live, and say why each row differs.",
		d.command("plan")+" --out "+planFile)
	if err != nil {
		return err
	}
	planned, err := d.app.Plan(ctx, d.request(planFile))
	if err != nil {
		return err
	}
	d.Narrator.Planned(planned)
	return nil
}

// explain takes the first row with the most causes.
func (d *demo) explain(ctx context.Context) error {
	shown, err := d.app.Show(ctx, planFile)
	if err != nil {
		return err
	}
	var best recount.Change
	for _, c := range shown.Plan.Changes {
		if c.Action.Writes() && c.Cause != recount.CauseUnknown && len(c.Cause.Parts()) > len(best.Cause.Parts()) || best.Key == nil {
			best = c
		}
	}
	var key []string
	var command strings.Builder
	command.WriteString("recount explain " + planFile)
	for i, v := range best.Key {
		key = append(key, shown.Plan.Body.Key[i].Name+"="+v.Text)
		command.WriteString(" " + key[i])
	}
	if err := d.Narrator.Stage("Why one row", "The events that make the row right, and what the worker did with them.", command.String()); err != nil {
		return err
	}
	explanation, err := d.app.Explain(ctx, app.ExplainRequest{File: planFile, Key: key})
	if err != nil {
		return err
	}
	d.Narrator.Explained(explanation)
	return nil
}

func (d *demo) apply(ctx context.Context) error {
	err := d.Narrator.Stage("Correct it", "All rows in one transaction, each only if it still reads as planned; orders keep coming in meanwhile.",
		"recount apply "+planFile+" --confirm "+Table)
	if err != nil {
		return err
	}
	receipt, err := d.app.Apply(ctx, app.ApplyRequest{File: planFile, Confirm: Table})
	if err != nil {
		return err
	}
	d.Narrator.Receipt(receipt)
	if err := d.Narrator.Stage("Is it right now?", "", d.command("diff")); err != nil {
		return err
	}
	compared, err := d.app.Diff(ctx, d.request(""))
	if err != nil {
		return err
	}
	if n := compared.Plan.Body.Rows.Writes(); n > 0 {
		return fmt.Errorf("demo: %d rows still differ after the apply", n)
	}
	d.Narrator.Compared(compared)
	return nil
}

// breakAgain lets the old worker run once more over the half hour.
func (d *demo) breakAgain(ctx context.Context) error {
	err := d.Narrator.Stage("It goes wrong again", "Somebody starts the old worker once more over the same half hour. The first plan was applied and is used up; a new one is needed.",
		d.command("plan")+" --out "+secondFile)
	if err != nil {
		return err
	}
	for key, r := range work(day()) {
		mended := key.bucket.Equal(incidentFrom) && key.product == mendedProduct
		if key.bucket.Before(incidentFrom) || !key.bucket.Before(incidentTo) || mended {
			continue
		}
		if err := insertRow(ctx, d.db, key, r); err != nil {
			return fmt.Errorf("break the shop again: %w", err)
		}
	}
	planned, err := d.app.Plan(ctx, d.request(secondFile))
	if err != nil {
		return err
	}
	d.Narrator.Fact(fmt.Sprintf("Plan %.8s: %d rows to correct, as before.", planned.Plan.ID, planned.Plan.Body.Rows.Writes()))
	return nil
}

// kill applies the second plan in another process, which kills itself between
// its writes and their commit.
func (d *demo) kill(ctx context.Context) error {
	err := d.Narrator.Stage("Pull the plug", "Apply it, and kill the process with SIGKILL after its writes and before the commit.",
		"recount apply "+secondFile+" --confirm "+Table+"   (killed)")
	if err != nil {
		return err
	}
	before, err := d.digest(ctx)
	if err != nil {
		return err
	}
	args := append(d.Die[1:len(d.Die):len(d.Die)], secondFile)
	cmd := exec.CommandContext(ctx, d.Die[0], args...) //nolint:gosec // this very program
	cmd.Dir, cmd.Env = d.App.Dir, os.Environ()
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		return fmt.Errorf("demo: the process was to be killed, but ended by itself (%w): %s", err, output)
	}
	after, err := d.digest(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("demo: the killed apply left something behind: digest %s, then %s", before, after)
	}
	d.Narrator.Fact(fmt.Sprintf("The process was killed (%s). The half hour's rows have digest %.12s before and after: nothing is half done.", exit.ProcessState, before))
	return nil
}

func (d *demo) rollback(ctx context.Context) error {
	if err := d.Narrator.Stage("Apply it after all", "The same plan again: nothing of it was used up.", "recount apply "+secondFile+" --confirm "+Table); err != nil {
		return err
	}
	before, err := d.digest(ctx)
	if err != nil {
		return err
	}
	receipt, err := d.app.Apply(ctx, app.ApplyRequest{File: secondFile, Confirm: Table})
	if err != nil {
		return err
	}
	d.Narrator.Receipt(receipt)
	if err := d.Narrator.Stage("And take it back", "A rollback is a plan too, made from the undo record.", "recount rollback "+receipt.Run+" --confirm "+Table); err != nil {
		return err
	}
	back, err := d.app.Rollback(ctx, app.RollbackRequest{Run: receipt.Run, Confirm: Table})
	if err != nil {
		return err
	}
	d.Narrator.Receipt(back)
	after, err := d.digest(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("demo: the rollback is not byte for byte: digest %s, then %s", before, after)
	}
	d.Narrator.Fact(fmt.Sprintf("The half hour's rows have digest %.12s again: byte for byte what they were.", after))
	return nil
}

// digest is the digest of the half hour's rows as they are stored.
func (d *demo) digest(ctx context.Context) (sum string, err error) {
	rows, err := d.db.QueryContext(ctx, `SELECT quote(bucket_start) || quote(product) || quote(orders) || typeof(orders) || quote(total) || typeof(total)
FROM revenue WHERE bucket_start >= ? AND bucket_start < ? ORDER BY bucket_start, product`,
		recount.FormatTimestamp(incidentFrom), recount.FormatTimestamp(incidentTo))
	if err != nil {
		return "", fmt.Errorf("read the shop: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	h := sha256.New()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", fmt.Errorf("read the shop: %w", err)
		}
		_, _ = h.Write([]byte(line + "\n")) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)), rows.Err()
}

// traffic lets orders come in while the demo runs, into the present ten minutes.
// stop ends it.
func (d *demo) traffic(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		const pause = 40 * time.Millisecond
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
			}
			_, err := d.db.ExecContext(ctx, `INSERT INTO revenue VALUES (?, ?, 1, 9.5)
ON CONFLICT (bucket_start, product) DO UPDATE SET orders = orders + 1, total = total + 9.5`,
				recount.FormatTimestamp(shopNow.Truncate(bucketSize)), fmt.Sprintf("p%02d", n%products))
			if err != nil && ctx.Err() == nil {
				done <- fmt.Errorf("the shop's traffic: %w", err)
				return
			}
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// Die applies a plan and kills this process between its writes and their commit.
// It returns only if that fails.
func Die(ctx context.Context, opts app.Options, file string) (err error) {
	a, err := app.Open(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	_, err = a.Apply(ctx, app.ApplyRequest{File: file, Confirm: Table, Before: func(step string) error {
		if step != "commit" {
			return nil
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		return errors.Join(self.Kill(), context.Cause(ctx))
	}})
	return err
}
