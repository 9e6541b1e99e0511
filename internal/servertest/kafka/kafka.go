// Package kafka starts a real Kafka broker for tests and simulators: broker and
// controller in one process (KRaft), on ports of the loopback interface. Its jars
// are fetched by .ci/servers/kafka.
package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"recount/internal/servertest"
)

// Name is what RECOUNT_TEST_REQUIRE calls the broker.
const Name = "kafka"

// patience is how long a broker may take to come up on a busy machine.
const patience = 90 * time.Second

// Options of a broker of one's own.
type Options struct {
	// Dir keeps configuration, log and data; empty: a temporary folder, which Close
	// removes.
	Dir string
	// Lines are further lines of the broker's configuration, key=value. A later
	// line of a key replaces an earlier one.
	Lines []string
	// Secure opens a second listener, of TLS and passwords; nil: none.
	Secure *Secure
}

// Broker is one server. Its methods are called by one goroutine.
type Broker struct {
	// Addr is host:port of the plain listener, the same over restarts.
	Addr string
	// SecureAddr is that of the listener of TLS and passwords; empty: none.
	SecureAddr string

	dir       string
	temporary bool
	port      int
	running   *exec.Cmd
	stop      func()
	ended     chan struct{}
}

// Missing says what is not there to start a broker; empty: nothing.
func Missing() string {
	if _, err := exec.LookPath("java"); err != nil {
		return "no java was found in PATH (.ci/servers/kafka installs it)"
	}
	if _, err := os.Stat(filepath.Join(cache(), "version")); err != nil {
		return "no Kafka broker lies in " + cache() + " (.ci/servers/kafka fetches it)"
	}
	return ""
}

func cache() string { return filepath.Join(servertest.Cache(), Name) }

var shared struct {
	once   sync.Once
	broker *Broker
	err    error
}

// Start returns the broker that all tests of this process share: it is never
// stopped, and each test makes topics of its own. Without a broker on this machine
// the test is skipped.
func Start(t testing.TB) *Broker {
	t.Helper()
	require(t)
	// The server ends with this process, and leaves its folder.
	shared.once.Do(func() { shared.broker, shared.err = Launch(context.Background(), Options{}) })
	if shared.err != nil {
		t.Fatalf("start Kafka: %v", shared.err)
	}
	return shared.broker
}

// New returns a broker of the test's own, which ends with the test.
func New(t testing.TB, o Options) *Broker {
	t.Helper()
	require(t)
	b, err := Launch(t.Context(), o)
	if err != nil {
		t.Fatalf("start Kafka: %v", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func require(t testing.TB) {
	t.Helper()
	if missing := Missing(); missing != "" {
		servertest.Require(t, Name, missing)
	}
}

// Launch starts a broker and returns when it answers.
func Launch(ctx context.Context, o Options) (*Broker, error) {
	b := &Broker{dir: o.Dir}
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "recount-kafka-")
		if err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
		b.dir, b.temporary = dir, true
	}
	// Between finding free ports and taking them another process may be faster.
	const tries = 3
	var problems []error
	for range tries {
		err := b.prepare(ctx, o)
		if err == nil {
			err = b.Restart(ctx)
		}
		if err == nil {
			return b, nil
		}
		problems = append(problems, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(append(problems, b.Close())...)
}

// prepare writes the configuration, and formats the data folder where it is new.
func (b *Broker) prepare(ctx context.Context, o Options) error {
	port, control, secure, err := freePorts(ctx)
	if err != nil {
		return err
	}
	if o.Secure != nil {
		b.SecureAddr = fmt.Sprintf("127.0.0.1:%d", secure)
	}
	b.port, b.Addr = port, fmt.Sprintf("127.0.0.1:%d", port)
	text, err := settings(b.dir, port, control, secure, o)
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.config(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "data", "meta.properties")); err == nil {
		return nil
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	args := []string{"kafka.tools.StorageTool", "format", "-t", base64.RawURLEncoding.EncodeToString(id), "-c", b.config()}
	if out, err := b.java(ctx, append(args, o.Secure.scram()...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("format storage: %w: %s", err, out)
	}
	return nil
}

// freePorts finds three, and holds each until it has all: one that is let go at
// once can be found again.
func freePorts(ctx context.Context) (port, control, secure int, err error) {
	var found []int
	for range 3 {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, 0, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()                                     //nolint:errcheck // it was only held
		found = append(found, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // a TCP listener has a TCP address
	}
	return found[0], found[1], found[2], nil
}

func (b *Broker) config() string { return filepath.Join(b.dir, "kafka.properties") }

// Log is the file of the server's output since it was last started.
func (b *Broker) Log() string { return filepath.Join(b.dir, "log") }

func (b *Broker) java(ctx context.Context, args ...string) *exec.Cmd {
	// One test uses a broker for seconds: the quick collector and compiler cost less.
	flags := []string{
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-Djava.io.tmpdir=" + b.dir, "-cp", filepath.Join(cache(), "libs", "*"),
	}
	cmd := exec.CommandContext(ctx, "java", append(flags, args...)...)
	cmd.Dir = b.dir
	return cmd
}

// Restart starts a stopped broker on its data and its port, and returns when it
// answers.
func (b *Broker) Restart(ctx context.Context) error {
	if b.running != nil {
		return errors.New("the broker runs already")
	}
	// The server outlives the context of the call that started it.
	cmd := b.java(context.WithoutCancel(ctx), "kafka.Kafka", b.config())
	if _, err := servertest.Spawn(b.Log(), cmd); err != nil {
		return err
	}
	b.running, b.ended = cmd, make(chan struct{})
	b.stop = func() { // one waits for the process, below
		_ = cmd.Process.Kill()
		<-b.ended
	}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func(ended chan<- struct{}) {
		_ = cmd.Wait() // a JVM that was signalled ends with 143
		cancel(errors.New("it has ended"))
		close(ended)
	}(b.ended)
	err := servertest.Listens(waiting, b.port, patience)
	if err == nil {
		err = b.answers(waiting)
	}
	if err != nil {
		log, _ := os.ReadFile(b.Log())
		b.Kill9()
		return fmt.Errorf("broker did not come up: %w: %s", err, log)
	}
	return nil
}

// answers waits until the broker would make a topic: a listener alone does not say
// that its controller is there.
func (b *Broker) answers(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RetryTimeout(patience/3))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		const attempt = 10 * time.Second
		once, done := context.WithTimeout(ctx, attempt)
		_, err := kadm.NewClient(client).ValidateCreateTopics(once, 1, 1, nil, "recount-probe")
		done()
		if err == nil {
			return nil
		}
		const pause = 100 * time.Millisecond
		select {
		case <-ctx.Done():
			return fmt.Errorf("it makes no topics: %w", errors.Join(err, context.Cause(ctx)))
		case <-time.After(pause):
		}
	}
}

// Stop ends the broker as an operator would: it closes its logs in order.
func (b *Broker) Stop() error {
	if b.running == nil {
		return nil
	}
	cmd := b.running
	b.running = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.stop()
		return fmt.Errorf("stop broker: %w", err)
	}
	// A controller that waits for nobody ends within seconds; the rest is patience.
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	<-b.ended
	return nil
}

// Kill9 ends the broker as a crash would.
func (b *Broker) Kill9() {
	if b.running != nil {
		b.stop()
		b.running = nil
	}
}

// Close ends the broker and removes a temporary folder.
func (b *Broker) Close() error {
	b.Kill9()
	if !b.temporary {
		return nil
	}
	if err := os.RemoveAll(b.dir); err != nil {
		return fmt.Errorf("remove folder of broker: %w", err)
	}
	return nil
}
