// Package workertest replays events in an author's own tests: Replay runs a fold
// over them as Recount would, in this process, and refuses one whose rows depend on
// anything but its events. A Result prints itself, so that a test compares it with
// a text or a golden file.
//
//	func TestBalances(t *testing.T) {
//		stream := workertest.Stream{
//			By:     []string{"account"},
//			Fields: map[string]string{"account": "string", "amount": "decimal(18,2)"},
//		}
//		got := workertest.Replay(t, balances, stream, workertest.Read(t, "testdata/october.jsonl"))
//		workertest.Golden(t, "testdata/october.golden", got)
//	}
package workertest
