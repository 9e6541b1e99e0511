package cli

import (
	"context"

	"github.com/spf13/cobra"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

func (c *call) effectsCommand() *cobra.Command {
	var (
		window windowFlags
		req    app.EffectsRequest
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
	window.add(cmd)
	cmd.Flags().StringVar(&req.Out, "out", "", "write what should have been sent to this `FILE`, .jsonl, .csv or .parquet")
	cmd.Flags().StringVar(&req.OutDiffer, "differences", "", "write what was not sent so to this `FILE`, .jsonl, .csv or .parquet")
	cmd.Flags().BoolVar(&req.Overrides.AllowEmpty, "allow-empty", false, "accept a window without any used event")
	cmd.RunE = c.run(func(ctx context.Context, args []string) (err error) {
		if req.Window, err = window.request(c); err != nil {
			return err
		}
		if window.paused != "" {
			return usage("--paused says nothing about effects", "they are those of the window's events, wherever the worker stands", "leave --paused away")
		}
		req.Calculation = args[0]
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
