package cover_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive/cover"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func window(from, to int) recount.Window { return recount.Window{From: at(from), To: at(to)} }

// hourFile holds events of partition 0 at positions [first, last].
func hourFile(first, last string, from, to int) recount.DataFile {
	return recount.DataFile{
		TimeKnown: true, FirstTime: at(from), LastTime: at(to),
		Spans: []recount.PositionSpan{{Partition: "0", First: pad(first), Last: pad(last), Rows: 1}},
	}
}

func pad(n string) string { return recount.PadPosition(n) }

func gap(from, to string, reason recount.GapReason) recount.Gap {
	return recount.Gap{Partition: "0", From: pad(from), To: pad(to), Reason: reason}
}

func incomplete(t *testing.T, name string, err error, says string) {
	t.Helper()
	var e *recount.Error
	if says == "" {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	if !errors.As(err, &e) || e.Code != recount.CodeIncomplete || !strings.Contains(e.Error(), says) || e.Next == "" {
		t.Errorf("%s: got %v, want CodeIncomplete that says %q", name, err, says)
	}
}

func TestAWindowIsCompleteBeforeTheWatermarkOrWhereItWasPulled(t *testing.T) {
	followed := recount.Snapshot{Stream: "orders", Followed: true, Watermark: at(60), Lateness: 5 * time.Minute}
	pulled := recount.Snapshot{Stream: "orders", Lateness: 5 * time.Minute, Pulled: []recount.Window{window(30, 60), window(0, 35), window(100, 130)}}
	both := followed
	both.Pulled = []recount.Window{window(50, 90)}
	touching, late := pulled, followed
	touching.Pulled = []recount.Window{window(30, 60), window(0, 30)}
	late.Pulled = []recount.Window{window(60, 90)}
	everything := recount.Window{To: at(20)}
	for _, tt := range []struct {
		name         string
		s            recount.Snapshot
		needed, read recount.Window
		says         string
	}{
		{"before the watermark", followed, window(0, 55), window(0, 55), ""},
		{"late ones may come", followed, window(0, 56), window(0, 56), "may come up to 5m0s late"},
		{"all of it", followed, window(0, 20), everything, ""},
		{"two spans that share what comes late", pulled, window(10, 50), window(10, 50), ""},
		{"two spans that touch", touching, window(10, 50), window(10, 50), "only these spans were pulled"},
		{"pulled from the watermark on", late, window(40, 85), window(0, 85), "missing"},
		{"up to the span's end", pulled, window(10, 56), window(10, 56), "only these spans were pulled"},
		{"between the spans", pulled, window(40, 110), window(40, 110), "needed is"},
		{"what rows remember is not there", pulled, window(100, 110), window(95, 110), "only these spans were pulled"},
		{"what rows remember is everything", pulled, window(10, 20), everything, "remembers all events"},
		{"pulled beyond the watermark", both, window(40, 85), window(0, 85), ""},
		{"not far enough", both, window(40, 86), window(0, 86), "missing"},
		{"not far enough by days", followed, recount.Window{From: at(0), To: at(0).AddDate(0, 0, 3)}, window(0, 85), "missing: the last 2 days"},
		{"not far enough by more than a duration can say", followed, recount.Window{From: at(0), To: at(0).AddDate(5000, 0, 0)}, window(0, 85), "missing: the last 18262"},
		{"nothing", recount.Snapshot{Stream: "orders"}, window(0, 1), window(0, 1), "no run has read"},
	} {
		incomplete(t, tt.name, cover.Complete(tt.s, tt.needed, tt.read), tt.says)
	}
}

func TestAWindowThatMayNeedLostEventsIsRefused(t *testing.T) {
	s := recount.Snapshot{
		Stream: "orders", Followed: true, Watermark: at(1000), Lateness: time.Minute,
		Files: []recount.DataFile{hourFile("0", "99", 0, 50), hourFile("90", "120", 60, 110), hourFile("200", "300", 100, 119), hourFile("290", "400", 120, 170)},
		Gaps:  []recount.Gap{gap("400", "401", recount.GapControl), gap("121", "200", recount.GapRetention)},
	}
	// It happened between 60, an event before it, and 119, an event after it.
	for _, tt := range []struct {
		name         string
		needed, read recount.Window
		says         string
	}{
		{"long before", window(0, 59), window(0, 59), ""},
		{"just before", window(0, 60), window(0, 60), "positions [121, 200) of partition 0"},
		{"inside", window(70, 80), window(70, 80), "between"},
		{"long after", window(121, 130), window(121, 130), ""},
		{"just after", window(120, 130), window(120, 130), "positions [121, 200)"},
		{"rows remember it", window(130, 140), window(100, 140), "positions [121, 200)"},
		{"rows remember all", window(130, 140), recount.Window{To: at(140)}, "positions [121, 200)"},
		{"rows go on", window(0, 10), recount.Window{From: at(0)}, "positions [121, 200)"},
	} {
		incomplete(t, tt.name, cover.Complete(s, tt.needed, tt.read), tt.says)
	}
	s.Files = s.Files[:2]
	incomplete(t, "nothing came after it", cover.Complete(s, window(900, 910), window(900, 910)), "after")
	s.Files = nil
	incomplete(t, "nothing bounds it", cover.Complete(s, window(0, 1), window(0, 1)), "nothing bounds")
}

func TestRetentionTakesWindowsAway(t *testing.T) {
	s := recount.Snapshot{Stream: "orders", Followed: true, Watermark: at(1000), Since: at(100)}
	incomplete(t, "kept", cover.Complete(s, window(100, 110), window(100, 110)), "")
	incomplete(t, "gone", cover.Complete(s, window(110, 120), window(99, 120)), "taken out by retention")
	incomplete(t, "all", cover.Complete(s, window(110, 120), recount.Window{}), "remembers all events")
}

func TestPositionsAreCompleteWithinOneStretch(t *testing.T) {
	s := recount.Snapshot{
		Stream: "orders", Files: []recount.DataFile{hourFile("10", "19", 0, 1), hourFile("40", "58", 2, 3)},
		Gaps: []recount.Gap{gap("59", "60", recount.GapControl), gap("45", "47", recount.GapRetention)},
		Reached: []recount.Stretch{
			{Partition: "0", First: pad("10"), Last: pad("19"), Pulled: true}, {Partition: "0", First: pad("40"), Last: pad("59")},
		},
	}
	for _, tt := range []struct{ from, to, says string }{
		{"10", "20", ""},
		{"48", "60", ""}, // the last holds no event
		{"9", "20", "its first position"},
		{"50", "61", "its last position"},
		{"15", "45", "only parts of that partition were pulled"},
		{"42", "50", "positions [45, 47)"},
	} {
		err := cover.CompletePositions(s, []recount.PositionWindow{{Partition: "0", From: pad(tt.from), To: pad(tt.to)}})
		incomplete(t, tt.from+" to "+tt.to, err, tt.says)
	}
	incomplete(t, "the cut after a marker", cover.CompleteCut(s, map[string]string{"0": pad("60")}), "")
	s.Reached = append(s.Reached, recount.Stretch{Partition: "0", First: pad("60"), Last: pad("69"), Pulled: true}, recount.Stretch{Partition: "0", First: pad("80"), Last: pad("89"), Pulled: true})
	incomplete(t, "a cut in what was pulled next to it", cover.CompleteCut(s, map[string]string{"0": pad("70")}), "")
	incomplete(t, "a cut in what was pulled apart", cover.CompleteCut(s, map[string]string{"0": pad("85")}), "the archive ends at 69")
	s.Reached = s.Reached[2:] // nothing was followed
	incomplete(t, "a cut in the first that was pulled", cover.CompleteCut(s, map[string]string{"0": pad("65")}), "")
	incomplete(t, "a cut in another that was pulled", cover.CompleteCut(s, map[string]string{"0": pad("85")}), "the archive ends at 69")
	s.Reached = []recount.Stretch{{Partition: "0", First: pad("40"), Last: pad("59")}}
	incomplete(t, "a cut beyond", cover.CompleteCut(s, map[string]string{"0": pad("61")}), "the archive ends")
}

func TestLostEventsHappenedBeforeTheyWereMissed(t *testing.T) {
	g := gap("121", "9223372036854775807", recount.GapRetention)
	g.Before = at(200)
	s := recount.Snapshot{Stream: "orders", Followed: true, Watermark: at(1000), Lateness: time.Minute, Files: []recount.DataFile{hourFile("0", "120", 60, 110)}, Gaps: []recount.Gap{g}}
	incomplete(t, "inside", cover.Complete(s, window(150, 160), window(150, 160)), "between")
	incomplete(t, "just before it was missed", cover.Complete(s, window(200, 210), window(200, 210)), "all positions from 121 on")
	incomplete(t, "after it was missed", cover.Complete(s, window(201, 210), window(201, 210)), "")
}
