package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

func (c *call) archiveCompactCommand() *cobra.Command {
	var req app.CompactRequest
	var target string
	cmd := &cobra.Command{
		Use: "compact [SOURCE…]", Short: "joins the small files of each hour into large ones",
		Example: examples("recount archive compact", "recount archive compact orders --target 256MiB"),
		Long: "Joins the small files of each hour into large ones. No event changes, and files that older\n" +
			"snapshots have stay until recount archive expire. An archiver may be at work meanwhile.",
		Args: c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
	}
	cmd.Flags().StringVar(&target, "target", "128MiB", "about how large a file shall be, such as 256MiB")
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done")
	cmd.RunE = c.run(func(ctx context.Context, args []string) (err error) {
		req.Sources = args
		if req.Target, err = byteSize("--target", target); err != nil {
			return err
		}
		return c.open(ctx, func(project Recount) error {
			list, err := project.ArchiveCompact(ctx, req)
			// What was committed before an error stays: it is shown either way.
			if showErr := views.NewUpkeep(c.output()).Compacted(list); err == nil {
				err = showErr
			}
			return err
		})
	})
	return cmd
}

// byteSize reads a size such as 64MiB.
func byteSize(flag, text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift, known := map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[text[len(digits):]]
	if err != nil || !known || n < 1 || n > 1<<(40-shift) {
		return 0, &recount.Error{
			Code: recount.CodeUsage, What: flag + " is no size", Where: flag + " " + text,
			Why: "a size is a whole number of B, KiB, MiB or GiB, up to 1024GiB", Next: "write " + flag + " 128MiB",
		}
	}
	return n << shift, nil
}

func (c *call) archiveExpireCommand() *cobra.Command {
	var req app.ExpireRequest
	var keep, confirm string
	cmd := &cobra.Command{
		Use: "expire [SOURCE…]", Short: "takes old events out, and deletes files that nothing refers to any more",
		Example: examples("recount archive expire orders --before 2024-06-01T00:00:00Z --confirm orders", "recount archive expire --dry-run"),
		Long: "Takes the hours before --before, or those older than the source's retention, out of the archive.\n" +
			"Then deletes files that the newest snapshot does not have, once they are older than --keep-snapshots\n" +
			"and no plan in the project's folder and no run of the last 30 days refers to them.",
		Args: c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
	}
	cmd.Flags().StringVar(&req.Before, "before", "", "event `TIME`, rounded down to the hour (default: as retention says)")
	cmd.Flags().StringVar(&keep, "keep-snapshots", "168h", "for how long older snapshots stay readable")
	cmd.Flags().BoolVar(&req.Leftovers, "leftovers", false, "also delete what crashes left behind; no archiver may be at work")
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done")
	cmd.Flags().StringVar(&confirm, "confirm", "", "the `SOURCE` that may lose events; several joined by commas: a,b")
	cmd.RunE = c.run(func(ctx context.Context, args []string) (err error) {
		req.Sources = args
		if req.Keep, err = time.ParseDuration(keep); err != nil || req.Keep < 0 {
			return &recount.Error{
				Code: recount.CodeUsage, What: "--keep-snapshots is no duration", Where: "--keep-snapshots " + keep,
				Why: "a duration is such as 90m or 168h, and not negative", Next: "write --keep-snapshots 168h",
			}
		}
		return c.open(ctx, func(project Recount) error { return c.expire(ctx, project, req, confirm) })
	})
	return cmd
}

// expire shows what would be done, has it confirmed, and does it.
func (c *call) expire(ctx context.Context, project Recount, req app.ExpireRequest, confirm string) error {
	if !req.DryRun {
		streams, err := project.ExpireStreams(ctx, req)
		if err != nil {
			return err
		}
		_, err = c.confirm(ctx, confirmation{
			table: streams, given: confirm, again: "recount archive expire" + expireFlags(req), kind: "source", act: "deletes events of",
			about: func() error {
				dry := req
				dry.DryRun = true
				list, err := project.ArchiveExpire(ctx, dry)
				if err != nil {
					return err
				}
				return views.NewUpkeep(c.output()).Expired(list)
			},
		})
		if err != nil {
			return err
		}
	}
	list, err := project.ArchiveExpire(ctx, req)
	if showErr := views.NewUpkeep(c.output()).Expired(list); err == nil {
		err = showErr
	}
	return err
}

// expireFlags are the words by which the request was made.
func expireFlags(req app.ExpireRequest) string {
	var words strings.Builder
	for _, s := range req.Sources {
		words.WriteString(" " + views.ShellWord(s))
	}
	if req.Before != "" {
		words.WriteString(" --before " + views.ShellWord(req.Before))
	}
	const usual = 7 * 24 * time.Hour
	if req.Keep != usual {
		fmt.Fprintf(&words, " --keep-snapshots %s", req.Keep)
	}
	if req.Leftovers {
		words.WriteString(" --leftovers")
	}
	return words.String()
}

func (c *call) archiveRegisterCommand() *cobra.Command {
	var req app.RegisterRequest
	cmd := &cobra.Command{
		Use: "register [SOURCE…] --iceberg DIR", Short: "makes the archive's files tables of an Iceberg catalog",
		Example: examples("recount archive register --iceberg catalog", "recount archive register orders --iceberg /srv/iceberg"),
		Long: "Makes the files of each source's newest snapshot an Iceberg table, without copying them, in the\n" +
			"SQLite catalog DIR/catalog.db. Table SOURCE has the events, SOURCE_marks the judgments about\n" +
			"them. A later call brings both up to the newest snapshot.",
		Args: c.takes(0, -1, "names of sources"), ValidArgsFunction: c.completeNames(sources),
	}
	cmd.Flags().StringVar(&req.Iceberg, "iceberg", "", "the folder of the catalog")
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req.Sources = args
		if req.Iceberg == "" {
			return &recount.Error{
				Code: recount.CodeUsage, What: "recount archive register needs --iceberg", Where: "the command line",
				Why: "it has to be said where the catalog lies", Next: "add --iceberg DIR, a folder that may be empty or have been used for this before",
			}
		}
		return c.open(ctx, func(project Recount) error {
			list, err := project.ArchiveRegister(ctx, req)
			if showErr := views.NewUpkeep(c.output()).Registered(list); err == nil {
				err = showErr
			}
			return err
		})
	})
	return cmd
}
