package sandbox_test

import (
	"os"
	"testing"

	"recount/internal/sandbox"
	"recount/internal/sandbox/escape"
)

// attemptArg makes the test binary try to escape.
const attemptArg = "__escape"

func TestMain(m *testing.M) {
	if handled, exit := sandbox.Child(os.Args[1:]...); handled {
		os.Exit(exit)
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case attemptArg:
			os.Exit(escape.Run(os.Args[2], os.Args[3], os.Stderr))
		case escape.EscapedArg:
			os.Exit(escape.Escaped)
		case escape.ChanceArg:
			escape.Chance(os.Stdout)
			os.Exit(0)
		case escape.FamilyArg:
			os.Exit(escape.Family())
		case escape.CallsArg:
			os.Exit(escape.Calls(os.Args[2], os.Args[3]))
		case escape.SleepArg:
			escape.Sleep()
		}
	}
	m.Run()
}
