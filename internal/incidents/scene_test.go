package incidents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"recount/adapter"
	_ "recount/adapters/all"
	"recount/engine/duckdb"
	"recount/internal/app"
	"recount/internal/clock"
	"recount/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(duckdb.RunTests(m)) }

// event is one message of the shop's topic. Offsets count per partition.
type event struct {
	Partition string    `json:"p"`
	Offset    int64     `json:"o"`
	ID        string    `json:"id"`
	At        time.Time `json:"at"` // event time
	In        time.Time `json:"in"` // when the broker took it in
	Key       string    `json:"key"`
	Kind      string    `json:"kind"`
	Country   string    `json:"country"`
	Cents     int64     `json:"cents"`
	Amount    string    `json:"amount"` // Cents, in whole units
	Seq       int64     `json:"seq"`    // the order that its maker gave it
	Old       bool      `json:"-"`      // as the worker reads it: its wrong version is at work
}

// scene is one incident: what the worker does, and how it goes wrong.
type scene struct {
	// name is the folder under testdata with the project's files and the plan's
	// screen, and the name of the page in docs/incidents.
	name string
	ddl  string
	// step is the event time from one event to the next. began, where it is not
	// zero, is that of the first; the clock of such a scene then stands at event
	// number played when the archive is first looked at, and goes on from there.
	step   time.Duration
	began  time.Time
	played int
	// make makes the nth event, without partition and offset.
	make func(rng *rand.Rand, n int) event
	// work writes one event to the live tables, as the worker does.
	work func(ctx context.Context, tx pgx.Tx, e event) error
	// wrong says how often the worker processes an event, and changes it as the
	// worker reads it.
	wrong func(e event) (times int, read event)
	// fold is the truth: the row of each key, as text, after one more event.
	fold func(rows map[string]string, e event)
	// query lists the live rows: key and row, as the fold spells them.
	query string
}

// partitions of the topic. A key has one of them.
const partitions = 4

func partitionOf(key string) string {
	h := uint32(2166136261)
	for _, b := range []byte(key) {
		h = (h ^ uint32(b)) * 16777619
	}
	return fmt.Sprint(h % partitions)
}

// began is the event time of the first event; one follows each step.
var began = time.Date(2026, 10, 1, 11, 0, 0, 0, time.UTC)

// stage is a scene that runs: topic, worker, database, archive.
type stage struct {
	t     *testing.T
	scene scene
	dir   string
	dsn   string
	rng   *rand.Rand

	archiving sync.Mutex // a stream has one archiver at a time

	mu    sync.Mutex
	log   map[string][]event // the topic by partition
	made  int
	file  *os.File
	pause bool // the worker stands still

	started time.Time // when the scene's own clock was first looked at

	background sync.WaitGroup
	stop       context.CancelFunc
}

// play sets a scene up: tables, project and an empty topic.
func play(t *testing.T, s scene) *stage {
	t.Helper()
	st := &stage{t: t, scene: s, dir: t.TempDir(), dsn: pgtest.Start(t), rng: rand.New(rand.NewPCG(4, 2)), log: map[string][]event{}} //nolint:gosec // the same incident each time
	st.exec("CREATE TABLE worker_offsets (partition text PRIMARY KEY, next bigint NOT NULL);" + s.ddl)
	for p := range partitions {
		st.exec(fmt.Sprintf("INSERT INTO worker_offsets VALUES ('%d', 0)", p))
	}
	if err := os.CopyFS(st.dir, os.DirFS(filepath.Join("testdata", s.name))); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LIVE_DSN", st.dsn)
	f, err := os.OpenFile(filepath.Join(st.dir, "events.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	st.file = f
	t.Cleanup(st.end)
	return st
}

func (st *stage) write(name, text string) {
	st.t.Helper()
	if err := os.WriteFile(filepath.Join(st.dir, name), []byte(text), 0o600); err != nil {
		st.t.Fatal(err)
	}
}

func (st *stage) connect() *pgx.Conn {
	conn, err := pgx.Connect(st.t.Context(), st.dsn)
	if err != nil {
		st.t.Fatal(err)
	}
	return conn
}

func (st *stage) exec(statement string, args ...any) {
	st.t.Helper()
	conn := st.connect()
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	if _, err := conn.Exec(st.t.Context(), statement, args...); err != nil {
		st.t.Fatalf("%s: %v", statement, err)
	}
}

// produce appends n events to the topic, and to its export.
func (st *stage) produce(n int) {
	st.t.Helper()
	// A line is never read half: whoever writes the export and whoever archives it
	// take turns, as a program that renames finished files would have it.
	lines := st.publish(n)
	st.archiving.Lock()
	defer st.archiving.Unlock()
	if _, err := st.file.Write(lines); err != nil {
		st.t.Error(err)
	}
}

// publish puts n events on the topic and returns their lines of the export.
func (st *stage) publish(n int) []byte {
	st.mu.Lock()
	defer st.mu.Unlock()
	var lines bytes.Buffer
	for range n {
		e := st.scene.make(st.rng, st.made)
		e.Partition = partitionOf(e.Key)
		e.Offset = int64(len(st.log[e.Partition]))
		if e.ID == "" {
			e.ID = fmt.Sprintf("e%06d", st.made)
		}
		if e.At.IsZero() {
			e.At = st.at(st.made)
		}
		e.Amount = fmt.Sprintf("%s%d.%02d", map[bool]string{true: "-"}[e.Cents < 0], abs(e.Cents)/100, abs(e.Cents)%100)
		e.In = st.at(st.made).Add(50 * time.Millisecond)
		st.made++
		st.log[e.Partition] = append(st.log[e.Partition], e)
		line, err := json.Marshal(e)
		if err != nil {
			st.t.Error(err)
			return nil
		}
		lines.Write(append(line, '\n'))
	}
	return lines.Bytes()
}

func abs(n int64) int64 { return max(n, -n) }

// at is the event time of the nth event, unless its maker gives it another.
func (s scene) at(n int) time.Time {
	from := s.began
	if from.IsZero() {
		from = began
	}
	return from.Add(time.Duration(n) * s.step)
}

func (st *stage) at(n int) time.Time { return st.scene.at(n) }

// offsetAt is the first offset of the partition whose event is the nth or later.
func (st *stage) offsetAt(partition string, n int) int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, e := range st.log[partition] {
		if !e.In.Before(st.at(n)) {
			return e.Offset
		}
	}
	return int64(len(st.log[partition]))
}

// someOf returns some keys of a partition.
func (st *stage) someOf(partition string, n int) []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	var keys []string
	for _, e := range st.log[partition] {
		if len(keys) < n && !slices.Contains(keys, e.Key) {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

// work lets the worker process one batch of each partition; it says whether there
// was any.
func (st *stage) work(ctx context.Context, conn *pgx.Conn, most int) (bool, error) {
	any := false
	for p := range partitions {
		partition := fmt.Sprint(p)
		worked, err := st.batch(ctx, conn, partition, most)
		if err != nil {
			return any, fmt.Errorf("partition %s: %w", partition, err)
		}
		any = any || worked
	}
	return any, nil
}

func (st *stage) batch(ctx context.Context, conn *pgx.Conn, partition string, most int) (bool, error) {
	for {
		worked, err := st.batchOnce(ctx, conn, partition, most)
		var server *pgconn.PgError
		if errors.As(err, &server) && (server.Code == "40P01" || server.Code == "40001") && ctx.Err() == nil {
			continue // the database let an apply through: a worker takes the batch again
		}
		return worked, err
	}
}

func (st *stage) batchOnce(ctx context.Context, conn *pgx.Conn, partition string, most int) (worked bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, ignoreClosed(tx.Rollback(context.WithoutCancel(ctx)))) }()
	var next int64
	if err := tx.QueryRow(ctx, "SELECT next FROM worker_offsets WHERE partition = $1 FOR UPDATE", partition).Scan(&next); err != nil {
		return false, err
	}
	st.mu.Lock()
	events := slices.Clone(st.log[partition][min(next, int64(len(st.log[partition]))):])
	if st.pause {
		events = nil
	}
	st.mu.Unlock()
	events = events[:min(most, len(events))]
	if len(events) == 0 {
		return false, nil
	}
	for _, e := range events {
		times, read := st.scene.wrong(e)
		for range times {
			if err := st.scene.work(ctx, tx, read); err != nil {
				return false, err
			}
		}
	}
	if _, err := tx.Exec(ctx, "UPDATE worker_offsets SET next = $2 WHERE partition = $1", partition, next+int64(len(events))); err != nil {
		return false, err
	}
	return true, tx.Commit(ctx)
}

func ignoreClosed(err error) error {
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

// drain lets the worker process all that is there.
func (st *stage) drain() {
	st.t.Helper()
	conn := st.connect()
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	for {
		worked, err := st.work(st.t.Context(), conn, 1000)
		if err != nil {
			st.t.Fatal(err)
		}
		if !worked {
			return
		}
	}
}

// live starts traffic: events come in, the worker processes them in small
// batches, the archiver follows.
func (st *stage) live() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(st.t.Context()))
	st.stop = cancel
	conn := st.connect()
	run := func(every time.Duration, act func() error) {
		st.background.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if err := act(); err != nil && ctx.Err() == nil {
					st.t.Error(err)
					return
				}
			}
		})
	}
	run(20*time.Millisecond, func() error { st.produce(2); return nil })
	run(10*time.Millisecond, func() error { _, err := st.work(ctx, conn, 5); return err })
	run(200*time.Millisecond, func() error { return st.archive(ctx) })
}

// halt stops the worker, and returns when it stands still: its batch is
// committed, events go on coming in. The positions at which it stands are
// written to the file.
func (st *stage) halt(file string) {
	st.t.Helper()
	st.mu.Lock()
	st.pause = true
	st.mu.Unlock()
	conn := st.connect()
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	// A batch that is under way holds its partition's row.
	rows, err := conn.Query(st.t.Context(), "SELECT partition || ':' || next FROM worker_offsets ORDER BY partition FOR UPDATE")
	if err != nil {
		st.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		st.t.Fatal(err)
	}
	st.write(file, strings.Join(lines, "\n")+"\n")
}

// resume starts the worker again.
func (st *stage) resume() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.pause = false
}

// quiet ends the traffic and lets the worker catch up.
func (st *stage) quiet() {
	st.t.Helper()
	if st.stop != nil {
		st.stop()
		st.background.Wait()
		st.stop = nil
	}
	st.drain()
}

func (st *stage) end() {
	if st.stop != nil {
		st.stop()
		st.background.Wait()
	}
	if err := st.file.Close(); err != nil {
		st.t.Error(err)
	}
}

// Now is the time of the archive, the plans and the ledger: the machine's, or, once
// the scene has a clock of its own, that of the events.
func (st *stage) Now() time.Time {
	if st.scene.began.IsZero() {
		return clock.System{}.Now()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.started.IsZero() {
		st.started = clock.System{}.Now()
	}
	return st.at(st.scene.played).Add(clock.System{}.Now().Sub(st.started))
}

// recount opens the project.
func (st *stage) recount(ctx context.Context) (*app.App, error) {
	return app.Open(ctx, app.Options{
		Dir: st.dir, Registry: adapter.Default, Clock: st, User: "oncall", Program: "recount test", Getenv: os.LookupEnv,
	})
}

// open opens the project for the length of the test.
func (st *stage) open() *app.App {
	st.t.Helper()
	a, err := st.recount(st.t.Context())
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() {
		if err := a.Close(); err != nil {
			st.t.Error(err)
		}
	})
	return a
}

// archive reads the topic's export to its present end.
func (st *stage) archive(ctx context.Context) error {
	st.archiving.Lock()
	defer st.archiving.Unlock()
	a, err := st.recount(ctx)
	if err != nil {
		return err
	}
	_, err = a.ArchiveRun(ctx, nil)
	return errors.Join(err, a.Close())
}
