package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
	"recount/internal/demo"
)

// dieCommand is the hidden command with which the demo kills itself.
const dieCommand = "__apply-and-die"

func (c *call) demoCommand() *cobra.Command {
	var auto bool
	var keep string
	cmd := &cobra.Command{
		Use: "demo [--auto]", Short: "makes a small shop, breaks its worker, repairs it, and rolls back",
		Example: examples("recount demo", "recount demo --auto"),
		Long: "Plays one incident from beginning to end in a folder of its own: nothing is installed,\n" +
			"and nothing else is touched. With --auto it does not wait between the stages.",
		Args: c.takes(0, 0, "nothing"),
		RunE: c.run(func(ctx context.Context, _ []string) error { return c.demo(ctx, auto, keep) }),
	}
	cmd.Flags().BoolVar(&auto, "auto", false, "go from stage to stage without waiting")
	cmd.Flags().StringVar(&keep, "keep", "", "make the shop in this new `DIR` and leave it there")
	return cmd
}

func (c *call) dieCommand() *cobra.Command {
	return &cobra.Command{
		Use: dieCommand + " FILE", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: c.run(func(ctx context.Context, args []string) error {
			return demo.Die(ctx, c.quietly(c.dir()), args[0])
		}),
	}
}

// quietly are the options of a project in dir that shows no progress.
func (c *call) quietly(dir string) app.Options {
	options := c.options()
	options.Dir, options.Progress = dir, recount.Quiet{}
	return options
}

func (c *call) demo(ctx context.Context, auto bool, keep string) (err error) {
	dir, remove, err := c.demoFolder(keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var next func() error
	narrator := views.NewDemo(c.output(), func() error {
		if next == nil {
			return ctx.Err()
		}
		return next()
	})
	if !auto && c.asks() {
		next = func() error {
			return narrator.Pause(func() error {
				_, err := c.ask(ctx, "")
				return err
			})
		}
	}
	err = demo.Run(ctx, demo.Options{
		App: c.quietly(dir), Narrator: narrator, Die: []string{self, "-C", dir, dieCommand},
	})
	return errors.Join(err, narrator.Err())
}

// demoFolder makes the shop's folder, and says how it is removed.
func (c *call) demoFolder(keep string) (dir string, remove func() error, err error) {
	if keep == "" {
		dir, err = os.MkdirTemp("", "recount-demo-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	dir = keep
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.dir(), dir)
	}
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // for the person to look at
		return "", nil, &recount.Error{
			Code: recount.CodeUsage, What: "the shop's folder cannot be made", Where: dir, Why: err.Error(), Err: err,
			Next: "name a folder that does not exist yet",
		}
	}
	return dir, func() error { return nil }, nil
}
