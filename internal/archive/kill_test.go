//go:build unix

package archive_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"recount/internal/archive"
	"recount/internal/clock"
	"recount/store/disk"
)

// killFolder names the archive's folder to the process that will be killed.
const killFolder = "RECOUNT_TEST_KILL_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killFolder); dir != "" {
		s, err := disk.Open(dir, nil)
		if err == nil {
			_, err = archive.Open(s, clock.Fixed(noon)).Run(context.Background(), killOptions())
		}
		if err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func killSource() *fakeSource { return randomSource(rand.New(rand.NewPCG(11, 11)), 1500) }

func killOptions() archive.RunOptions {
	opts := options(killSource())
	opts.MemoryBudget, opts.CommitEvents = 1, 100
	return opts
}

// TestKilledAtAnyMomentItLosesAndDoublesNothing kills real processes that write
// to a real disk.
func TestKilledAtAnyMomentItLosesAndDoublesNothing(t *testing.T) {
	const most = 20
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	kills, commitsSeen := 0, int64(0)
	for kills < most {
		wait := time.Duration(20+rng.IntN(150)) * time.Millisecond
		killed, err := runAndKill(t, dir, wait)
		if err != nil {
			t.Fatal(err)
		}
		if !killed {
			break
		}
		kills++
	}
	for { // and now let it end
		killed, err := runAndKill(t, dir, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if !killed {
			break
		}
	}
	s, err := disk.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	src := killSource()
	checkExactlyOnce(t, s, src)
	commitsSeen = mustSnapshot(t, open(s)).Commit
	t.Logf("%d kills, %d commits", kills, commitsSeen)
}

// runAndKill starts an archiver and kills it after a while; killed is false if
// it was done before.
func runAndKill(t *testing.T, dir string, after time.Duration) (killed bool, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killFolder+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return false, err
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == -1 {
		return true, nil
	}
	return false, err
}

// cpuTime is what this process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
