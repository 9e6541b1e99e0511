package config

import (
	"fmt"
	"strings"
	"testing"
)

const incident = `version: 1
archive: archive
sources:
  orders:
    files: {paths: ["a.csv"]}
    event: {id: id, time: ts, ingest_time: at, order: $.n}
    fields: {user_id: string, amount: "decimal(18,2)", step: {type: int64, path: $.n}}
calculations:
  balances:
    source: orders
    sql: totals.sql
    key: [user_id]
    memory: unbounded
    opening: {user_id: string, balance: "decimal(18,2)"}
    previous: {sql: v1.sql}
    missed:
      - {from_position: "3:41200", to_position: "3:41900", where: "type = 'sale'"}
      - {ids: ids.txt}
    again:
      - {from_position: "0:5", to_position: "0:9"}
      - {from: "2024-06-10T12:00:00Z", times: 3}
    late: 10m
    order: arrival
    processed: {table: seen, column: event_id}
    position: {column: last_offset, is: offset, partition: part}
    worker_state: own
    target:
      sqlite: {path: live.db}
      table: balances
      columns: {user_id: uid, balance: balance}
      write: delta
      against: again.2+previous+missed.1
      mark: {table: seen, columns: {event_id: id, amount: amount}}
      on_insert: {source: recount, tries: 0, active: true, rate: 1.50, note: ""}
      bump: version
  shadow:
    source: orders
    rows: right.csv
    previous: {rows: {table: totals_old}}
    key: [user_id]
    cut: {paused: positions.txt}
    target:
      sqlite: {path: live.db}
      table: totals
      write: adjust
      frozen: status = 'posted'
      adjust: {table: entries, columns: {user_id: user_id, total: amount, reason: why, run: run_id, period: month, at: booked}}
  recent:
    source: orders
    sql: totals.sql
    key: [user_id]
    memory: 36h
    missed: [{where: "partition = '1'"}]
    processed: {file: ids.txt}
    target: {sqlite: {path: live.db}, table: totals, write: delta, against: missed.2}
  paused:
    source: orders
    sql: totals.sql
    key: [user_id]
    cut: paused
    late: 0s
    target: {sqlite: {path: live.db}, table: totals, write: delta}
`

func TestLoadReadsWhatAnIncidentNeeds(t *testing.T) {
	p, err := load(t, incident)
	if err != nil {
		t.Fatal(fourParts(err))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "order by %s\n", p.Sources["orders"].Mapping.Order)
	for _, name := range []string{"balances", "shadow", "recent", "paused"} {
		c := p.Calculations[name]
		fmt.Fprintf(&b, "calculation %s memory %s cut %+v worker %s unexplained %s\n  logic %+v\n", name, c.Memory, c.Cut, c.WorkerState, c.Unexplained, c.Logic)
		if c.Previous != nil {
			fmt.Fprintf(&b, "  previous %+v\n", *c.Previous)
		}
		for i, m := range c.Missed {
			fmt.Fprintf(&b, "  missed %d: times [%v, %v) positions %v where %q ids %+v\n", i+1, m.From, m.To, m.Positions, m.Where, m.IDs)
		}
		for i, a := range c.Again {
			fmt.Fprintf(&b, "  again %d: times [%v, %v) positions %v %d times\n", i+1, a.From, a.To, a.Positions, a.Times)
		}
		if c.Late != nil {
			fmt.Fprintf(&b, "  late %v\n", *c.Late)
		}
		fmt.Fprintf(&b, "  arrival %v processed %+v\n", c.Arrival, c.Processed)
		fmt.Fprintf(&b, "  write %s against %q frozen %q adjust %+v\n  mark %+v on_insert %q bump %q\n",
			c.Write.Mode, c.Write.Against, c.Write.Frozen, c.Write.Adjust, c.Write.Mark, c.Write.OnInsert, c.Write.Bump)
	}
	golden(t, "testdata/incident.golden", b.String())
}
