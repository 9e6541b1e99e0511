package main

import (
	"io"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rogpeppe/go-internal/testscript"

	realhdfs "recount/internal/servertest/hdfs"
	reals3 "recount/internal/servertest/s3"
)

// TestArchiveInStores runs testdata/stores/*.txtar on each store: what holds of
// an archive in a folder holds wherever it lies.
func TestArchiveInStores(t *testing.T) {
	for name, place := range map[string]func(t *testing.T) string{
		"s3": func(t *testing.T) string {
			backend := s3mem.New()
			if err := backend.CreateBucket("bucket"); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(gofakes3.New(backend).Server())
			t.Cleanup(server.Close)
			return "s3://bucket/archive?endpoint=" + url.QueryEscape(server.URL)
		},
		"versitygw": func(t *testing.T) string {
			address, bucket := reals3.Start(t)
			return "s3://" + bucket + "/archive?endpoint=" + url.QueryEscape(address)
		},
		"gs": func(t *testing.T) string {
			server, err := fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1", Writer: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Stop)
			server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "bucket"})
			return "gs://bucket/archive?endpoint=" + url.QueryEscape(server.URL())
		},
		"hdfs": func(t *testing.T) string {
			return "hdfs://" + realhdfs.Start(t) + "/archive?user=" + realhdfs.User
		},
	} {
		t.Run(name, func(t *testing.T) {
			archive := place(t)
			seed, err := filepath.Abs(filepath.Join("..", "..", "examples", "seed"))
			if err != nil {
				t.Fatal(err)
			}
			testscript.Run(t, testscript.Params{
				Dir: filepath.Join("testdata", "stores"), RequireExplicitExec: true, RequireUniqueNames: true, Cmds: commands(),
				Setup: func(env *testscript.Env) error {
					bare, _, _ := strings.Cut(archive, "?")
					for key, value := range map[string]string{
						"SEED": seed, "FROM": "2024-06-10T12:00:00Z", "TO": "2024-06-10T12:30:00Z", "ARCHIVE": archive, "ARCHIVE_PLACE": bare,
						"AWS_ACCESS_KEY_ID": reals3.AccessKey, "AWS_SECRET_ACCESS_KEY": reals3.Secret, "AWS_EC2_METADATA_DISABLED": "true",
					} {
						env.Setenv(key, value)
					}
					return nil
				},
			})
		})
	}
}
