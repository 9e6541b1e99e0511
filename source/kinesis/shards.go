package kinesis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"recount"
	"recount/source"
)

// A position is a sequence number, which has up to 56 digits, and the place of a
// record inside of an aggregated one.
const (
	sequenceDigits = 56
	innerDigits    = 4
)

func position(sequence string, inner int) (string, error) {
	if len(sequence) > sequenceDigits || strings.Trim(sequence, "0123456789") != "" {
		return "", fmt.Errorf("sequence number %q is no number of at most %d digits", sequence, sequenceDigits)
	}
	return strings.Repeat("0", sequenceDigits-len(sequence)) + sequence + fmt.Sprintf("%0*d", innerDigits, inner), nil
}

// beyond is the position after every other: a gap to it has no known end.
var beyond = strings.Repeat("9", sequenceDigits+innerDigits)

// zeroPosition is before every record's, and firstPosition follows it.
var (
	zeroPosition  = strings.Repeat("0", sequenceDigits+innerDigits)
	firstPosition = zeroPosition[1:] + "1"
)

// after is the first position after a record's.
func after(sequence string) string {
	return strings.Repeat("0", max(sequenceDigits-len(sequence), 0)) + sequence + strings.Repeat("9", innerDigits)
}

// mark is a shard's cursor.
type mark struct {
	Last string `json:"last,omitempty"` // the last sequence number that was read; empty: none was
	// At is when nothing came after Last yet: what came since is younger.
	At   time.Time `json:"at"`
	Done bool      `json:"done,omitempty"` // the shard was read to its end, or its loss is told
}

func (m mark) text() string {
	b, err := json.Marshal(m)
	if err != nil { // a struct of texts and a time of this age can always be written
		panic(err)
	}
	return string(b)
}

func marks(cursor source.Cursor) (map[string]mark, error) {
	all := map[string]mark{}
	for shard, text := range cursor {
		var m mark
		if err := json.Unmarshal([]byte(text), &m); err != nil || !strings.HasPrefix(shard, "shardId-") {
			return nil, &recount.Error{
				Code: recount.CodeMapping, What: "the archive's cursor was not made by this source", Where: fmt.Sprintf("partition %q", shard), Err: err,
				Why:  fmt.Sprintf("%.100q is no cursor of a shard", text),
				Next: "give the source a new name, and archive it anew",
			}
		}
		all[shard] = m
	}
	return all, nil
}

// shard is one of the stream's, as it is listed.
type shard struct {
	id      string
	parents []string
}

// shards lists the shards that still hold records, the parents before their
// children.
func (s *Source) shards(ctx context.Context) ([]shard, error) {
	in := &kinesis.ListShardsInput{StreamName: aws.String(s.config.Stream)}
	var list []shard
	for {
		out, err := s.client.ListShards(ctx, in)
		if err != nil {
			return nil, s.explained("list shards", err)
		}
		for _, sh := range out.Shards {
			one := shard{id: aws.ToString(sh.ShardId)}
			for _, parent := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
				if parent != nil && *parent != "" {
					one.parents = append(one.parents, *parent)
				}
			}
			list = append(list, one)
		}
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
	// Ids grow with time, so that parents have the lower ones.
	slices.SortFunc(list, func(a, b shard) int { return strings.Compare(a.id, b.id) })
	return list, nil
}

// retention is how long the stream keeps a record, and when the stream was made.
func (s *Source) retention(ctx context.Context) (time.Duration, time.Time, error) {
	out, err := s.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(s.config.Stream)})
	if err != nil {
		return 0, time.Time{}, s.explained("ask for the retention period", err)
	}
	d := out.StreamDescriptionSummary
	return time.Duration(aws.ToInt32(d.RetentionPeriodHours)) * time.Hour, aws.ToTime(d.StreamCreationTimestamp), nil
}

func (s *Source) iterator(ctx context.Context, shard string, kind types.ShardIteratorType, sequence string, at *time.Time) (*string, error) {
	in := &kinesis.GetShardIteratorInput{StreamName: aws.String(s.config.Stream), ShardId: aws.String(shard), ShardIteratorType: kind, Timestamp: at}
	if sequence != "" {
		in.StartingSequenceNumber = aws.String(sequence)
	}
	out, err := s.client.GetShardIterator(ctx, in)
	if err != nil {
		return nil, s.explained("look for a place in "+shard, err)
	}
	return out.ShardIterator, nil
}
