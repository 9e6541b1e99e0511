package cli

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"recount/internal/config"
)

// completeNames completes arguments with names of the project's configuration.
// A project that cannot be read completes nothing: the command itself says why.
func (c *call) completeNames(names func(*config.Project) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		project, err := config.Load(c.dir(), c.env.Registry, c.env.Getenv)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		left := slices.DeleteFunc(names(project), func(name string) bool { return slices.Contains(given, name) })
		return left, cobra.ShellCompDirectiveNoFileComp
	}
}

func calculations(p *config.Project) []string { return slices.Sorted(maps.Keys(p.Calculations)) }

func sources(p *config.Project) []string { return slices.Sorted(maps.Keys(p.Sources)) }

// completePlans completes the first argument with plan files.
func completePlans(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"plan"}, cobra.ShellCompDirectiveFilterFileExt
}
