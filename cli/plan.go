package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

const exampleWindow = " --from 2024-06-10T12:00:00Z --to 2024-06-10T12:30:00Z"

func (c *call) planCommand() *cobra.Command {
	var (
		flags    runFlags
		out      string
		detailed bool
	)
	cmd := &cobra.Command{
		Use: "plan CALC…", Short: "replays, compares and writes a plan; changes nothing",
		Long: "Replays, compares and writes a plan; changes nothing.\n" +
			"Several calculations of one worker become one plan: their tables are corrected in one transaction.",
		Example: examples("recount plan user_totals"+exampleWindow+" --out fix.plan",
			"recount plan balances --from-position 3:90100 --to-position 3:90188 --paused offsets.txt"),
		Args: c.takes(1, -1, "the name of a calculation"), ValidArgsFunction: c.completeNames(calculations),
	}
	flags.add(c, cmd, allChecks, func(f *pflag.FlagSet) {
		f.StringVar(&out, "out", "", "write the plan to this `FILE` (default CALC-ID.plan)")
		f.BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 where the plan changes rows")
	})
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req, err := flags.request(c, args)
		if err != nil {
			return err
		}
		req.Out = out
		return c.open(ctx, func(project Recount) error {
			planned, err := project.Plan(ctx, req)
			if err != nil {
				return err
			}
			c.did = "the plan was saved as " + planned.File + "; no row was changed"
			if detailed && planned.Writes() > 0 {
				c.exit = recount.ExitDifferences
			}
			return views.NewPlan(c.output()).Planned(planned)
		})
	})
	return cmd
}

func (c *call) diffCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use: "diff CALC", Short: "replays and compares, without a plan; exit 2 where rows differ",
		Example:           examples("recount diff user_totals"+exampleWindow, "recount diff user_totals"+exampleWindow+" --json"),
		Args:              c.takes(1, 1, "the name of one calculation"),
		ValidArgsFunction: c.completeNames(calculations),
	}
	flags.add(c, cmd, allChecks, nil)
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req, err := flags.request(c, args)
		if err != nil {
			return err
		}
		return c.open(ctx, func(project Recount) error {
			planned, err := project.Diff(ctx, req)
			if err != nil {
				return err
			}
			if planned.Plan.Body.Rows.Writes() > 0 {
				c.exit = recount.ExitDifferences
			}
			return views.NewPlan(c.output()).Differs(planned)
		})
	})
	return cmd
}

func (c *call) verifyCommand() *cobra.Command {
	var (
		flags runFlags
		out   string
	)
	cmd := &cobra.Command{
		Use: "verify CALC", Short: "certifies that a calculation is deterministic and a good window right",
		Long: "Certifies that a calculation is deterministic: it is run as it is configured, and once for each\n" +
			"thing that must not matter (threads, files, clock, time zone, seed, machine), and every run is\n" +
			"compared with the first. Then its rows are compared with the live table, over a window that is\n" +
			"known to be good.",
		Example: examples("recount verify user_totals --from 2024-06-10T11:00:00Z --to 2024-06-10T12:00:00Z",
			"recount verify user_totals --from 2024-06-10T11:00:00Z --to 2024-06-10T12:00:00Z --json"),
		Args:              c.takes(1, 1, "the name of one calculation"),
		ValidArgsFunction: c.completeNames(calculations),
	}
	flags.add(c, cmd, allChecks, func(f *pflag.FlagSet) {
		f.StringVar(&out, "out", "", "keep the certificate in this `FILE`, as JSON")
	})
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req, err := flags.request(c, args)
		if err != nil {
			return err
		}
		req.Out = out
		return c.open(ctx, func(project Recount) error {
			done, err := project.Verify(ctx, req)
			if err != nil {
				return err
			}
			if err := views.NewVerify(c.output()).Verified(done); err != nil {
				return err
			}
			return errors.Join(shaken(done), differences(done))
		})
	})
	return cmd
}

// shaken is the error of a calculation that is not deterministic.
func shaken(v app.Verified) error {
	c := v.Certificate
	if c == nil || c.Deterministic {
		return nil
	}
	var varied, columns []string
	why := ""
	for _, r := range c.Runs {
		if r.Same {
			continue
		}
		varied = append(varied, r.Varied)
		if why == "" {
			why = views.WhyShaken(r.Varied)
		}
	}
	for _, column := range c.Columns {
		columns = append(columns, column.Column)
	}
	where := c.Calculation + ", " + v.Window.String()
	if len(columns) > 0 {
		where += ", columns that disagree: " + strings.Join(columns, ", ")
	}
	return &recount.Error{
		Code: recount.CodeNondetermined, What: "the calculation is not deterministic", Where: where,
		Why:  fmt.Sprintf("run over the same events it gave other rows where this was varied: %s; most likely %s", strings.Join(varied, ", "), why),
		Next: "mend the logic, then recount verify " + views.ShellWord(c.Calculation) + " again; docs/determinism.md lists what each of them finds",
	}
}

// differences is the error of a window that was to have none. Excluded rows are
// not known to be wrong.
func differences(v app.Verified) error {
	wrong := v.Rows.Wrong() - v.Rows.Excluded
	if wrong == 0 {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeDifferences, What: fmt.Sprintf("%d of %d rows differ where none should", wrong, v.Rows.Checked),
		Where: v.Calculation + ", " + v.Window.String() + " by event",
		Why:   "the calculation and the live table disagree about a window that is said to be good",
		Next:  "recount plan " + views.ShellWord(v.Calculation) + " over the same window, then recount explain, to see why",
	}
}
