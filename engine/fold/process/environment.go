package process

import (
	"fmt"
	"time"

	"recount/engine"
	"recount/engine/fold/surround"
)

// baseSeed is where a worker's randomness begins.
const baseSeed = 20_240_610

// surroundings are what process n finds around it, and the name of its own folder.
func surroundings(n int, at time.Time, s engine.Shake) (p surround.Place, folder string) {
	p, folder = surround.Of(at, baseSeed, s), fmt.Sprintf("worker-%d", n)
	cores := 1
	if s.Cores {
		cores = 3
	}
	if s.Machine {
		folder = fmt.Sprintf("another-machine-%d", n)
	}
	p.Env = append(p.Env,
		fmt.Sprintf("RECOUNT_SEED=%d", p.Seed),
		// Python hashes texts by a seed of its own: 0 is no seed.
		fmt.Sprintf("PYTHONHASHSEED=%d", p.Seed-baseSeed),
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8",
	)
	for _, name := range []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS", "PYTHON_CPU_COUNT", "GOMAXPROCS", "UV_THREADPOOL_SIZE"} {
		p.Env = append(p.Env, fmt.Sprintf("%s=%d", name, cores))
	}
	return p, folder
}
