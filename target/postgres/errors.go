package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"recount"
	"recount/target/internal/refusal"
)

// scrub takes the password out of a text that a driver or server wrote.
func (t *table) scrub(text string) string {
	secret := t.config.Password
	if secret == "" {
		return text
	}
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
		text = strings.ReplaceAll(text, form, "***")
	}
	return text
}

// explain turns an error of the driver or the server into one that callers can
// match and people can read. act says what was being done.
func (s *session) explain(act string, err error) error {
	var known *recount.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		if s.conn.IsClosed() || pgconn.SafeToRetry(err) {
			return refusal.Down(s.t.place, "the connection was lost: "+s.t.scrub(err.Error()), nil)
		}
		return fmt.Errorf("%s table %q: %s", act, s.t.name, s.t.scrub(err.Error()))
	}
	why := s.t.scrub(server.Message)
	if server.Detail != "" {
		why += " (" + s.t.scrub(server.Detail) + ")"
	}
	return s.explainState(act, server, fmt.Sprintf("%s [%s]", why, server.Code), err)
}

func (s *session) explainState(act string, server *pgconn.PgError, why string, err error) error {
	switch server.Code {
	case "40001", "40P01":
		return refusal.Moved(s.t.place, "live traffic was in the way: "+why, errors.Join(recount.ErrBusy, err))
	case "55P03":
		return refusal.Locked(s.t.place, "another transaction holds rows or the table for longer than the lock timeout: "+why)
	case "42501":
		if s.writing {
			return refusal.ReadOnly(s.t.place, "the role's rights do not allow it: "+why, err)
		}
		return refusal.Down(s.t.place, "the role may not read it: "+why, err)
	case "25006":
		return refusal.ReadOnly(s.t.place, why, err)
	case "23505":
		return refusal.Moved(s.t.place, "a row with such a unique value is there: "+why+
			"; if a new plan is refused too, planned rows exchange the value (make the constraint DEFERRABLE), or the role may not see the row that has it", err)
	case "23503":
		return refusal.Breaks(s.t.place, why, "mend what refers to the row; where planned rows refer to one another, make the foreign key DEFERRABLE", err)
	case "23502":
		return refusal.Breaks(s.t.place, why, "fill the column by on_insert: in recount.yaml, or let the calculation return it; then plan again", err)
	case "57014":
		return &recount.Error{
			Code: recount.CodeTargetDown, What: "the server cancelled a statement", Where: s.t.place, Why: why,
			Next: "raise the role's statement_timeout, or find who cancels, then run the command again", Err: err,
		}
	case "53100":
		return &recount.Error{
			Code: recount.CodeStorage, What: "the server's disk is full", Where: s.t.place, Why: why,
			Next: "make room, then run the command again", Err: err,
		}
	}
	const class = 2
	switch server.Code[:min(class, len(server.Code))] {
	case "22", "23", "P0", "42":
		if s.writing {
			return refusal.DoesNotFit(s.t.place, why, err)
		}
	case "08", "53", "57", "58", "28", "3D":
		return refusal.Down(s.t.place, why, err)
	}
	return fmt.Errorf("%s table %q: %s: %w", act, s.t.name, why, errServer)
}

// errServer stands for the server's refusal, whose text has been scrubbed.
var errServer = errors.New("the server refused")
