package archive_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/source"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

var fields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}, Path: "user_id"},
	{Name: "value", Type: recount.Decimal(18, 2), Path: "value"},
}

// fakeSource is a stream of events by partition.
type fakeSource struct {
	partitions map[string][]recount.Event
	batch      int
	watermark  time.Time
	noEnd      error
}

// newSource has n sound events over a few hours and partitions.
func newSource(n int) *fakeSource {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	s := &fakeSource{partitions: map[string][]recount.Event{}, batch: 64, watermark: noon}
	for i := range n {
		s.add(event(i, noon.Add(-time.Duration(rng.IntN(4*3600*1000))*time.Millisecond)))
	}
	return s
}

func event(i int, at time.Time) recount.Event {
	user, value := fmt.Sprintf("u%d", i%7), fmt.Sprintf("%d.%02d", i, i%100)
	return recount.Event{
		ID: fmt.Sprintf("e-%06d", i), Partition: strconv.Itoa(i % 3), Time: at.Truncate(time.Microsecond),
		Data:   []byte(fmt.Sprintf("e-%06d,%s,%s,%s", i, user, at.Format(time.RFC3339Nano), value)),
		Fields: []recount.Value{recount.Text(user), recount.Text(value)},
	}
}

func (s *fakeSource) add(e recount.Event) {
	list := s.partitions[e.Partition]
	e.Position = fmt.Sprintf("%012d", len(list))
	s.partitions[e.Partition] = append(list, e)
}

func (s *fakeSource) Info() source.Info { return source.Info{HasID: true, Place: "test"} }

func (s *fakeSource) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	from := map[string]int{}
	for p := range s.partitions {
		if c, ok := cursor[p]; ok {
			n, err := strconv.Atoi(c)
			if err != nil {
				return source.End{}, err
			}
			from[p] = n
		}
	}
	for more := true; more; {
		more = false
		for _, p := range sortedKeys(s.partitions) {
			list := s.partitions[p][from[p]:]
			if len(list) == 0 {
				continue
			}
			n := min(len(list), s.batch)
			events := make([]recount.Event, n)
			for i, e := range list[:n] {
				e.Fields = append([]recount.Value(nil), e.Fields...)
				events[i] = e
			}
			from[p] += n
			if err := emit(source.Batch{Partition: p, Events: events, Cursor: strconv.Itoa(from[p]), Format: "csv", Header: "id,user_id,timestamp,value"}); err != nil {
				return source.End{}, err
			}
			more = true
		}
	}
	if s.noEnd != nil {
		return source.End{}, s.noEnd
	}
	return source.End{Watermark: s.watermark, Partitions: len(s.partitions)}, ctx.Err()
}

func (s *fakeSource) Decoder(string, string) (source.Decoder, error) { return fakeDecoder{}, nil }
func (s *fakeSource) Check(context.Context) error                    { return nil }
func (s *fakeSource) Close() error                                   { return nil }

type fakeDecoder struct{}

func (fakeDecoder) Decode(payload []byte) recount.Event {
	var v any
	_ = json.Unmarshal(payload, &v)
	return recount.Event{}
}

func options(src source.Source) archive.RunOptions {
	return archive.RunOptions{
		Stream: "orders", Source: src, Fields: fields, MappingDigest: "m", QuarantineMax: 1000, Program: "test",
	}
}
