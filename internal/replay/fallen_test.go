package replay_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/replay"
)

// bucketedSession makes a row for each hour of the events that it is given.
type bucketedSession struct {
	engine.Session
	marks  []recount.Mark
	events []engine.ReplayEvent
}

func (s bucketedSession) Quarantined(context.Context) ([]recount.Mark, error) { return s.marks, nil }

func (s bucketedSession) Events(context.Context, engine.Query) ([]engine.ReplayEvent, error) {
	return s.events, nil
}

func (s bucketedSession) Run(_ context.Context, v engine.Variant) (engine.Rows, error) {
	r := hourRows{}
	for _, e := range s.events {
		if slices.Contains(v.Only, e.Seq) {
			r.rows = append(r.rows, recount.Row{Key: []recount.Value{recount.Text("ann"), recount.Text(recount.FormatTimestamp(e.Time.Truncate(time.Hour)))}})
		}
	}
	return &r, nil
}

type hourRows struct{ fakeRows }

func (*hourRows) Shape() recount.Shape {
	return recount.Shape{Key: []recount.Column{{Name: "who", Type: recount.Type{Kind: recount.KindString}}, {Name: "hour", Type: recount.Type{Kind: recount.KindTimestamp}}}}
}

// TestOnlyTheBucketOfAnEventThatNoFoldSurvivesIsLeftOut also where no other event of
// the bucket names its row, and where the fold is one of several versions.
func TestOnlyTheBucketOfAnEventThatNoFoldSurvivesIsLeftOut(t *testing.T) {
	at := time.Date(2024, 6, 10, 12, 30, 0, 0, time.UTC)
	fold := recount.Logic{Kind: recount.LogicGo, By: []string{"who"}, Bucket: recount.Bucket{Size: time.Hour, Zone: time.UTC}}
	ofVersions := recount.Versioned([]recount.Version{
		{Name: "one", Logic: recount.Logic{Kind: recount.LogicSQL}, Effective: recount.Window{To: at.Truncate(time.Hour)}},
		{Name: "two", Logic: fold, Effective: recount.Window{From: at.Truncate(time.Hour)}},
	})
	session := bucketedSession{
		marks: []recount.Mark{
			{Seq: 2, Kind: recount.MarkFault, Time: at, Key: []recount.Value{recount.Text("ann")}},
			{Seq: 9, Kind: recount.MarkFault, Time: at, Broken: []string{"amount"}}, // of no fold
		},
		events: []engine.ReplayEvent{
			{Seq: 1, Event: recount.Event{Time: at.Add(-time.Hour)}}, {Seq: 2, Event: recount.Event{Time: at}}, {Seq: 3, Event: recount.Event{Time: at.Add(time.Hour)}},
		},
	}
	for name, logic := range map[string]recount.Logic{"a fold": fold, "a version": ofVersions} {
		keys, err := replay.Fallen(t.Context(), session, []engine.Variant{{Logic: logic, Key: []string{"who", "hour"}}})
		if err != nil {
			t.Fatal(err)
		}
		want := recount.KeyText([]recount.Value{recount.Text("ann"), recount.Text("2024-06-10T12:00:00Z")})
		if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
