package views

import (
	"recount"
	"recount/internal/app"
)

func fixturePublished() app.Published {
	return app.Published{
		Replay: "4b2e90c7aa3e", Stream: "orders", Calculation: "user_totals", Only: "missed", Destination: "orders-again", Hits: recount.Hits{Window: fixtureWindow()},
		Snapshot: "9f3c1ab20000aa", Events: 5210, Bytes: 1_042_000, Partitions: 8, Sent: 4210, There: 1000, TookMS: 4210,
	}
}

func fixtureToPublish() app.Published {
	p := fixturePublished()
	p.Calculation, p.Only, p.Sent, p.There, p.DryRun, p.TookMS = "", "", 0, 0, true, 120
	p.Hits = recount.Hits{Window: recount.Window{By: recount.ByPosition}, Positions: []recount.PositionWindow{{Partition: "3", From: recount.PadPosition("41200"), To: recount.PadPosition("46411")}}}
	p.Partitions, p.Repeats, p.Quarantined = 1, 1, 3
	return p
}
