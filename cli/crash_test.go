package cli_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"recount"
)

// Go ends a panic with 2, which scripts read as "differences found".
func TestAPanicIsAnErrorNeverADifference(t *testing.T) {
	s := scene{}
	s.fake.rows = recount.RowCounts{Checked: 1, Update: 1}
	s.fake.applied = func(context.Context) error { panic("an index is out of range") }
	got := s.run(t, "apply", "f", "--confirm", "user_totals")
	if got.exit != recount.ExitUnknown || !strings.Contains(got.errOut, "error RC2110") || !strings.Contains(got.errOut, "an index is out of range") ||
		!strings.Contains(got.errOut, "next:    recount runs") {
		t.Errorf("apply: got exit %d, want %d\n%s", got.exit, recount.ExitUnknown, got.errOut)
	}
	s = scene{stdout: panicking{}}
	if got := s.run(t, with("diff", "c")...); got.exit != recount.ExitError || !strings.Contains(got.errOut, "error RC9000") || s.fake.closed != 1 {
		t.Errorf("diff: got exit %d, closed %d times, want %d, once\n%s", got.exit, s.fake.closed, recount.ExitError, got.errOut)
	}
	if got := s.run(t, with("diff", "c", "--json")...); !strings.HasPrefix(got.errOut, `{"type":"error","schema":1,"code":"RC9000","exit":1,`) {
		t.Errorf("as JSON:\n%s", got.errOut)
	}
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("nothing can be written") }

func TestAnInterruptAfterTheCommitDoesNotSayNothingHappened(t *testing.T) {
	signals := make(chan os.Signal, 2)
	s := scene{signals: signals}
	s.fake.applied = func(ctx context.Context) error {
		signals <- os.Interrupt
		<-ctx.Done()
		return errors.Join(&recount.Error{Code: recount.CodeTargetDown, What: "the rows could not be looked at again", Changed: "all 3 planned rows", Err: ctx.Err()})
	}
	got := s.run(t, "apply", "f", "--confirm", "user_totals")
	if got.exit != recount.ExitError || !strings.Contains(got.errOut, "changed: all 3 planned rows") {
		t.Errorf("got exit %d, want %d\n%s", got.exit, recount.ExitError, got.errOut)
	}
}
