// Package kinesis starts a server like Amazon Kinesis for tests: kinesis-mock,
// whose shards split, merge and drain as Amazon's do. It is started once for a
// test process.
package kinesis

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"recount/internal/servertest"
)

// Name is what RECOUNT_TEST_REQUIRE calls the server.
const Name = "kinesis"

var (
	running  sync.Once
	address  string
	startErr error
)

// Start returns the address of the server, and sets credentials in the
// environment. The test is skipped where the server is not installed.
func Start(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder(), "version")); err != nil {
		servertest.Require(t, Name, "no kinesis-mock lies in "+folder()+" (.ci/servers/kinesis fetches it)")
	}
	running.Do(func() { address, startErr = launch() })
	if startErr != nil {
		t.Fatalf("start kinesis-mock: %v", startErr)
	}
	Credentials(t)
	return address
}

// Credentials sets some that no server looks at.
func Credentials(t testing.TB) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "recounttest")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "recounttest")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func folder() string { return filepath.Join(servertest.Cache(), Name) }

func launch() (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("find node: %w", err)
	}
	plain, err := servertest.FreePort()
	if err != nil {
		return "", err
	}
	secure, err := servertest.FreePort()
	if err != nil {
		return "", err
	}
	dir, err := servertest.Folder(Name)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(node, "-r", filepath.Join(folder(), "loopback.js"), "main.js") //nolint:gosec,noctx // it outlives the test that asked for it
	cmd.Dir = filepath.Join(folder(), "node_modules", "kinesis-local")
	cmd.Env = append(os.Environ(), fmt.Sprintf("KINESIS_MOCK_PLAIN_PORT=%d", plain), fmt.Sprintf("KINESIS_MOCK_TLS_PORT=%d", secure), "SHARD_LIMIT=200", "LOG_LEVEL=WARN")
	for _, act := range []string{"CREATE_STREAM", "DELETE_STREAM", "MERGE_SHARDS", "SPLIT_SHARD", "UPDATE_SHARD_COUNT"} {
		cmd.Env = append(cmd.Env, act+"_DURATION=50ms")
	}
	if _, err := servertest.Spawn(filepath.Join(dir, "log"), cmd); err != nil {
		return "", err
	}
	const patience = 90 * time.Second
	if err := servertest.Listens(context.Background(), plain, patience); err != nil {
		return "", err
	}
	return fmt.Sprintf("http://127.0.0.1:%d", plain), nil
}
