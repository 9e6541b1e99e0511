package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"recount"
)

func (s *Source) misconfigured(what, why, next string) error {
	return &recount.Error{Code: recount.CodeConfig, What: what, Where: s.where(), Why: why, Next: next}
}

// broken is a stream that says what cannot be.
func (s *Source) broken(err error) error {
	return &recount.Error{
		Code: recount.CodeSourceData, What: "the server's stream of changes cannot be read", Where: s.where() + ", " + s.place(), Why: err.Error(), Err: err,
		Next: "report it with this message and the server's version; the slot keeps the changes",
	}
}

// makeSlot and makePublication are what an administrator runs.
func (s *Source) makeSlot() string {
	return fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s', 'pgoutput');", s.config.Slot)
}

func (s *Source) makePublication() string {
	tables := strings.Join(s.config.Tables, ", ")
	if s.config.Outbox.Table != "" {
		tables = s.config.Outbox.Table
	}
	if tables == "" {
		tables = "schema.table"
	}
	return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s;", quote(s.config.Publication), tables)
}

// anew is how a slot is made anew that cannot be read on.
func (s *Source) anew() string {
	return fmt.Sprintf("in database %s: SELECT pg_drop_replication_slot('%s'); %s then run again: what is lost is recorded as a gap, and the archive goes on behind it",
		s.conn.Database, s.config.Slot, s.makeSlot())
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (s *Source) slotLost(why string, err error) error {
	return &recount.Error{
		Code: recount.CodeSlotLost, What: fmt.Sprintf("slot %s cannot be read on", s.config.Slot), Where: s.where() + ", " + s.place(), Why: why, Err: err, Next: s.anew(),
	}
}

func (s *Source) slotBusy(why string, err error) error {
	return &recount.Error{
		Code: recount.CodeSlotBusy, What: fmt.Sprintf("slot %s is being read by another process", s.config.Slot), Where: s.where() + ", " + s.place(), Why: why,
		Next: "end the other reader, or give this source a slot of its own; a reader that died is let go after wal_sender_timeout",
		Err:  errors.Join(recount.ErrBusy, recount.ErrTransient, err),
	}
}

func (s *Source) notReady(why, next string) error {
	return &recount.Error{
		Code: recount.CodeNoSlot, What: "the database is not set up for reading changes", Where: s.where() + ", " + s.place(), Why: why, Next: next,
	}
}

// The server's codes that are told apart.
const (
	stateInUse       = "55006"
	stateNotReady    = "55000" // of a slot that was invalidated
	stateGone        = "58P01" // a file of the log is not there any more
	stateNoObject    = "42704"
	stateNoDatabase  = "3D000"
	stateNoPrivilege = "42501"
	stateFull        = "53400" // no slot is free
)

// explained turns an error of the driver or the server into one for a person.
func (s *Source) explained(act string, err error) error {
	var own *recount.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", act, err)
	}
	server, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return s.down(act+": "+s.scrub(err.Error()), errors.Join(recount.ErrUnreachable, err))
	}
	why := s.scrub(server.Message)
	if server.Detail != "" {
		why += " (" + s.scrub(server.Detail) + ")"
	}
	why = fmt.Sprintf("%s: %s [%s]", act, why, server.Code)
	const class = 2
	switch kind := server.Code[:min(class, len(server.Code))]; {
	case server.Code == stateInUse:
		return s.slotBusy(why, err)
	case server.Code == stateNotReady || server.Code == stateGone:
		return s.slotLost(why, err)
	case server.Code == stateNoObject && strings.Contains(server.Message, s.config.Publication):
		return s.slotLost(why+"; the publication was made after the slot, which begins before it", err)
	case server.Code == stateNoDatabase:
		return s.misconfigured("there is no such database", why, "correct dsn:")
	case kind == "28" || server.Code == stateNoPrivilege:
		return &recount.Error{
			Code: recount.CodeSourceAccess, What: "PostgreSQL refused who asks", Where: s.where() + ", " + s.place(), Why: why, Err: errors.Join(recount.ErrPermission, err),
			Next: fmt.Sprintf("check the user and password of dsn:, that pg_hba.conf lets it in, and that it may replicate: ALTER ROLE %s REPLICATION;", quote(s.conn.User)),
		}
	case server.Code == stateFull:
		return s.notReady(why, "raise max_replication_slots, or drop a slot that nobody reads: SELECT slot_name, active FROM pg_replication_slots;")
	case kind == "08" || kind == "53" || kind == "57" || kind == "58":
		return s.down(why, errors.Join(recount.ErrUnreachable, err))
	}
	return s.down(why, err)
}

func (s *Source) down(why string, err error) error {
	return &recount.Error{
		Code: recount.CodeSourceDown, What: "PostgreSQL cannot be read", Where: s.where() + ", " + s.place(), Why: why, Err: err,
		Next: "check dsn: of the source, and that the server runs; nothing is lost, and the next run goes on from the archive's cursor",
	}
}
