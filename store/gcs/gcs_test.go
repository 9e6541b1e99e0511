package gcs_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"

	"recount"
	"recount/store"
	"recount/store/gcs"
	"recount/store/storetest"
)

// fake starts a server in this process with one bucket, and returns its address.
func fake(t *testing.T) string {
	t.Helper()
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1", Port: 0, Writer: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "bucket"})
	return server.URL()
}

func open(t *testing.T, server, place string) *gcs.Store {
	t.Helper()
	s, err := gcs.Open(t.Context(), "gs://"+place+"?endpoint="+url.QueryEscape(server))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fresh(server string) storetest.Open {
	var count atomic.Int64
	return func(t *testing.T) (store.Store, func() store.Store) {
		place := fmt.Sprintf("bucket/archive %d/a+b", count.Add(1))
		return open(t, server, place), func() store.Store { return open(t, server, place) }
	}
}

func TestConformance(t *testing.T) { storetest.Run(t, fresh(fake(t))) }

func TestFaults(t *testing.T) { storetest.Faults(t, fresh(fake(t))) }

// TestAPutSaysTheTruth lets the nth request of a put go wrong, and all of them,
// under free names and taken ones.
func TestAPutSaysTheTruth(t *testing.T) {
	server := fake(t)
	for what, trouble := range map[string]storetest.Trouble{
		"500 before": {Status: 500}, "500 after": {Status: 500, After: true}, "503 before": {Status: 503}, "429 before": {Status: 429},
		"504 after": {Status: 504, After: true}, "cut before": {}, "cut after": {After: true}, "forbidden": {Status: 403},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			good, proxy := open(t, server, "bucket/"+what), storetest.Before(t, server)
			bad := open(t, proxy.URL, "bucket/"+what)
			for n := range 6 {
				name, taken := fmt.Sprintf("object %d", n), n%2 == 1
				if taken {
					if err := good.Put(t.Context(), name, func(w io.Writer) error { _, err := io.WriteString(w, "other"); return err }); err != nil {
						t.Fatal(err)
					}
				}
				proxy.Plan(func(i int, r *http.Request) *storetest.Trouble {
					if i == n/2 || n == 0 && r.Method == http.MethodPost {
						return &trouble
					}
					return nil
				})
				t.Run(name, func(t *testing.T) { storetest.Truth(t, bad, good, name, []byte("mine"), taken) })
			}
		})
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	server := fake(t)
	proxy := storetest.Before(t, server)
	for what, tt := range map[string]struct {
		place   string
		trouble *storetest.Trouble
		next    string
	}{
		"bucket does not exist":        {"nobodys", nil, "make the bucket"},
		"does not let these":           {"bucket", &storetest.Trouble{Status: 403}, "storage.objects.create"},
		"credentials are not accepted": {"bucket", &storetest.Trouble{Status: 401}, "gcloud"},
	} {
		proxy.Plan(func(int, *http.Request) *storetest.Trouble { return tt.trouble })
		err := open(t, proxy.URL, tt.place).Put(t.Context(), "a", func(io.Writer) error { return nil })
		var e *recount.Error
		if !errors.As(err, &e) || e.Code != recount.CodeStorage || !strings.Contains(e.What, what) || !strings.Contains(e.Next, tt.next) || e.Why == "" {
			t.Errorf("got %#v, want RC3007 %q and what to do", err, what)
		}
	}
}

func TestURLsWithMistakesAreRefused(t *testing.T) {
	for _, text := range []string{"gs://", "gs://user:hunter2@bucket/x", "gs://bucket?endpont=http://x", "gs://bucket?endpoint=ftp://x", "s3://bucket"} {
		_, err := gcs.Open(t.Context(), text)
		var e *recount.Error
		if !errors.As(err, &e) || e.Code != recount.CodeConfig || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want CodeConfig without a secret", text, err)
		}
	}
}
