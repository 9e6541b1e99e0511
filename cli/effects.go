package cli

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

func (c *call) effectsCommand() *cobra.Command {
	var (
		flags  runFlags
		out    string
		differ string
	)
	cmd := &cobra.Command{
		Use: "effects CALC", Short: "lists what the worker would have sent, and what it sent otherwise; sends nothing",
		Long: "Lists what the worker would have sent in the window: mails, invoices, calls. Where a log of what\n" +
			"was really sent is archived, it lists what was never sent, sent wrongly, sent twice or not asked\n" +
			"for; exit 2 where there is any. Recount sends nothing: the lists are for a person to act on.",
		Example: examples("recount effects invoices"+exampleWindow+" --out effects.jsonl",
			"recount effects invoices"+exampleWindow+" --differences mend.csv"),
		Args:              c.takes(1, 1, "the name of one calculation"),
		ValidArgsFunction: c.completeNames(calculations),
	}
	flags.add(c, cmd, emptyCheck, func(f *pflag.FlagSet) {
		f.StringVar(&out, "out", "", "write what should have been sent to this `FILE`, .jsonl, .csv or .parquet")
		f.StringVar(&differ, "differences", "", "write what was not sent so to this `FILE`, .jsonl, .csv or .parquet")
	})
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		asked, err := flags.request(c, args)
		if err != nil {
			return err
		}
		if flags.window.paused != "" {
			return usage("--paused says nothing about effects", "they are those of the window's events, wherever the worker stands", "leave --paused away")
		}
		req := app.EffectsRequest{Calculation: asked.Calculation, Window: asked.Window, As: asked.As, Out: out, OutDiffer: differ, Overrides: asked.Overrides}
		return c.open(ctx, func(project Recount) error {
			done, err := project.Effects(ctx, req, c.stdout(), c.flags.json)
			if err != nil {
				return err
			}
			if done.Differ() > 0 {
				c.exit = recount.ExitDifferences
			}
			return views.NewEffects(c.output()).Effected(done)
		})
	})
	return cmd
}
