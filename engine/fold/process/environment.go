package process

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"recount/engine"
)

// place is all that a worker finds around it and that must not change what it
// answers: Shake changes it.
type place struct {
	env    []string
	seed   uint64
	clock  time.Time
	folder string // the name of its own folder
	host   string
	pid    int // 0: the usual one
	// processors is how many it sees; 0: all.
	processors int
}

// baseSeed is where a worker's randomness begins.
const baseSeed = 20_240_610

// stopped is the instant at which the clock of a worker begins that sees no event.
var stopped = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// surroundings are those of process n. Its clock begins at an instant of the
// events, so that it is the same on every machine and day.
func surroundings(n int, at time.Time, s engine.Shake) place {
	if at.IsZero() {
		at = stopped
	}
	p := place{seed: baseSeed, clock: at, folder: fmt.Sprintf("worker-%d", n)}
	zone, locale, cores, user := "UTC", "C.UTF-8", 1, "worker"
	p.host = "recount"
	if s.Seed {
		p.seed += 1 + uint64(s.Draw) //nolint:gosec // a few
	}
	if s.Clock {
		p.clock = p.clock.AddDate(3, 5, 8).Add(7*time.Hour + 13*time.Minute)
	}
	if s.Zone {
		zone = farZone()
	}
	if s.Locale {
		locale = "tr_TR.UTF-8" // where i has a capital of its own, and the comma is the point
	}
	if s.Cores {
		cores, p.processors = 3, fewerProcessors()
	}
	if s.Machine {
		p.folder, user, p.host, p.pid = fmt.Sprintf("another-machine-%d", n), "someone", "elsewhere", 207
		p.env = append(p.env, "ANOTHER_MACHINE=1")
	}
	p.env = append(p.env,
		"LANG="+locale, "LC_ALL="+locale, "TZ="+zone, "USER="+user, "LOGNAME="+user, "HOSTNAME="+p.host,
		fmt.Sprintf("RECOUNT_SEED=%d", p.seed),
		// Python hashes texts by a seed of its own: 0 is no seed.
		fmt.Sprintf("PYTHONHASHSEED=%d", p.seed-baseSeed),
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8",
	)
	for _, name := range []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS", "PYTHON_CPU_COUNT", "GOMAXPROCS", "UV_THREADPOOL_SIZE"} {
		p.env = append(p.env, fmt.Sprintf("%s=%d", name, cores))
	}
	return p
}

// fewerProcessors is one less than there are; 0, which is all, where there is but
// one.
func fewerProcessors() int { return runtime.NumCPU() - 1 }

// farZone is a zone with an odd offset and summer time. Where the machine has no
// list of zones, it is spelled out.
func farZone() string {
	const name = "Pacific/Chatham"
	if _, err := os.Stat(filepath.Join("/usr/share/zoneinfo", name)); err == nil {
		return name
	}
	return "<+1245>-12:45"
}
