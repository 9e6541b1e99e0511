package badinput

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"recount"
	"recount/internal/servertest"
	real "recount/internal/servertest/kafka"
)

// broker is a Kafka server, real or in this process, that a test stops and starts.
type broker struct {
	t           *testing.T
	addr        string
	login       []kgo.Opt // of those who send
	stop, begin func()
	locked      atomic.Bool // of a fake one with passwords: no password is right
}

// room is for real brokers at once: each takes a core while it starts.
var room = make(chan struct{}, 2)

// brokers runs a test with both kinds; the real one where it is installed.
func brokers(t *testing.T, test func(t *testing.T, b *broker)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		test(t, fakeBroker(t))
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		if missing := real.Missing(); missing == "" {
			room <- struct{}{}
			t.Cleanup(func() { <-room })
		}
		b := real.New(t, real.Options{Lines: []string{"message.max.bytes=104857600"}})
		test(t, &broker{
			t: t, addr: b.Addr, stop: b.Kill9,
			begin: func() {
				if err := b.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}

// fakeBroker starts a broker that keeps its data and its port over restarts.
func fakeBroker(t *testing.T, options ...kfake.Opt) *broker {
	t.Helper()
	port, err := servertest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	options = append(options, kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(t.TempDir()), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "104857600"}))
	var cluster *kfake.Cluster
	b.begin = func() {
		t.Helper()
		wait(t, "the broker starts", func() bool {
			c, err := kfake.NewCluster(options...)
			if err == nil {
				cluster = c
				c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
					c.KeepControl()
					if !b.locked.Load() {
						return nil, nil, false
					}
					// Kafka answers; the fake one only hangs up.
					answer := r.ResponseKind().(*kmsg.SASLAuthenticateResponse) //nolint:forcetypeassert // the key says so
					answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
					return answer, nil, true
				})
			}
			return err == nil
		})
	}
	b.stop = func() {
		if cluster != nil {
			cluster.Close()
		}
		cluster = nil
	}
	b.begin()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *broker) client(options ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	cl, err := kgo.NewClient(append(append([]kgo.Opt{
		kgo.SeedBrokers(b.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(100 << 20), kgo.MaxBufferedBytes(1 << 30),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.ProducerLinger(0),
	}, b.login...), options...)...)
	if err != nil {
		b.t.Fatalf("make a client: %v", err)
	}
	return cl
}

// topic makes a topic; configs are key=value.
func (b *broker) topic(name string, partitions int32, configs ...string) {
	b.t.Helper()
	cl := b.client()
	defer cl.Close()
	set := map[string]*string{}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		set[k] = &v
	}
	wait(b.t, "topic "+name+" is made", func() bool {
		_, err := kadm.NewClient(cl).CreateTopic(b.t.Context(), partitions, 1, set, name)
		if err != nil {
			b.t.Logf("make topic %s: %v", name, err) // one that was deleted may still be on its way out
		}
		return err == nil
	})
}

// order is a record as its shop sends it.
func order(topic string, n int) *kgo.Record {
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	value, err := json.Marshal(map[string]any{"id": fmt.Sprint("e", n), "at": at.Format(time.RFC3339), "n": n})
	if err != nil {
		panic(err)
	}
	return &kgo.Record{Topic: topic, Partition: int32(n % 2), Key: fmt.Appendf(nil, "k%d", n%5), Value: value, Timestamp: at}
}

// orders sends orders [from, to) and notes them in the project.
func (b *broker) orders(p *project, topic string, from, to int) {
	b.t.Helper()
	var list []*kgo.Record
	for n := from; n < to; n++ {
		list = append(list, order(topic, n))
	}
	b.send(p, "", list...)
}

// send sends records and notes them; generation is what stands after the
// partition's number in its name.
func (b *broker) send(p *project, generation string, list ...*kgo.Record) {
	b.t.Helper()
	cl := b.client()
	defer cl.Close()
	if err := cl.ProduceSync(b.t.Context(), list...).FirstErr(); err != nil {
		b.t.Fatalf("produce: %v", err)
	}
	for _, r := range list {
		p.sent[fmt.Sprintf("%d%s@%d", r.Partition, generation, r.Offset)] = r
	}
}

func (b *broker) admin(do func(*kadm.Client) error) {
	b.t.Helper()
	cl := b.client()
	defer cl.Close()
	if err := do(kadm.NewClient(cl)); err != nil {
		b.t.Fatal(err)
	}
}

func TestABrokerThatIsDown(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{})
		b.orders(p, "orders", 0, 20)
		b.stop()
		live := p.start("archive", "run")
		parts := newProject(t, b, "orders", settings{}).refused(recount.CodeSourceDown, "check brokers:", "archive", "run", "--once")
		if !strings.Contains(parts["why"], b.addr) {
			t.Errorf("why: got %q, want the broker's address", parts["why"])
		}
		live.says("Kafka cannot be reached, again in")
		b.begin()
		wait(t, "all is archived", func() bool { return p.events() == 20 })
		// Once more, in the middle.
		b.stop()
		b.begin()
		b.orders(p, "orders", 20, 50)
		wait(t, "all is archived", func() bool { return p.events() == 50 })
		if parts := live.interrupt().fails(t, recount.CodeInterrupted, ""); !strings.HasPrefix(parts["changed"], "50 events were committed") {
			t.Errorf("changed: got %q", parts["changed"])
		}
		if n := p.commits(); p.ok("archive", "run", "--once").exit != 0 || p.events() != 50 {
			t.Errorf("%d commits, then %d events", n, p.events())
		}
		p.whole()
	})
}

func TestATopicThatDoesNotExist(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		p := newProject(t, b, "ordres", settings{})
		parts := p.refused(recount.CodeNoTopic, "check topics:", "archive", "run", "--once")
		if !strings.Contains(parts["why"], "ordres") {
			t.Errorf("why: got %q, want the topic's name", parts["why"])
		}
		p.refused(recount.CodeNoTopic, "check topics:", "archive", "run")
		b.topic("ordres", 2)
		b.orders(p, "ordres", 0, 10)
		p.ok("archive", "run", "--once")
		p.whole()
	})
}

func TestAWrongPassword(t *testing.T) {
	t.Parallel()
	b := fakeBroker(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "archiver", "right-"+canary), kfake.Superuser("PLAIN", "archiver", "right-"+canary), kfake.SeedTopics(2, "orders"))
	b.login = []kgo.Opt{kgo.SASL(plain.Auth{User: "archiver", Pass: "right-" + canary}.AsMechanism())}
	for i, mechanism := range []string{"scram-sha-256", "plain"} {
		login := func(password string) string {
			return fmt.Sprintf(", sasl: {mechanism: %s, user: archiver, password: %q}", mechanism, "file:"+password)
		}
		p := newProject(t, b, "orders", settings{kafka: login("wrong")})
		write(t, p.dir, "wrong", "wrong-"+canary)
		write(t, p.dir, "right", "right-"+canary)
		b.locked.Store(true)
		p.refused(recount.CodeSourceAccess, "check sasl:", "archive", "run", "--once")
		p.refused(recount.CodeSourceAccess, "check sasl:", "archive", "run")
		b.locked.Store(false)
		p.configure(b, "orders", settings{kafka: login("right")})
		for n := range 10 * i { // what the round before sent is there too
			r := order("orders", n)
			p.sent[fmt.Sprintf("%d@%d", r.Partition, n/2)] = r
		}
		b.orders(p, "orders", 10*i, 10*i+10)
		p.ok("archive", "run", "--once")
		p.whole()
	}
}
