package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
	"recount/internal/config"
)

// busFlags are those of a replay into a bus.
type busFlags struct {
	to     []string
	only   string
	rate   string
	id     string
	all    bool
	dryRun bool
}

func (b *busFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&b.to, "to-bus", nil, "publish the events to this `TOPIC` or subject")
	f.StringVar(&b.only, "only", "", "`WHICH` events: missed, those that a hypothesis of the calculation names")
	f.StringVar(&b.rate, "rate", "", "at most so many `EVENTS` a second, such as 1000/s")
	f.StringVar(&b.id, "id", "", "`NAME` of the replay; under another one the same events are sent again")
	f.BoolVar(&b.all, "all", false, "repeats and quarantined events too")
	f.BoolVar(&b.dryRun, "dry-run", false, "say what would be published, and publish nothing")
}

// asked names a flag that only a replay into a bus knows; empty: none is there.
func (b *busFlags) asked() string {
	for name, there := range map[string]bool{"--only": b.only != "", "--rate": b.rate != "", "--id": b.id != "", "--all": b.all, "--dry-run": b.dryRun} {
		if there {
			return name
		}
	}
	return ""
}

func (c *call) replayCommand() *cobra.Command {
	var (
		flags runFlags
		bus   busFlags
		out   string
	)
	cmd := &cobra.Command{
		Use: "replay CALC", Short: "recalculates only; prints the rows with a checksum each",
		Long: "Recalculates only; prints the rows with a checksum each. With --to-bus it publishes the events\n" +
			"of the window, of a calculation or a source, instead: the one command that sends something.",
		Example: examples("recount replay user_totals"+exampleWindow+" --out right.csv",
			"recount replay orders"+exampleWindow+" --to-bus orders-again"),
		Args:              c.takes(1, 1, "the name of one calculation"),
		ValidArgsFunction: c.completeNames(func(p *config.Project) []string { return append(calculations(p), sources(p)...) }),
	}
	flags.add(c, cmd, allChecks, func(f *pflag.FlagSet) {
		f.StringVar(&out, "out", "", "write the rows to this `FILE`")
		bus.add(f)
	})
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req, err := flags.request(c, args)
		if err != nil {
			return err
		}
		req.Out = out
		if len(bus.to) > 0 {
			return c.publish(ctx, req, bus)
		}
		if flag := bus.asked(); flag != "" {
			return usage(flag+" is for a replay into a bus", "without --to-bus, rows are recalculated and nothing is sent", "add --to-bus TOPIC, or leave "+flag+" away")
		}
		return c.open(ctx, func(project Recount) error {
			done, err := project.Replay(ctx, req, clearing{c}, c.flags.json)
			if err != nil {
				return err
			}
			if done.Out != "" {
				c.did = "the rows were written to " + done.Out
			}
			if done.Fatal != nil { // rows are missing, and it is said which
				c.exit = recount.ExitPart
			}
			return views.NewReplay(c.output()).Replayed(done)
		})
	})
	return cmd
}

// publish replays into a bus.
func (c *call) publish(ctx context.Context, rows app.PlanRequest, bus busFlags) error {
	req, err := bus.request(rows)
	if err != nil {
		return err
	}
	return c.open(ctx, func(project Recount) error {
		done, err := project.Publish(ctx, req)
		if err != nil {
			return err
		}
		if !req.DryRun {
			c.did = "the events were published: only the report is lost"
		}
		return views.NewReplay(c.output()).Published(done)
	})
}

// request checks the flags against each other.
func (b *busFlags) request(rows app.PlanRequest) (req app.PublishRequest, err error) {
	req = app.PublishRequest{Name: rows.Calculation, Window: rows.Window, To: b.to, Only: b.only, All: b.all, ID: b.id, DryRun: b.dryRun}
	switch {
	case rows.Out != "":
		return req, usage("--out and --to-bus do not go together", "a replay into a bus makes no rows", "leave one of them away")
	case rows.Overrides != app.Overrides{}:
		return req, usage("a replay into a bus knows no such check", "it makes no rows and compares none", "leave --allow-empty, --accept-two-way and --without-quarantined away")
	case rows.Window.Paused != "":
		return req, usage("--paused and --to-bus do not go together", "events are published wherever the worker stands", "leave --paused away")
	case slices.Contains(b.to, ""):
		return req, usage("--to-bus names nothing", "", "name a topic or subject, such as --to-bus orders-again")
	case len(slices.Compact(slices.Clone(b.to))) > 1:
		return req, usage("--to-bus names several destinations", "a replay goes to one; a destination that a source reads is named twice, the same both times", "give one command for each")
	case b.only != "" && b.only != "missed" && !strings.HasPrefix(b.only, "missed."):
		return req, usage("--only "+b.only+" is not known", "it is missed, or one of several hypotheses, such as missed.2", "leave it away, or write --only missed")
	case b.only != "" && b.all:
		return req, usage("--only and --all do not go together", "a hypothesis names sound events alone", "leave one of them away")
	}
	if err := checkReplayID(b.id); err != nil {
		return req, usage("--id "+b.id+" is no name", err.Error(), "choose one such as again-2")
	}
	if b.rate != "" {
		if req.PerSecond, err = perSecond(b.rate); err != nil {
			return req, usage("--rate "+b.rate+" is no rate", err.Error(), "write it such as 1000/s")
		}
	}
	return req, nil
}

// checkReplayID refuses what could not be part of an object's name.
func checkReplayID(id string) error {
	const most = 64
	if len(id) > most {
		return fmt.Errorf("it has %d characters; at most %d", len(id), most)
	}
	if strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return errors.New("a name has letters, digits, - and _")
	}
	return nil
}

// perSecond reads a rate such as 1000/s.
func perSecond(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSuffix(text, "/s"), 10, 64)
	const most = 1_000_000_000
	if err != nil || n < 1 || n > most {
		return 0, errors.New("a rate is a whole number of events a second, from 1 on")
	}
	return n, nil
}
