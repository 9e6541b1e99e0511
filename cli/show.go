package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"recount/cli/views"
)

func (c *call) showCommand() *cobra.Command {
	var all, csv, sql bool
	cmd := &cobra.Command{
		Use: "show FILE", Short: "shows a plan again",
		Example: examples("recount show fix.plan --all", "recount show fix.plan --csv > corrections_to_apply.csv"),
		Args:    c.takes(1, 1, "one plan file"), ValidArgsFunction: completePlans,
	}
	cmd.Flags().BoolVar(&all, "all", false, "list every change")
	cmd.Flags().BoolVar(&csv, "csv", false, "print every change as CSV")
	cmd.Flags().BoolVar(&sql, "sql", false, "print the rows to be written as SQL")
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		var forms []string
		for _, form := range []struct {
			asked bool
			flag  string
		}{{csv, "--csv"}, {sql, "--sql"}, {c.flags.json, "--json"}} {
			if form.asked {
				forms = append(forms, form.flag)
			}
		}
		if len(forms) > 1 {
			return usage(strings.Join(forms, " and ")+" do not go together", "each is a form of its own", c.helpLine())
		}
		return c.open(ctx, func(project Recount) error {
			shown, err := project.Show(ctx, args[0])
			if err != nil {
				return err
			}
			if csv {
				return views.WriteCSV(c.env.Stdout, shown.Plan)
			}
			if sql {
				return views.WriteSQL(c.env.Stdout, shown.Plan, shown.File)
			}
			return views.NewShow(c.output()).Shown(shown, all)
		})
	})
	return cmd
}

func (c *call) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain FILE KEY", Short: "shows the events that make a row right, step by step",
		Example: examples("recount explain fix.plan 10482", "recount explain fix.plan -- -5"),
		Long: "Shows the events that make a row right, step by step.\n" +
			"KEY is a value, or COL=VALUE for each key column; -- before a key that begins with a dash.",
		Args: c.takes(2, -1, "a plan file and a key"), ValidArgsFunction: completePlans,
	}
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		return c.open(ctx, func(project Recount) error {
			explained, err := project.Explain(ctx, args[0], args[1:])
			if err != nil {
				return err
			}
			return views.NewExplain(c.output()).Explained(explained)
		})
	})
	return cmd
}
