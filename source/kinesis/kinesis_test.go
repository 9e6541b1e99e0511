package kinesis

import (
	"crypto/md5" //nolint:gosec // the format's own checksum
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"google.golang.org/protobuf/encoding/protowire"

	"recount"
	"recount/adapter"
	"recount/internal/clock"
	server "recount/internal/servertest/kinesis"
	"recount/source"
	"recount/source/sourcetest"
)

func open(t *testing.T, endpoint, stream string, m recount.Mapping, now func() time.Time) *Source {
	t.Helper()
	s, err := Open(t.Context(), adapter.Env{Stream: "orders", Mapping: m, Now: now}, Config{Stream: stream, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	own, ok := s.(*Source)
	if !ok {
		t.Fatalf("got a %T", s)
	}
	return own
}

func TestConformance(t *testing.T) {
	server.Credentials(t)
	sourcetest.Run(t, sourcetest.Harness{Make: func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
		t.Helper()
		m.Key = "" // the record's
		f := newFake(t, len(partitions))
		f.most = 1000
		out := sourcetest.Stream{Source: open(t, f.url, "orders", m, f.clock)}
		for p, rows := range partitions {
			var payloads [][]byte
			for _, r := range rows {
				payloads = append(payloads, value(t, r))
				f.put(p, r.User, value(t, r))
			}
			out.Payloads = append(out.Payloads, payloads)
		}
		out.Stored = func(p int) []time.Time {
			var at []time.Time
			for _, r := range f.shards[p].Records {
				at = append(at, time.UnixMilli(int64(r.ApproximateArrivalTimestamp*1000)).UTC())
			}
			return at
		}
		out.Grow = func(t *testing.T, p int, rows []sourcetest.Row) {
			t.Helper()
			for _, r := range rows {
				f.put(p, r.User, value(t, r))
			}
		}
		return out
	}})
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

// follower reads a stream and keeps what came.
type follower struct {
	t      *testing.T
	source source.Source
	cursor source.Cursor
	events []recount.Event
	gaps   []recount.Gap
}

func (f *follower) read() {
	f.t.Helper()
	if _, err := f.source.Read(f.t.Context(), f.cursor, f.keep); err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) keep(b source.Batch) error {
	f.events = append(f.events, b.Events...)
	f.gaps = append(f.gaps, b.Gaps...)
	f.cursor[b.Partition] = b.Cursor
	return nil
}

func (f *follower) want(texts string, lost int) {
	f.t.Helper()
	var got []string
	for _, e := range f.events {
		got = append(got, string(e.Data))
	}
	if strings.Join(got, " ") != texts || len(f.gaps) != lost {
		f.t.Fatalf("got %v, gaps %v; want %s and %d gaps", got, f.gaps, texts, lost)
	}
}

var plain = recount.Mapping{Time: "record:timestamp"}

func (f *fake) follow(t *testing.T) *follower {
	t.Helper()
	server.Credentials(t)
	return &follower{t: t, source: open(t, f.url, "orders", plain, f.clock), cursor: source.Cursor{}}
}

func TestChildrenAreReadAfterTheirParents(t *testing.T) {
	f := newFake(t, 2)
	w := f.follow(t)
	f.put(0, "k", []byte("a1"))
	f.put(1, "k", []byte("b1"))
	w.read()
	f.put(0, "k", []byte("a2"))
	left, right := f.shard(0), f.shard(0) // split
	f.put(left, "k", []byte("l1"))
	merged := f.shard(right, 1) // merge of a new one and an old one
	f.put(1, "k", []byte("b2"))
	f.put(merged, "k", []byte("m1"))
	f.most = 1
	w.read()
	order := map[string]int{}
	for i, e := range w.events {
		order[string(e.Data)] = i
	}
	if len(order) != 6 || order["a2"] > order["l1"] || order["a2"] > order["m1"] || order["b2"] > order["m1"] {
		t.Errorf("got the order %v", order)
	}
	before := len(w.events)
	w.read()
	if len(w.events) != before || len(w.gaps) > 0 {
		t.Errorf("read again: got %d more, gaps %v", len(w.events)-before, w.gaps)
	}
	// A parent that is read to its end may go.
	f.shards[0].unlisted = true
	f.put(left, "k", []byte("l2"))
	w.read()
	if len(w.events) != before+1 || len(w.gaps) > 0 {
		t.Errorf("after the parent went: got %d more, gaps %v", len(w.events)-before, w.gaps)
	}
}

func TestWhatWasTrimmedIsTold(t *testing.T) {
	f := newFake(t, 1)
	w := f.follow(t)
	f.put(0, "k", []byte("1"))
	w.read()
	// A quiet day: the record is trimmed, and nothing is lost.
	f.now = f.now.Add(20 * time.Hour)
	w.read()
	f.now = f.now.Add(20 * time.Hour)
	f.shards[0].Records = nil
	f.put(0, "k", []byte("2"))
	w.read()
	w.want("1 2", 0)
	// A day in which nobody read, and records came and went.
	f.put(0, "k", []byte("3"))
	f.now = f.now.Add(40 * time.Hour)
	f.shards[0].Records = nil
	f.put(0, "k", []byte("4"))
	lost, err := w.source.(source.Resumer).Overtaken(t.Context(), w.cursor) //nolint:forcetypeassert // see the end of read.go
	if err != nil || len(lost) != 1 || !lost[0].Lost() {
		t.Errorf("overtaken: got %v, %v", lost, err)
	}
	w.read()
	w.read()
	w.want("1 2 4", 1)
	if g := w.gaps[0]; !g.Lost() || g.From <= w.events[1].Position || g.To != w.events[2].Position {
		t.Errorf("got %v between %s and %s", g, w.events[1].Position, w.events[2].Position)
	}
}

func TestAShardThatIsGoneIsTold(t *testing.T) {
	f := newFake(t, 2)
	w := f.follow(t)
	f.put(0, "k", []byte("1"))
	w.read()
	f.shards[0].unlisted = true
	f.put(1, "k", []byte("2"))
	w.read()
	w.read()
	w.want("1 2", 1)
}

func TestThrottlingAndExpiredIteratorsAreOvercome(t *testing.T) {
	f := newFake(t, 1)
	w := f.follow(t)
	for i := range 9 {
		f.put(0, "k", fmt.Appendf(nil, "%d", i))
	}
	f.most, f.throttle = 2, 2
	w.read()
	f.put(0, "k", []byte("9"))
	f.shards[0].lateEmpty, f.expire = 2, 1
	w.read()
	w.want("0 1 2 3 4 5 6 7 8 9", 0)
}

func TestAggregatedRecordsAreTakenApart(t *testing.T) {
	f := newFake(t, 1)
	w := f.follow(t)
	var message []byte
	for _, key := range []string{"u1", "u2"} {
		message = protowire.AppendBytes(protowire.AppendTag(message, 1, protowire.BytesType), []byte(key))
	}
	for i, data := range []string{"a", "", "c"} {
		part := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(i%2))
		part = protowire.AppendBytes(protowire.AppendTag(part, 3, protowire.BytesType), []byte(data))
		message = protowire.AppendBytes(protowire.AppendTag(message, 3, protowire.BytesType), part)
	}
	sum := md5.Sum(message) //nolint:gosec // see above
	whole := slices.Concat(magic, message, sum[:])
	f.put(0, "x", whole)
	broken := slices.Clone(whole)
	broken[len(magic)] ^= 1
	f.put(0, "x", broken) // no aggregate: a record that begins like one
	w.read()
	var got []string
	for _, e := range w.events {
		got = append(got, string(e.Key)+"="+string(e.Data)+"@"+e.Position[len(e.Position)-innerDigits:])
	}
	want := []string{"u1=a@0000", "u2=@0001", "u1=c@0002", "x=" + string(broken) + "@0000"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzAggregate(f *testing.F) {
	f.Add([]byte("\x0a\x02u1\x1a\x05\x08\x00\x1a\x01a"))
	f.Fuzz(func(t *testing.T, message []byte) {
		sum := md5.Sum(message) //nolint:gosec // see above
		inner, ok := inside(slices.Concat(magic, message, sum[:]))
		if ok && len(inner) > len(message) {
			t.Errorf("%d bytes gave %d records", len(message), len(inner))
		}
	})
}

// TestARealServerSplitsAndMerges keeps the order of each key over a split and a
// merge while records come.
func TestARealServerSplitsAndMerges(t *testing.T) {
	endpoint := server.Start(t)
	s := open(t, endpoint, "orders", plain, clock.System{}.Now)
	ctx := t.Context()
	stream := aws.String("orders")
	if _, err := s.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	ready := func() (shards []string, ranges map[string][2]string) {
		for {
			out, err := s.client.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: stream})
			if err != nil {
				t.Fatal(err)
			}
			if out.StreamDescription.StreamStatus != "ACTIVE" {
				continue
			}
			ranges = map[string][2]string{}
			for _, sh := range out.StreamDescription.Shards {
				if sh.SequenceNumberRange.EndingSequenceNumber == nil {
					shards = append(shards, *sh.ShardId)
					ranges[*sh.ShardId] = [2]string{*sh.HashKeyRange.StartingHashKey, *sh.HashKeyRange.EndingHashKey}
				}
			}
			return shards, ranges
		}
	}
	ready()
	w := &follower{t: t, source: s, cursor: source.Cursor{}}
	n := 0
	put := func() {
		for range 60 {
			if _, err := s.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: stream, PartitionKey: aws.String(fmt.Sprintf("k%d", n%7)), Data: fmt.Appendf(nil, "%d", n)}); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	put()
	w.read()
	shards, ranges := ready()
	low, _ := new(big.Int).SetString(ranges[shards[0]][0], 10)
	high, _ := new(big.Int).SetString(ranges[shards[0]][1], 10)
	middle := new(big.Int).Rsh(low.Add(low, high), 1)
	if _, err := s.client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: stream, ShardToSplit: aws.String(shards[0]), NewStartingHashKey: aws.String(middle.String())}); err != nil {
		t.Fatal(err)
	}
	ready()
	put()
	w.read()
	shards, ranges = ready()
	slices.SortFunc(shards, func(a, b string) int {
		x, _ := new(big.Int).SetString(ranges[a][0], 10)
		y, _ := new(big.Int).SetString(ranges[b][0], 10)
		return x.Cmp(y)
	})
	put()
	if _, err := s.client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: stream, ShardToMerge: aws.String(shards[0]), AdjacentShardToMerge: aws.String(shards[1])}); err != nil {
		t.Fatal(err)
	}
	ready()
	put()
	w.read()
	w.read()
	last := map[string]int{}
	for _, e := range w.events {
		var i int
		if _, err := fmt.Sscan(string(e.Data), &i); err != nil {
			t.Fatal(err)
		}
		if before, ok := last[string(e.Key)]; ok && i <= before {
			t.Errorf("key %s: %d came after %d", e.Key, i, before)
		}
		last[string(e.Key)] = i
	}
	if len(w.events) != n || len(w.gaps) > 0 {
		t.Errorf("got %d events of %d, gaps %v", len(w.events), n, w.gaps)
	}
}

func TestErrorsAreExplained(t *testing.T) {
	endpoint := server.Start(t)
	err := open(t, endpoint, "no-such-stream", plain, clock.System{}.Now).Check(t.Context())
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeNoTopic || e.Next == "" {
		t.Errorf("no stream: got %v", err)
	}
}

func TestWrongBlocksAreRefused(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, c := range []Config{{Endpoint: "http://127.0.0.1:1"}, {Stream: "orders"}} {
		_, err := Open(t.Context(), adapter.Env{Stream: "orders", Mapping: plain}, c)
		if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeConfig || e.Next == "" {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

// TestAPullBeyondTheRetentionCoversNothingToCome pulls a span of which all may be
// gone.
func TestAPullBeyondTheRetentionCoversNothingToCome(t *testing.T) {
	f := newFake(t, 1)
	w := f.follow(t)
	f.put(0, "k", []byte("1"))
	span := source.Span{From: f.clock().Add(-40 * time.Hour), To: f.clock().Add(time.Hour)}
	pull := func() {
		if _, err := w.source.(source.Spanned).ReadSpan(t.Context(), span, w.keep); err != nil { //nolint:forcetypeassert // see the end of read.go
			t.Fatal(err)
		}
	}
	pull()
	w.want("1", 1)
	if g := w.gaps[0]; !g.Lost() || g.From >= g.To || g.To > w.events[0].Position {
		t.Errorf("got gap %s, want one that ends before %s", g, w.events[0].Position)
	}
	if w.cursor[w.events[0].Partition] != "" {
		t.Error("the pull moved the cursor")
	}
}

// TestAStreamThatIsOlderThanWhatItKeepsIsTold reads it for the first time.
func TestAStreamThatIsOlderThanWhatItKeepsIsTold(t *testing.T) {
	f := newFake(t, 2)
	f.now = f.now.Add(100 * time.Hour)
	f.put(0, "k", []byte("1"))
	w := f.follow(t)
	w.read()
	w.read()
	w.want("1", 1)
	if g := w.gaps[0]; !g.Lost() || g.To > w.events[0].Position || g.Before.After(f.now.Add(-23*time.Hour)) || g.Before.Before(f.now.Add(-25*time.Hour)) {
		t.Errorf("got gap %s before %s", g, g.Before)
	}
}
