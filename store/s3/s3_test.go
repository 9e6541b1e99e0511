package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"recount"
	"recount/store"
	"recount/store/storetest"
)

// secret stands in no message, whatever goes wrong.
const secret = "wJalrXUtnFEMI-canary"

// fake starts a server in this process with one bucket, and returns its address.
func fake(t *testing.T) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return server.URL
}

// open opens a place, a bucket with or without a folder.
func open(t *testing.T, server, place string) *Store {
	t.Helper()
	s, err := Open(t.Context(), "s3://"+place+"?endpoint="+url.QueryEscape(server))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fresh opens stores of one server, each in a folder of its own.
func fresh(server string) storetest.Open {
	var count atomic.Int64
	return func(t *testing.T) (store.Store, func() store.Store) {
		place := fmt.Sprintf("bucket/archive %d/a+b", count.Add(1))
		return open(t, server, place), func() store.Store { return open(t, server, place) }
	}
}

func TestConformance(t *testing.T) { storetest.Run(t, fresh(fake(t))) }

func TestFaults(t *testing.T) { storetest.Faults(t, fresh(fake(t))) }

func TestWithoutPrefix(t *testing.T) {
	s := open(t, fake(t), "bucket")
	if err := s.Put(t.Context(), "a/b", func(w io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var names []string
	err := s.List(t.Context(), "", func(name string, _ int64) error { names = append(names, name); return nil })
	if err != nil || len(names) != 1 || names[0] != "a/b" {
		t.Errorf("list: %q, %v; want a/b", names, err)
	}
}

func message(code string) string {
	return "<Error><Code>" + code + "</Code><Message>as planned</Message></Error>"
}

var troubles = map[string]storetest.Trouble{
	"500 before": {Status: 500, Body: message("InternalError")},
	"500 after":  {Status: 500, Body: message("InternalError"), After: true},
	"503 before": {Status: 503, Body: message("SlowDown")},
	"503 after":  {Status: 503, Body: message("ServiceUnavailable"), After: true},
	"429 before": {Status: 429, Body: message("TooManyRequests")},
	"504 after":  {Status: 504, Body: "gateway", After: true},
	"409 before": {Status: 409, Body: message("ConditionalRequestConflict")},
	"cut before": {},
	"cut after":  {After: true},
	"forbidden":  {Status: 403, Body: message("AccessDenied")},
}

// TestAPutSaysTheTruth lets the nth request of a put go wrong, and all of them,
// under free names and taken ones.
func TestAPutSaysTheTruth(t *testing.T) {
	server := fake(t)
	for what, trouble := range troubles {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tellsTheTruth(t, server, "bucket/"+what, trouble, []byte("mine"), 3, true)
		})
	}
}

func tellsTheTruth(t *testing.T, server, place string, trouble storetest.Trouble, text []byte, requests int, always bool) {
	t.Helper()
	const smallest = 5 << 20 // of parts
	good, proxy := open(t, server, place), storetest.Before(t, server)
	for _, taken := range []bool{false, true} {
		for n := range requests + 1 {
			if n == 0 && (taken || !always) {
				continue
			}
			name := fmt.Sprintf("%d %t", n, taken)
			if taken {
				if err := good.Put(t.Context(), name, func(w io.Writer) error { _, err := io.WriteString(w, "other"); return err }); err != nil {
					t.Fatal(err)
				}
			}
			bad := open(t, proxy.URL, place)
			bad.single = smallest
			proxy.Plan(nil)
			if err := bad.checkFence(t.Context()); err != nil {
				t.Fatal(err)
			}
			bad.checkParts(t.Context())
			proxy.Plan(func(i int, r *http.Request) *storetest.Trouble {
				if i == n || n == 0 && (r.Method == http.MethodPut || r.Method == http.MethodPost && r.URL.Query().Has("uploadId")) {
					return &trouble
				}
				return nil
			})
			t.Run(name, func(t *testing.T) { storetest.Truth(t, bad, good, name, text, taken) })
		}
	}
}

// ignoring stands before a server and takes the conditions out of requests, as
// servers do that never heard of them.
func ignoring(t *testing.T, server string) string {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("If-None-Match")
		r.URL.Scheme, r.URL.Host, r.RequestURI = target.Scheme, target.Host, ""
		out, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = out.Body.Close() }()
		maps.Copy(w.Header(), out.Header)
		w.WriteHeader(out.StatusCode)
		_, _ = io.Copy(w, out.Body)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

func TestAServerThatIgnoresConditionsIsRefused(t *testing.T) {
	s := open(t, ignoring(t, fake(t)), "bucket/x")
	err := s.Put(t.Context(), "a", func(io.Writer) error { t.Error("the object was written"); return nil })
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeUnsupported || !strings.Contains(e.Why, "If-None-Match") {
		t.Errorf("put: got %v, want CodeUnsupported that names If-None-Match", err)
	}
}

// refusal checks the four parts of the error that a put gives, with next among
// what to do, and that it holds no secret.
func refusal(t *testing.T, s *Store, what, next string, kind error) {
	t.Helper()
	err := s.Put(t.Context(), "a", func(io.Writer) error { return nil })
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeStorage || !strings.Contains(e.What, what) || e.Where == "" || e.Why == "" || e.Next == "" || !strings.Contains(e.Next, next) {
		t.Fatalf("put: got %#v, want RC3007 %q in four parts, the last with %q", err, what, next)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("put: %v is no %v", err, kind)
	}
	if all := fmt.Sprintf("%s %s %s %s", err, e.Where, e.Why, e.Next); strings.Contains(all, secret) {
		t.Errorf("the error holds the secret: %s", all)
	}
}

// TestACancelledPutSaysTheTruth cancels a put while its request is under way.
func TestACancelledPutSaysTheTruth(t *testing.T) {
	server := fake(t)
	proxy, good := storetest.Before(t, server), open(t, server, "bucket")
	for _, after := range []bool{false, true} {
		name := fmt.Sprintf("after %t", after)
		proxy.Plan(nil)
		bad := open(t, proxy.URL, "bucket")
		if err := bad.checkFence(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		proxy.Plan(func(_ int, r *http.Request) *storetest.Trouble {
			if r.Method != http.MethodPut {
				return nil
			}
			cancel()
			return &storetest.Trouble{After: after}
		})
		err := bad.Put(ctx, name, func(w io.Writer) error { _, err := io.WriteString(w, "mine"); return err })
		cancel()
		_, statErr := good.Stat(t.Context(), name)
		switch there := statErr == nil; {
		case errors.Is(err, recount.ErrUnknown) && errors.Is(err, context.Canceled):
		case err == nil && there:
		default:
			t.Errorf("%s: put said %v, and stat %v", name, err, statErr)
		}
	}
}

// TestAServerThatWantsPatienceIsAskedAgain answers each second request with an
// error that passes.
func TestAServerThatWantsPatienceIsAskedAgain(t *testing.T) {
	proxy := storetest.Before(t, fake(t))
	for _, code := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		s := open(t, proxy.URL, fmt.Sprintf("bucket/%d", code))
		proxy.Plan(func(n int, _ *http.Request) *storetest.Trouble {
			if n%2 == 1 {
				return &storetest.Trouble{Status: code, Body: message("Later")}
			}
			return nil
		})
		if err := s.Put(t.Context(), "a", func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }); err != nil {
			t.Errorf("%d: put: %v", code, err)
		}
		if n, err := s.Stat(t.Context(), "a"); n != 1 || err != nil {
			t.Errorf("%d: stat: %d, %v", code, n, err)
		}
	}
}
