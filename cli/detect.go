package cli

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

func (c *call) detectCommand() *cobra.Command {
	var (
		flags runFlags
		solve bool
	)
	cmd := &cobra.Command{
		Use: "detect CALC", Short: "finds out which events were lost or processed again",
		Long: "Finds out which events were lost or processed again.\n" +
			"With --solve: of additive results, the positions whose loss or repetition gives\n" +
			"the differences between live and right rows, as a missed: or again: block.\n" +
			"Without a window all archived events are suspected. Exit 16 where no answer agrees.",
		Example:           examples("recount detect balances --solve", "recount detect balances --solve --paused offsets.txt --json"),
		Args:              c.takes(1, 1, "the name of one calculation"),
		ValidArgsFunction: c.completeNames(calculations),
	}
	flags.add(c, cmd, noChecks, func(f *pflag.FlagSet) {
		f.BoolVar(&solve, "solve", false, "solve for the positions, from the differences")
	})
	cmd.RunE = c.run(func(ctx context.Context, args []string) (err error) {
		if !solve {
			return usage("detect needs --solve", "it is the one way to detect that there is", c.helpLine())
		}
		req := app.DetectRequest{Calculation: args[0], Window: app.WindowRequest{Paused: flags.window.paused}, As: flags.as}
		if flags.window.named() {
			if req.Window, err = flags.window.request(c); err != nil {
				return err
			}
		}
		return c.open(ctx, func(project Recount) error {
			found, err := project.Detect(ctx, req)
			if err != nil {
				return err
			}
			if found.Refused != "" {
				c.exit = recount.ExitRefused
			}
			return views.NewDetect(c.output()).Detected(found)
		})
	})
	return cmd
}

// named says whether any flag names a window.
func (w *windowFlags) named() bool {
	return w.from != "" || w.to != "" || w.by != "" || w.ids != "" || len(w.fromPositions)+len(w.toPositions) > 0
}
