package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

func (c *call) runsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "runs", Short: "lists what was applied and rolled back, when and by whom",
		Example: examples("recount runs", "recount runs --json"),
		Args:    c.takes(0, 0, "nothing"),
		RunE: c.run(func(ctx context.Context, _ []string) error {
			return c.open(ctx, func(project Recount) error {
				runs, err := project.Runs(ctx)
				if err != nil {
					return err
				}
				return views.NewRuns(c.output()).Listed(runs)
			})
		}),
	}
	cmd.AddCommand(c.runsCheckCommand())
	return cmd
}

func (c *call) runsCheckCommand() *cobra.Command {
	var req app.CheckRequest
	cmd := &cobra.Command{
		Use: "check RUN", Short: "looks again at the rows of a run; exit 2 where corrections were overwritten",
		Example: examples("recount runs check 4b2e90c7aa3e", "recount runs check 4b2e90c7aa3e --json"),
		Args:    c.takes(1, 1, "one run, as recount runs lists them"),
		RunE: c.run(func(ctx context.Context, args []string) error {
			req.Run = args[0]
			return c.open(ctx, func(project Recount) error {
				checked, err := project.CheckRun(ctx, req)
				if err != nil {
					return err
				}
				for _, t := range checked {
					if len(t.Overwritten) > 0 {
						c.exit = recount.ExitDifferences
					}
				}
				return views.NewRuns(c.output()).Checked(checked)
			})
		}),
	}
	addAs(cmd, &req.As)
	c.addUnsandboxed(cmd)
	return cmd
}

func (c *call) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor [CALC…]", Short: "checks everything that the next command will need",
		Example: examples("recount doctor", "recount doctor user_totals"),
		Args:    c.takes(0, -1, "names of calculations"), ValidArgsFunction: c.completeNames(calculations),
		RunE: c.run(func(ctx context.Context, args []string) error {
			return c.open(ctx, func(project Recount) error {
				found, err := project.Doctor(ctx, args)
				if err != nil {
					return err
				}
				if err := views.NewDoctor(c.output()).Diagnosed(found); err != nil {
					return err
				}
				return unsound(&found)
			})
		}),
	}
	c.addUnsandboxed(cmd)
	return cmd
}

func (c *call) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init [FILE…]", Short: "writes recount.yaml from the files given, and checks it",
		Example: examples("recount init archived_events.csv existing_results.csv", "recount init events.jsonl live.db"),
		Long: "Guesses from the files or tables given, asks at most six questions with the defaults\n" +
			"it found, writes recount.yaml and ends with doctor. With --no-input it takes the defaults.",
		Args: c.takes(0, -1, "files"),
		RunE: c.run(func(ctx context.Context, args []string) error {
			start := c.env.Init
			if start == nil {
				start = app.Init
			}
			req := app.InitRequest{App: c.options(), Files: args}
			if c.asks() {
				req.Ask = func(q app.Question) (string, error) { return c.question(ctx, q) }
			}
			done, err := start(ctx, req)
			if err != nil {
				return err
			}
			c.did = "recount.yaml and its files were written"
			if err := views.NewInit(c.output()).Initialized(done); err != nil {
				return err
			}
			return unsound(done.Diagnosis)
		}),
	}
}

// unsound is the error of a diagnosis in which a check failed: the first.
func unsound(d *app.Diagnosis) error {
	if d == nil || !d.Failed() {
		return nil
	}
	i := slices.IndexFunc(d.Checks, func(c app.Check) bool { return c.Status == app.CheckFail })
	first := d.Checks[i]
	return &recount.Error{Code: recount.CodeDoctor, What: "doctor found what must be mended first", Where: first.Name, Why: first.Detail, Next: first.Fix}
}

// question asks one question of init; an empty answer takes the default.
func (c *call) question(ctx context.Context, q app.Question) (string, error) {
	text := "  " + q.Text
	if len(q.Choices) > 0 {
		text += " (" + strings.Join(q.Choices, ", ") + ")"
	}
	if q.Default != "" {
		text += fmt.Sprintf(" [%s]", q.Default)
	}
	answer, err := c.ask(ctx, views.Visible(text, false)+": ")
	if err != nil {
		return "", err
	}
	if answer = strings.TrimSpace(answer); answer == "" {
		return q.Default, nil
	}
	return answer, nil
}
