package limits_test

import (
	"testing"
	"time"

	"recount"
	"recount/examples/go-worker/limits"
	"recount/worker/workertest"
)

var stream = workertest.Stream{
	By:     []string{"wallet"},
	Fields: map[string]string{"wallet": "string", "amount": "decimal(10,2)", "shop": "string"},
	Bucket: recount.Bucket{Size: 24 * time.Hour},
}

func TestThePaymentsOfThreeDays(t *testing.T) {
	payments := workertest.Read(t, "../payments.jsonl")
	workertest.Golden(t, "testdata/right.golden", workertest.Replay(t, limits.Fold, stream, payments))
	workertest.Golden(t, "testdata/v1.golden", workertest.Replay(t, limits.V1, stream, payments))
}

func TestAPaymentOfNothingIsLeftOut(t *testing.T) {
	got := workertest.Replay(t, limits.Fold, stream, []workertest.Event{
		{"id": "p1", "wallet": "w1", "amount": "0.00", "time": "2024-06-10T12:00:00Z"},
	})
	if len(got.Poisoned) != 1 || got.Poisoned[0].ID != "p1" {
		t.Errorf("got\n%s\nwant p1 to be left out", got)
	}
}
