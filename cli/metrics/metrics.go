// Package metrics serves where runs of the archiver stand, in the text format of
// Prometheus. It keeps the newest status of each source and nothing else.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"recount/internal/app"
	"recount/internal/clock"
)

// Server serves the metrics until it is closed. It is safe for concurrent use.
type Server struct {
	clock  clock.Clock
	listen net.Listener
	http   http.Server
	done   chan struct{}

	mu      sync.Mutex
	sources map[string]*standing
}

// standing is where the run of one source stands.
type standing struct {
	app.ArchiveStatus
	errors, lost int64
}

// Listen serves /metrics at an address; one without a host is of this machine
// alone.
func Listen(ctx context.Context, address string, c clock.Clock) (*Server, error) {
	if strings.HasPrefix(address, ":") {
		address = "127.0.0.1" + address
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	const patience = 10 * time.Second
	s := &Server{clock: c, listen: l, done: make(chan struct{}), sources: map[string]*standing{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, s.text()) // a reader that is gone asks again
	})
	s.http = http.Server{Handler: mux, ReadHeaderTimeout: patience, WriteTimeout: patience}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ends when it is closed
	}()
	return s, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listen.Addr().String() }

// Close ends the serving.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Set keeps where a run stands.
func (s *Server) Set(status app.ArchiveStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.sources[status.Source]
	if at == nil {
		at = &standing{}
		s.sources[status.Source] = at
	}
	at.ArchiveStatus = status
	at.lost += int64(len(status.Lost))
	if status.Err != nil {
		at.errors++
	}
}

// series are the metrics, in their order. One of no value is left out.
var series = []struct {
	name, kind, help string
	value            func(s *standing, now time.Time) (float64, bool)
}{
	{"lag_seconds", "gauge", "Now less the watermark: how long ago all events were in.", func(s *standing, now time.Time) (float64, bool) {
		return now.Sub(s.Watermark).Seconds(), !s.Watermark.IsZero()
	}},
	{"watermark_seconds", "gauge", "All events before this instant are in, in Unix time.", func(s *standing, _ time.Time) (float64, bool) {
		const micro = 1e6
		return float64(s.Watermark.UnixMicro()) / micro, !s.Watermark.IsZero()
	}},
	{"events_total", "counter", "Events that were committed by this run.", of(func(s *standing) int64 { return s.Events })},
	{"bytes_total", "counter", "Bytes of files that were committed by this run.", of(func(s *standing) int64 { return s.Bytes })},
	{"files_total", "counter", "Files that were committed by this run.", of(func(s *standing) int64 { return int64(s.Files) })},
	{"commits_total", "counter", "Commits of this run.", of(func(s *standing) int64 { return int64(s.Commits) })},
	{"quarantined_total", "counter", "Events of this run that cannot be read as declared.", of(func(s *standing) int64 { return s.Quarantined })},
	{"gaps_total", "counter", "Gaps of positions that were recorded.", of(func(s *standing) int64 { return int64(s.Gaps) })},
	{"lost_gaps_total", "counter", "Gaps whose events the source deleted before they were archived.", of(func(s *standing) int64 { return s.lost })},
	{"errors_total", "counter", "Times that the source or the store could not be reached.", of(func(s *standing) int64 { return s.errors })},
	{"waiting", "gauge", "1 while the source or the store cannot be reached.", of(func(s *standing) int64 {
		if s.Err != nil {
			return 1
		}
		return 0
	})},
}

func of(count func(*standing) int64) func(*standing, time.Time) (float64, bool) {
	return func(s *standing, _ time.Time) (float64, bool) { return float64(count(s)), true }
}

func (s *Server) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	var b strings.Builder
	for _, m := range series {
		fmt.Fprintf(&b, "# HELP recount_archive_%s %s\n# TYPE recount_archive_%s %s\n", m.name, m.help, m.name, m.kind)
		for _, name := range slices.Sorted(maps.Keys(s.sources)) {
			if v, ok := m.value(s.sources[name], now); ok {
				fmt.Fprintf(&b, "recount_archive_%s{source=%q} %s\n", m.name, name, strconv.FormatFloat(v, 'f', -1, 64))
			}
		}
	}
	return b.String()
}
