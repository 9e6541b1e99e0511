package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// buildProgram builds the command recount into a folder; nothing where the source
// tree is not at hand.
func buildProgram(ctx context.Context, dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", nil //nolint:nilerr // the caller says that none is killed
	}
	program := filepath.Join(dir, "recount")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/recount")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build recount: %w: %s", err, out)
	}
	return program, nil
}

// project writes what recount is told of the stream and the archive.
func (s setup) project(dir string) error {
	from := fmt.Sprintf(`files: {paths: [%q]}`, s.Files)
	if s.Topic != "" {
		from = fmt.Sprintf(`kafka: {brokers: [%q], topics: [%q]}`, strings.Join(s.Brokers, `", "`), s.Topic)
	}
	to := s.Bucket
	if to == "" {
		to = s.Folder
	}
	text := fmt.Sprintf(`version: 1
archive: %q
sources:
  %s:
    %s
    event: {id: id, time: at}
    fields: {user_id: string}
    flush: 1s
calculations: {}
`, to, stream, from)
	return os.WriteFile(filepath.Join(dir, "recount.yaml"), []byte(text), 0o600)
}

// command is recount in the project's folder.
func (s setup) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.Program, args...)
	cmd.Dir = s.Project
	return cmd
}

// startProgram starts recount, live or to the stream's present end. What it says
// on the standard error is what it tells.
func (s setup) startProgram(ctx context.Context, once bool) (*victim, error) {
	args := []string{"archive", "run", stream}
	if once {
		args = append(args, "--once")
	}
	return startVictim(s.command(ctx, args...))
}

// programRound kills recount once: a run to the present end within about the time
// that such a run takes, a live one within its first commits. It learns how long
// runs take from those that end before they are killed.
func (s *slaughter) programRound(ctx context.Context, in *setup, rng *rand.Rand, f *findings) (kills int, err error) {
	const half, margin, live = 2, 5, 2500 * time.Millisecond
	once := rng.IntN(half) == 0
	v, err := in.startProgram(ctx, once)
	if err != nil {
		return 0, err
	}
	most := live
	if once {
		most = in.took + in.took/margin
	}
	began := s.watch.Now()
	wait := time.NewTimer(time.Duration(rng.Int64N(int64(most))))
	defer wait.Stop()
	ended := false
	for !ended {
		select {
		case _, more := <-v.lines:
			ended = !more
		case <-wait.C:
			ended = true
		}
	}
	_ = v.cmd.Process.Kill()
	for range v.lines { // all that it told must be read before it is waited for
	}
	err = v.cmd.Wait()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == -1:
		return 1, nil
	case err == nil && once: // it was done
		in.took = s.watch.Now().Sub(began)
		return 0, nil
	}
	f.damaged("recount ended by itself: %v: %s", err, v.stderr.String())
	return 0, nil
}

// last archives all that there is with nobody to disturb it; recount also proves
// the archive.
func (s setup) last(ctx context.Context) error {
	if s.Program == "" {
		return s.archive(ctx, false, io.Discard)
	}
	for _, args := range [][]string{{"archive", "run", stream, "--once"}, {"archive", "verify"}} {
		cmd := s.command(ctx, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("recount %s: %w: %s", strings.Join(args, " "), err, out.String())
		}
	}
	return nil
}
