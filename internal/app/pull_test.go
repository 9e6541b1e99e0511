package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/internal/app"
	"recount/source"
)

// busLog is a stream of two partitions that keeps everything; its own clock is
// event time.
type busLog struct {
	stream string
	fail   error
}

var busEpoch = time.Date(2024, 6, 10, 8, 0, 0, 0, time.UTC)

// busEvents are 10 s apart: 4 h of payments of nine accounts.
var busEvents = sync.OnceValue(func() map[string][]recount.Event {
	rng := rand.New(rand.NewPCG(5, 8)) //nolint:gosec // the same history each time
	parts := map[string][]recount.Event{}
	for n := range 1440 {
		account, cents := rng.IntN(9), 100+rng.IntN(5000)
		p := strconv.Itoa(account % 2)
		text := fmt.Sprintf("%d.%02d", cents/100, cents%100)
		data, err := json.Marshal(map[string]any{"id": n, "account": account, "amount": text})
		if err != nil {
			panic(err)
		}
		parts[p] = append(parts[p], recount.Event{
			ID: fmt.Sprintf("e%d", n), Partition: p, Position: recount.PadPosition(strconv.Itoa(len(parts[p]))), Data: data,
			Time: busEpoch.Add(time.Duration(n) * 10 * time.Second), Fields: []recount.Value{recount.Text(fmt.Sprintf("a%d", account)), recount.Text(text)},
		})
	}
	return parts
})

var busAdapter = sync.OnceFunc(func() {
	type config struct {
		Broken string `json:"broken" doc:"An error that reading gives."`
	}
	adapter.Register(adapter.Declare(adapter.Source, "testbus", "Is a bus of a test.", func(_ context.Context, env adapter.Env, c config) (source.Source, error) {
		b := &busLog{stream: env.Stream}
		if c.Broken != "" {
			b.fail = &recount.Error{Code: recount.CodeSourceFile, What: "it is broken", Where: "here", Why: c.Broken, Next: "mend it"}
		}
		return b, nil
	}))
})

func (b *busLog) Info() source.Info { return source.Info{HasID: true, Place: "bus", Dense: true} }

func (b *busLog) Decoder(string, string) (source.Decoder, error) { return nil, recount.ErrUnsupported }
func (b *busLog) Check(context.Context) error                    { return nil }
func (b *busLog) Close() error                                   { return nil }

func (b *busLog) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	if b.fail != nil {
		return source.End{}, b.fail
	}
	for p, list := range busEvents() {
		from := 0
		if c, ok := cursor[p]; ok {
			from, _ = strconv.Atoi(c)
		}
		if err := b.hand(p, list, from, len(list), emit); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: busEpoch.Add(4 * time.Hour), Partitions: 2}, ctx.Err()
}

func (b *busLog) hand(p string, list []recount.Event, from, to int, emit func(source.Batch) error) error {
	if from >= to {
		return nil
	}
	events := make([]recount.Event, 0, to-from)
	for _, e := range list[from:to] {
		e.Fields = append([]recount.Value(nil), e.Fields...)
		events = append(events, e)
	}
	return emit(source.Batch{Partition: p, Events: events, Cursor: strconv.Itoa(to), Format: "json"})
}

func (b *busLog) ReadSpan(_ context.Context, span source.Span, emit func(source.Batch) error) (source.End, error) {
	for p, list := range busEvents() {
		from, to := 0, 0
		for _, w := range span.Positions {
			if w.Partition == p {
				from, _ = strconv.Atoi(recount.ShortPosition(w.From))
				to, _ = strconv.Atoi(recount.ShortPosition(w.To))
			}
		}
		if len(span.Positions) == 0 {
			for from < len(list) && list[from].Time.Before(span.From) {
				from++
			}
			to = from
			for to < len(list) && list[to].Time.Before(span.To) {
				to++
			}
		}
		nameless := func(batch source.Batch) error { batch.Cursor = ""; return emit(batch) } // its partitions are never others
		if err := b.hand(p, list, from, to, nameless); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Partitions: 2}, nil
}

// busProject has a live table of sums of ten minutes, in which the worker counted
// the second half of the window's first bucket twice.
func busProject(t *testing.T, memory string) string {
	t.Helper()
	busAdapter()
	dir := t.TempDir()
	key, logic := "[account, bucket]", "SELECT account, time_bucket(INTERVAL '10 minutes', time) AS bucket, sum(amount) AS total FROM events GROUP BY ALL"
	config := `version: 1
archive: archive
sources:
  payments:
    testbus: {}
    event: {id: id, time: at}
    fields: {account: string, amount: "decimal(18,2)"}
    lateness: 1m
calculations:
  totals:
    source: payments
    sql: totals.sql
    key: ` + key + `
    memory: ` + memory + `
    bucket: 10m
    target:
      sqlite: {path: live.db}
      table: totals
`
	for name, text := range map[string]string{"recount.yaml": config, "totals.sql": logic} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, dir)
	exec(t, db, "CREATE TABLE totals (account TEXT, bucket TIMESTAMP, total DECIMAL(18,2), PRIMARY KEY (account, bucket))")
	totals := map[string]float64{}
	from := busEpoch.Add(2 * time.Hour)
	for _, list := range busEvents() {
		for _, e := range list {
			amount, err := strconv.ParseFloat(e.Fields[1].Text, 64)
			if err != nil {
				t.Fatal(err)
			}
			if !e.Time.Before(from.Add(5*time.Minute)) && e.Time.Before(from.Add(10*time.Minute)) {
				amount *= 2
			}
			totals[e.Fields[0].Text+" "+e.Time.Truncate(10*time.Minute).Format(time.RFC3339)] += amount
		}
	}
	for k, total := range totals {
		account, bucket, _ := strings.Cut(k, " ")
		exec(t, db, "INSERT INTO totals VALUES (?, ?, ?)", account, bucket, fmt.Sprintf("%.2f", total))
	}
	return dir
}

func planTotals(t *testing.T, dir string, window app.WindowRequest) (app.Planned, error) {
	t.Helper()
	return openApp(t, dir).Plan(t.Context(), app.PlanRequest{Calculation: "totals", Out: "fix.plan", Window: window, Overrides: app.Overrides{AcceptTwoWay: true}})
}

func at(minutes int) string {
	return recount.FormatTimestamp(busEpoch.Add(time.Duration(minutes) * time.Minute))
}

func TestAPlanThatPullsIsThePlanOfAWholeArchive(t *testing.T) {
	window := app.WindowRequest{From: at(120), To: at(130)}
	positions := app.WindowRequest{FromPositions: []string{"0:402", "1:322"}, ToPositions: []string{"0:430", "1:345"}}
	for name, tt := range map[string]struct {
		memory string
		window app.WindowRequest
	}{
		"window": {"window", window}, "duration": {"30m", window}, "everything": {"unbounded", window}, "positions": {"window", positions},
	} {
		t.Run(name, func(t *testing.T) {
			whole, bare := busProject(t, tt.memory), busProject(t, tt.memory)
			if _, err := openApp(t, whole).ArchiveRun(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			want, err := planTotals(t, whole, tt.window)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := planTotals(t, bare, tt.window); codeOf(err) != recount.CodeNoArchive {
				t.Fatalf("without --pull: got %v", err)
			}
			pull := tt.window
			pull.Pull = true
			got, err := planTotals(t, bare, pull)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got.Plan.Changes) != fmt.Sprint(want.Plan.Changes) || len(got.Plan.Changes) == 0 {
				t.Errorf("changes: got %v, want %v", got.Plan.Changes, want.Plan.Changes)
			}
			ls, err := openApp(t, bare).ArchiveLs(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if all := ls[0].Total.Events == 1440; all != (tt.memory == "unbounded") {
				t.Errorf("%d events were pulled for memory %s", ls[0].Total.Events, tt.memory)
			}
			// Once it is there it needs no pulling, and pulling adds nothing.
			for _, w := range []app.WindowRequest{tt.window, pull} {
				if _, err := planTotals(t, bare, w); err != nil {
					t.Error(err)
				}
			}
			again, err := openApp(t, bare).ArchiveLs(t.Context(), nil)
			if err != nil || again[0].Total.Events != ls[0].Total.Events {
				t.Errorf("%d events, then %d: %v", ls[0].Total.Events, again[0].Total.Events, err)
			}
			if tt.memory == "window" {
				if _, err := planTotals(t, bare, app.WindowRequest{From: at(60), To: at(70)}); codeOf(err) != recount.CodeIncomplete {
					t.Errorf("another window: got %v", err)
				}
			}
			if _, err := openApp(t, bare).ArchiveVerify(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func codeOf(err error) recount.Code {
	if e, ok := errors.AsType[*recount.Error](err); ok {
		return e.Code
	}
	return ""
}

// TestOneBrokenSourceOfALiveRunLetsTheOthersEndWell runs two at once.
func TestOneBrokenSourceOfALiveRunLetsTheOthersEndWell(t *testing.T) {
	dir := busProject(t, "window")
	name := filepath.Join(dir, "recount.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), "calculations:", "  broken:\n    testbus: {broken: so it is}\n    event: {id: id, time: at}\ncalculations:", 1)
	if err := os.WriteFile(name, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	var told []app.ArchiveStatus
	ran, err := openApp(t, dir).Archive(t.Context(), app.ArchiveRequest{Live: true, Memory: 32 << 20, Tell: func(s app.ArchiveStatus) { told = append(told, s) }})
	if codeOf(err) != recount.CodeSourceFile {
		t.Fatalf("got %v, want the broken source's error", err)
	}
	for _, r := range ran { // those that committed something
		if len(ran) != 1 || r.Source != "payments" || r.Commits == 0 || r.Events > 1440 {
			t.Errorf("results: %+v, want what payments had read by then", ran)
		}
	}
	if _, err := openApp(t, dir).ArchiveRun(t.Context(), []string{"payments"}); err != nil {
		t.Error(err)
	}
	if list, err := openApp(t, dir).ArchiveLs(t.Context(), nil); err != nil || list[0].Total.Events != 1440 {
		t.Errorf("archive: %+v, %v", list, err)
	}
}
