package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"recount/cli/script"
	"recount/cli/views"
	"recount/internal/app"
)

// showForms are the forms in which a plan is shown; none is asked for: a screen.
type showForms struct {
	all, csv, sql, dynamo bool
	table                 string // of DynamoDB
	overrides             app.Overrides
}

func (c *call) showCommand() *cobra.Command {
	var forms showForms
	cmd := &cobra.Command{
		Use: "show FILE", Short: "shows a plan again",
		Long: "Shows a plan again.\n" +
			"--sql and --dynamodb print scripts that carry the plan out without Recount.\n" +
			"They are refused where apply would be. Their first lines say what they check,\n" +
			"and which promises of apply they lose.",
		Example: examples("recount show fix.plan --csv > corrections_to_apply.csv", "recount show fix.plan --sql > fix.sql"),
		Args:    c.takes(1, 1, "one plan file"), ValidArgsFunction: completePlans,
	}
	flags := cmd.Flags()
	flags.BoolVar(&forms.all, "all", false, "list every change")
	flags.BoolVar(&forms.csv, "csv", false, "print every change as CSV")
	flags.BoolVar(&forms.sql, "sql", false, "print the plan as one guarded transaction of its database")
	flags.BoolVar(&forms.dynamo, "dynamodb", false, "print the plan as calls of aws dynamodb, for a table that lives there")
	flags.StringVar(&forms.table, "dynamodb-table", "", "the `TABLE` in DynamoDB, where it has another name")
	flags.BoolVar(&forms.overrides.NoControl, "no-control", false, "a script although the control window is red (recorded)")
	flags.BoolVar(&forms.overrides.WorkerWillReload, "worker-will-reload", false, "a script although the worker keeps its own state (recorded)")
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		if err := c.oneForm(forms); err != nil {
			return err
		}
		return c.open(ctx, func(project Recount) error {
			if forms.sql || forms.dynamo {
				return c.script(ctx, project, args[0], forms)
			}
			shown, err := project.Show(ctx, args[0])
			if err != nil {
				return err
			}
			if forms.csv {
				return views.WriteCSV(c.stdout(), shown.Plan)
			}
			return views.NewShow(c.output()).Shown(shown, forms.all)
		})
	})
	return cmd
}

// oneForm refuses several forms at once, and flags that belong to another form.
func (c *call) oneForm(f showForms) error {
	var asked []string
	for _, form := range []struct {
		asked bool
		flag  string
	}{{f.csv, "--csv"}, {f.sql, "--sql"}, {f.dynamo, "--dynamodb"}, {c.flags.json, "--json"}} {
		if form.asked {
			asked = append(asked, form.flag)
		}
	}
	switch {
	case len(asked) > 1:
		return usage(strings.Join(asked, " and ")+" do not go together", "each is a form of its own", c.helpLine())
	case f.table != "" && !f.dynamo:
		return usage("--dynamodb-table belongs to --dynamodb", "no other form names a table of DynamoDB", c.helpLine())
	case (f.overrides.NoControl || f.overrides.WorkerWillReload) && !f.sql && !f.dynamo:
		return usage("--no-control and --worker-will-reload belong to --sql and --dynamodb", "showing a plan is refused by no check", c.helpLine())
	}
	return nil
}

// script prints the plan as a script.
func (c *call) script(ctx context.Context, project Recount, file string, f showForms) error {
	scripted, err := project.Script(ctx, app.ScriptRequest{File: file, Overrides: f.overrides})
	if err != nil {
		return err
	}
	options := script.Options{File: scripted.File, Overrides: scripted.Overrides, Table: f.table}
	if f.dynamo {
		return script.DynamoDB(c.stdout(), scripted.Plan, options)
	}
	return script.SQL(c.stdout(), scripted.Plan, options)
}

func (c *call) explainCommand() *cobra.Command {
	var req app.ExplainRequest
	cmd := &cobra.Command{
		Use: "explain FILE KEY", Short: "shows the events that make a row right, step by step",
		Example: examples("recount explain fix.plan 10482", "recount explain fix.plan -- -5"),
		Long: "Shows the events that make a row right, step by step.\n" +
			"KEY is a value, or COL=VALUE for each key column; -- before a key that begins with a dash.\n" +
			"Of a long history the first events, the last, and those where the logics part are shown.",
		Args: c.takes(2, -1, "a plan file and a key"), ValidArgsFunction: completePlans,
	}
	cmd.Flags().BoolVar(&req.All, "all", false, "every event, with the row after each")
	c.addUnsandboxed(cmd)
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		return c.open(ctx, func(project Recount) error {
			req.File, req.Key = args[0], args[1:]
			explained, err := project.Explain(ctx, req)
			if err != nil {
				return err
			}
			return views.NewExplain(c.output()).Explained(explained, req.All)
		})
	})
	return cmd
}
