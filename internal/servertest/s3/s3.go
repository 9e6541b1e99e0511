// Package s3 starts a real S3 server for tests: versitygw, which keeps buckets in
// folders and checks signatures, checksums and conditions. It is started once for
// a test process.
package s3

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"recount/internal/servertest"
)

// AccessKey and Secret are the server's credentials.
const (
	AccessKey = "recounttest"
	Secret    = "recounttest-secret"
)

// Start returns the address of the server and the name of a new bucket, and sets
// the credentials in the environment. The test is skipped where versitygw is not
// installed.
func Start(t testing.TB) (url, bucket string) {
	t.Helper()
	if missing := Missing(); missing != "" {
		servertest.Require(t, "versitygw", missing)
	}
	running.Do(func() { address, startErr = Launch() })
	if startErr != nil {
		t.Fatalf("start versitygw: %v", startErr)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", Secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	buckets.Lock()
	defer buckets.Unlock()
	buckets.count++
	bucket = fmt.Sprintf("bucket-%d", buckets.count)
	if err := MakeBucket(t.Context(), address, bucket); err != nil {
		t.Fatal(err)
	}
	return address, bucket
}

// Missing says what is not there to start a server; empty: nothing.
func Missing() string {
	if _, err := os.Stat(program()); err != nil {
		return "versitygw is not installed; .ci/servers/versitygw installs it"
	}
	return ""
}

func program() string { return filepath.Join(servertest.Cache(), "versitygw", "versitygw") }

// MakeBucket makes a bucket.
func MakeBucket(ctx context.Context, address, bucket string) error {
	if _, err := client(address).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		return fmt.Errorf("make bucket: %w", err)
	}
	return nil
}

var (
	running  sync.Once
	address  string
	startErr error
	buckets  struct {
		sync.Mutex
		count int
	}
)

// Launch starts a server, which ends with this process, and returns its address.
func Launch() (string, error) {
	dir, err := servertest.Folder("versitygw")
	if err != nil {
		return "", err
	}
	for _, sub := range []string{"data", "iam"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return "", err
		}
	}
	port, err := servertest.FreePort()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), program(), "--port", fmt.Sprintf("127.0.0.1:%d", port), "--iam-dir", filepath.Join(dir, "iam"), "--quiet",
		"posix", filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+Secret)
	if _, err := servertest.Spawn(filepath.Join(dir, "log"), cmd); err != nil {
		return "", err
	}
	const patience = 30 * time.Second
	if err := servertest.Listens(context.Background(), port, patience); err != nil {
		return "", err
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port), nil
}

func client(address string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(address), UsePathStyle: true, Region: "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: Secret}, nil
		}),
	})
}

// MakeUser makes a user who has no rights but those that policies give.
func MakeUser(ctx context.Context, address, name, secret string) error {
	cmd := exec.CommandContext(ctx, program(), "admin", "--endpoint-url", address, "--access", AccessKey, "--secret", Secret,
		"create-user", "--access", name, "--secret", secret, "--role", "user")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make user %s: %w: %s", name, err, out)
	}
	return nil
}

// Allow gives a user rights on a bucket and its objects, such as s3:GetObject, and
// takes all others away.
func Allow(ctx context.Context, address, bucket, user string, rights ...string) error {
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"AWS": []string{user}}, "Action": rights,
		"Resource": []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"},
	}}})
	if err != nil {
		return err
	}
	if _, err := client(address).PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: aws.String(string(policy))}); err != nil {
		return fmt.Errorf("set the policy of %s: %w", bucket, err)
	}
	return nil
}

// Uploads is how many uploads in parts a bucket holds that are neither complete
// nor aborted.
func Uploads(t testing.TB, bucket string) int {
	t.Helper()
	out, err := client(address).ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatalf("list uploads: %v", err)
	}
	return len(out.Uploads)
}
