package gofold

import (
	"fmt"
	"os"

	"recount/engine/fold/run"
	"recount/engine/fold/surround"
)

// surroundings are what a fold finds around it and must not depend on.
func surroundings(s run.Spec) surround.Place {
	p := surround.Of(s.Hit.From, 1, s.Shake)
	cores := max(s.Threads, 1)
	if s.Shake.Cores {
		cores++
	}
	p.Env = append(p.Env, childMark+"=1", "GOTRACEBACK=single", fmt.Sprintf("GOMAXPROCS=%d", cores), "HOME="+s.Scratch)
	// Where the loader finds libraries is no secret, and the program needs it.
	if libraries := os.Getenv("LD_LIBRARY_PATH"); libraries != "" {
		p.Env = append(p.Env, "LD_LIBRARY_PATH="+libraries)
	}
	return p
}
