package cli

import (
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"recount"
)

// patience is how long an act lasts before its bar appears.
const patience = time.Second

// bars shows acts that last as bars on a terminal.
type bars struct {
	out io.Writer // nil: says nothing

	mu      sync.Mutex
	running map[*bar]bool
	pool    *mpb.Progress // nil until there is a first bar
}

// progress returns the progress that fits: bars on a terminal, else nothing.
func (c *call) progress() *bars {
	if c.bars != nil {
		return c.bars
	}
	b := &bars{running: map[*bar]bool{}}
	c.bars = b
	_, terminal := c.env.Terminal(c.env.Stderr)
	term, _ := c.env.Getenv("TERM")
	if terminal && term != "dumb" && !c.flags.quiet && !c.flags.json {
		b.out = c.env.Stderr
	}
	return b
}

// Begin begins an act; its bar appears once it lasts.
func (b *bars) Begin(act string, total int64) recount.Act {
	if b.out == nil {
		return recount.Quiet{}.Begin(act, total)
	}
	a := &bar{of: b, act: act, total: total}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running[a] = true
	a.timer = time.AfterFunc(patience, a.appear)
	return a
}

// clear takes all bars away and returns when nothing more is drawn, so that a
// result or a question has the terminal for itself.
func (b *bars) clear() {
	b.mu.Lock()
	for a := range b.running {
		a.end()
	}
	pool := b.pool
	b.pool = nil
	b.mu.Unlock()
	if pool != nil {
		pool.Wait()
	}
}

// bar is one act. Its fields are guarded by the bars' lock.
type bar struct {
	of    *bars
	act   string
	total int64
	done  int64
	timer *time.Timer
	shown *mpb.Bar
}

func (a *bar) appear() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if !a.of.running[a] {
		return
	}
	if a.of.pool == nil {
		a.of.pool = mpb.New(mpb.WithOutput(a.of.out), mpb.WithWidth(40), mpb.WithAutoRefresh())
	}
	name := decor.Name("  "+a.act+"  ", decor.WCSyncSpaceR)
	if a.total <= 0 {
		a.shown = a.of.pool.New(0, mpb.SpinnerStyle(), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(name), mpb.AppendDecorators(decor.CurrentNoUnit(" %d")))
	} else {
		a.shown = a.of.pool.New(a.total, mpb.BarStyle().Lbound("").Filler("█").Tip("█").Padding("░").Rbound(""), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(name), mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.CountersNoUnit("  %d / %d")))
	}
	a.shown.SetCurrent(a.done)
}

// Add says that n more units are done.
func (a *bar) Add(n int64) {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.done += n
	if a.shown != nil {
		a.shown.SetCurrent(a.done)
	}
}

// End ends the act and takes its bar away.
func (a *bar) End() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.end()
}

func (a *bar) end() {
	if !a.of.running[a] {
		return
	}
	delete(a.of.running, a)
	a.timer.Stop()
	if a.shown != nil {
		a.shown.Abort(true)
	}
}

// clearing is standard output for what is written while bars may stand there.
type clearing struct{ c *call }

// Write clears the bars and writes.
func (w clearing) Write(p []byte) (int, error) {
	w.c.progress().clear()
	return w.c.stdout().Write(p)
}
