// Package hdfs starts a real HDFS for tests: a NameNode and a DataNode of Hadoop
// in one Java process. It is started once for a test process.
package hdfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"recount/internal/servertest"
)

// User is who owns everything in the cluster.
const User = "recount"

// Start returns the address of the NameNode, host:port. The test is skipped where
// Hadoop is not installed.
func Start(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(servertest.Cache(), "hdfs")
	if _, err := os.Stat(filepath.Join(dir, "classes", "MiniHdfs.class")); err != nil {
		servertest.Require(t, "hdfs", "Hadoop is not installed; .ci/servers/hdfs installs it")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		servertest.Require(t, "hdfs", "Java is not installed; .ci/servers/hdfs installs it")
	}
	running.Do(func() { address, startErr = start(java, dir) })
	if startErr != nil {
		t.Fatalf("start HDFS: %v", startErr)
	}
	return address
}

var (
	running  sync.Once
	address  string
	startErr error
)

func start(java, dir string) (string, error) {
	work, err := servertest.Folder("hdfs")
	if err != nil {
		return "", err
	}
	port, err := servertest.FreePort()
	if err != nil {
		return "", err
	}
	ready := filepath.Join(work, "ready")
	cmd := exec.CommandContext(context.Background(), java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"--add-opens", "java.base/java.lang=ALL-UNNAMED", "-cp", filepath.Join(dir, "classes")+":"+filepath.Join(dir, "libs", "*"),
		"MiniHdfs", strconv.Itoa(port), filepath.Join(work, "data"), ready)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "HADOOP_USER_NAME="+User)
	log := filepath.Join(work, "log")
	if _, err := servertest.Spawn(log, cmd); err != nil {
		return "", err
	}
	const patience = 3 * time.Minute // Java on a machine with much else to do
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, err := os.Stat(ready); err == nil {
			return fmt.Sprintf("127.0.0.1:%d", port), nil
		}
		const pause = 50 * time.Millisecond
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(log)
			return "", fmt.Errorf("HDFS is not ready after %s: %s", patience, said)
		case <-time.After(pause):
		}
	}
}
