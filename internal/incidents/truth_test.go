package incidents_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// truth folds the topic as a worker would that never goes wrong.
type truth struct {
	st   *stage
	next map[string]int64
	rows map[string]string
}

func (st *stage) truth() *truth {
	return &truth{st: st, next: map[string]int64{}, rows: map[string]string{}}
}

// to folds on up to the offsets.
func (tr *truth) to(next map[string]int64) {
	tr.st.mu.Lock()
	defer tr.st.mu.Unlock()
	for _, p := range slices.Sorted(maps.Keys(next)) {
		for ; tr.next[p] < next[p]; tr.next[p]++ {
			tr.st.scene.fold(tr.rows, tr.st.log[p][tr.next[p]])
		}
	}
}

// look reads the worker's offsets and the live rows at one moment.
func (st *stage) look(ctx context.Context, conn *pgx.Conn) (next map[string]int64, rows map[string]string, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	next, rows = map[string]int64{}, map[string]string{}
	found, err := tx.Query(ctx, "SELECT partition, next FROM worker_offsets")
	if err != nil {
		return nil, nil, err
	}
	var partition string
	var offset int64
	if _, err := pgx.ForEachRow(found, []any{&partition, &offset}, func() error { next[partition] = offset; return nil }); err != nil {
		return nil, nil, err
	}
	if found, err = tx.Query(ctx, st.scene.query); err != nil {
		return nil, nil, err
	}
	var key, row string
	_, err = pgx.ForEachRow(found, []any{&key, &row}, func() error { rows[key] = row; return nil })
	return next, rows, err
}

// watch looks at the table again and again until stop is called: a row that was
// right once must stay right. Rows that somebody edits by hand are left out.
func (st *stage) watch(edited ...string) (stop func()) {
	st.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(st.t.Context()))
	conn, tr := st.connect(), st.truth()
	right, looks := map[string]bool{}, 0
	var done sync.WaitGroup
	done.Go(func() {
		defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
		for ctx.Err() == nil {
			next, rows, err := st.look(ctx, conn)
			if err != nil {
				if ctx.Err() == nil {
					st.t.Error(err)
				}
				return
			}
			looks++
			tr.to(next)
			for key, want := range tr.rows {
				switch {
				case slices.Contains(edited, key):
				case rows[key] == want:
					right[key] = true
				case right[key]:
					st.t.Errorf("a right row was made wrong: %s reads %s, right is %s", key, rows[key], want)
					right[key] = false
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		if looks < 3 {
			st.t.Errorf("the table was looked at %d times only", looks)
		}
	}
}

// differences compares the live table with that of a run that never went wrong;
// the worker has processed everything.
func (st *stage) differences() map[string]string {
	st.t.Helper()
	conn := st.connect()
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	next, rows, err := st.look(st.t.Context(), conn)
	if err != nil {
		st.t.Fatal(err)
	}
	tr := st.truth()
	tr.to(next)
	out := map[string]string{}
	for key, want := range tr.rows {
		if rows[key] != want {
			out[key] = fmt.Sprintf("reads %q, right is %q", rows[key], want)
		}
	}
	for key, row := range rows {
		if _, known := tr.rows[key]; !known {
			out[key] = fmt.Sprintf("reads %q, and should not be there", row)
		}
	}
	return out
}

// only checks that just these rows differ.
func only(t *testing.T, got map[string]string, want ...string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want)) // the caller's goes on being read
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
		t.Errorf("rows that differ from a run that never went wrong:\n got %v\nwant %v\n%v", keys, want, got)
	}
}
