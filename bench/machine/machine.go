// Package machine describes the machine that a benchmark ran on: a figure means
// nothing without it.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Describe returns the processor, its cores and Go's version, in one line.
func Describe() string {
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
			return strings.TrimSpace(name)
		}
	}
	return "unknown processor"
}
