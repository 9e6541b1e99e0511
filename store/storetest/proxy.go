package storetest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
)

// Trouble is how a request to a store goes wrong on its way.
type Trouble struct {
	Status int    // the answer; 0 cuts the connection
	Body   string // of the answer
	After  bool   // the request takes effect first
}

// Proxy stands before a store's server and lets requests go wrong. It is safe
// for concurrent use.
type Proxy struct {
	URL string

	mu    sync.Mutex
	plan  func(n int, r *http.Request) *Trouble
	count int
}

// Before starts a proxy before a server; it ends with the test.
func Before(t *testing.T, server string) *Proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	// The Host stays the proxy's own: signatures hold it.
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		trouble := p.next(r)
		if trouble == nil {
			forward.ServeHTTP(w, r)
			return
		}
		if trouble.After {
			forward.ServeHTTP(httptest.NewRecorder(), r)
		} else {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		if trouble.Status == 0 {
			cut(w)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(trouble.Body)))
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(trouble.Status)
		_, _ = io.WriteString(w, trouble.Body)
	}))
	t.Cleanup(front.Close)
	p.URL = front.URL
	return p
}

// Plan sets what goes wrong from now on: plan is given each request with its
// number from 1. nil lets all pass.
func (p *Proxy) Plan(plan func(n int, r *http.Request) *Trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.count = plan, 0
}

// Count is how many requests were made since the last plan.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

func (p *Proxy) next(r *http.Request) *Trouble {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	if p.plan == nil {
		return nil
	}
	return p.plan(p.count, r)
}

// cut ends a connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
