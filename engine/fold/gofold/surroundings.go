package gofold

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"recount/engine/fold/run"
)

// place is what a fold finds around it and must not depend on. Shake changes it.
type place struct {
	env   []string
	clock time.Time
	seed  uint64
	host  string
	pid   int // 0: the usual one
	// processors is how many it sees; 0: all.
	processors int
}

// stopped is the clock of a replay that has no window.
var stopped = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func surroundings(s run.Spec) place {
	p := place{clock: s.Hit.From, seed: 1}
	if p.clock.IsZero() {
		p.clock = stopped
	}
	zone, locale, cores, user := "UTC", "C.UTF-8", max(s.Threads, 1), "worker"
	p.host = "recount"
	if s.Shake.Seed {
		p.seed += 1 + uint64(s.Shake.Draw) //nolint:gosec // a few
	}
	if s.Shake.Clock {
		p.clock = p.clock.AddDate(3, 5, 8).Add(7*time.Hour + 13*time.Minute)
	}
	if s.Shake.Zone {
		zone = "Pacific/Chatham" // an odd offset, and summer time
	}
	if s.Shake.Locale {
		locale = "tr_TR.UTF-8"
	}
	if s.Shake.Cores {
		cores, p.processors = cores+1, runtime.NumCPU()-1
	}
	if s.Shake.Machine {
		user, p.host, p.pid = "someone", "elsewhere", 207
		p.env = append(p.env, "ANOTHER_MACHINE=1")
	}
	p.env = append(p.env, childMark+"=1", "GOTRACEBACK=single", fmt.Sprintf("GOMAXPROCS=%d", cores),
		"TZ="+zone, "LANG="+locale, "LC_ALL="+locale, "USER="+user, "LOGNAME="+user, "HOSTNAME="+p.host, "HOME="+s.Scratch)
	// Where the loader finds libraries is no secret, and the program needs it.
	if libraries := os.Getenv("LD_LIBRARY_PATH"); libraries != "" {
		p.env = append(p.env, "LD_LIBRARY_PATH="+libraries)
	}
	return p
}

// executable is this program's own file.
func executable() (string, error) { return os.Executable() }
