package archive_test

import (
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/clock"
	"recount/store/disk"
)

func TestARunArchivesWhatTheSourceHolds(t *testing.T) {
	s, err := disk.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := archive.Open(s, clock.Fixed(noon))
	src := newSource(1000)
	res, err := a.Run(t.Context(), options(src))
	if err != nil {
		t.Fatal(err)
	}
	if res.Events != 1000 || res.Commits != 1 {
		t.Errorf("result: %+v", res)
	}
	snap, err := a.Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.VerifyFiles(t.Context(), snap.Files, snap.Marks); err != nil {
		t.Error(err)
	}
	if err := archive.Complete(snap, recount.Window{From: noon.Add(-time.Hour), To: noon}); err != nil {
		t.Error(err)
	}
	again, err := a.Run(t.Context(), options(src))
	if err != nil || again.Events != 0 {
		t.Errorf("second run: %+v, %v", again, err)
	}
}
