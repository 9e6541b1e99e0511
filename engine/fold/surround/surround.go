// Package surround is what the process of a fold finds around it and what must not
// change its rows: every kind of fold is given the same, and shaken alike.
package surround

import (
	"os"
	"path/filepath"
	"runtime"
	"time"

	"recount/engine"
)

// Place is what a process finds around it.
type Place struct {
	Env   []string // language, zone, user and host
	Clock time.Time
	Seed  uint64
	Host  string
	PID   int // 0: the usual one
	// Processors is how many it sees; 0: all.
	Processors int
}

// stopped is the instant at which a clock begins that sees no event.
var stopped = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Of is the place whose clock begins at an instant of the events, so that it is the
// same on every machine and day, and whose chance begins at seed. What shake names
// is otherwise.
func Of(at time.Time, seed uint64, shake engine.Shake) Place {
	if at.IsZero() {
		at = stopped
	}
	p := Place{Clock: at, Seed: seed, Host: "recount"}
	zone, locale, user := "UTC", "C.UTF-8", "worker"
	if shake.Seed {
		p.Seed += 1 + uint64(shake.Draw) //nolint:gosec // a few
	}
	if shake.Clock {
		p.Clock = p.Clock.AddDate(3, 5, 8).Add(7*time.Hour + 13*time.Minute)
	}
	if shake.Zone {
		zone = farZone()
	}
	if shake.Locale {
		locale = "tr_TR.UTF-8" // where i has a capital of its own, and the comma is the point
	}
	if shake.Cores {
		// One less than there are; 0, which is all, where there is but one.
		p.Processors = runtime.NumCPU() - 1
	}
	if shake.Machine {
		user, p.Host, p.PID = "someone", "elsewhere", 207
		p.Env = append(p.Env, "ANOTHER_MACHINE=1")
	}
	p.Env = append(p.Env, "TZ="+zone, "LANG="+locale, "LC_ALL="+locale, "USER="+user, "LOGNAME="+user, "HOSTNAME="+p.Host)
	return p
}

// farZone is a zone with an odd offset and summer time. Where the machine has no
// list of zones, it is spelled out.
func farZone() string {
	const name = "Pacific/Chatham"
	if _, err := os.Stat(filepath.Join("/usr/share/zoneinfo", name)); err == nil {
		return name
	}
	return "<+1245>-12:45"
}
