//go:build amd64 || arm64

package sandbox_test

import (
	"testing"

	"recount/internal/sandbox"
	"recount/internal/sandbox/escape"
)

// planted are attempts, each with a layer that holds it and the other layers that
// hold it too. Without the others it must still be held; without the layer as
// well it must escape. So each layer is seen to hold something by itself.
var planted = []struct {
	layer, attempt string
	others         []string
}{
	{"network namespace", "tcp4", []string{"seccomp", "landlock"}},
	{"network namespace", "abstract", []string{"seccomp", "landlock"}},
	{"network namespace", "udp", []string{"seccomp"}},
	{"pid namespace", "see a process", nil},
	{"pid namespace", "signal", []string{"landlock", "seccomp"}},
	{"mount namespace", "stat a file", nil},
	{"mount namespace", "read a file", []string{"landlock"}},
	{"mount namespace", "inotify", nil},
	{"ipc namespace", "sysv memory", []string{"seccomp"}},
	{"uts namespace", "machine's name", nil},
	{"landlock", "read a file", []string{"mount namespace"}},
	{"landlock", "write outside", []string{"mount namespace"}},
	{"landlock", "named pipe", nil},
	{"landlock", "program in reach", []string{"seccomp"}},
	{"seccomp", "keyctl", nil},
	{"seccomp", "memfd program", nil},
	{"seccomp", "fork bomb", nil},
	{"seccomp", "shared memory", nil},
	{"seccomp", "netlink", nil},
	{"seccomp", "io_uring", nil},
	{"limits", "huge file", nil},
	{"limits", "memory bomb", nil},
	{"limits", "endless loop", nil},
	{"limits", "thread bomb", nil},
	{"capabilities", "mount", []string{"seccomp", "landlock"}},
	{"descriptors", "leaked", nil},
	{"clock", "wall clock", nil},
}

func TestEveryLayerHoldsSomethingByItself(t *testing.T) {
	held := map[string]bool{}
	w, by := newWorld(t), goTries(t)
	for _, p := range planted {
		if got := w.inside(t, by, p.attempt, p.others...); got.exit.Code == escape.Escaped {
			t.Errorf("%s without %v: it escapes the %s", p.attempt, p.others, p.layer)
			continue
		}
		got := w.inside(t, by, p.attempt, append([]string{p.layer}, p.others...)...)
		if got.exit.Code != escape.Escaped {
			t.Errorf("%s without %v and %s: got %+v, want it to escape", p.attempt, p.others, p.layer, got)
			continue
		}
		held[p.layer] = true
	}
	for name := range sandbox.Layers {
		if !held[name] {
			t.Errorf("nothing shows that %s holds anything", name)
		}
	}
}
