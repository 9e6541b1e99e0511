package views

import (
	"time"

	"recount"
	"recount/internal/app"
	"recount/internal/app/effects"
	"recount/internal/app/incident"
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

// fixtureEffects differ in every way.
func fixtureEffects() app.Effected {
	at := at12.Add(3 * time.Minute)
	right := recount.Effect{Kind: "receipt", Key: "u2", EventID: "e3", Partition: "3", Position: recount.PadPosition("41200"), Time: at, Payload: []byte(`{"amount":20}`)}
	nameless := right
	nameless.EventID = ""
	sent := effects.Sent{Kind: "receipt", Key: "u2\x1b[2J", EventID: "e3", ID: "s1", Partition: "0", Position: recount.PadPosition("7"), Time: at.Add(time.Second), Payload: `{"amount":30}`}
	e := fixtureHeldBack()
	e.Kinds = []app.EffectKind{{Kind: "invoice", Effects: 2, Right: 2}, {Kind: "receipt", Effects: 1205, Right: 1203, Never: 1, Wrongly: 1, Twice: 12, Unasked: 1}}
	e.Log = &incident.EffectLog{
		Source: "sent", Snapshot: "77aa00110022", Window: recount.Window{From: at12.Add(-10 * time.Minute), To: at12.Add(40 * time.Minute), By: recount.ByEvent}, Within: 10 * time.Minute,
		Events: recount.EventCounts{Read: 1300, Used: 1299, Duplicates: 1}, Edge: 9, Nameless: 2, Unknown: 1,
	}
	e.Differences = []app.EffectDifferent{
		{Reason: effects.Never, Right: &nameless, Cause: "missed"},
		{Reason: effects.Wrongly, Right: &right, Sent: &sent, Why: "amount: sent 30, right is 20", Cause: "previous+missed"},
		{Reason: effects.Unasked, Sent: &sent, Cause: recount.CauseUnknown},
	}
	for range 12 {
		e.Differences = append(e.Differences, app.EffectDifferent{Reason: effects.Twice, Right: &right, Sent: &sent, Cause: "twice"})
	}
	e.Causes = []recount.CauseCount{{Cause: "missed", Rows: 1}, {Cause: "previous+missed", Rows: 1}, {Cause: "twice", Rows: 12}, {Cause: "unknown", Rows: 1}}
	e.Out, e.OutDiffer = "all effects.jsonl", "mend.csv"
	e.Excluded = [][]recount.Value{values("u4"), values("u7")}
	return e
}

// fixtureHeldBack are effects without a log.
func fixtureHeldBack() app.Effected {
	return app.Effected{
		Calculation: "user_totals", Window: fixtureWindow(), Asked: recount.Window{From: at12.Add(2 * time.Minute), To: at12.Add(28 * time.Minute), By: recount.ByEvent},
		Snapshot: "9f3c1ab20000aa", Watermark: at12.Add(25 * time.Hour), Events: recount.EventCounts{Read: 184220, Used: 182313, Duplicates: 1904, Quarantined: 3},
		Effects: 1207, Digest: "77", Kinds: []app.EffectKind{{Kind: "invoice", Effects: 2}, {Kind: "receipt", Effects: 1205}}, TookMS: 3120,
	}
}

func fixtureShadow() app.ShadowStatus {
	return app.ShadowStatus{
		Calculation: "balances", Place: "kafka 10.0.0.7:9092, payments", To: "shadow-payments", Group: "shadow-1", Table: "balances_shadow", Timeout: 10 * time.Minute, Messages: 182313, Left: 182313,
	}
}
