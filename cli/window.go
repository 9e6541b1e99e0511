package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"recount"
	"recount/internal/app"
)

// windowFlags are the flags that name a window, and where a paused worker stands.
type windowFlags struct {
	from, to, timezone, by     string
	fromPositions, toPositions []string
	ids, paused                string
	pull                       bool
}

func (w *windowFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	w.addTimes(cmd)
	f.StringVar(&w.by, "by", "", "`CLOCK` of the window: event (default), ingest, position or ids")
	w.addPositions(cmd)
	f.StringVar(&w.ids, "ids", "", "the events of this `FILE`, one id a line, instead of a window")
	f.BoolVar(&w.pull, "pull", false, "bring in what the window needs from its source first")
	f.StringVar(&w.paused, "paused", "", "where the paused worker stands: this `FILE` of positions, or group:NAME")
}

func (w *windowFlags) addTimes(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&w.from, "from", "", "first instant, `TIME` such as 2024-06-10T12:00:00Z")
	f.StringVar(&w.to, "to", "", "end, itself excluded, `TIME`")
	f.StringVar(&w.timezone, "timezone", "", "`ZONE` of times without an offset, such as Europe/Berlin")
}

func (w *windowFlags) addPositions(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&w.fromPositions, "from-position", nil, "first position, `P:N` such as 3:41200, of each partition")
	f.StringArrayVar(&w.toPositions, "to-position", nil, "end, itself excluded, `P:N`, of each partition")
}

// edged says whether any edge is given.
func (w *windowFlags) edged() bool {
	return w.from != "" || w.to != "" || len(w.fromPositions)+len(w.toPositions) > 0
}

// request checks that the window is there and that its flags go together; what
// the times mean is for app.
func (w *windowFlags) request(c *call) (app.WindowRequest, error) {
	r := app.WindowRequest{
		From: w.from, To: w.to, Timezone: w.timezone, By: recount.Clock(w.by),
		FromPositions: w.fromPositions, ToPositions: w.toPositions, IDs: w.ids, Paused: w.paused, Pull: w.pull,
	}
	if err := r.Check(); err != nil {
		return app.WindowRequest{}, err
	}
	if w.by == string(recount.ByPosition) || w.by == string(recount.ByIDs) || w.ids != "" || len(w.fromPositions)+len(w.toPositions) > 0 {
		return r, nil
	}
	const never = "a window is never guessed"
	switch {
	case w.from == "" && w.to == "":
		return app.WindowRequest{}, usage(c.command+" needs --from and --to", never, c.helpLine())
	case w.from == "":
		return app.WindowRequest{}, usage(c.command+" needs --from", never, c.helpLine())
	case w.to == "":
		return app.WindowRequest{}, usage(c.command+" needs --to", never, c.helpLine())
	}
	return r, nil
}

// runFlags are the flags of the commands that recalculate: the window, the checks
// that are switched off, and the version of the logic.
type runFlags struct {
	window    windowFlags
	overrides app.Overrides
	as        string
}

// Which checks a command can switch off.
type checkFlags int

const (
	noChecks   checkFlags = iota // it makes no plan
	emptyCheck                   // it looks at events alone
	allChecks
)

// add adds the flags; own ones of the command follow those of the window.
func (r *runFlags) add(c *call, cmd *cobra.Command, checks checkFlags, own func(*pflag.FlagSet)) {
	f := cmd.Flags()
	r.window.add(cmd)
	if own != nil {
		own(f)
	}
	if checks >= emptyCheck {
		f.BoolVar(&r.overrides.AllowEmpty, "allow-empty", false, "accept a window without any used event")
	}
	if checks == allChecks {
		f.BoolVar(&r.overrides.AcceptTwoWay, "accept-two-way", false, "accept that most rows are wrong and nothing says why")
		f.BoolVar(&r.overrides.WithoutQuarantined, "without-quarantined", false, "leave out quarantined events whose row is unknown")
	}
	addAs(cmd, &r.as)
	c.addUnsandboxed(cmd)
}

// request is what the flags ask for, of the calculations that are named.
func (r *runFlags) request(c *call, args []string) (req app.PlanRequest, err error) {
	req = app.PlanRequest{Calculation: args[0], Overrides: r.overrides, As: r.as}
	if len(args) > 1 {
		req.With = args[1:]
	}
	req.Window, err = r.window.request(c)
	return req, err
}

// addUnsandboxed adds the flag that lets workers run without isolation.
func (c *call) addUnsandboxed(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.unsandboxed, "unsandboxed", false, "run worker: and go: without isolation (recorded)")
}

// addAs adds the flag that names one version of the logic.
func addAs(cmd *cobra.Command, as *string) {
	cmd.Flags().StringVar(as, "as", "", "run this `VERSION` of the logic for all events, not each for its time")
}
