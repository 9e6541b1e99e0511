package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

func (c *call) applyCommand() *cobra.Command {
	var req app.ApplyRequest
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "applies a plan in one transaction, or refuses",
		Example: examples("recount apply fix.plan", "recount apply fix.plan --confirm user_totals --no-input"),
		Args:    c.takes(1, 1, "one plan file"), ValidArgsFunction: completePlans,
	}
	cmd.Flags().StringVar(&req.Confirm, "confirm", "", "the `TABLE` that may be written; several joined by commas: a,b")
	cmd.Flags().BoolVar(&req.Overrides.NoControl, "no-control", false, "apply although the control window is red (recorded)")
	cmd.Flags().BoolVar(&req.Overrides.WorkerWillReload, "worker-will-reload", false, "apply although the worker keeps its own state (recorded)")
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req.File = args[0]
		return c.open(ctx, func(project Recount) error {
			table, err := project.ApplyTable(ctx, req.File)
			if err != nil {
				return err
			}
			req.Confirm, err = c.confirm(ctx, confirmation{
				table: table, given: req.Confirm, again: "recount apply " + views.ShellWord(req.File),
				about: func() error {
					shown, err := project.Show(ctx, req.File)
					if err != nil {
						return err
					}
					return views.NewReceipt(c.output()).About(shown)
				},
			})
			if err != nil {
				return err
			}
			receipt, err := project.Apply(ctx, req)
			if err != nil {
				return err
			}
			c.did = "run " + receipt.Run + " was applied: only its report is lost"
			return views.NewReceipt(c.output()).Done(receipt)
		})
	})
	return cmd
}

func (c *call) rollbackCommand() *cobra.Command {
	var req app.RollbackRequest
	cmd := &cobra.Command{
		Use: "rollback RUN", Short: "takes a run back from its undo record",
		Example: examples("recount rollback 4b2e90c7", "recount rollback 4b2e90c7 --confirm user_totals --no-input"),
		Args:    c.takes(1, 1, "one run, as recount runs lists them"),
	}
	cmd.Flags().StringVar(&req.Confirm, "confirm", "", "the `TABLE` that may be written; several joined by commas: a,b")
	cmd.RunE = c.run(func(ctx context.Context, args []string) error {
		req.Run = args[0]
		return c.open(ctx, func(project Recount) error {
			table, err := project.RollbackTable(ctx, req.Run)
			if err != nil {
				return err
			}
			req.Confirm, err = c.confirm(ctx, confirmation{
				table: table, given: req.Confirm, again: "recount rollback " + views.ShellWord(req.Run),
			})
			if err != nil {
				return err
			}
			receipt, err := project.Rollback(ctx, req)
			if err != nil {
				return err
			}
			c.did = "run " + receipt.Run + " took it back: only its report is lost"
			if len(receipt.RolledOut) > 0 { // rows that moved were left, and are listed
				c.exit = recount.ExitPart
			}
			return views.NewReceipt(c.output()).Done(receipt)
		})
	})
	return cmd
}

// confirmation is what must be confirmed before a write.
type confirmation struct {
	table string
	given string // by --confirm
	again string // the command, to be typed again with --confirm
	kind  string // what it is a name of; empty: a table
	act   string // what is done to it; empty: writes
	about func() error
}

// confirm returns the table's name once the person typed or gave it.
func (c *call) confirm(ctx context.Context, a confirmation) (string, error) {
	with := a.again + " --confirm " + views.ShellWord(a.table)
	kind, act := cmp.Or(a.kind, "table"), cmp.Or(a.act, "writes")
	place := kind + " " + a.table
	if a.given != "" {
		if a.given != a.table {
			return "", unconfirmed("--confirm names another "+kind, fmt.Sprintf("this %s %s, and --confirm says %s", act, place, a.given), place, with)
		}
		return a.given, nil
	}
	if !c.asks() {
		return "", unconfirmed("the write was not confirmed", "there is no terminal to ask on, so the "+kind+" must be named by --confirm", place, with)
	}
	if a.about != nil {
		if err := a.about(); err != nil {
			return "", err
		}
	}
	what := kind + "'s name"
	if strings.Contains(a.table, ",") {
		what = kind + "s' names"
	}
	typed, err := c.ask(ctx, "  Type the "+what+" to go on: "+views.Visible(a.table, false)+"\n  > ")
	if err != nil {
		return "", err
	}
	if typed != a.table {
		return "", unconfirmed("the write was not confirmed", "another text than the "+kind+"'s name was typed", place, a.again)
	}
	return typed, nil
}

func unconfirmed(what, why, place, next string) error {
	return &recount.Error{Code: recount.CodeConfirm, What: what, Where: place, Why: why, Next: next}
}

// ask asks on the terminal and reads one line.
func (c *call) ask(ctx context.Context, question string) (string, error) {
	c.progress().clear()
	if _, err := io.WriteString(c.env.Stderr, question); err != nil {
		return "", err
	}
	type answer struct {
		text string
		err  error
	}
	// A read of a terminal cannot be cancelled: the goroutine ends with the
	// answer or with the process.
	answered := make(chan answer, 1)
	go func() {
		text, err := c.reader().ReadString('\n')
		answered <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-answered:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return "", fmt.Errorf("read the answer: %w", a.err)
		}
		return strings.TrimRight(a.text, "\r\n"), nil
	}
}

// reader reads all answers of one call.
func (c *call) reader() *bufio.Reader {
	if c.input == nil {
		c.input = bufio.NewReader(c.env.Stdin)
	}
	return c.input
}
