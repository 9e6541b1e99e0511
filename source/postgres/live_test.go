package postgres

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/clock"
	"recount/source"
	"recount/store/mem"
)

// TestALiveRunOverLostConnections archives a table live while the server ends its
// connections again and again: each change is in the archive once.
func TestALiveRunOverLostConnections(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)")
	w.publish("TABLE orders")
	s, store := w.open(typed("row=id"), nil), &mem.Store{}
	a := archive.Open(store, clock.System{})
	options := archive.RunOptions{Stream: "orders", Source: s, Fields: s.env.Mapping.Fields, MappingDigest: "m", Program: "test"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var events atomic.Int64
	ended := make(chan error, 1)
	go func() {
		live := options
		live.Live, live.Flush = true, 200*time.Millisecond
		live.Tell = func(s archive.Status) { events.Store(s.Result.Events) }
		_, err := a.Run(ctx, live)
		ended <- err
	}()
	const each, rounds = 5000, 2
	for n := range int64(rounds) {
		w.exec("INSERT INTO orders SELECT generate_series(1, $1::int)", each)
		w.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'recount'")
		w.exec("INSERT INTO orders VALUES (0)")
		w.until("all is archived", func() bool { return events.Load() == (n+1)*(each+1) })
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("live run: got %v, want its end on request", err)
	}
	snapshot, err := a.Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, f := range snapshot.Files {
		rows += f.Rows - f.Repeats - f.Faults
	}
	if rows != rounds*(each+1) || len(snapshot.Gaps) > 0 {
		t.Errorf("got %d rows and gaps %v, want %d and none", rows, snapshot.Gaps, rounds*(each+1))
	}
	m, _, err := newest(source.Cursor(snapshot.Cursor))
	if err != nil {
		t.Fatal(err)
	}
	w.until("the slot stands at the archive's end", func() bool { return w.confirmed() == m.LSN })
	if report, err := a.Verify(t.Context(), nil, recount.Quiet{}); err != nil {
		t.Errorf("verify: got %+v, %v", report, err)
	}
	// Another process goes on, and has nothing to do.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	options.Source = w.open(typed("row=id"), nil)
	if result, err := a.Run(t.Context(), options); err != nil || result.Events != 0 {
		t.Errorf("another run: got %d events, %v", result.Events, err)
	}
}
