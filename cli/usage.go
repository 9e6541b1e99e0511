package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"recount"
)

// usage is an error of the command line.
func usage(what, why, next string) *recount.Error {
	return &recount.Error{Code: recount.CodeUsage, What: what, Where: "the command line", Why: why, Next: next}
}

// flagError explains a flag that cannot be read. It names the nearest flag of
// the command; under an unknown command, that is the mistake.
func (c *call) flagError(cmd *cobra.Command, err error) error {
	c.command = cmd.CommandPath()
	if !cmd.HasParent() {
		if name, ok := firstWord(c.args); ok {
			if found, _, findErr := cmd.Find([]string{name}); findErr != nil || found == cmd {
				return unknownCommand(cmd, name)
			}
		}
	}
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return usage(err.Error(), "", c.helpLine())
	}
	name := "--" + missing.GetSpecifiedName()
	if missing.GetSpecifiedShortnames() != "" {
		name = "-" + missing.GetSpecifiedName()
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	why := ""
	if near := recount.Nearest(missing.GetSpecifiedName(), known); near != "" {
		why = "the nearest is --" + near
	}
	return usage(cmd.CommandPath()+" has no flag "+name, why, c.helpLine())
}

// firstWord is the first argument that is no flag nor the value of -C.
func firstWord(args []string) (string, bool) {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-C":
			i++
		case args[i] == "--":
			return "", false
		case !strings.HasPrefix(args[i], "-"):
			return args[i], true
		}
	}
	return "", false
}

// unknownCommand names the command that was most likely meant.
func unknownCommand(parent *cobra.Command, name string) error {
	var known []string
	for _, sub := range parent.Commands() {
		if !sub.Hidden {
			known = append(known, sub.Name())
		}
	}
	why, next := "the commands are "+strings.Join(known, ", "), parent.CommandPath()+" --help"
	if near := recount.Nearest(name, known); near != "" {
		why = "the nearest is " + near
		next = parent.CommandPath() + " " + near + " --help"
	}
	return usage(fmt.Sprintf("%s has no command %q", parent.CommandPath(), name), why, next)
}

// group is the work of a command that has only subcommands.
func (c *call) group(cmd *cobra.Command, args []string) error {
	c.command = cmd.CommandPath()
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return cmd.Help()
}

// takes checks the number of arguments; most -1 means any number.
func (c *call) takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		c.command = cmd.CommandPath()
		switch {
		case len(args) < least:
			return usage(cmd.CommandPath()+" needs "+what, "", c.helpLine())
		case most >= 0 && len(args) > most:
			if most == 0 {
				return usage(fmt.Sprintf("%s takes no argument such as %q", cmd.CommandPath(), args[0]), "", c.helpLine())
			}
			return usage(fmt.Sprintf("%s does not know what %q means", cmd.CommandPath(), args[most]), "it takes "+what, c.helpLine())
		}
		return nil
	}
}

const helpTemplate = `{{with .Example}}{{.}}

{{end}}{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}{{end}}

Usage:
{{if .Runnable}}  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name 10}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`
