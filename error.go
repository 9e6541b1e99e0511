package recount

import (
	"errors"
	"fmt"
	"strings"
)

// Error is what a person gets when something cannot be done: what, where, why,
// what has changed and what to do next, under a code that has a page in
// docs/errors. Its exit code is the code's.
type Error struct {
	Code    Code
	What    string
	Where   string
	Why     string
	Changed string // "nothing" where empty
	Next    string
	Err     error // the cause, for errors.Is; its text is in Why
}

// Error returns one line; views print the four parts.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Code, e.What)
	for _, part := range []string{e.Where, e.Why} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Exit returns the process's exit code.
func (e *Error) Exit() int { return e.Code.Exit() }

// AsError returns err as an *Error; one that is none becomes CodeInternal, whose
// Why is its text.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{
		Code: CodeInternal, What: "something unexpected went wrong", Why: err.Error(), Err: err,
		Next: "run the command again; if it comes back, report it with this message",
	}
}

// Sentinels that adapters return, so that callers match kinds and never text.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("exists already")
	ErrUnsupported = errors.New("not supported")
	ErrUnreachable = errors.New("not reachable")
	// ErrTransient says that the same act may succeed later with nothing changed: a
	// server that is down or overloaded, a time-out, a throttled call.
	ErrTransient  = errors.New("may succeed later")
	ErrPermission = errors.New("not permitted")
	ErrLocked     = errors.New("locked by another run")
	ErrUnknown    = errors.New("outcome unknown")
	ErrMoved      = errors.New("a row moved")
	// ErrBusy says that the database ended a transaction to let another one
	// through (a deadlock, a serialization failure): the same may succeed now.
	ErrBusy = errors.New("the transaction was ended in favour of another")
)

// Located returns an error for a person with its place, where it has none yet;
// every other error, and nil, as it is.
func Located(err error, where string) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Where != "" {
		return err
	}
	with := *e
	with.Where = where
	return &with
}
