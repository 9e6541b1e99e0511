// Package s3 keeps the archive in a bucket of Amazon S3, or of a server like it.
// An object is put under the condition that its name is free, which the server
// itself checks; a server that ignores the condition is found out before the
// first object and refused. Credentials come from the standard chain of AWS
// (environment, profile, role of the machine), never from the URL.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"recount"
	"recount/adapter"
	"recount/store"
	"recount/store/remote"
)

const scheme = "s3"

func init() {
	adapter.Register(adapter.Declare(adapter.Store, scheme, "The archive lies in a bucket of Amazon S3 or of a server like it.",
		func(ctx context.Context, _ adapter.Env, c Config) (store.Store, error) { return Open(ctx, c.URL) }))
}

// Config is the block `s3`.
type Config struct {
	URL string `json:"url" doc:"Where the archive lies: s3://bucket/prefix, with region, endpoint, path_style or profile after a question mark."`
}

// Store is a folder of a bucket. It is safe for concurrent use.
type Store struct {
	url    remote.URL
	client *s3.Client
	single int64 // bytes of the largest object that is put in one piece

	mu     sync.Mutex
	fenced fence // what the server was seen to keep of single puts
	parted fence // and of puts in parts
}

// Open returns the store of a URL. It asks nobody: what is wrong with the bucket
// or the credentials shows with the first call.
func Open(ctx context.Context, text string) (*Store, error) {
	u, err := remote.Parse(text, scheme, "region", "endpoint", "path_style", "profile")
	if err != nil {
		return nil, err
	}
	endpoint, err := u.Endpoint()
	if err != nil {
		return nil, err
	}
	s := &Store{url: u, single: single}
	cfg, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	// Servers that are not Amazon's mostly have no name for each bucket.
	own := endpoint != "" || cfg.BaseEndpoint != nil
	if own && cfg.Region == "" {
		cfg.Region = "us-east-1" // such a server asks for none, but signatures hold one
	}
	pathStyle, err := u.Bool("path_style", own)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, &recount.Error{
			Code: recount.CodeConfig, What: "the region of the archive's bucket is not known", Where: "archive: " + u.String(),
			Why: "neither the URL, AWS_REGION nor the AWS profile names one", Next: "write archive: " + u.String() + "?region=… in recount.yaml, or set AWS_REGION",
		}
	}
	s.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = pathStyle
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		// Objects carry a SHA-256 that is computed here; what is read is checked
		// against the archive's own digests.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return s, nil
}

func (s *Store) load(ctx context.Context) (aws.Config, error) {
	const (
		patience = 60 * time.Second // for the answer to begin, once the request is sent
		attempts = 5                // of requests that may be made twice
		longest  = time.Second      // between two of them
	)
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = attempts, longest
				// Servers that are not Amazon's say so where they are asked too often.
				o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
			})
		}),
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = patience
			t.MaxIdleConnsPerHost = 32
		})),
	}
	if region := s.url.Get("region"); region != "" {
		options = append(options, config.WithRegion(region))
	}
	if profile := s.url.Get("profile"); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, &recount.Error{
			Code: recount.CodeConfig, What: "the AWS configuration cannot be read", Where: "archive: " + s.url.String(), Why: reason(err), Err: err,
			Next: "mend the profile or the AWS environment variables; docs/stores.md says which are read",
		}
	}
	if cfg.Credentials != nil {
		cfg.Credentials = credentials{cfg.Credentials}
	}
	return cfg, nil
}

// credentials marks what goes wrong with finding credentials, which the SDK only
// says in words.
type credentials struct{ aws.CredentialsProvider }

// Retrieve returns the credentials.
func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &credentialsError{err}
	}
	return found, err
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// Place returns the bucket and prefix.
func (s *Store) Place() string { return s.url.String() }

func (s *Store) bucket() *string { return aws.String(s.url.Host) }

func (s *Store) key(name string) *string { return aws.String(s.url.Key(name)) }

func (s *Store) where(name string) string {
	if name == "" {
		return s.Place()
	}
	return s.Place() + "/" + name
}

// Lock is not supported: S3 has no lock that ends with its process. Two
// archivers are kept apart by their commits, which are put only if absent.
func (s *Store) Lock(_ context.Context, name string) (func() error, error) {
	if err := remote.CheckName(name); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("lock %q: %w", name, recount.ErrUnsupported)
}

// Stat returns the size of an object.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if err := remote.CheckName(name); err != nil {
		return 0, err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.key(name)})
	if err != nil {
		return 0, s.refused("stat", name, err)
	}
	return aws.ToInt64(out.ContentLength), nil
}

// List calls each for every object whose name begins with prefix.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	begins := s.url.Key(prefix) // "prefix/" for all
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: s.bucket(), Prefix: aws.String(begins)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.refused("list", prefix, err)
		}
		for _, o := range page.Contents {
			name := s.url.Name(aws.ToString(o.Key))
			if remote.IsOwn(name) || strings.HasSuffix(name, "/") {
				continue // ours, or what a console makes as a folder
			}
			if err := each(name, aws.ToInt64(o.Size)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPrefix(prefix string) error {
	if whole := strings.TrimSuffix(prefix, "/"); whole != "" || prefix == "/" {
		return store.CheckName(whole)
	}
	return nil
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := remote.CheckName(name); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.key(name)})
	if err = s.refused("delete", name, err); errors.Is(err, recount.ErrNotFound) {
		return nil
	}
	return err
}
