// Command go-worker is a whole recount command with a worker of its own.
package main

import (
	"recount/command"
	"recount/examples/go-worker/limits"
	"recount/worker"
)

func main() {
	worker.Register("limits", limits.Fold)
	worker.Register("limits-v1", limits.V1)
	command.Main()
}
