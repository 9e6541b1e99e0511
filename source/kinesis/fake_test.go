package kinesis

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// fake is a server of one stream, as far as a reader asks it. It can do what a
// real one does only now and then: trim, throttle, let an iterator expire.
type fake struct {
	mu       sync.Mutex
	url      string
	shards   []*fakeShard
	sequence int64
	now      time.Time
	made     float64 // when the stream was, in seconds
	throttle int     // of the next requests for records
	expire   int     // of the next requests for records
	most     int     // records of one answer; 0: as many as are asked for
}

type fakeShard struct {
	ID        string
	Parents   []string
	Records   []fakeRecord
	Closed    bool
	unlisted  bool
	lateEmpty int // empty answers before the next records
}

type fakeRecord struct {
	SequenceNumber              string
	PartitionKey                string
	Data                        []byte
	ApproximateArrivalTimestamp float64
}

func newFake(t *testing.T, shards int) *fake {
	t.Helper()
	f := &fake{now: time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC), made: 1_718_020_800}
	for range shards {
		f.shard()
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fake) shard(parents ...int) int {
	s := &fakeShard{ID: fmt.Sprintf("shardId-%012d", len(f.shards))}
	for _, p := range parents {
		s.Parents = append(s.Parents, f.shards[p].ID)
		f.shards[p].Closed = true
	}
	f.shards = append(f.shards, s)
	return len(f.shards) - 1
}

func (f *fake) put(shard int, key string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sequence++
	f.now = f.now.Add(time.Millisecond)
	s := f.shards[shard]
	s.Records = append(s.Records, fakeRecord{
		SequenceNumber: fmt.Sprintf("4959033827149025660855969253836157109592157598913%07d", f.sequence), PartitionKey: key, Data: data,
		ApproximateArrivalTimestamp: float64(f.now.UnixMilli()) / 1000,
	})
}

func (f *fake) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// request is what any of the operations may carry.
type request struct {
	ShardID                *string `json:"ShardId"` //nolint:tagliatelle // the service's own
	ShardIterator          *string
	ShardIteratorType      string
	StartingSequenceNumber *string
	Timestamp              float64
	Limit                  int
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, act, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var out any
	switch act {
	case "ListShards":
		out = f.list()
	case "DescribeStreamSummary":
		out = map[string]any{"StreamDescriptionSummary": map[string]any{"RetentionPeriodHours": 24, "StreamCreationTimestamp": f.made}}
	case "GetShardIterator":
		out = map[string]any{"ShardIterator": f.place(in)}
	case "GetRecords":
		var fault string
		if out, fault = f.get(in); fault != "" {
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]any{"__type": fault, "message": "not now"}
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fake) list() any {
	var list []map[string]any
	for _, s := range f.shards {
		if s.unlisted {
			continue
		}
		one := map[string]any{"ShardId": s.ID}
		for i, key := range []string{"ParentShardId", "AdjacentParentShardId"} {
			if i < len(s.Parents) {
				one[key] = s.Parents[i]
			}
		}
		list = append(list, one)
	}
	return map[string]any{"Shards": list}
}

func (f *fake) of(id string) *fakeShard {
	return f.shards[slices.IndexFunc(f.shards, func(s *fakeShard) bool { return s.ID == id })]
}

// place makes an iterator: the shard and the sequence number before its next
// record.
func (f *fake) place(in request) string {
	s := f.of(aws.ToString(in.ShardID))
	before := ""
	for _, r := range s.Records {
		at := aws.ToString(in.StartingSequenceNumber)
		switch in.ShardIteratorType {
		case "AT_SEQUENCE_NUMBER":
			if r.SequenceNumber >= at {
				return s.ID + "|" + before
			}
		case "AFTER_SEQUENCE_NUMBER":
			if r.SequenceNumber > at {
				return s.ID + "|" + before
			}
		case "AT_TIMESTAMP":
			if r.ApproximateArrivalTimestamp >= in.Timestamp {
				return s.ID + "|" + before
			}
		case "TRIM_HORIZON":
			return s.ID + "|"
		}
		before = r.SequenceNumber
	}
	return s.ID + "|" + before
}

func (f *fake) get(in request) (out any, fault string) {
	switch {
	case f.throttle > 0:
		f.throttle--
		return nil, "ProvisionedThroughputExceededException"
	case f.expire > 0:
		f.expire--
		return nil, "ExpiredIteratorException"
	}
	id, before, _ := strings.Cut(aws.ToString(in.ShardIterator), "|")
	s := f.of(id)
	list := []fakeRecord{}
	for _, r := range s.Records {
		if r.SequenceNumber > before {
			list = append(list, r)
		}
	}
	if s.lateEmpty > 0 && len(list) > 0 {
		s.lateEmpty--
		return map[string]any{"Records": []fakeRecord{}, "MillisBehindLatest": 1000, "NextShardIterator": aws.ToString(in.ShardIterator)}, ""
	}
	most := in.Limit
	if f.most > 0 {
		most = min(most, f.most)
	}
	behind := 0
	if len(list) > most {
		list, behind = list[:most], 1000
	}
	answer := map[string]any{"Records": list, "MillisBehindLatest": behind}
	if len(list) > 0 {
		before = list[len(list)-1].SequenceNumber
	}
	if !s.Closed || behind > 0 {
		answer["NextShardIterator"] = id + "|" + before
	}
	return answer, ""
}
