package config

import (
	"time"

	"recount"
)

// Shadow is the production worker itself, which runs once more beside the live
// one: it reads a topic of its own and writes a table of its own.
type Shadow struct {
	To    string // the topic or subject that it reads
	On    string // the source on whose servers that lies
	Group string // its consumer group
	Table string // the table of the target's database that it writes
	// Timeout is how long it may stand still before it has caught up.
	Timeout time.Duration
	// Settle is how long its table is given after its last position was committed.
	Settle time.Duration
}

const (
	defaultShadowTimeout = 10 * time.Minute
	defaultSettle        = 2 * time.Second
)

var shadowBlock = Block{
	Path: "calculations.NAME.shadow", Doc: "The production worker, unchanged, beside the live one: Recount publishes the window's events to a topic of its own and takes the table that it writes for the right rows.", Keys: []Key{
		{Name: "to", Type: "text", Doc: "The topic or subject that it reads; nobody else may.", Required: true},
		{Name: "on", Type: "text", Doc: "The source on whose servers that lies.", Default: "the calculation's"},
		{Name: "group", Type: "text", Doc: "Its consumer group; its durable consumer in NATS.", Required: true},
		{Name: "table", Type: "text", Doc: "The table of the target's database that it writes.", Required: true},
		{Name: "timeout", Type: "duration", Doc: "How long it may stand still before it has caught up.", Default: "10m"},
		{Name: "settle", Type: "duration", Doc: "How long its table is given after its last position was committed.", Default: "2s"},
	},
}

// logicOf reads what makes the calculation's rows: a logic, or the worker itself.
func (l *loader) logicOf(c *Calculation, v value, found map[string]entry) (recount.Logic, bool) {
	shadow, ok := found["shadow"]
	if !ok {
		return l.logic(v, found)
	}
	for _, key := range logicKeys {
		if e, ok := found[key]; ok {
			v.r.problem(e.at, "%s: shadow stands there too; the rows come from one of them", e.path)
			return recount.Logic{}, false
		}
	}
	return l.shadow(c, shadow.value)
}

// shadow reads how the worker runs beside the live one. Its rows are those of its
// table.
func (l *loader) shadow(c *Calculation, v value) (recount.Logic, bool) {
	before := len(v.r.problems)
	found := v.block(shadowBlock, false)
	if found == nil {
		return recount.Logic{}, false
	}
	s := &Shadow{On: c.Source, Timeout: defaultShadowTimeout, Settle: defaultSettle}
	for key, into := range map[string]*string{"to": &s.To, "group": &s.Group, "table": &s.Table} {
		if e, ok := found[key]; ok {
			*into, _ = e.word()
		}
	}
	if e, ok := found["on"]; ok {
		s.On = l.sourceName(e.value)
	}
	if e, ok := found["timeout"]; ok {
		s.Timeout, _ = e.duration()
	}
	if e, ok := found["settle"]; ok {
		s.Settle, _ = e.duration()
	}
	c.Shadow = s
	return recount.Logic{Kind: recount.LogicTable, Path: s.Table}, len(v.r.problems) == before
}
