// Command archive measures archiving from Kafka into an S3 store: recount against
// Kafka Connect with the Iceberg sink (zstd Parquet, as ours) and Camel's batching
// route (JSON lines, not packed). All read the same topic of one real broker and
// write to the same S3 server on this machine, one worker each, in turn, until the
// last event is committed; all events are counted back.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"recount/bench/machine"
)

func main() {
	b := bench{}
	flag.Int64Var(&b.events, "events", 5_000_000, "events in the topic")
	flag.IntVar(&b.runs, "runs", 1, "runs of each; the medians are shown")
	flag.StringVar(&b.dir, "dir", filepath.Join(os.TempDir(), "recount-bench-archive"), "folder for the broker's data and the peers' programs, kept between runs")
	flag.StringVar(&b.only, "only", "recount,connect,camel", "which ones run")
	flag.Parse()
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench/archive:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

type bench struct {
	events int64
	runs   int
	dir    string
	only   string

	broker  *broker
	s3      *bucketServer
	bytes   int64  // of all values
	recount string // the built program
}

// archiver is one way to do the work.
type archiver struct {
	name string
	// archive runs a whole process over the topic, into a bucket of its own, and
	// returns when the last event is committed.
	archive func(ctx context.Context, bucket string) (usage, error)
	// count counts the events in the bucket.
	count func(ctx context.Context, bucket string) (int64, error)
	runs  []usage
}

// usage is what one run took.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // bytes of resident memory
	size int64 // bytes in the store
}

func (b *bench) run(ctx context.Context) (err error) {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var list []*archiver
	for _, a := range []*archiver{
		{name: "recount", archive: b.runRecount, count: b.countRecount},
		{name: "connect", archive: b.runConnect, count: b.countConnect},
		{name: "camel", archive: b.runCamel, count: b.countCamel},
	} {
		if slices.Contains(strings.Split(b.only, ","), a.name) {
			list = append(list, a)
		}
	}
	for round := range b.runs {
		for _, a := range list {
			if err := b.one(ctx, a, round); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
		}
	}
	b.table(list)
	return b.line(list)
}

func (b *bench) one(ctx context.Context, a *archiver, round int) error {
	bucket := fmt.Sprintf("%s-%d-%d", a.name, round, os.Getpid())
	if err := b.s3.make(ctx, bucket); err != nil {
		return err
	}
	u, err := a.archive(ctx, bucket)
	if err != nil {
		return err
	}
	found, err := a.count(ctx, bucket)
	if err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	if found != b.events {
		return fmt.Errorf("%d events are in its bucket, %d in the topic", found, b.events)
	}
	if u.size, err = b.s3.size(ctx, bucket); err != nil {
		return err
	}
	a.runs = append(a.runs, u)
	fmt.Printf("%-8s run %d: %6.1f s, %6.1f CPU s, %5d MiB peak, %5d MiB stored, all %d events counted back\n", //nolint:forbidigo // a command of its own
		a.name, round+1, u.wall.Seconds(), u.cpu.Seconds(), u.peak>>20, u.size>>20, found)
	return b.s3.drop(ctx, bucket)
}

// median returns the middle of one figure.
func median[T cmp.Ordered](runs []usage, figure func(usage) T) T {
	values := make([]T, len(runs))
	for i, r := range runs {
		values[i] = figure(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func wall(u usage) float64 { return u.wall.Seconds() }
func cpu(u usage) float64  { return u.cpu.Seconds() }
func peak(u usage) float64 { return float64(u.peak) }

func (b *bench) table(list []*archiver) {
	fmt.Printf("\n%s\n%d events, %.1f MiB of values, 8 partitions; medians of %d\n\n", machine.Describe(), b.events, float64(b.bytes)/(1<<20), b.runs) //nolint:forbidigo // see above
	fmt.Printf("%-8s  %12s  %8s  %12s  %10s\n", "", "events/s", "MB/s", "CPU µs/event", "peak MiB")                                                    //nolint:forbidigo // see above
	for _, a := range list {
		s := median(a.runs, wall)
		fmt.Printf("%-8s  %12.0f  %8.1f  %12.2f  %10.0f\n", //nolint:forbidigo // see above
			a.name, float64(b.events)/s, float64(b.bytes)/1e6/s, median(a.runs, cpu)*1e6/float64(b.events), median(a.runs, peak)/(1<<20))
	}
	fmt.Println() //nolint:forbidigo // see above
}

// line prints the result as JSON. Each ratio is the peer's figure over ours.
func (b *bench) line(list []*archiver) error {
	by := map[string]*archiver{}
	for _, a := range list {
		by[a.name] = a
	}
	ours := by["recount"]
	if ours == nil {
		return nil
	}
	ratio := map[string]float64{}
	add := func(name, peer string, figure func(usage) float64) {
		if p := by[peer]; p != nil {
			ratio[name] = rounded(median(p.runs, figure) / median(ours.runs, figure))
		}
	}
	add("connect_cpu", "connect", cpu)
	add("connect_wall", "connect", wall)
	add("connect_memory", "connect", peak)
	add("camel_wall", "camel", wall)
	text, err := json.Marshal(struct {
		Bench  string             `json:"bench"`
		Events int64              `json:"events"`
		Ratio  map[string]float64 `json:"ratio"`
		Rate   int64              `json:"events_per_second"`
		Peak   int64              `json:"peak_mib"`
	}{"archive", b.events, ratio, int64(float64(b.events) / median(ours.runs, wall)), int64(median(ours.runs, peak)) >> 20})
	if err != nil {
		return err
	}
	fmt.Println(string(text)) //nolint:forbidigo // see above
	return nil
}

func rounded(f float64) float64 {
	const hundred = 100
	return float64(int64(f*hundred+0.5)) / hundred
}
