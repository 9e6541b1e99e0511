package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"recount"
	"recount/internal/pgtest"
)

// TestPostgresScripts runs testdata/postgres/*.txtar on a real server, each in a
// database of its own. Without a server it is skipped.
func TestPostgresScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "postgres", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	databases := map[string]string{}
	for _, file := range files {
		databases[strings.TrimSuffix(filepath.Base(file), ".txtar")] = pgtest.Start(t)
	}
	all := commands()
	all["pg"], all["pgfile"], all["meanwhile"], all["terminate"] = pg, pgFile, meanwhile, terminate
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "postgres"), RequireExplicitExec: true, RequireUniqueNames: true, Cmds: all,
		Setup: func(env *testscript.Env) error {
			name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
			admin := databases[name]
			if admin == "" {
				return fmt.Errorf("script %q has no database", name)
			}
			env.Setenv("ADMIN", admin)
			for variable, role := range map[string]string{"READ_DSN": name + "_reader", "WRITE_DSN": name + "_writer"} {
				dsn, err := url.Parse(admin)
				if err != nil {
					return err
				}
				dsn.User = url.UserPassword(role, "canary-"+role)
				env.Setenv(variable, dsn.String())
			}
			env.Setenv("READER", name+"_reader")
			env.Setenv("WRITER", name+"_writer")
			env.Setenv("FROM", "2024-06-10T12:00:00Z")
			env.Setenv("TO", "2024-06-10T13:00:00Z")
			return nil
		},
	})
}

// connect opens a connection as the server's owner.
func connect(ts *testscript.TestScript) *pgx.Conn {
	conn, err := pgx.Connect(context.Background(), ts.Getenv("ADMIN"))
	ts.Check(err)
	return conn
}

// pg runs statements as the server's owner; what the last returns goes to stdout
// as text.
func pg(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: pg STATEMENT…")
	}
	out := ts.Stdout() // also where nothing comes: stdout is this command's then
	conn := connect(ts)
	defer func() { ts.Check(conn.Close(context.Background())) }()
	for i, statement := range args {
		results, err := conn.PgConn().Exec(context.Background(), statement).ReadAll()
		ts.Check(err)
		if i < len(args)-1 {
			continue
		}
		for _, row := range results[len(results)-1].Rows {
			texts := make([]string, len(row))
			for i, v := range row {
				if texts[i] = string(v); v == nil {
					texts[i] = "NULL"
				}
			}
			_, err := fmt.Fprintln(out, strings.Join(texts, "|"))
			ts.Check(err)
		}
	}
}

// pgFile sends a file in one piece, as the server's owner; the error, where one is
// expected, goes to stderr.
func pgFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: pgfile FILE")
	}
	errs := ts.Stderr()
	conn := connect(ts)
	defer func() { ts.Check(conn.Close(context.Background())) }()
	_, err := conn.PgConn().Exec(context.Background(), ts.ReadFile(args[0])).ReadAll()
	switch {
	case neg && err == nil:
		ts.Fatalf("%s ran, and should not", args[0])
	case neg:
		_, writeErr := fmt.Fprintln(errs, err)
		ts.Check(writeErr)
	default:
		ts.Check(err)
	}
}

// meanwhile runs a command while a statement is run again and again.
func meanwhile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: meanwhile STATEMENT CODE COMMAND [ARGUMENT…]")
	}
	conn := connect(ts)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- conn.Close(context.Background())
				return
			default:
			}
			if _, err := conn.Exec(context.Background(), args[0]); err != nil {
				done <- errors.Join(err, conn.Close(context.Background()))
				return
			}
		}
	}()
	defer func() {
		close(stop)
		ts.Check(<-done)
	}()
	exits(ts, false, args[1:])
}

// terminate runs a command that has to wait for a row lock, ends its backend then,
// and compares the exit code.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: terminate LOCKING-STATEMENT CODE COMMAND [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	holder, killer := connect(ts), connect(ts)
	defer func() { ts.Check(errors.Join(holder.Close(context.Background()), killer.Close(context.Background()))) }()
	tx, err := holder.Begin(context.Background())
	ts.Check(err)
	_, err = tx.Exec(context.Background(), args[0])
	ts.Check(err)

	var errs bytes.Buffer
	cmd := exec.CommandContext(context.Background(), args[2], args[3:]...) //nolint:gosec // as the script says
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), &errs
	cmd.Env = append(environment(ts), "READ_DSN="+ts.Getenv("READ_DSN"), "WRITE_DSN="+ts.Getenv("WRITE_DSN"))
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for cut := false; !cut; {
		select {
		case err := <-ended:
			ts.Fatalf("%v ended before it waited: %v\n%s", args[2:], err, errs.String())
		case <-tick.C:
		}
		const waiting = `SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
			WHERE application_name = 'recount' AND wait_event_type = 'Lock' AND datname = current_database()`
		ts.Check(killer.QueryRow(context.Background(), waiting).Scan(&cut))
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != want {
		ts.Fatalf("%v: %v, want exit %d\n%s", args[2:], err, want, errs.String())
	}
	if parts := errorParts(errs.String()); parts["changed"] == "" || want != recount.ExitUnknown && parts["changed"] != "nothing" {
		ts.Fatalf("changed: %q\n%s", parts["changed"], errs.String())
	}
	_, err = ts.Stderr().Write(errs.Bytes())
	ts.Check(err)
	ts.Check(tx.Rollback(context.Background()))
}
