package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestNATS runs testdata/nats/*.txtar, each beside a JetStream server of its own in
// this process, with the streams ORDERS (orders.>) and AGAIN (again.>).
func TestNATS(t *testing.T) {
	all := commands()
	all["nats"] = natsDo
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "nats"), RequireExplicitExec: true, RequireUniqueNames: true, Cmds: all,
		Setup: func(env *testscript.Env) error {
			s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
			if err != nil {
				return err
			}
			go s.Start()
			env.Defer(func() { s.Shutdown(); s.WaitForShutdown() })
			const patience = 10 * time.Second
			if !s.ReadyForConnections(patience) {
				return errors.New("the server did not come up")
			}
			env.Setenv("NATS", s.ClientURL())
			return withJetStream(s.ClientURL(), func(ctx context.Context, js jetstream.JetStream) error {
				for _, name := range []string{"ORDERS", "AGAIN"} {
					if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{strings.ToLower(name) + ".>"}}); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
}

func withJetStream(url string, do func(context.Context, jetstream.JetStream) error) error {
	conn, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return do(context.Background(), js)
}

// natsDo does to the server what others do:
//
//	nats publish orders.new lines.jsonl     the lines of a file, to a subject
//	nats holds AGAIN FILE                   writes what a stream holds
func natsDo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: nats publish SUBJECT FILE | holds STREAM FILE")
	}
	ts.Check(withJetStream(ts.Getenv("NATS"), func(ctx context.Context, js jetstream.JetStream) error {
		if args[0] == "publish" {
			for line := range strings.Lines(ts.ReadFile(args[2])) {
				if _, err := js.Publish(ctx, args[1], []byte(strings.TrimSpace(line))); err != nil {
					return err
				}
			}
			return nil
		}
		stream, err := js.Stream(ctx, args[1])
		if err != nil {
			return err
		}
		var b strings.Builder
		for n := uint64(1); n <= stream.CachedInfo().State.LastSeq; n++ {
			m, err := stream.GetMsg(ctx, n)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %s %s\n", m.Subject, m.Header.Get("recount-position"), m.Data)
		}
		return os.WriteFile(ts.MkAbs(args[2]), []byte(b.String()), 0o600)
	}))
}
