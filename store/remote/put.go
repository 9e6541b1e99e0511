package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recount"
)

// Outcome is what an answer to a conditional put says about it.
type Outcome int

// What an answer says, from the best to the worst.
const (
	Done     Outcome = iota
	Taken            // the name is taken
	Refused          // no, and it stays so
	Unsent           // no: the server was not reached
	Answered         // the server failed; whether before or after the put it does not say
	Lost             // there was no answer, or one that leaves all open
)

const (
	attempts = 5                // of a put
	patience = 15 * time.Second // of the question what became of it
)

// ErrUnreachable is of a service that does not answer, or not now: later it may.
var ErrUnreachable = errors.Join(recount.ErrUnreachable, recount.ErrTransient)

// Put is one object on its way to a store. All functions are needed.
type Put struct {
	Name string
	// Send sends the object once, under the condition that its name is free.
	Send func(ctx context.Context) error
	// Judge says what an error of Send means.
	Judge func(err error) Outcome
	// Mine says whether the object under the name was put by this put;
	// recount.ErrNotFound if there is none.
	Mine func(ctx context.Context) (bool, error)
	// Explain makes an error for a person from one of Send.
	Explain func(err error) error
}

// Do sends until the outcome is known: nil and the object is ours,
// recount.ErrExists and it is another's, recount.ErrUnknown where nobody knows,
// and any other error where nothing of ours is visible.
func (p Put) Do(ctx context.Context) error {
	worst := Unsent
	var last error
	for try := range attempts {
		if try > 0 && !Pause(ctx, try) {
			break
		}
		last = p.Send(ctx)
		switch o := p.Judge(last); o {
		case Done:
			return nil
		case Taken, Refused:
			if worst > Unsent { // taken by ourselves, perhaps, in an earlier attempt
				return p.resolve(ctx, worst, last)
			}
			if o == Taken {
				return fmt.Errorf("put %q: %w", p.Name, recount.ErrExists)
			}
			return p.Explain(last)
		case Unsent, Answered, Lost:
			worst = max(worst, o)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if worst > Unsent {
		return p.resolve(ctx, worst, last)
	}
	return p.Explain(last)
}

// resolve looks whose object lies under the name.
func (p Put) resolve(ctx context.Context, worst Outcome, cause error) error {
	// Also where the put was cancelled: what became of it must be known.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	switch mine, err := p.Mine(asking); {
	case err == nil && mine:
		return nil
	case err == nil:
		return fmt.Errorf("put %q: %w", p.Name, recount.ErrExists)
	case errors.Is(err, recount.ErrNotFound) && worst == Answered:
		return p.Explain(cause)
	}
	return fmt.Errorf("put %q: %w: %w", p.Name, recount.ErrUnknown, errors.Join(ctx.Err(), p.Explain(cause)))
}
