package cli

import (
	"context"

	"github.com/spf13/cobra"

	"recount/cli/views"
)

func (c *call) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive", Short: "keeps events: run, ls, verify, cat",
		Example: examples("recount archive run --once", "recount archive ls"),
		Args:    cobra.ArbitraryArgs,
		RunE:    c.group,
	}
	cmd.AddCommand(c.archiveRunCommand())
	return cmd
}

func (c *call) archiveRunCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "run [SOURCE…]", Short: "brings events into the archive; what is in it is not read twice",
		Example: examples("recount archive run --once", "recount archive run orders --once"),
		Args:    c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
	}
	cmd.Flags().BoolVar(&once, "once", false, "stop at the present end")
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		return c.open(ctx, func(project Recount) error {
			ran, err := project.ArchiveRun(ctx, args)
			// What was archived before an error stays: it is shown either way.
			if showErr := views.NewArchive(c.output()).Ran(ran); err == nil {
				err = showErr
			}
			return err
		})
	})
	return cmd
}
