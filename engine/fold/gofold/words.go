package gofold

import (
	"bytes"
	"strings"
	"sync"
)

// words keeps the last bytes that were written to it. It is safe for concurrent
// use.
type words struct {
	mu   sync.Mutex
	last []byte
}

const (
	wordsBytes = 32 << 10
	wordsLines = 6
	lineBytes  = 300
)

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(b)
	w.last = append(w.last, b[max(0, n-wordsBytes):]...)
	w.last = w.last[max(0, len(w.last)-wordsBytes):]
	return n, nil
}

// lines are the last lines; where the Go runtime said why it ended the process,
// those from there on.
func (w *words) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	reason := -1
	for line := range bytes.Lines(w.last) {
		s := strings.TrimSpace(strings.ToValidUTF8(string(line), "?"))
		if s == "" {
			continue
		}
		if reason < 0 && (strings.HasPrefix(s, "panic: ") || strings.HasPrefix(s, "fatal error: ") || strings.HasPrefix(s, "runtime: ")) {
			reason = len(lines)
		}
		if len(s) > lineBytes {
			s = s[:lineBytes] + "…"
		}
		lines = append(lines, s)
	}
	if reason >= 0 {
		return lines[reason:min(len(lines), reason+wordsLines)]
	}
	return lines[max(0, len(lines)-wordsLines):]
}
