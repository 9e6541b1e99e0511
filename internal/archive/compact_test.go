package archive_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/store/mem"
)

// TestMarksAreTheSameWithAnIndexOverCompactions compacts between runs: copies of an
// id are found wherever their events lie by then.
func TestMarksAreTheSameWithAnIndexOverCompactions(t *testing.T) {
	for seed := range uint64(12) {
		if underRace() && seed > 2 {
			break
		}
		rng := rand.New(rand.NewPCG(seed, 31))
		src := randomSource(rng, 1+rng.IntN(300))
		s := &mem.Store{}
		a := archive.Tune(open(s), 1+rng.Int64N(5), rng.Int64N(30), rng.Int64N(30))
		compacted := 0
		grow(t, rng, src, func() {
			opts := options(src)
			opts.CommitEvents = 5 + rng.Int64N(60)
			mustRun(t, a, opts)
		}, func() {
			if rng.IntN(2) == 0 {
				return
			}
			result, err := a.Compact(t.Context(), archive.CompactOptions{Stream: "orders", Dir: t.TempDir()})
			if err != nil && code(err) != recount.CodeNoArchive {
				t.Fatalf("seed %d: compact: %v", seed, err)
			}
			compacted += result.Commits
		})
		checkExactlyOnce(t, s, src)
		sameWithoutHeads(t, s)
		if compacted == 0 && seed == 0 {
			t.Error("nothing was compacted")
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestAnIndexOfExpiredEventsFindsTheOthers: ids of events that were taken out are in
// the index still, and their files are gone.
func TestAnIndexOfExpiredEventsFindsTheOthers(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 32))
		src := randomSource(rng, 200)
		src.watermark = noon.Add(time.Hour)
		s := &mem.Store{}
		a := archive.Tune(open(s), 2, 0, 5)
		first := true
		grow(t, rng, src, func() { mustRun(t, a, options(src)) }, func() {
			snap, err := a.Snapshot(t.Context(), "orders")
			if err != nil || snap.Commit < 3 || !first {
				return
			}
			first = false
			// The older half of the hours, and their objects too.
			var at time.Time
			for _, f := range snap.Files {
				if f.TimeKnown && f.LastTime.Before(noon) && (at.IsZero() || f.LastTime.After(at)) {
					at = f.LastTime
				}
			}
			opts := archive.ExpireOptions{Stream: "orders", Before: at.Add(time.Hour).Truncate(time.Hour)}
			if opts.Before.After(snap.Watermark) {
				opts.Before = snap.Watermark.Truncate(time.Hour)
			}
			if _, err := a.Expire(t.Context(), opts); err != nil {
				t.Fatalf("seed %d: expire: %v", seed, err)
			}
		})
		if report, err := open(s).Verify(t.Context(), nil, nil); err != nil {
			t.Errorf("seed %d: verify: %v %+v", seed, err, report)
		}
		sameWithoutHeads(t, s)
	}
}
