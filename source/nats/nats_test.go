package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"recount"
	"recount/adapter"
	"recount/internal/clock"
	"recount/source"
	"recount/source/sourcetest"
)

// world is a JetStream server inside of this process.
type world struct {
	server *server.Server
	js     jetstream.JetStream
}

func start(t *testing.T, change func(*server.Options)) world {
	t.Helper()
	o := &server.Options{JetStream: true, StoreDir: t.TempDir(), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: 8 << 20}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	const patience = 10 * time.Second
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server did not come up")
	}
	if o.Username != "" {
		return world{server: s}
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return world{server: s, js: js}
}

func (w world) stream(t *testing.T, c jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	if len(c.Subjects) == 0 {
		c.Subjects = []string{strings.ToLower(c.Name) + ".>"}
	}
	stream, err := w.js.CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func (w world) publish(t *testing.T, subject string, data []byte, headers nats.Header) {
	t.Helper()
	if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: data, Header: headers}); err != nil {
		t.Fatal(err)
	}
}

func (w world) open(t *testing.T, m recount.Mapping, change func(*Config), streams ...string) source.Source {
	t.Helper()
	c := Config{Servers: []string{w.server.ClientURL()}, Streams: streams}
	if change != nil {
		change(&c)
	}
	s, err := Open(t.Context(), adapter.Env{Stream: "orders", Mapping: m, Now: clock.System{}.Now}, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	w := start(t, nil)
	made := 0
	sourcetest.Run(t, sourcetest.Harness{
		// A server takes messages up to a size that its operator sets.
		Make: func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
			t.Helper()
			made++
			var names []string
			out := sourcetest.Stream{}
			for p, rows := range partitions {
				name := fmt.Sprintf("S%d-%c", made, 'A'+p)
				names = append(names, name)
				w.stream(t, jetstream.StreamConfig{Name: name})
				var payloads [][]byte
				for _, r := range rows {
					payloads = append(payloads, value(t, r))
					w.publish(t, strings.ToLower(name)+".x", value(t, r), nil)
				}
				out.Payloads = append(out.Payloads, payloads)
			}
			out.Source = w.open(t, m, nil, names...)
			out.Stored = func(p int) []time.Time { return w.times(t, names[p]) }
			out.Destination = func(t *testing.T) (string, source.Source) {
				t.Helper()
				made++
				name := fmt.Sprintf("D%d", made)
				w.stream(t, jetstream.StreamConfig{Name: name})
				return strings.ToLower(name) + ".x", w.open(t, m, nil, name)
			}
			out.Consume = w.consume
			out.Grow = func(t *testing.T, p int, rows []sourcetest.Row) {
				t.Helper()
				for _, r := range rows {
					w.publish(t, strings.ToLower(names[p])+".x", value(t, r), nil)
				}
			}
			return out
		},
	})
}

// times are those at which a stream took its messages in.
func (w world) times(t *testing.T, name string) []time.Time {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var at []time.Time
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		m, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, m.Time)
	}
	return at
}

// value writes a row as JSON. A note that is no UTF-8 goes in byte by byte.
func value(t *testing.T, r sourcetest.Row) []byte {
	t.Helper()
	note := r.Note
	if !utf8.ValidString(note) {
		note = "NOTE"
	}
	b, err := json.Marshal(map[string]string{"id": r.ID, "time": r.Time, "user": r.User, "value": r.Value, "note": note})
	if err != nil {
		t.Fatal(err)
	}
	if note != r.Note {
		b = []byte(strings.Replace(string(b), note, r.Note, 1))
	}
	return b
}

var plain = recount.Mapping{Time: "record:timestamp", ID: "header:Nats-Msg-Id"}

// follower reads streams and keeps what came.
type follower struct {
	t      *testing.T
	source source.Source
	cursor source.Cursor
	events []recount.Event
	gaps   []recount.Gap
}

func (f *follower) keep(b source.Batch) error {
	f.events = append(f.events, b.Events...)
	f.gaps = append(f.gaps, b.Gaps...)
	if b.Cursor != "" {
		f.cursor[b.Partition] = b.Cursor
	}
	return nil
}

func (f *follower) read() {
	f.t.Helper()
	if _, err := f.source.Read(f.t.Context(), f.cursor, f.keep); err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) want(places string, gaps ...string) {
	f.t.Helper()
	var got []string
	for _, e := range f.events {
		got = append(got, e.Partition+":"+recount.ShortPosition(e.Position)+"="+string(e.Data))
	}
	var told []string
	for _, g := range f.gaps {
		told = append(told, fmt.Sprintf("%s %s", g, g.Reason))
	}
	if strings.Join(got, " ") != places || !slices.Equal(told, gaps) {
		f.t.Fatalf("got %v, gaps %q; want %s, gaps %q", got, told, places, gaps)
	}
}

func (w world) follow(t *testing.T, streams ...string) *follower {
	t.Helper()
	return &follower{t: t, cursor: source.Cursor{}, source: w.open(t, plain, nil, streams...)}
}

func TestWhatLiesBesideAPayloadIsKept(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	w.publish(t, "orders.eu", []byte{}, nats.Header{"B": {"2", ""}, "A": {"1"}, "Nats-Msg-Id": {"e1"}})
	f := w.follow(t, "ORDERS")
	f.read()
	e := f.events[0]
	want := []recount.Header{
		{Name: "Nats-Subject", Value: []byte("orders.eu")},
		{Name: "A", Value: []byte("1")},
		{Name: "B", Value: []byte("2")},
		{Name: "B", Value: []byte("")},
		{Name: "Nats-Msg-Id", Value: []byte("e1")},
	}
	if fmt.Sprint(e.Headers) != fmt.Sprint(want) || e.ID != "e1" || e.Data == nil || len(e.Data) != 0 || e.Time.IsZero() || e.IngestTime.IsZero() || e.Key != nil {
		t.Errorf("got %+v", e)
	}
}

func TestHolesAreTold(t *testing.T) {
	w := start(t, nil)
	stream := w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	f := w.follow(t, "ORDERS")
	for i := range 9 {
		headers := nats.Header{}
		if i == 4 {
			headers.Set(source.HeaderReplay, "r1")
		}
		w.publish(t, "orders.x", fmt.Appendf(nil, "%d", i+1), headers)
	}
	for _, deleted := range []uint64{3, 8, 9} {
		if err := stream.DeleteMsg(t.Context(), deleted); err != nil {
			t.Fatal(err)
		}
	}
	f.read()
	f.want("ORDERS:1=1 ORDERS:2=2 ORDERS:4=4 ORDERS:6=6 ORDERS:7=7",
		"ORDERS:[3, 4) compacted", "ORDERS:[5, 6) replay", "ORDERS:[8, 10) compacted")
	w.publish(t, "orders.x", []byte("10"), nil)
	f.read()
	f.want("ORDERS:1=1 ORDERS:2=2 ORDERS:4=4 ORDERS:6=6 ORDERS:7=7 ORDERS:10=10",
		"ORDERS:[3, 4) compacted", "ORDERS:[5, 6) replay", "ORDERS:[8, 10) compacted")
}

func TestWhatLimitsRemovedIsTold(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS", MaxMsgs: 3})
	f := w.follow(t, "ORDERS")
	w.publish(t, "orders.x", []byte("1"), nil)
	f.read()
	for i := range 8 {
		w.publish(t, "orders.x", fmt.Appendf(nil, "%d", i+2), nil)
	}
	resumer, ok := f.source.(source.Resumer)
	if !ok {
		t.Fatal("it does not say what is overtaken")
	}
	if lost, err := resumer.Overtaken(t.Context(), f.cursor); err != nil || len(lost) != 1 || lost[0].String() != "ORDERS:[2, 7)" {
		t.Errorf("overtaken: got %v, %v", lost, err)
	}
	f.read()
	f.want("ORDERS:1=1 ORDERS:7=7 ORDERS:8=8 ORDERS:9=9", "ORDERS:[2, 7) retention")
}

func TestAStreamThatWasMadeAnewIsAnotherPartition(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	f := w.follow(t, "ORDERS")
	w.publish(t, "orders.x", []byte("1"), nil)
	f.read()
	if err := w.js.DeleteStream(t.Context(), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	w.publish(t, "orders.x", []byte("a"), nil)
	f.read()
	f.read()
	f.want("ORDERS:1=1 ORDERS@2:1=a", "ORDERS:[2, 9223372036854775807) retention")
}

// TestAStreamThatWasOnlyPulledAndMadeAnew names the new one by what the pull said.
func TestAStreamThatWasOnlyPulledAndMadeAnew(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	f := w.follow(t, "ORDERS")
	for _, text := range []string{"1", "2", "3"} {
		w.publish(t, "orders.x", []byte(text), nil)
	}
	span := source.Span{Positions: []recount.PositionWindow{{Partition: "ORDERS", From: position(2), To: position(3)}}}
	if _, err := f.source.(source.Spanned).ReadSpan(t.Context(), span, f.keep); err != nil { //nolint:forcetypeassert // it is one
		t.Fatal(err)
	}
	if err := w.js.DeleteStream(t.Context(), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	for _, text := range []string{"a", "b"} {
		w.publish(t, "orders.x", []byte(text), nil)
	}
	f.read()
	f.read()
	f.want("ORDERS:2=2 ORDERS@2:1=a ORDERS@2:2=b", "ORDERS:[1, 9223372036854775807) retention")
}

func TestSubjectsCanBeChosen(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	f := &follower{t: t, cursor: source.Cursor{}, source: w.open(t, plain, func(c *Config) { c.Subjects = []string{"orders.eu"} }, "ORDERS")}
	for i, region := range []string{"us", "eu", "us", "eu", "us"} {
		w.publish(t, "orders."+region, fmt.Appendf(nil, "%d", i+1), nil)
	}
	f.read()
	f.read()
	f.want("ORDERS:2=2 ORDERS:4=4")
	if f.source.Info().Dense {
		t.Error("it calls the positions dense")
	}
}

func TestAWorkQueueIsRefused(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "WORK", Retention: jetstream.WorkQueuePolicy})
	w.publish(t, "work.x", []byte("1"), nil)
	s := w.open(t, plain, nil, "WORK")
	_, err := s.Read(t.Context(), source.Cursor{}, func(source.Batch) error { return nil })
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeConfig || e.Next == "" {
		t.Errorf("got %v", err)
	}
}

func TestASpanIsReadByItself(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	var at []time.Time
	for i := range 9 {
		w.publish(t, "orders.x", fmt.Appendf(nil, "%d", i+1), nil)
		msg, err := must(w.js.Stream(t.Context(), "ORDERS")).GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, msg.Time)
	}
	for name, c := range map[string]struct {
		span source.Span
		want string
	}{
		"time":      {source.Span{From: at[2], To: at[4]}, "ORDERS:3=3 ORDERS:4=4"},
		"open end":  {source.Span{From: at[7]}, "ORDERS:8=8 ORDERS:9=9"},
		"nothing":   {source.Span{From: at[8].Add(time.Second)}, ""},
		"positions": {source.Span{Positions: []recount.PositionWindow{{Partition: "ORDERS", From: position(5), To: position(7)}}}, "ORDERS:5=5 ORDERS:6=6"},
	} {
		f := w.follow(t, "ORDERS")
		spanned, ok := f.source.(source.Spanned)
		if !ok {
			t.Fatal("it reads no spans")
		}
		if _, err := spanned.ReadSpan(t.Context(), c.span, f.keep); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f.want(c.want)
	}
}

func must(s jetstream.Stream, err error) jetstream.Stream {
	if err != nil {
		panic(err)
	}
	return s
}

func TestMessagesArePublishedAndFoundAgain(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	w.stream(t, jetstream.StreamConfig{Name: "AGAIN"})
	s := w.open(t, plain, nil, "ORDERS")
	bus, ok := s.(source.Bus)
	if !ok {
		t.Fatal("it publishes nothing")
	}
	if !bus.Reads("orders.x") || bus.Reads("again.x") {
		t.Error("it does not know what it reads")
	}
	p, err := bus.Publisher(t.Context(), "again.x")
	if err != nil {
		t.Fatal(err)
	}
	var list []source.Message
	for i := range 5 {
		list = append(list, source.Message{Data: fmt.Appendf(nil, "%d", i), Headers: []recount.Header{
			{Name: "Nats-Subject", Value: []byte("orders.x")},
			{Name: source.HeaderReplay, Value: []byte("r1")},
			{Name: source.HeaderPosition, Value: []byte("ORDERS@" + position(uint64(i)))},
		}})
	}
	if err := p.Publish(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	var there []string
	keep := func(partition, at string) { there = append(there, partition+"@"+at) }
	if err := p.Published(t.Context(), source.HeaderReplay, "r1", keep); err != nil || len(there) != len(list) || there[4] != "ORDERS@"+position(4) {
		t.Errorf("published: got %v, %v", there, err)
	}
	if err := p.Published(t.Context(), source.HeaderReplay, "r2", keep); err != nil || len(there) != len(list) {
		t.Errorf("published of another replay: got %v, %v", there, err)
	}
	f := w.follow(t, "AGAIN") // our own replay is no new event
	f.read()
	f.want("", "AGAIN:[1, 2) replay", "AGAIN:[2, 3) replay", "AGAIN:[3, 4) replay", "AGAIN:[4, 5) replay", "AGAIN:[5, 6) replay")
}

func TestAServerThatIsDownOrRefusesIsExplained(t *testing.T) {
	w := start(t, func(o *server.Options) { o.Username, o.Password = "archiver", "swordfish" })
	s := w.open(t, plain, func(c *Config) { c.User, c.Password = "archiver", "salmon" }, "ORDERS")
	err := s.Check(t.Context())
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeSourceAccess || strings.Contains(e.Error(), "salmon") {
		t.Errorf("wrong password: got %v", err)
	}
	s = w.open(t, plain, func(c *Config) { c.User, c.Password = "archiver", "swordfish" }, "ORDERS")
	err = s.Check(t.Context())
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeNoTopic {
		t.Errorf("no stream: got %v", err)
	}
	s = w.open(t, plain, func(c *Config) { c.Servers = []string{"nats://127.0.0.1:1"} }, "ORDERS")
	err = s.Check(t.Context())
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeSourceDown || !errors.Is(err, recount.ErrUnreachable) {
		t.Errorf("no server: got %v", err)
	}
}

func TestWaitReturnsWhenAMessageComes(t *testing.T) {
	w := start(t, nil)
	w.stream(t, jetstream.StreamConfig{Name: "ORDERS"})
	w.publish(t, "orders.x", []byte("1"), nil)
	f := w.follow(t, "ORDERS")
	f.read()
	waiter, ok := f.source.(source.Waiter)
	if !ok {
		t.Fatal("it cannot wait")
	}
	short, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if err := waiter.Wait(short, f.cursor); err != nil || short.Err() == nil {
		t.Errorf("it did not wait (%v)", err)
	}
	w.publish(t, "orders.x", []byte("2"), nil)
	long, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := waiter.Wait(long, f.cursor); err != nil || long.Err() != nil {
		t.Errorf("it did not see the message (%v)", err)
	}
}

func TestWrongBlocksAreRefused(t *testing.T) {
	for _, c := range []Config{
		{Streams: []string{"A"}},
		{Servers: []string{"nats://h"}},
		{Servers: []string{"nats://h"}, Streams: []string{"A", "A"}},
		{Servers: []string{"nats://h"}, Streams: []string{"a.b"}},
		{Servers: []string{"nats://h"}, Streams: []string{"A@2"}},
	} {
		_, err := Open(t.Context(), adapter.Env{Stream: "orders", Mapping: plain}, c)
		if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeConfig || e.Next == "" {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
