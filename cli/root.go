package cli

import (
	"context"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"recount/cli/views"
)

// root builds the command tree.
func (c *call) root() *cobra.Command {
	root := &cobra.Command{
		Use: "recount",
		Example: examples(
			"recount plan user_totals --from 2024-06-10T12:00:00Z --to 2024-06-10T12:30:00Z --out fix.plan",
			"recount apply fix.plan"),
		Short: "Repairs the wrong results of event-driven systems from archived events.",
		Long: "Recount recalculates what results should have been from archived events, shows the\n" +
			"difference to what is live, and applies just that difference, or nothing.",
		Args: cobra.ArbitraryArgs,
		RunE: c.group,
		// Views show errors, and no one needs the whole usage for a slip.
		SilenceErrors: true, SilenceUsage: true,
		Version:           c.env.Build.Version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetVersionTemplate("recount {{.Version}}\n")
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(c.flagError)
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.BoolVar(&c.flags.json, "json", false, "print JSON, one object a line")
	flags.BoolVar(&c.flags.quiet, "quiet", false, "print no progress")
	flags.StringVarP(&c.flags.dir, "dir", "C", "", "use the project in this `DIR`")
	flags.BoolVar(&c.flags.noInput, "no-input", false, "ask nothing")
	flags.BoolVar(&c.flags.noColor, "no-color", false, "print without colours")
	flags.BoolP("help", "h", false, "show this help")
	keepOrder()
	root.AddCommand(
		c.initCommand(), c.demoCommand(), c.archiveCommand(), c.replayCommand(), c.diffCommand(), c.planCommand(), c.showCommand(),
		c.explainCommand(), c.verifyCommand(), c.detectCommand(), c.effectsCommand(), c.applyCommand(), c.rollbackCommand(), c.runsCommand(),
		c.doctorCommand(), c.versionCommand(), c.completionCommand(), c.dieCommand(),
	)
	root.SetHelpCommand(c.helpCommand(root))
	root.InitDefaultHelpCmd()
	return root
}

// keepOrder lists commands in the order in which they are used; cobra keeps
// that switch for all of a process.
var keepOrder = sync.OnceFunc(func() { cobra.EnableCommandSorting = false })

// examples indents the lines that stand first in a command's help.
func examples(lines ...string) string { return "  " + strings.Join(lines, "\n  ") }

func (c *call) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "says how a command is used",
		RunE: func(_ *cobra.Command, args []string) error {
			found := root
			for _, name := range args {
				next, _, err := found.Find([]string{name})
				if err != nil || next == found {
					return unknownCommand(found, name)
				}
				found = next
			}
			found.InitDefaultVersionFlag()
			return found.Help()
		},
	}
}

func (c *call) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "says which program this is",
		Example: examples("recount version", "recount version --json"),
		Args:    c.takes(0, 0, "nothing"),
		RunE: c.run(func(context.Context, []string) error {
			return views.NewVersion(c.output()).Built(c.env.Build)
		}),
	}
}

func (c *call) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	cmd := &cobra.Command{
		Use: "completion SHELL", Short: "prints a script that completes commands in a shell",
		Example:   examples("source <(recount completion bash)", "recount completion fish > ~/.config/fish/completions/recount.fish"),
		ValidArgs: shells,
		Args:      c.takes(1, 1, "the name of a shell: "+strings.Join(shells, ", ")),
	}
	cmd.RunE = c.run(func(_ context.Context, args []string) error {
		root, out := cmd.Root(), c.stdout()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(out, true)
		case "zsh":
			return root.GenZshCompletion(out)
		case "fish":
			return root.GenFishCompletion(out, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(out)
		}
		return usage("there is no completion for "+args[0], "it takes "+strings.Join(shells, ", "), c.helpLine())
	})
	return cmd
}

// asks says whether a person can be asked.
func (c *call) asks() bool {
	if c.flags.noInput {
		return false
	}
	_, in := c.env.Terminal(c.env.Stdin)
	_, err := c.env.Terminal(c.env.Stderr)
	return in && err
}
