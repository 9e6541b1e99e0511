// Package pgtest starts a real PostgreSQL for tests: one server of a kind per test
// process, one database per test. It belongs to tests alone.
//
// The server is the child of a small shell that waits on a pipe from the test
// process: however that process ends, the pipe closes, and the shell stops the
// server and removes its folder. No TestMain is needed.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// errNone says that this machine has no PostgreSQL.
var errNone = errors.New("no PostgreSQL (initdb and postgres) was found in PATH or /usr/lib/postgresql")

var (
	plain   = &cluster{}
	logical = &cluster{settings: "-c wal_level=logical -c max_replication_slots=100 -c max_wal_senders=20 -c wal_writer_delay=10ms"}
	counter atomic.Int64
)

// cluster is a server that is started at first use.
type cluster struct {
	settings string
	once     sync.Once
	failed   error

	port int
	// hold keeps the shell's stdin open: closing it ends the server.
	hold io.Closer
}

// Start returns the address of a new, empty database. Without a server on this
// machine the test is skipped, or fails where RECOUNT_TEST_REQUIRE names
// postgres.
func Start(t testing.TB) string {
	t.Helper()
	return plain.database(t)
}

// Logical is Start on another server, whose changes can be read by logical
// replication.
func Logical(t testing.TB) string {
	t.Helper()
	return logical.database(t)
}

func (c *cluster) database(t testing.TB) string {
	t.Helper()
	c.once.Do(func() { c.failed = c.launch() })
	if failed := c.failed; failed != nil {
		required := slices.Contains(strings.Split(os.Getenv("RECOUNT_TEST_REQUIRE"), ","), "postgres")
		if errors.Is(failed, errNone) && !required {
			t.Skipf("skipped: %v", failed)
		}
		t.Fatalf("start PostgreSQL: %v", failed)
	}
	name := fmt.Sprintf("test%d", counter.Add(1))
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, c.dsn("postgres"))
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database %s: %v", name, err)
	}
	return c.dsn(name)
}

func (c *cluster) dsn(database string) string {
	return fmt.Sprintf("postgres://postgres:swordfish@127.0.0.1:%d/%s?sslmode=disable", c.port, database)
}

func (c *cluster) launch() error {
	bin, err := findBin()
	if err != nil {
		return err
	}
	user, err := dropTo()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "recount-pg-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := user.own(dir); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8") //nolint:noctx // ends by itself
	user.become(initdb)
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	// Between finding a free port and taking it another process may be faster.
	var problems []error
	for range 3 {
		err := c.serve(bin, dir, data, user)
		if err == nil {
			return nil
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// supervise runs the server until its stdin ends, then removes the folder.
const supervise = `"$1" -D "$2" -p "$4" -k "$3" -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off \
 -c full_page_writes=off -c shared_buffers=32MB -c max_connections=40 -c timezone=Asia/Kolkata $5 >"$3/log" 2>&1 &
pid=$!
cat >/dev/null
kill -QUIT $pid 2>/dev/null
wait $pid
cd / && rm -rf "$3"`

func (c *cluster) serve(bin, dir, data string, user account) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", supervise, "sh", filepath.Join(bin, "postgres"), data, dir, fmt.Sprint(port), c.settings) //nolint:noctx // outlives every context; ends with its stdin
	user.become(cmd)
	cmd.Dir = dir
	hold, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	c.port, c.hold = port, hold
	if err := c.wait(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return fmt.Errorf("server did not come up: %w: %s", err, log)
	}
	return nil
}

// wait tries to connect until the server answers, at most half a minute.
func (c *cluster) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, c.dsn("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port: address is a %T", l.Addr())
	}
	return addr.Port, nil
}

// findBin returns the folder of the newest server of this machine.
func findBin() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(folders, func(a, b string) int { return len(b) - len(a) + strings.Compare(b, a) })
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			folders = append([]string{filepath.Dir(real)}, folders...)
		}
	}
	for _, dir := range folders {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errNone
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}
