package tobus_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/replay/tobus"
	"recount/source"
)

// bus is a destination of several partitions. A message goes to that of its key; of
// a batch during which it dies, each partition keeps a beginning.
type bus struct {
	rng        *rand.Rand
	partitions [][]source.Message
	batches    int
	diesAt     int // the batch during which it dies; -1: never
}

var errDied = errors.New("killed")

func (b *bus) Publish(_ context.Context, messages []source.Message) error {
	b.batches++
	parts := make([][]source.Message, len(b.partitions))
	for _, m := range messages {
		h := fnv.New32a()
		_, _ = h.Write(m.Key)
		n := int(h.Sum32()) % len(parts)
		parts[n] = append(parts[n], m)
	}
	dies := b.batches == b.diesAt
	for i, p := range parts {
		if dies {
			p = p[:b.rng.IntN(len(p)+1)]
		}
		b.partitions[i] = append(b.partitions[i], p...)
	}
	if dies {
		return errDied
	}
	return nil
}

func (b *bus) Published(_ context.Context, name, value string, each func(partition, position string)) error {
	for _, p := range b.partitions {
		for _, m := range p {
			if header(m, name) == value {
				partition, position, _ := strings.Cut(header(m, source.HeaderPosition), "@")
				each(partition, position)
			}
		}
	}
	return nil
}

func (b *bus) Close() error { return nil }

func header(m source.Message, name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

func events(n int) []recount.Event {
	list := make([]recount.Event, n)
	for i := range list {
		list[i] = recount.Event{
			Partition: fmt.Sprint(i % 3), Position: recount.PadPosition(fmt.Sprint(i / 3)), Key: fmt.Appendf(nil, "k%d-%d", i%3, i%17), Data: fmt.Append(nil, i),
			Headers: []recount.Header{{Name: "note", Value: []byte("x")}, {Name: source.HeaderPosition, Value: []byte("another's")}},
		}
	}
	return list
}

// send publishes what is not there yet, as the command does.
func send(ctx context.Context, b *bus, list []recount.Event, opts tobus.Options) (*tobus.Sender, error) {
	opts.ID, opts.Publisher, opts.There = "r1", b, &tobus.Places{}
	if err := b.Published(ctx, source.HeaderReplay, "r1", opts.There.Add); err != nil {
		return nil, err
	}
	s := tobus.NewSender(opts)
	for i := range list {
		if err := s.Add(ctx, &list[i]); err != nil {
			return s, err
		}
	}
	return s, s.Flush(ctx)
}

// check holds the destination against the events: each once, and those of a key in
// order.
func (b *bus) check(t *testing.T, list []recount.Event) {
	t.Helper()
	last, seen := map[string]string{}, map[string]int{}
	for _, p := range b.partitions {
		for _, m := range p {
			place := header(m, source.HeaderPosition)
			seen[place]++
			if place <= last[string(m.Key)] {
				t.Errorf("key %s: %s comes after %s", m.Key, place, last[string(m.Key)])
			}
			last[string(m.Key)] = place
			if len(m.Headers) != 3 || header(m, "note") != "x" || m.Partition+"@" != place[:2] {
				t.Errorf("message of %s: got %v", place, m)
			}
		}
	}
	for _, e := range list {
		if n := seen[e.Partition+"@"+e.Position]; n != 1 {
			t.Errorf("event %s@%s is there %d times, want once", e.Partition, e.Position, n)
		}
	}
}

func TestAReplayThatDiesPublishesEachEventOnceInTheEnd(t *testing.T) {
	list := events(23_000)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 4)) //nolint:gosec // deaths that their seed repeats
		b := &bus{rng: rng, partitions: make([][]source.Message, 7)}
		for deaths := 0; ; deaths++ {
			b.diesAt, b.batches = 1+rng.IntN(7), 0
			s, err := send(t.Context(), b, list, tobus.Options{})
			if err == nil {
				if s.Sent+s.There != int64(len(list)) {
					t.Errorf("seed %d: got %d sent and %d there, want %d", seed, s.Sent, s.There, len(list))
				}
				break
			}
			if !errors.Is(err, errDied) || deaths > 1000 {
				t.Fatalf("seed %d: after %d deaths: %v", seed, deaths, err)
			}
		}
		b.check(t, list)
	}
}

// timer tells time that passes by sleeping alone.
type timer struct{ passed time.Duration }

func (timer) Now() time.Time                               { return time.Time{} }
func (c *timer) Passed() time.Duration                     { return c.passed }
func (c *timer) Sleep(_ context.Context, by time.Duration) { c.passed += by }

func TestTheRateIsKept(t *testing.T) {
	for _, rate := range []int64{1, 7, 300, 100_000} {
		list := events(int(min(rate*3, 20_000)))
		b, c := &bus{partitions: make([][]source.Message, 2)}, &timer{}
		if _, err := send(t.Context(), b, list, tobus.Options{PerSecond: rate, Timer: c}); err != nil {
			t.Fatal(err)
		}
		least := time.Duration(float64(len(list))/float64(rate)*float64(time.Second)) * 2 / 3 // the first batch is not waited for
		if c.passed < least || c.passed > 3*time.Second {
			t.Errorf("%d events at %d/s took %s, want %s to 3s", len(list), rate, c.passed, least)
		}
		b.check(t, list)
	}
}

func TestAnEndThatIsAskedForWaitsForTheBatch(t *testing.T) {
	list := events(20_000)
	b := &bus{partitions: make([][]source.Message, 2)}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := send(ctx, b, list, tobus.Options{Tell: func(int) {
		if b.batches == 2 {
			cancel()
		}
	}})
	there := len(b.partitions[0]) + len(b.partitions[1])
	if !errors.Is(err, context.Canceled) || s.Sent != 10_000 || there != 10_000 {
		t.Fatalf("got %v, %d sent and %d there, want two batches", err, s.Sent, there)
	}
	if s, err = send(t.Context(), b, list, tobus.Options{}); err != nil || s.There != 10_000 || s.Sent != 10_000 {
		t.Errorf("again: got %v, %d sent and %d there before", err, s.Sent, s.There)
	}
	b.check(t, list)
}

func TestPlacesThatAreNoNumbers(t *testing.T) {
	var p tobus.Places
	for range 2 {
		p.Add("a", "49590338271490256608559692538361571095921575989136588898")
		p.Add("a", recount.PadPosition("1023"))
		p.Add("b", "x")
	}
	for place, want := range map[[2]string]bool{
		{"a", "49590338271490256608559692538361571095921575989136588898"}: true, {"a", recount.PadPosition("1023")}: true, {"b", "x"}: true,
		{"a", recount.PadPosition("1024")}: false, {"a", "x"}: false, {"c", "x"}: false, {"b", recount.PadPosition("1023")}: false,
	} {
		if got := p.Has(place[0], place[1]); got != want {
			t.Errorf("%v: got %t, want %t", place, got, want)
		}
	}
	if p.Len() != 3 {
		t.Errorf("got %d places, want 3", p.Len())
	}
}
