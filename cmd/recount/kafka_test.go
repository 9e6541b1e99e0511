package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	servertest "recount/internal/servertest/kafka"
)

// TestKafka runs testdata/kafka/*.txtar, each beside a broker of its own in this
// process, with the topic payments of two partitions.
func TestKafka(t *testing.T) {
	all := commands()
	all["kafka"], all["worker"] = kafka, worker
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "kafka"), RequireExplicitExec: true, RequireUniqueNames: true, Cmds: all,
		Setup: func(env *testscript.Env) error {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "payments"))
			if err != nil {
				return err
			}
			env.Defer(cluster.Close)
			env.Setenv("BROKER", cluster.ListenAddrs()[0])
			return nil
		},
	})
}

// TestRealKafka runs the scripts of a replay that is killed, and of a worker that is
// given a window, each beside a real broker.
func TestRealKafka(t *testing.T) {
	for _, script := range []string{"tobus_killed.txtar", "shadow_once.txtar"} {
		t.Run(script, func(t *testing.T) { realKafka(t, script) })
	}
}

func realKafka(t *testing.T, script string) {
	t.Helper()
	broker := servertest.Start(t)
	all := commands()
	all["kafka"], all["worker"] = kafka, worker
	testscript.Run(t, testscript.Params{
		Files: []string{filepath.Join("testdata", "kafka", script)}, RequireExplicitExec: true, Cmds: all,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BROKER", broker.Addr)
			cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr))
			if err != nil {
				return err
			}
			defer cl.Close()
			// The broker is that of the script before, and takes its time to delete.
			admin := kadm.NewClient(cl)
			for {
				_, err := admin.CreateTopic(t.Context(), 2, 1, nil, "payments")
				if !errors.Is(err, kerr.TopicAlreadyExists) {
					return err
				}
				if _, err := admin.DeleteTopic(t.Context(), "payments"); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
					return err
				}
			}
		},
	})
}

// kafka does to the broker what others do:
//
//	kafka produce 1 payments.jsonl     the lines of a file, to a partition
//	kafka commit billing 0:4 1:3       where a worker's group stands
//	kafka delete 0 2                   retention, up to an offset
//	kafka join billing                 a member of the group goes to work
//	kafka recreate 2                   the topic is deleted and made anew, of so many partitions
//	kafka topic 3 again                another topic, of so many partitions
//	kafka fill 1000                    so many payments of nine keys to each partition
//	kafka await 60 again               waits until another topic holds so many records
//	kafka whole 2000 again             another topic holds so many events once, those of a key in order
//	kafka holds again FILE             writes what another topic holds, partition by partition
func kafka(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: kafka produce PARTITION FILE | commit GROUP P:N… | delete PARTITION OFFSET | join GROUP | recreate N | topic N NAME | holds NAME FILE | fill N | await N NAME | whole N NAME")
	}
	const topic = "payments"
	ctx := context.Background()
	options := []kgo.Opt{kgo.SeedBrokers(ts.Getenv("BROKER")), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	if args[0] == "join" {
		options = append(options, kgo.ConsumerGroup(args[1]), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ClientID("worker"))
	}
	cl, err := kgo.NewClient(options...)
	ts.Check(err)
	offsets := kadm.Offsets{}
	switch args[0] {
	case "produce":
		defer cl.Close()
		for line := range strings.Lines(ts.ReadFile(args[2])) {
			r := &kgo.Record{Topic: topic, Partition: number(ts, args[1]), Value: []byte(strings.TrimSpace(line))}
			var made struct{ At time.Time }
			ts.Check(json.Unmarshal(r.Value, &made))
			r.Timestamp = made.At
			ts.Check(cl.ProduceSync(ctx, r).FirstErr())
		}
	case "commit":
		defer cl.Close()
		for _, arg := range args[2:] {
			p, at, _ := strings.Cut(arg, ":")
			offsets.AddOffset(topic, number(ts, p), int64(number(ts, at)), -1)
		}
		_, err := kadm.NewClient(cl).CommitOffsets(ctx, args[1], offsets)
		ts.Check(err)
	case "delete":
		defer cl.Close()
		offsets.AddOffset(topic, number(ts, args[1]), int64(number(ts, args[2])), -1)
		_, err := kadm.NewClient(cl).DeleteRecords(ctx, offsets)
		ts.Check(err)
	case "recreate":
		defer cl.Close()
		admin := kadm.NewClient(cl)
		_, err := admin.DeleteTopic(ctx, topic)
		ts.Check(err)
		_, err = admin.CreateTopic(ctx, number(ts, args[1]), 1, nil, topic)
		ts.Check(err)
	case "topic":
		defer cl.Close()
		_, err := kadm.NewClient(cl).CreateTopic(ctx, number(ts, args[1]), 1, nil, args[2])
		ts.Check(err)
	case "fill":
		defer cl.Close()
		fill(ctx, ts, cl, number(ts, args[1]))
	case "await":
		defer cl.Close()
		await(ctx, ts, cl, int64(number(ts, args[1])), args[2])
	case "whole":
		defer cl.Close()
		whole(ctx, ts, int(number(ts, args[1])), args[2])
	case "holds":
		defer cl.Close()
		holds(ctx, ts, args[1], args[2])
	case "join":
		ts.Defer(cl.Close)
		cl.PollFetches(ctx) // it has joined when something comes
	default:
		ts.Fatalf("kafka: unknown act %s", args[0])
	}
}

func number(ts *testscript.TestScript, text string) int32 {
	n, err := strconv.ParseInt(text, 10, 32)
	ts.Check(err)
	return int32(n)
}

// fill produces n payments of nine keys to each partition.
func fill(ctx context.Context, ts *testscript.TestScript, cl *kgo.Client, n int32) {
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	for i := range n {
		for p := range int32(2) {
			at := at.Add(time.Duration(i) * time.Second)
			value := fmt.Appendf(nil, `{"id":"%d-%d","at":%q,"amount":"1.00"}`, p, i, at.Format(time.RFC3339))
			r := &kgo.Record{Topic: "payments", Partition: p, Key: fmt.Appendf(nil, "%d-%d", p, i%9), Value: value, Timestamp: at}
			cl.Produce(ctx, r, func(_ *kgo.Record, err error) { ts.Check(err) })
		}
	}
	ts.Check(cl.Flush(ctx))
}

// await returns when a topic holds n records.
func await(ctx context.Context, ts *testscript.TestScript, cl *kgo.Client, n int64, topic string) {
	for held := int64(0); held < n; {
		ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
		ts.Check(err)
		held = 0
		ends.Each(func(o kadm.ListedOffset) { held += o.Offset })
	}
}

// whole checks that a topic holds n places of the archive, each once, and those of a
// key in order.
func whole(ctx context.Context, ts *testscript.TestScript, n int, topic string) {
	last, places := map[string]string{}, map[string]bool{}
	read(ctx, ts, topic, func(r *kgo.Record, place string) {
		if places[place] {
			ts.Fatalf("%s is there twice", place)
		}
		if place <= last[string(r.Key)] {
			ts.Fatalf("key %s: %s comes after %s", r.Key, place, last[string(r.Key)])
		}
		places[place], last[string(r.Key)] = true, place
	})
	if len(places) != n {
		ts.Fatalf("%d events are there, want %d", len(places), n)
	}
}

// holds writes the records of a topic to a file, by partition and in order: value and
// the place that Recount gave it.
func holds(ctx context.Context, ts *testscript.TestScript, topic, file string) {
	var lines []string
	read(ctx, ts, topic, func(r *kgo.Record, place string) {
		lines = append(lines, fmt.Sprintf("%d %06d %s %s\n", r.Partition, r.Offset, place, r.Value))
	})
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(file), []byte(strings.Join(lines, "")), 0o600))
}

// read hands over the records of a topic with their places in the archive.
func read(ctx context.Context, ts *testscript.TestScript, topic string, each func(r *kgo.Record, place string)) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv("BROKER")), kgo.ConsumeTopics(topic))
	ts.Check(err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	ts.Check(err)
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	for left > 0 {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			left--
			place := ""
			for _, h := range r.Headers {
				if h.Key == "recount-position" {
					place = string(h.Value)
				}
			}
			each(r, place)
		})
	}
}
