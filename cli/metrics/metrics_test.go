package metrics_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/cli/metrics"
	"recount/internal/app"
	"recount/internal/clock"
)

func TestMetricsSayWhereEachRunStands(t *testing.T) {
	noon := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	s, err := metrics.Listen(t.Context(), ":0", clock.Fixed(noon))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.Address(), "127.0.0.1:") {
		t.Errorf("it listens at %s, which others reach", s.Address())
	}
	s.Set(app.ArchiveStatus{ArchiveRan: app.ArchiveRan{Source: "orders", Events: 12, Bytes: 3000, Commits: 2, Gaps: 3, Watermark: noon.Add(-90 * time.Second)}})
	s.Set(app.ArchiveStatus{
		ArchiveRan: app.ArchiveRan{Source: "orders", Events: 12, Bytes: 3000, Commits: 2, Gaps: 3, Watermark: noon.Add(-90 * time.Second)},
		Err:        errors.New("down"), Lost: []recount.Gap{{Partition: "0"}},
	})
	s.Set(app.ArchiveStatus{ArchiveRan: app.ArchiveRan{Source: "clicks"}})
	got := get(t, "http://"+s.Address()+"/metrics")
	for _, want := range []string{
		`recount_archive_lag_seconds{source="orders"} 90`, `recount_archive_events_total{source="orders"} 12`,
		`recount_archive_events_total{source="clicks"} 0`, `recount_archive_errors_total{source="orders"} 1`, `recount_archive_waiting{source="orders"} 1`,
		`recount_archive_lost_gaps_total{source="orders"} 1`, "# TYPE recount_archive_bytes_total counter", `recount_archive_watermark_seconds{source="orders"} 1718020710`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, `lag_seconds{source="clicks"}`) {
		t.Error("a stream without a watermark has a lag")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(body)
}
