package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// worker does what a team's own worker does: it reads a topic as a member of a group,
// adds each payment to its account in a table, and commits after it has written.
// An argument "idle" lets it read and write nothing.
//
//	worker start GROUP TOPIC DB TABLE [idle]
//	worker stop
//	worker recreate TOPIC N          the topic is deleted and made anew
//	worker forget GROUP              the group is deleted
//	worker commit GROUP TOPIC N      the group stands there in partition 0
func worker(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: worker start GROUP TOPIC DB TABLE [idle] | stop | recreate TOPIC N | forget GROUP | commit GROUP TOPIC N")
	}
	ctx := context.Background()
	switch args[0] {
	case "start":
		w := &shadowWorker{idle: len(args) > 5}
		ts.Check(w.start(ts.Getenv("BROKER"), args[1], args[2], ts.MkAbs(args[3]), args[4]))
		workers.Store(ts, w)
		ts.Defer(w.stop)
	case "stop":
		if w, ok := workers.LoadAndDelete(ts); ok {
			w.(*shadowWorker).stop()
			ts.Check(w.(*shadowWorker).err)
		}
	case "recreate", "forget", "commit":
		cl, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv("BROKER")))
		ts.Check(err)
		defer cl.Close()
		admin := kadm.NewClient(cl)
		switch args[0] {
		case "forget":
			_, err := admin.DeleteGroup(ctx, args[1])
			ts.Check(err)
			return
		case "commit":
			offsets := kadm.Offsets{}
			offsets.AddOffset(args[2], 0, int64(number(ts, args[3])), -1)
			_, err := admin.CommitOffsets(ctx, args[1], offsets)
			ts.Check(err)
			return
		}
		_, err = admin.DeleteTopic(ctx, args[1])
		ts.Check(err)
		_, err = admin.CreateTopic(ctx, number(ts, args[2]), 1, nil, args[1])
		ts.Check(err)
	default:
		ts.Fatalf("worker: unknown act %s", args[0])
	}
}

// workers are the running ones, by their script.
var workers sync.Map

// shadowWorker is one running worker.
type shadowWorker struct {
	idle   bool
	client *kgo.Client
	db     *sql.DB
	table  string
	done   chan struct{}
	once   sync.Once
	err    error // read when done is closed
}

func (w *shadowWorker) start(broker, group, topic, file, table string) (err error) {
	w.client, err = kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	if w.db, err = sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(30000)&_txlock=immediate"); err != nil {
		return err
	}
	w.table, w.done = table, make(chan struct{})
	go func() {
		defer close(w.done)
		w.err = w.run()
	}()
	return nil
}

func (w *shadowWorker) run() error {
	for {
		fetches := w.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return nil
		}
		records := fetches.Records()
		if w.idle || len(records) == 0 {
			continue
		}
		if err := w.write(records); err != nil {
			return err
		}
		if err := w.client.CommitRecords(context.Background(), records...); err != nil {
			return err
		}
	}
}

func (w *shadowWorker) write(records []*kgo.Record) error {
	tx, err := w.db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after the commit there is nothing to take back
	for _, r := range records {
		var payment struct {
			Account string
			Amount  json.Number
		}
		if err := json.Unmarshal(r.Value, &payment); err != nil {
			return err
		}
		if _, err := tx.ExecContext(context.Background(), `INSERT INTO `+w.table+` (account, balance) VALUES (?, round(?, 2)) ON CONFLICT (account) DO UPDATE SET balance = round(balance + excluded.balance, 2)`,
			payment.Account, payment.Amount.String()); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (w *shadowWorker) stop() {
	w.once.Do(func() {
		w.client.Close()
		<-w.done
		w.db.Close() //nolint:errcheck // all was committed
	})
}
