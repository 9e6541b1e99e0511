package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"recount"
	"recount/cli/metrics"
	"recount/cli/views"
	"recount/internal/app"
)

// archiveFlags are those of `archive run`.
type archiveFlags struct {
	once            bool
	span            windowFlags
	memory, metrics string
}

func (c *call) archiveRunCommand() *cobra.Command {
	var flags archiveFlags
	cmd := &cobra.Command{
		Use: "run [SOURCE…]", Short: "brings events into the archive; what is in it is not read twice",
		Long: "Brings events into the archive; what is in it is not read twice.\n" +
			"Runs until it is interrupted, all sources at once, and commits what it read before it ends.\n" +
			"With --once it ends at the present end. With --from and --to, or positions, it brings in that\n" +
			"span alone, from sources that keep their events for long.",
		Example: examples("recount archive run --once", "recount archive run orders --metrics :9464"),
		Args:    c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
	}
	cmd.Flags().BoolVar(&flags.once, "once", false, "stop at the present end")
	flags.span.addTimes(cmd)
	flags.span.addPositions(cmd)
	cmd.Flags().StringVar(&flags.memory, "memory", "", "`SIZE` of all batches together, such as 256MiB")
	cmd.Flags().StringVar(&flags.metrics, "metrics", "", "serve Prometheus metrics at `ADDR`, such as :9464")
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req, err := flags.request(c, args)
		if err != nil {
			return err
		}
		return c.archive(ctx, req, flags.metrics)
	})
	return cmd
}

// archive runs the archiver and shows how it goes.
func (c *call) archive(ctx context.Context, req app.ArchiveRequest, address string) (err error) {
	view := views.NewArchive(c.output())
	tell := func(s app.ArchiveStatus) {
		if req.Live {
			view.Goes(s)
		}
	}
	if address != "" {
		server, err := metrics.Listen(ctx, address, c.env.Clock)
		if err != nil {
			return usage("--metrics "+address+" cannot be served", err.Error(), "name a free port, such as --metrics :9464")
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		human := tell
		tell = func(s app.ArchiveStatus) {
			server.Set(s)
			human(s)
		}
	}
	req.Tell = tell
	return c.open(ctx, func(project Recount) error {
		ran, err := project.Archive(ctx, req)
		// What was archived before an error stays: it is shown either way.
		if showErr := views.NewArchive(c.output()).Ran(ran); err == nil {
			err = showErr
		}
		return err
	})
}

func (f *archiveFlags) request(c *call, args []string) (req app.ArchiveRequest, err error) {
	req = app.ArchiveRequest{Sources: args, Live: !f.once && !f.span.edged()}
	if f.span.edged() {
		if len(args) != 1 && len(f.span.fromPositions) > 0 {
			return req, usage("positions are of one source", "each source has partitions of its own", "name the source, such as recount archive run orders")
		}
		span, err := f.span.request(c)
		if err != nil {
			return req, err
		}
		req.Span = &span
	}
	if f.memory != "" {
		if req.Memory, err = recount.ParseSize(f.memory); err != nil {
			return req, usage("--memory "+f.memory+" is no size", err.Error(), "write it such as 256MiB or 2GiB")
		}
	}
	return req, nil
}
