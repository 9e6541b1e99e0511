// Package servertest starts real servers for tests, each a child that ends with
// the test process however that one ends. It belongs to tests and simulators
// alone. What a server needs lies in a cache that .ci/run fills; a test whose
// server is not there is skipped, or fails where RECOUNT_TEST_REQUIRE names it.
package servertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Require skips the test for want of a server, or fails it where
// RECOUNT_TEST_REQUIRE names the server. missing says what is not there.
func Require(t testing.TB, name, missing string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("RECOUNT_TEST_REQUIRE"), ","), name) {
		t.Fatalf("%s is required: %s", name, missing)
	}
	t.Skipf("skipped: %s", missing)
}

// Cache is the folder of downloaded servers: RECOUNT_TEST_CACHE, else recount-test
// in the user's cache folder.
func Cache() string {
	if dir := os.Getenv("RECOUNT_TEST_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "recount-test")
	}
	return filepath.Join(dir, "recount-test")
}

// FreePort returns a port of the loopback interface that nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener has a TCP address
	return port, l.Close()
}

// Spawn starts a server that ends with this process, and with stop. Its output
// goes to the file log.
func Spawn(log string, cmd *exec.Cmd) (stop func(), err error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make log of server: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}, nil
}

// Listens waits until somebody answers on a port of the loopback interface.
func Listens(ctx context.Context, port int, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return conn.Close()
		}
		const pause = 50 * time.Millisecond
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens on port %d after %s: %w", port, patience, err)
		case <-time.After(pause):
		}
	}
}
