// Package registry starts a real schema registry for tests: Apicurio, in memory,
// on a port of the loopback interface, spoken to as Confluent's. Its jars are
// fetched by .ci/servers/registry.
package registry

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

// Name is what RECOUNT_TEST_REQUIRE calls the registry.
const Name = "registry"

// patience is how long it may take to come up on a busy machine.
const patience = 3 * time.Minute

func cache() string { return filepath.Join(servertest.Cache(), Name) }

func missing() string {
	if _, err := exec.LookPath("java"); err != nil {
		return "no java was found in PATH (.ci/servers/registry installs it)"
	}
	if _, err := os.Stat(filepath.Join(cache(), "version")); err != nil {
		return "no schema registry lies in " + cache() + " (.ci/servers/registry fetches it)"
	}
	return ""
}

var shared struct {
	once sync.Once
	url  string
	err  error
}

// Start returns the address of the registry that all tests of this process share;
// each test makes subjects of its own. Without a registry on this machine the test
// is skipped.
func Start(t testing.TB) string {
	t.Helper()
	if text := missing(); text != "" {
		servertest.Require(t, Name, text)
	}
	// The server ends with this process.
	shared.once.Do(func() { shared.url, shared.err = launch(context.Background()) })
	if shared.err != nil {
		t.Fatalf("start a schema registry: %v", shared.err)
	}
	return shared.url
}

func launch(ctx context.Context) (string, error) {
	jars, err := filepath.Glob(filepath.Join(cache(), "app", "*-runner.jar"))
	if err != nil || len(jars) != 1 {
		return "", fmt.Errorf("look for the registry in %s: %d files, %w", cache(), len(jars), err)
	}
	port, err := servertest.FreePort()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "recount-registry-")
	if err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	cmd := exec.CommandContext(ctx, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", //nolint:gosec // a jar of the cache
		fmt.Sprintf("-Dquarkus.http.port=%d", port), "-Dquarkus.http.host=127.0.0.1", "-jar", jars[0])
	cmd.Dir = dir
	if _, err := servertest.Spawn(filepath.Join(dir, "registry.log"), cmd); err != nil {
		return "", err
	}
	if err := servertest.Listens(ctx, port, patience); err != nil {
		return "", fmt.Errorf("%w; see %s", err, dir)
	}
	return fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", port), nil
}
