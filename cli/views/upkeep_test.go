package views

import (
	"bytes"
	"testing"
	"time"

	"recount"
	"recount/internal/app"
	"recount/internal/archive"
	"recount/internal/archive/iceberg"
)

// upkeepViews are the screens of compact, expire and register.
func upkeepViews() map[string]func(*Output) error {
	const week = 7 * 24 * time.Hour
	return map[string]func(*Output) error{
		"archive_compact": func(o *Output) error {
			joined := app.ArchiveCompacted{CompactResult: archive.CompactResult{
				Stream: "orders", Hours: 24, Files: 1720, Made: 31, Events: 9_120_000, Bytes: 1_900_000_000, Packed: 1_412_000_000, Commits: 2, Snapshot: "9f3c1ab20000aa",
			}, TookMS: 61_200}
			dry := joined
			dry.DryRun, dry.Packed, dry.Commits, dry.Stream = true, 0, 0, "refunds"
			none := app.ArchiveCompacted{CompactResult: archive.CompactResult{Stream: "payments", Snapshot: "77aa"}}
			return NewUpkeep(o).Compacted([]app.ArchiveCompacted{joined, dry, none})
		},
		"archive_expire": func(o *Output) error {
			out := app.ArchiveExpired{ExpireResult: archive.ExpireResult{
				Stream: "orders", Before: at12, Files: 24, Events: 9_120_000, Bytes: 1_412_000_000, Deleted: archive.Objects{Count: 1720, Bytes: 1_900_000_000},
				Leftovers: archive.Objects{Count: 1, Bytes: 912}, Snapshot: "9f3c1ab20000aa",
			}, Asked: at12.Add(10 * time.Minute)}
			out.Kept = []archive.Kept{
				{Objects: archive.Objects{Count: 24, Bytes: 1_412_000_000}, Why: "snapshots of the last 168h have them"},
				{Objects: archive.Objects{Count: 2, Bytes: 99_000}, Why: "plan fix.plan refers to them"},
			}
			dry := out
			dry.DryRun, dry.Stream, dry.Asked = true, "refunds", at12
			none := app.ArchiveExpired{ExpireResult: archive.ExpireResult{Stream: "payments", Snapshot: "77aa"}}
			early := app.ArchiveExpired{ExpireResult: archive.ExpireResult{Stream: "returns", Before: at12.Add(-week), Snapshot: "88bb"}, Asked: at12.Add(-week)}
			return NewUpkeep(o).Expired([]app.ArchiveExpired{out, dry, none, early})
		},
		"archive_register": func(o *Output) error {
			return NewUpkeep(o).Registered([]app.ArchiveRegistered{
				{Registered: iceberg.Registered{Stream: "orders", Snapshot: "9f3c1ab20000aa", Passed: 3, Tables: []iceberg.Table{
					{Name: "recount.orders", Files: 31, Rows: 9_120_000, Added: 31, Anew: true}, {Name: "recount.orders_marks", Files: 3, Rows: 240, Added: 1, Dropped: 2},
				}}, Catalog: "lake/catalog.db", TookMS: 812},
				{Registered: iceberg.Registered{Stream: "payments", Snapshot: "77aa", Tables: []iceberg.Table{{Name: "recount.payments", Files: 1, Rows: 9}}}, Catalog: "lake/catalog.db"},
			})
		},
	}
}

// TestNothingOfWhatALiveRunSaysIsCutOff has lines that are longer than the screen.
func TestNothingOfWhatALiveRunSaysIsCutOff(t *testing.T) {
	var errs bytes.Buffer
	v := NewArchive(&Output{Err: &errs, ErrStyle: Style{Width: 80}})
	ran := app.ArchiveRan{Source: "orders", Events: 12, Files: 1, Bytes: 2400, Commits: 1, Watermark: at12}
	v.Goes(app.ArchiveStatus{ArchiveRan: ran, Retry: 4 * time.Second, Err: &recount.Error{
		Code: recount.CodeSourceDown, What: "Kafka cannot be reached", Why: "look at the topics: unable to dial: dial tcp 10.0.4.7:9092: connect: connection refused",
	}})
	v.Goes(app.ArchiveStatus{ArchiveRan: ran, Lost: []recount.Gap{
		{Partition: "0", From: "00000000000000000005", To: "00000000000000000008", Reason: recount.GapRetention},
		{Partition: "1", From: "00000000000000000005", To: "09223372036854775807", Reason: recount.GapRetention},
	}})
	want := `  orders  Kafka cannot be reached, again in 4.0 s
          look at the topics: unable to dial: dial tcp 10.0.4.7:9092: connect:
          connection refused
  orders  12 new events · 1 file · 2.3 KiB · complete to 2024-06-10 12:00 UTC
  orders  events are lost: partition 0, positions [5, 8) were deleted before
          they were archived
  orders  events are lost: partition 1, all positions from 5 on were deleted
          before they were archived
`
	if got := errs.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
