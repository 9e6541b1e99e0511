// Package ipc runs a fold as a process worker: it speaks the Arrow form of the protocol in
// docs/worker-protocol.md over standard input and output. A program whose main is
//
//	func main() {
//		worker.Register("balances", balances)
//		if err := ipc.Run("balances"); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// is small, needs no C compiler and can be kept: `previous: {worker: {command:
// [./balances-v1]}}` replays a version long after its source has moved on. A fold
// that the command was built with (command.Main) is faster: it reads the archive
// itself.
package ipc
