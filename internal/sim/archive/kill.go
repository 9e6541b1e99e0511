package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"recount/internal/archive"
	"recount/internal/clock"
	kafkaserver "recount/internal/servertest/kafka"
	s3server "recount/internal/servertest/s3"
)

// killed is what became of real processes.
type killed struct {
	Kills  int `json:"kills"`
	Stops  int `json:"stops"` // archivers that were stopped while another one worked, then went on, and were killed
	Events int `json:"events"`
	// Commits and Leftovers are of the archives in the end: an object that no commit
	// names was put by an archiver that was killed before its commit.
	Commits   int            `json:"commits"`
	Leftovers int            `json:"leftovers"`
	Of        map[string]int `json:"kills_of"`
	found     findings
}

// slaughter kills archivers of several streams at once.
type slaughter struct {
	seed    uint64
	dir     string
	self    string
	broker  string // address; empty: streams are files
	gate    string // address of the S3 server; empty: archives lie on disks
	program string // recount itself; empty: it is not killed
	watch   clock.Clock
	left    atomic.Int64
	// leftPrograms are kills of recount itself.
	leftPrograms atomic.Int64
	series       atomic.Int64

	mu     sync.Mutex
	result killed
}

// killAll kills as many processes as were asked for. Where no broker or S3 server
// is installed, files and disks take their places.
func killAll(ctx context.Context, o options) (killed, error) {
	s := &slaughter{seed: o.seed, watch: clock.System{}, result: killed{Of: map[string]int{}}}
	var err error
	if s.self, err = os.Executable(); err != nil {
		return killed{}, err
	}
	if s.dir, err = os.MkdirTemp("", "recount-kills-"); err != nil {
		return killed{}, err
	}
	defer func() { _ = os.RemoveAll(s.dir) }()
	if missing := kafkaserver.Missing(); missing != "" {
		say("no kills on Kafka: %s", missing)
	} else {
		broker, err := kafkaserver.Launch(ctx, kafkaserver.Options{})
		if err != nil {
			return killed{}, err
		}
		defer func() { _ = broker.Close() }()
		s.broker = broker.Addr
	}
	if missing := s3server.Missing(); missing != "" {
		say("no kills on S3: %s", missing)
	} else if s.gate, err = s3server.Launch(); err != nil { //nolint:contextcheck // the server outlives the call
		return killed{}, err
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": s3server.AccessKey, "AWS_SECRET_ACCESS_KEY": s3server.Secret, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			return killed{}, err
		}
	}
	if err := s.getProgram(ctx, o.program); err != nil {
		return killed{}, err
	}
	const lanesOfACore, lanesOfPrograms, share = 3, 2, 10
	lanes, programs := max(o.workers, 1)*lanesOfACore, 0
	if s.program != "" {
		programs = lanesOfPrograms
		s.leftPrograms.Store(int64(o.kills / share))
	}
	s.left.Store(int64(o.kills) - s.leftPrograms.Load())
	errs := make([]error, lanes+programs)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			if i < lanes {
				errs[i] = s.lane(ctx, i, false)
			} else {
				errs[i] = s.lane(ctx, i-lanes, true)
			}
		})
	}
	wg.Wait()
	return s.result, errors.Join(errs...)
}

// getProgram builds recount, if it is to be killed and was not given.
func (s *slaughter) getProgram(ctx context.Context, given string) (err error) {
	switch given {
	case "none":
		return nil
	case "":
		s.program, err = buildProgram(ctx, s.dir)
	default:
		s.program, err = filepath.Abs(given)
	}
	if err == nil && s.program == "" {
		say("no kills of recount itself: the source tree is not here")
	}
	return err
}

// lane plays one stream after the other.
func (s *slaughter) lane(ctx context.Context, number int, program bool) error {
	left := &s.left
	if program {
		left = &s.leftPrograms
	}
	for left.Load() > 0 {
		if err := s.life(ctx, number, int(s.series.Add(1)), left); err != nil {
			return err
		}
	}
	return nil
}

// life is that of one stream: its archivers are killed some fifty times, then all
// of it is archived and judged.
func (s *slaughter) life(ctx context.Context, lane, number int, left *atomic.Int64) error {
	program := left == &s.leftPrograms
	rng := rand.New(rand.NewPCG(s.seed, uint64(number)))
	dir := filepath.Join(s.dir, fmt.Sprint(number))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	in, sends, kind, err := s.prepare(ctx, lane, number, program, dir)
	if err != nil {
		return err
	}
	p := &producer{send: sends, sent: map[string]int{}, number: number}
	producing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- p.produce(producing, rng.Uint64()) }()
	var f findings
	const most = 50
	kills, stops := 0, 0
	for kills < most && left.Load() > 0 && f.Damaged == 0 {
		n := 1
		if in.Program != "" {
			n, err = s.programRound(ctx, &in, rng, &f)
		} else {
			if rng.IntN(10) == 0 {
				n = 2
			}
			err = s.round(ctx, in, n, rng, &f)
		}
		if err != nil {
			return err
		}
		kills += n
		stops += max(n-1, 0)
		left.Add(-int64(n))
	}
	stop()
	if err := <-done; err != nil {
		return err
	}
	const patience = 10 * time.Minute // of a machine that does much else
	ending, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := in.last(ending); err != nil {
		f.damaged("the last archiver does not come through: %v", err)
	}
	at, err := in.judge(ctx, &f, p.sent)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.result
	r.Kills, r.Stops = r.Kills+kills, r.Stops+stops
	r.Events, r.Commits, r.Leftovers = r.Events+at.Events, r.Commits+at.Commits, r.Leftovers+at.Leftovers
	r.Of[kind] += kills
	t := tally{findings: r.found}
	t.add(tally{findings: f})
	t.first = f.first
	r.found = t.findings
	if f.any() {
		say("kills on %s, stream %d: %d lost, %d doubled, %d damaged: %s", kind, number, f.Lost, f.Doubled, f.Damaged, f.first)
	}
	return nil
}

// prepare makes the stream and the archive of a life.
func (s *slaughter) prepare(ctx context.Context, lane, number int, program bool, dir string) (in setup, sends sender, kind string, err error) {
	// Two lanes in three are on Kafka, two in three on S3.
	const kinds = 3
	name := fmt.Sprintf("life-%d", number)
	if s.broker != "" && lane%kinds != 2 {
		kind = "kafka"
		in.Brokers, in.Topic = []string{s.broker}, name
		sends, err = newTopic(ctx, s.broker, name)
	} else {
		kind = "files"
		in.Files = filepath.Join(dir, "events.jsonl")
		sends, err = newFile(in.Files)
	}
	if err != nil {
		return in, nil, "", err
	}
	if s.gate != "" && lane%kinds != 1 {
		kind += " to s3"
		in.Bucket = fmt.Sprintf("s3://%s?endpoint=%s", name, s.gate)
		err = s3server.MakeBucket(ctx, s.gate, name)
	} else {
		kind += " to disk"
		in.Folder = filepath.Join(dir, "archive")
	}
	if err == nil && program {
		const atFirst = 3 * time.Second
		kind = "recount, " + kind
		in.Program, in.Project, in.took = s.program, dir, atFirst
		err = in.project(dir)
	}
	return in, sends, kind, err
}

// round starts an archiver and kills it; or stops it, starts another one, lets it
// go on, and kills both.
func (s *slaughter) round(ctx context.Context, in setup, archivers int, rng *rand.Rand, f *findings) error {
	var running []*victim
	defer func() {
		for _, v := range running {
			v.kill(f)
		}
	}()
	for len(running) < archivers {
		v, err := s.start(ctx, in)
		if err != nil {
			return err
		}
		running = append(running, v)
		v.live(rng)
		if len(running) < archivers {
			_ = v.cmd.Process.Signal(syscall.SIGSTOP)
		}
	}
	if archivers > 1 {
		_ = running[0].cmd.Process.Signal(syscall.SIGCONT)
		running[1].live(rng)
	}
	return nil
}

// victim is a process that will be killed.
type victim struct {
	cmd    *exec.Cmd
	lines  chan string // what it tells of its puts, as it tells it; closed at its end
	stderr bytes.Buffer
}

func (s *slaughter) start(ctx context.Context, in setup) (*victim, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return startVictim(exec.CommandContext(ctx, s.self, "-archiver", string(text)))
}

func startVictim(cmd *exec.Cmd) (*victim, error) {
	const plenty = 1 << 10
	v := &victim{cmd: cmd, lines: make(chan string, plenty)}
	v.cmd.Stderr = &v.stderr
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(v.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case v.lines <- lines.Text():
			default: // nobody listens any more
			}
		}
	}()
	return v, nil
}

// live lets a process live for a while: mostly until one of its next puts begins or
// has just been made, else for some time, which may end before it has read its
// archive.
func (v *victim) live(rng *rand.Rand) {
	const short, long, patience, most = 20, 400, 5000, 30
	puts, end := 0, patience
	switch rng.IntN(8) {
	case 0:
		end = rng.IntN(short)
	case 1, 2:
		end = rng.IntN(long)
	default:
		puts = 1 + rng.IntN(most)
	}
	<-v.lines
	over := time.NewTimer(time.Duration(end) * time.Millisecond)
	defer over.Stop()
	for told := 0; told < puts || puts == 0; told++ {
		select {
		case _, more := <-v.lines:
			if !more {
				return
			}
		case <-over.C:
			return
		}
	}
	const moment = 2000
	<-time.After(time.Duration(rng.IntN(moment)) * time.Microsecond)
}

// kill kills a process. One that ended by itself had no reason to, but that
// another was at work.
func (v *victim) kill(f *findings) {
	_ = v.cmd.Process.Kill()
	for range v.lines { // all that it told must be read before it is waited for
	}
	err := v.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == -1 || exit.ExitCode() == exitLocked) {
		return
	}
	f.damaged("an archiver ended by itself: %v: %s", err, v.stderr.String())
}

// judge reads the archive as it lies there and compares it with what was sent.
func (s setup) judge(ctx context.Context, f *findings, sent map[string]int) (left killed, err error) {
	st, err := s.openStore(ctx)
	if err != nil {
		return left, err
	}
	files := map[string][]byte{}
	err = st.List(ctx, "", func(name string, _ int64) error {
		r, err := st.Open(ctx, name)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		files[name] = data
		return errors.Join(err, r.Close())
	})
	if err != nil {
		return left, err
	}
	log, err := readLog(files)
	if err != nil {
		f.damaged("%v", err)
	}
	o := newOracle()
	all := o.events(f, files, log)
	got, places := map[string]int{}, map[string]bool{}
	for _, e := range all {
		got[digest(e.Data)]++
		if place := e.Partition + "@" + e.Position; places[place] {
			f.note(&f.Doubled, "the event at %s is there twice", place)
		} else {
			places[place] = true
		}
	}
	for _, sum := range slices.Sorted(maps.Keys(sent)) {
		switch n := got[sum]; {
		case n < sent[sum]:
			f.note(&f.Lost, "of a payload that was sent %d times %d copies are there", sent[sum], n)
		case n > sent[sum]:
			f.note(&f.Doubled, "of a payload that was sent %d times %d copies are there", sent[sum], n)
		}
		delete(got, sum)
	}
	if len(got) > 0 {
		f.damaged("%d payloads are there that nobody sent", len(got))
	}
	o.judgedRight(f, files, all, log)
	report, err := archive.Open(st, clock.System{}).Verify(ctx, []string{stream}, nil)
	if err != nil {
		f.damaged("verify: %v", err)
	}
	left.Events, left.Commits = len(all), len(log)
	for _, r := range report.Streams {
		left.Leftovers += len(r.Leftovers)
	}
	return left, nil
}
