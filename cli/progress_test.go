package cli

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// screen is a terminal that several goroutines write to.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestOnlyWhatLastsOverASecondGetsABar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In this bubble time passes at once.
		var s screen
		b := &bars{out: &s, running: map[*bar]bool{}}
		short := b.Begin("short", 10)
		short.Add(10)
		<-time.After(patience / 2)
		short.End()
		long := b.Begin("replay", 200)
		unknown := b.Begin("read", 0)
		long.Add(50)
		unknown.Add(7)
		<-time.After(patience + time.Second)
		long.Add(50)
		unknown.Add(1)
		<-time.After(time.Second)
		long.End()
		long.End()
		long.Add(1)
		b.clear()
		text := s.text()
		if strings.Contains(text, "short") {
			t.Errorf("an act of half a second has a bar:\n%q", text)
		}
		for _, want := range []string{"replay", "50 / 200", "100 / 200", "read"} {
			if !strings.Contains(text, want) {
				t.Errorf("bars lack %q:\n%q", want, text)
			}
		}
		b.clear()
		again := b.Begin("again", 3)
		<-time.After(2 * patience)
		again.End()
		b.clear()
		if !strings.Contains(s.text(), "again") {
			t.Errorf("no bar after a clear:\n%q", s.text())
		}
	})
}
