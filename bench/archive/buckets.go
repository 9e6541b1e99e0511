package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"recount/internal/servertest"
)

// The account of the S3 server.
const (
	account = "recount"
	secret  = "recountsecret"
	region  = "us-east-1"
)

// bucketServer is an S3 server on this machine.
type bucketServer struct {
	endpoint string
	client   *s3.Client
	stop     func()
}

func startBuckets(ctx context.Context, dir string) (*bucketServer, error) {
	program := filepath.Join(servertest.Cache(), "versitygw", "versitygw")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("there is no S3 server: .ci/servers/versitygw installs it (%w)", err)
	}
	data := filepath.Join(dir, "s3")
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	for _, sub := range []string{"data", "iam"} {
		if err := os.MkdirAll(filepath.Join(data, sub), 0o755); err != nil { //nolint:gosec // a scratch folder
			return nil, err
		}
	}
	port, err := servertest.FreePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--port", fmt.Sprintf("127.0.0.1:%d", port), "--iam-dir", filepath.Join(data, "iam"), "--quiet", "posix", filepath.Join(data, "data")) //nolint:gosec,noctx // the server outlives this call
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+account, "ROOT_SECRET_KEY="+secret)
	stop, err := servertest.Spawn(filepath.Join(dir, "s3.log"), cmd)
	if err != nil {
		return nil, err
	}
	const patience = 30 * time.Second
	if err := servertest.Listens(ctx, port, patience); err != nil {
		stop()
		return nil, err
	}
	s := &bucketServer{endpoint: fmt.Sprintf("http://127.0.0.1:%d", port), stop: stop}
	s.client = s3.New(s3.Options{
		BaseEndpoint: aws.String(s.endpoint), Region: region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(account, secret, ""),
	})
	return s, nil
}

func (s *bucketServer) make(ctx context.Context, bucket string) error {
	_, err := s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	return err
}

// each calls visit for every object.
func (s *bucketServer) each(ctx context.Context, bucket string, visit func(key string, size int64) error) error {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			if err := visit(aws.ToString(o.Key), aws.ToInt64(o.Size)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *bucketServer) size(ctx context.Context, bucket string) (total int64, err error) {
	err = s.each(ctx, bucket, func(_ string, size int64) error { total += size; return nil })
	return total, err
}

func (s *bucketServer) read(ctx context.Context, bucket, key string) ([]byte, error) {
	o, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.Body.Close() }()
	return io.ReadAll(o.Body)
}

// drop removes a bucket with all that is in it.
func (s *bucketServer) drop(ctx context.Context, bucket string) error {
	var keys []types.ObjectIdentifier
	if err := s.each(ctx, bucket, func(key string, _ int64) error {
		keys = append(keys, types.ObjectIdentifier{Key: aws.String(key)})
		return nil
	}); err != nil {
		return err
	}
	const most = 1000
	for len(keys) > 0 {
		n := min(most, len(keys))
		if _, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: keys[:n]}}); err != nil {
			return err
		}
		keys = keys[n:]
	}
	_, err := s.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(bucket)})
	return err
}
