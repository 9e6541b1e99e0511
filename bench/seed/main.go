// Command seed measures the seed's case at scale: the half hour of a day of
// 10 million events in which results went wrong, recalculated, compared and
// planned by recount and by what people use otherwise. All are whole processes,
// run in turn; a peer that cannot be had is left out, with a sentence.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"recount/bench/machine"
)

func main() {
	b := bench{}
	flag.IntVar(&b.events, "events", 10_000_000, "events of the day")
	flag.IntVar(&b.users, "users", 200_000, "users")
	flag.IntVar(&b.runs, "runs", 5, "counted runs of each; the median is shown")
	flag.BoolVar(&b.shuffled, "shuffled", false, "write the events in no order, as the seed's file is; else in order of time, as a log is")
	flag.StringVar(&b.dir, "dir", filepath.Join(os.TempDir(), "recount-bench-seed"), "folder for data and the Python environment, kept between runs")
	flag.Parse()
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench/seed:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

type bench struct {
	events, users, runs int
	shuffled            bool
	dir                 string
	data                string
	windowWrong         int
	dayWrong            int
	importRate          float64
	python              string
	recount             string
}

func (b *bench) run(ctx context.Context) error {
	order := "time"
	if b.shuffled {
		order = "shuffled"
	}
	b.data = filepath.Join(b.dir, fmt.Sprintf("%d-%d-%s", b.events, b.users, order))
	if err := os.MkdirAll(b.data, 0o755); err != nil { //nolint:gosec // a scratch folder
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	window := b.peers("window", windowFrom, windowTo, "existing_window.csv", b.windowWrong)
	day := b.peers("day", dayStart, dayEnd, "existing_day.csv", b.dayWrong)
	// Of the day only DuckDB is a peer: it is the fastest that is exact.
	day = keep(day, "recount", "duckdb")
	for _, peers := range [][]*peer{window, day} {
		if err := compete(ctx, b.data, b.runs, peers); err != nil {
			return err
		}
	}
	b.table("the half hour", window)
	b.table("the whole day", day)
	return b.line(window, day)
}

func keep(peers []*peer, names ...string) []*peer {
	var out []*peer
	for _, p := range peers {
		for _, n := range names {
			if p.name == n {
				out = append(out, p)
			}
		}
	}
	return out
}

func (b *bench) prepare(ctx context.Context) (err error) {
	say("machine: %s", machine.Describe())
	b.recount = filepath.Join(b.dir, "recount")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", b.recount, "./cmd/recount").CombinedOutput() //nolint:gosec // our own program
	if err != nil {
		return fmt.Errorf("build recount (run this from the project's folder): %w\n%s", err, out)
	}
	say("making %d events of %d users", b.events, b.users)
	if b.windowWrong, b.dayWrong, err = makeData(b.data, b.events, b.users, !b.shuffled); err != nil {
		return err
	}
	if b.python, err = machine.Python(ctx, b.dir, filepath.Join("bench", "seed", "requirements.txt"), "duckdb, pandas, polars"); err != nil {
		say("left out: pandas, polars and duckdb, since their Python environment could not be made: %v", err)
		b.python = ""
	} else {
		script, err := filepath.Abs(filepath.Join("bench", "seed", "to_parquet.py"))
		if err != nil {
			return err
		}
		if _, err := (&peer{name: "to_parquet", argv: []string{b.python, script, "events.csv"}}).run(ctx, b.data, false); err != nil {
			return err
		}
	}
	return b.archive(ctx)
}

const project = `version: 1
archive: archive
sources:
  orders:
    files: {paths: ["events.csv"]}
    event: {id: event_id, time: timestamp, key: user_id}
    timezone: UTC
    fields: {user_id: string, value: "decimal(18,2)"}
calculations:
  window:
    source: orders
    sql: totals.sql
    key: [user_id]
    memory: window
    bucket: none
    target: {files: {path: existing_window.csv}, columns: {total: value}}
  day:
    source: orders
    sql: totals.sql
    key: [user_id]
    memory: window
    bucket: none
    target: {files: {path: existing_day.csv}, columns: {total: value}}
`

// archive imports the events once and measures how fast.
func (b *bench) archive(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(b.data, "archive")); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"recount.yaml": project, "totals.sql": "SELECT user_id, sum(value) AS total FROM events GROUP BY user_id\n",
	} {
		if err := os.WriteFile(filepath.Join(b.data, name), []byte(content), 0o644); err != nil { //nolint:gosec // scratch
			return err
		}
	}
	p := &peer{name: "import", argv: []string{b.recount, "archive", "run", "--once", "--quiet"}}
	took, err := p.run(ctx, b.data, false)
	if err != nil {
		return err
	}
	b.importRate = float64(b.events) / took.Seconds()
	say("import: %.1f s, %.0f rows a second", took.Seconds(), b.importRate)
	return nil
}

func (b *bench) peers(calculation string, from, to time.Time, live string, wrong int) []*peer {
	want := fmt.Sprint(wrong)
	peers := []*peer{{name: "recount", want: `"file":"` + calculation + `.plan"`, argv: []string{
		b.recount, "plan", calculation, "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339),
		"--out", calculation + ".plan", "--json", "--quiet",
	}}}
	if b.python == "" {
		return peers
	}
	const local = "2006-01-02 15:04:05"
	for _, name := range []string{"pandas", "polars", "duckdb"} {
		script, err := filepath.Abs(filepath.Join("bench", "seed", "peer_"+name+".py"))
		if err != nil {
			continue // no working folder: the build before would have failed
		}
		events := "events.parquet"
		if name == "pandas" {
			events = "events.csv"
		}
		peers = append(peers, &peer{name: name, want: want, argv: []string{b.python, script, events, live, from.Format(local), to.Format(local)}})
	}
	return peers
}

func (b *bench) table(title string, peers []*peer) {
	say("\n%s (median of %d, whole processes)", title, b.runs)
	say("%-10s %9s %9s %9s %10s", "", "seconds", "least", "most", "peak MiB")
	for _, p := range peers {
		least, most := p.took[0], p.took[0]
		for _, d := range p.took {
			least, most = min(least, d), max(most, d)
		}
		say("%-10s %9.3f %9.3f %9.3f %10d  %s", p.name, p.median().Seconds(), least.Seconds(), most.Seconds(), p.peak>>20, p.note)
	}
}

// line prints the last line: ratios are the peer's time over ours.
func (b *bench) line(window, day []*peer) error {
	ratios := func(peers []*peer) map[string]float64 {
		out := map[string]float64{}
		for _, p := range peers[1:] {
			out[p.name] = round(p.median().Seconds() / peers[0].median().Seconds())
		}
		return out
	}
	text, err := json.Marshal(struct {
		Bench    string             `json:"bench"`
		Events   int                `json:"events"`
		Ratio    map[string]float64 `json:"ratio"`
		RatioDay map[string]float64 `json:"ratio_day"`
		Import   int64              `json:"import_rows_per_second"`
		PeakMiB  int64              `json:"peak_mib"`
	}{"seed", b.events, ratios(window), ratios(day), int64(b.importRate), max(window[0].peak, day[0].peak) >> 20})
	if err != nil {
		return err
	}
	say("\n%s", text)
	return nil
}

func round(f float64) float64 {
	const digits = 100
	return float64(int64(f*digits+0.5)) / digits
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, format+"\n", args...)
}
