package badinput

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"recount"
	"recount/internal/servertest"
	real "recount/internal/servertest/s3"
	"recount/store/storetest"
)

// clerk is a user, and the profile of its credentials.
const clerk = "clerk"

// withCredentials runs the tests with credentials of the servers.
func withCredentials(m *testing.M) int {
	dir, err := os.MkdirTemp("", "recount-badinput-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	profiles := filepath.Join(dir, "credentials")
	if err := os.WriteFile(profiles, fmt.Appendf(nil, "[%s]\naws_access_key_id = %s\naws_secret_access_key = clerk-%s\n", clerk, clerk, canary), 0o600); err != nil {
		panic(err)
	}
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": real.AccessKey, "AWS_SECRET_ACCESS_KEY": real.Secret, "AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": profiles,
	} {
		if err := os.Setenv(key, value); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

var buckets atomic.Int64

// bucket is a bucket behind a proxy that lets requests go wrong.
type bucket struct {
	t       *testing.T
	name    string
	proxy   *storetest.Proxy
	make    func()
	archive string // the URL of an archive in it
	address string // of a real server
}

// servers runs a test with an S3 server in this process, and with a real one where
// it is installed. The bucket is not there yet.
func servers(t *testing.T, test func(t *testing.T, b *bucket)) {
	t.Helper()
	behind := func(t *testing.T, address string, make func(name string) error) *bucket {
		t.Helper()
		b := &bucket{t: t, name: fmt.Sprintf("bad-%d", buckets.Add(1)), proxy: storetest.Before(t, address)}
		b.archive = "s3://" + b.name + "/archive?endpoint=" + url.QueryEscape(b.proxy.URL)
		b.make = func() {
			if err := make(b.name); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		backend := s3mem.New()
		server := httptest.NewServer(gofakes3.New(backend).Server())
		t.Cleanup(server.Close)
		test(t, behind(t, server.URL, backend.CreateBucket))
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		if missing := real.Missing(); missing != "" {
			servertest.Require(t, "versitygw", missing)
		}
		address, err := real.Launch()
		if err != nil {
			t.Fatal(err)
		}
		s := behind(t, address, func(name string) error { return real.MakeBucket(t.Context(), address, name) })
		s.address = address
		test(t, s)
	})
}

func answer(code string) string {
	return fmt.Sprintf("<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s.</Message></Error>", code, code)
}

func isPut(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

func TestABucketThatDoesNotExist(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, s *bucket) {
		b := fakeBroker(t)
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{archive: s.archive})
		b.orders(p, "orders", 0, 10)
		p.refused(recount.CodeStorage, "make the bucket", "archive", "run", "--once")
		p.refused(recount.CodeStorage, "make the bucket", "archive", "run")
		s.make()
		p.ok("archive", "run", "--once")
		p.whole()
	})
}

// TestABucketWithoutRights lets nobody put, then read.
func TestABucketWithoutRights(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, s *bucket) {
		s.make()
		b := fakeBroker(t)
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{archive: s.archive})
		b.orders(p, "orders", 0, 10)
		denied := &storetest.Trouble{Status: http.StatusForbidden, Body: answer("AccessDenied")}
		s.proxy.Plan(func(_ int, r *http.Request) *storetest.Trouble {
			if isPut(r) {
				return denied
			}
			return nil
		})
		p.refused(recount.CodeStorage, "s3:PutObject on arn:aws:s3:::"+s.name+"/archive/*", "archive", "run", "--once")
		p.refused(recount.CodeStorage, "s3:PutObject", "archive", "run")
		s.proxy.Plan(nil)
		p.ok("archive", "run", "--once")
		// Rights that are taken away in the middle of a live run end it.
		live := p.start("archive", "run")
		b.orders(p, "orders", 10, 20)
		wait(t, "more is archived", func() bool { return p.events() == 20 })
		s.proxy.Plan(func(_ int, r *http.Request) *storetest.Trouble {
			if isPut(r) {
				return denied
			}
			return nil
		})
		b.orders(p, "orders", 20, 30)
		parts := live.ended().fails(t, recount.CodeStorage, "s3:PutObject")
		if !strings.HasPrefix(parts["changed"], "10 events were committed") {
			t.Errorf("changed: got %q", parts["changed"])
		}
		s.proxy.Plan(func(int, *http.Request) *storetest.Trouble { return denied })
		p.run("archive", "verify").fails(t, recount.CodeStorage, "s3:")
		s.proxy.Plan(nil)
		p.ok("archive", "run", "--once")
		p.whole()
	})
}

// TestAPolicyWithoutPut lets a real server say no.
func TestAPolicyWithoutPut(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, s *bucket) {
		if s.address == "" {
			t.Skip("skipped: the server in this process has no policies")
		}
		s.make()
		if err := real.MakeUser(t.Context(), s.address, clerk, "clerk-"+canary); err != nil {
			t.Fatal(err)
		}
		allow := func(rights ...string) {
			if err := real.Allow(t.Context(), s.address, s.name, clerk, rights...); err != nil {
				t.Fatal(err)
			}
		}
		allow("s3:GetObject", "s3:ListBucket")
		b := fakeBroker(t)
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{archive: s.archive + "&profile=" + clerk})
		b.orders(p, "orders", 0, 10)
		p.refused(recount.CodeStorage, "s3:PutObject on arn:aws:s3:::"+s.name+"/archive/*", "archive", "run", "--once")
		allow("s3:PutObject")
		p.run("archive", "run", "--once").fails(t, recount.CodeStorage, "s3:GetObject")
		allow("s3:GetObject", "s3:PutObject", "s3:ListBucket")
		p.ok("archive", "run", "--once")
		p.whole()
	})
}

func TestAStoreThatIsOverloaded(t *testing.T) {
	t.Parallel()
	for _, trouble := range []storetest.Trouble{
		{Status: http.StatusInternalServerError, Body: answer("InternalError")},
		{Status: http.StatusServiceUnavailable, Body: answer("SlowDown")},
		{Status: http.StatusTooManyRequests, Body: answer("TooManyRequests")},
		{}, // the connection is cut
	} {
		t.Run(fmt.Sprint(trouble.Status), func(t *testing.T) {
			t.Parallel()
			servers(t, func(t *testing.T, s *bucket) {
				s.make()
				b := fakeBroker(t)
				b.topic("orders", 2)
				p := newProject(t, b, "orders", settings{archive: s.archive})
				b.orders(p, "orders", 0, 10)
				// Each fourth request goes wrong: nobody notices.
				s.proxy.Plan(func(n int, _ *http.Request) *storetest.Trouble {
					if n%4 == 0 {
						return &trouble
					}
					return nil
				})
				p.ok("archive", "run", "--once")
				// All do.
				b.orders(p, "orders", 10, 20)
				s.proxy.Plan(func(int, *http.Request) *storetest.Trouble { return &trouble })
				live := p.start("archive", "run")
				parts := p.run("archive", "run", "--once").fails(t, recount.CodeStorage, "run the command again")
				if parts["changed"] != "nothing" {
					t.Errorf("changed: got %q", parts["changed"])
				}
				live.says("again in")
				s.proxy.Plan(nil)
				wait(t, "all is archived", func() bool { return p.events() == 20 })
				live.interrupt()
				p.whole()
			})
		})
	}
}

// TestTwoArchivers lets two work on one stream: one goes on.
func TestTwoArchivers(t *testing.T) {
	t.Parallel()
	two := func(t *testing.T, archive string) {
		b := fakeBroker(t)
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{archive: archive})
		b.orders(p, "orders", 0, 10)
		list := []*running{p.start("archive", "run"), p.start("archive", "run")}
		n, other := 10, (*running)(nil)
		wait(t, "one of them ends", func() bool {
			n += 2
			b.orders(p, "orders", n-2, n)
			for i, r := range list {
				if len(r.done) > 0 {
					other = list[1-i]
					r.ended().fails(t, recount.CodeArchiveLocked, "archive run orders --once")
					return true
				}
			}
			return false
		})
		b.orders(p, "orders", n, n+10)
		wait(t, "the other goes on", func() bool { return p.events() == n+10 })
		other.interrupt()
		p.whole()
	}
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		two(t, "")
	})
	servers(t, func(t *testing.T, s *bucket) {
		s.make()
		two(t, s.archive)
	})
}

// TestAFullDisk runs the archiver in a process whose files cannot grow, which
// stands for a disk without room.
func TestAFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: this system has no limit that stands for a full disk")
	}
	t.Parallel()
	b := fakeBroker(t)
	b.topic("orders", 2)
	p := newProject(t, b, "orders", settings{})
	b.orders(p, "orders", 0, 10)
	p.ok("archive", "run", "--once")
	b.orders(p, "orders", 10, 20_000)
	for _, args := range [][]string{{"archive", "run", "--once"}, {"archive", "run"}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...) //nolint:gosec // this very program
		cmd.Dir, cmd.Env = p.dir, append(os.Environ(), asRecount+"=1")
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		o := outcome{exit: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
		t.Logf("%v\n%s%s", args, o.stdout, o.stderr)
		parts := o.fails(t, recount.CodeStorage, "")
		if !strings.Contains(parts["what"], "full") || parts["changed"] != "nothing" || p.commits() != 1 {
			t.Errorf("got %v and %d commits", parts, p.commits())
		}
	}
	found, err := filepath.Glob(filepath.Join(p.archive, "orders", "*", "*", ".tmp-*"))
	if err != nil || len(found) > 0 {
		t.Errorf("left behind: %v %v", found, err)
	}
	p.ok("archive", "run", "--once")
	p.whole()
}
