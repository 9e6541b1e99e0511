package cli

import (
	"github.com/spf13/cobra"

	"recount"
	"recount/internal/app"
)

// windowFlags are the flags that name a window.
type windowFlags struct {
	from, to, timezone, by string
}

func (w *windowFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&w.from, "from", "", "first instant, `TIME` such as 2024-06-10T12:00:00Z")
	f.StringVar(&w.to, "to", "", "end, itself excluded, `TIME`")
	f.StringVar(&w.timezone, "timezone", "", "`ZONE` of times without an offset, such as Europe/Berlin")
	f.StringVar(&w.by, "by", string(recount.ByEvent), "`CLOCK` that the window is measured by: event")
}

// request checks that the window is there; what the times mean is for app.
func (w *windowFlags) request(c *call) (app.WindowRequest, error) {
	switch {
	case w.from == "" && w.to == "":
		return app.WindowRequest{}, usage(c.command+" needs --from and --to", "a window is never guessed", c.helpLine())
	case w.from == "":
		return app.WindowRequest{}, usage(c.command+" needs --from", "a window is never guessed", c.helpLine())
	case w.to == "":
		return app.WindowRequest{}, usage(c.command+" needs --to", "a window is never guessed", c.helpLine())
	case w.by != string(recount.ByEvent):
		return app.WindowRequest{}, usage("--by "+w.by+" is not known", "windows are measured by event time: --by event", c.helpLine())
	}
	return app.WindowRequest{From: w.from, To: w.to, Timezone: w.timezone}, nil
}

// addOverrides adds the flags that switch off checks of planning.
func addOverrides(cmd *cobra.Command, o *app.Overrides) {
	f := cmd.Flags()
	f.BoolVar(&o.AllowEmpty, "allow-empty", false, "accept a window without any used event")
	f.BoolVar(&o.AcceptTwoWay, "accept-two-way", false, "accept that most rows are wrong and nothing says why")
	f.BoolVar(&o.WithoutQuarantined, "without-quarantined", false, "leave out quarantined events whose row is unknown")
}
