package recount_test

import (
	"strings"
	"testing"
	"time"

	"recount"
)

func TestAPlansWindowIsAskedForAgainUnderItsClock(t *testing.T) {
	from := time.Date(2026, 10, 1, 11, 0, 0, 0, time.UTC)
	window := recount.Window{From: from, To: from.Add(time.Hour), By: recount.ByEvent}
	ingest := window
	ingest.By = recount.ByIngest
	positions := []recount.PositionWindow{{Partition: "3", From: recount.PadPosition("614"), To: recount.PadPosition("1205")}}
	for _, c := range []struct {
		body recount.PlanBody
		want string
	}{
		{recount.PlanBody{Asked: window}, "--from 2026-10-01T11:00:00Z --to 2026-10-01T12:00:00Z"},
		{recount.PlanBody{Window: window}, "--from 2026-10-01T11:00:00Z --to 2026-10-01T12:00:00Z"},
		{recount.PlanBody{Asked: ingest}, "--by ingest --from 2026-10-01T11:00:00Z --to 2026-10-01T12:00:00Z"},
		{recount.PlanBody{Asked: window, Positions: positions}, "--from-position 3:614 --to-position 3:1205"},
		{recount.PlanBody{Asked: window, IDs: &recount.IDList{From: "dead.txt"}}, "--ids dead.txt"},
	} {
		if got := strings.Join(c.body.AskedFlags(), " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
