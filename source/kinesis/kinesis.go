// Package kinesis is the source whose events are the records of an Amazon Kinesis
// data stream. It reads by shard iterators, shares no checkpoint table with
// consumers, and keeps nothing in the stream: how far it has read stands in the
// archive.
//
// A shard is a partition, called by its id. A position is the record's sequence
// number in 56 digits and the place inside of an aggregated record in 4: records
// of the Kinesis Producer Library are taken apart. Sequence numbers have holes, so
// that positions are chained from commit to commit and are not dense.
//
// After a split or a merge, a shard is read only when its parents have been read
// to their ends: events of a key come into the archive in their order over the
// whole lineage.
package kinesis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/payload"
	"recount/source/record"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Source, "kinesis", "Reads events from a data stream of Amazon Kinesis.", Open))
}

// Config is the block `kinesis` of a source. Who asks is found as AWS's own tools
// do: environment, profile, role of the machine.
type Config struct {
	Stream   string `json:"stream" doc:"The name of the data stream."`
	Region   string `json:"region" doc:"The region, where AWS's own configuration does not say it."`
	Endpoint string `json:"endpoint" doc:"The address of a server that is not Amazon's, such as http://127.0.0.1:4567."`
	Profile  string `json:"profile" doc:"The profile of AWS's configuration files."`

	record.Values
}

// Source reads a stream.
type Source struct {
	env     adapter.Env
	config  Config
	decoder *record.Decoder
	client  *kinesis.Client
}

// Open checks the block; it asks nobody.
func Open(ctx context.Context, env adapter.Env, c Config) (source.Source, error) {
	s := &Source{env: env, config: c}
	if c.Stream == "" {
		return nil, s.misconfigured("no stream is named", "stream: is empty", "write stream: NAME")
	}
	if _, err := payload.Own(env.Mapping.Payload); err != nil {
		return nil, s.located(err)
	}
	var err error
	if s.decoder, err = record.New(record.Options{Mapping: env.Mapping, Values: c.Values, Keyed: true, Where: s.where()}); err != nil {
		return nil, err
	}
	s.client, err = s.connect(ctx)
	return s, err
}

func (s *Source) connect(ctx context.Context) (*kinesis.Client, error) {
	const (
		patience = 30 * time.Second // for the answer to begin
		attempts = 8                // of a request that is throttled
		longest  = 5 * time.Second  // between two of them
	)
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = attempts, longest })
		}),
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = patience })),
	}
	if s.config.Region != "" {
		options = append(options, config.WithRegion(s.config.Region))
	}
	if s.config.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.config.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, s.misconfigured("the AWS configuration cannot be read", err.Error(), "mend the profile or the AWS environment variables")
	}
	if cfg.Region == "" {
		if s.config.Endpoint == "" {
			return nil, s.misconfigured("the region of the stream is not known", "neither region: nor AWS's configuration says it", "write region: eu-central-1")
		}
		cfg.Region = "us-east-1" // a server of one's own asks for none, but signatures hold one
	}
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) {
		if s.config.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.config.Endpoint)
		}
	}), nil
}

func (s *Source) where() string { return fmt.Sprintf("source %q, kinesis", s.env.Stream) }

func (s *Source) misconfigured(what, why, next string) error {
	return &recount.Error{Code: recount.CodeConfig, What: what, Where: s.where(), Why: why, Next: next}
}

func (s *Source) located(err error) error { return recount.Located(err, s.where()) }

// Info says what the stream is like.
func (s *Source) Info() source.Info {
	own, _ := payload.Own(s.env.Mapping.Payload) // Open has read the path
	return source.Info{HasID: s.decoder.HasID(), Place: "kinesis " + s.config.Stream, Own: own}
}

// Decoder reads archived records again.
func (s *Source) Decoder(format, header string) (source.Decoder, error) {
	return s.decoder.Again(format, header)
}

// Close has nothing to close.
func (s *Source) Close() error { return nil }

// Check looks for the stream and at its first shard.
func (s *Source) Check(ctx context.Context) error {
	shards, err := s.shards(ctx)
	if err != nil || len(shards) == 0 {
		return err
	}
	_, err = s.iterator(ctx, shards[0].id, types.ShardIteratorTypeLatest, "", nil)
	return err
}

// explained turns the client's words into an error for a person.
func (s *Source) explained(act string, err error) error {
	var own *recount.Error
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", act, err)
	}
	e := &recount.Error{Code: recount.CodeSourceDown, What: "Kinesis cannot be read", Where: s.where(), Why: act + ": " + reason(err), Err: err}
	_, missing := errors.AsType[*types.ResourceNotFoundException](err)
	switch {
	case missing:
		e.Code, e.What = recount.CodeNoTopic, "the stream does not exist"
		e.Next = "check stream: and region: of the source"
	case refused(err):
		e.Code, e.What = recount.CodeSourceAccess, "Kinesis refused who asks"
		e.Next = "give the role or user kinesis:ListShards, kinesis:GetShardIterator, kinesis:GetRecords and kinesis:DescribeStreamSummary on the stream"
	default:
		if passes(err) {
			e.Err = errors.Join(recount.ErrUnreachable, err)
		}
		e.Next = "check region: and endpoint: of the source; nothing is lost, and the next run goes on from the archive's cursor"
	}
	return e
}

// reason is the service's own sentence, without the client's wrapping.
func reason(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return err.Error()
}

func refused(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "MissingAuthenticationTokenException", "KMSAccessDeniedException":
		return true
	}
	return false
}

// passes says whether the same may succeed later with nothing changed.
func passes(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, recount.ErrTransient) {
		return true
	}
	if _, network := errors.AsType[net.Error](err); network {
		return true
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "InternalFailure", "ServiceUnavailable", "ThrottlingException", "RequestTimeout", "KMSThrottlingException":
		return true
	}
	return api.ErrorFault() == smithy.FaultServer
}
