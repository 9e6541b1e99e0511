package cli

import (
	"context"

	"github.com/spf13/cobra"

	"recount/cli/views"
	"recount/internal/app"
)

func (c *call) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive", Short: "keeps events: run, adopt, ls, verify, cat, compact, expire, register",
		Example: examples("recount archive run --once", "recount archive ls"),
		Args:    cobra.ArbitraryArgs,
		RunE:    c.group,
	}
	cmd.AddCommand(c.archiveRunCommand(), c.archiveAdoptCommand(), c.archiveLsCommand(), c.archiveVerifyCommand(), c.archiveCatCommand())
	cmd.AddCommand(c.archiveCompactCommand(), c.archiveExpireCommand(), c.archiveRegisterCommand())
	return cmd
}

func (c *call) archiveAdoptCommand() *cobra.Command {
	return &cobra.Command{
		Use: "adopt [SOURCE…]", Short: "makes files part of the archive where they lie, without a copy",
		Example: examples("recount archive adopt", "recount archive adopt orders"),
		Long: "Reads the files of sources once, and commits their digests and what is in them. Nothing is copied:\n" +
			"the files must stay as they are. Those that are in the archive already are left alone.",
		Args: c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
		RunE: c.run(func(ctx context.Context, args []string) error {
			return c.open(ctx, func(project Recount) error {
				ran, err := project.ArchiveAdopt(ctx, args)
				// What was adopted before an error stays: it is shown either way.
				if showErr := views.NewArchive(c.output()).Ran(ran); err == nil {
					err = showErr
				}
				return err
			})
		}),
	}
}

func (c *call) archiveLsCommand() *cobra.Command {
	var snapshot string
	cmd := &cobra.Command{
		Use: "ls [SOURCE…]", Short: "shows what is in the archive",
		Example: examples("recount archive ls", "recount archive ls orders --json"),
		Args:    c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
		RunE: c.run(func(ctx context.Context, args []string) error {
			if snapshot != "" && len(args) != 1 {
				return usage("--snapshot needs one source", "a snapshot is of one source's events", "recount archive ls SOURCE --snapshot "+views.ShellWord(snapshot))
			}
			return c.open(ctx, func(project Recount) error {
				list, err := []app.ArchiveStream(nil), error(nil)
				if snapshot != "" {
					list, err = project.ArchiveLsAt(ctx, args[0], snapshot)
				} else {
					list, err = project.ArchiveLs(ctx, args)
				}
				if err != nil {
					return err
				}
				return views.NewArchive(c.output()).Holds(list)
			})
		}),
	}
	cmd.Flags().StringVar(&snapshot, "snapshot", "", "as it was at an older snapshot: its id, or 8 digits of it or more")
	return cmd
}

func (c *call) archiveVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify [SOURCE…]", Short: "proves that the archive is whole, byte by byte",
		Example: examples("recount archive verify", "recount archive verify orders"),
		Args:    c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
		RunE: c.run(func(ctx context.Context, args []string) error {
			return c.open(ctx, func(project Recount) error {
				list, err := project.ArchiveVerify(ctx, args)
				if err != nil && len(list) == 0 {
					return err
				}
				// A damage is an error, and all of them are in the report.
				if showErr := views.NewArchive(c.output()).Proved(list); err == nil {
					err = showErr
				}
				return err
			})
		}),
	}
}

func (c *call) archiveCatCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cat [SOURCE] EVENT", Short: "prints an event's own bytes",
		Example: examples("recount archive cat e008560", "recount archive cat orders archived_events.csv@17"),
		Long: "Prints an event's own bytes as they came in. EVENT is its id, or PARTITION@POSITION.\n" +
			"Where the event came more than once, each payload is printed once.",
		Args: c.takes(1, 2, "an event, and before it the source's name where several sources have it"),
		RunE: c.run(func(ctx context.Context, args []string) error {
			source, event := "", args[0]
			if len(args) > 1 {
				source, event = args[0], args[1]
			}
			return c.open(ctx, func(project Recount) error {
				copies, err := project.ArchiveCat(ctx, source, event)
				if err != nil {
					return err
				}
				return views.NewArchive(c.output()).Event(copies)
			})
		}),
	}
}
