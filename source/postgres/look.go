package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/source"
	"recount/source/postgres/pgoutput"
)

// patience is for one answer.
const patience = 15 * time.Second

// ask runs a query that gives one row, on the connection for questions.
func (s *Source) ask(ctx context.Context, act, query string, args []any, into ...any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.query(ctx, act, query, args, into...)
}

// query is ask without an end of its own.
func (s *Source) query(ctx context.Context, act, query string, args []any, into ...any) error {
	if s.control == nil {
		conn, err := pgx.ConnectConfig(ctx, s.conn)
		if err != nil {
			return s.explained("connect", err)
		}
		s.control = conn
	}
	err := s.control.QueryRow(ctx, query, args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if err != nil {
		s.hangUp(ctx) // whether it still works is found out by a new one
	}
	return s.explained(act, err)
}

func (s *Source) hangUp(ctx context.Context) {
	if s.control != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.control.Close(ctx)
		s.control = nil
	}
}

// end is the server's clock and where its log ends now.
func (s *Source) end(ctx context.Context) (at time.Time, end pgoutput.LSN, err error) {
	var text string
	var page uint64
	// The clock is read before the end, so that it never claims too much. The end is
	// that of what is written, flushed or not: other sessions see those commits.
	err = s.ask(ctx, "look where the log ends", "WITH t AS MATERIALIZED (SELECT clock_timestamp() AS at) SELECT at, pg_current_wal_insert_lsn()::text, current_setting('wal_block_size')::int8 FROM t", nil, &at, &text, &page)
	if err != nil {
		return at, 0, err
	}
	end, err = pgoutput.ParseLSN(text)
	if err != nil {
		return at, 0, s.broken(err)
	}
	// Where a page is full, the next record comes after the next page's head, which
	// nobody writes before the record.
	const longestHead = 40
	if over := uint64(end) % page; over <= longestHead {
		end -= pgoutput.LSN(over)
	}
	return at, end, nil
}

// view is what the database has of what the source needs.
type view struct {
	database    string
	timeout     time.Duration // after which the server drops a reader that says nothing; 0: never
	published   bool
	missing     []string // of the tables that are named
	slot        bool
	plugin      string
	of          string // the slot's database
	status      string // of the log that it keeps
	confirmed   pgoutput.LSN
	logical     bool // wal_level
	placeOfSlot string
}

// look refuses what can never be read, and says how the rest stands.
func (s *Source) look(ctx context.Context) (v view, err error) {
	var version int
	var standby bool
	var millis int64
	err = s.ask(ctx, "look at the server", `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_database(),
		(SELECT setting::int8 FROM pg_settings WHERE name = 'wal_sender_timeout'), current_setting('wal_level') = 'logical'`, nil,
		&version, &standby, &v.database, &millis, &v.logical)
	if err != nil {
		return v, err
	}
	v.timeout = time.Duration(millis) * time.Millisecond
	const oldest = 150000
	refused := func(what, why, next string) error {
		return &recount.Error{Code: recount.CodeUnsupported, What: what, Where: s.where() + ", " + s.place(), Why: why, Next: next, Err: recount.ErrUnsupported}
	}
	switch {
	case version < oldest:
		return v, refused("this PostgreSQL is too old", fmt.Sprintf("it is version %d; changes are read from 15 on", version/10000), "upgrade the server")
	case standby:
		return v, refused("a standby cannot be read", "it follows another server, and has no slots of its own that outlast it", "name the server that takes writes in dsn:")
	}
	err = s.ask(ctx, "look for the publication", "SELECT EXISTS (SELECT 1 FROM pg_publication WHERE pubname = $1)", []any{s.config.Publication}, &v.published)
	if err != nil {
		return v, err
	}
	wanted := s.config.Tables
	if s.config.Outbox.Table != "" {
		wanted = []string{s.config.Outbox.Table}
	}
	if v.published && len(wanted) > 0 {
		var there []string
		err := s.ask(ctx, "look for the publication's tables", "SELECT coalesce(array_agg(schemaname || '.' || tablename), '{}') FROM pg_publication_tables WHERE pubname = $1",
			[]any{s.config.Publication}, &there)
		if err != nil {
			return v, err
		}
		v.missing = slices.DeleteFunc(slices.Clone(wanted), func(t string) bool { return slices.Contains(there, t) })
	}
	return v, s.lookAtSlot(ctx, &v)
}

func (s *Source) lookAtSlot(ctx context.Context, v *view) error {
	err := s.ask(ctx, "look for the slot", `SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(wal_status, 'lost'), coalesce(confirmed_flush_lsn, '0/0')::text
		FROM pg_replication_slots WHERE slot_name = $1`, []any{s.config.Slot}, &v.plugin, &v.of, &v.status, &v.placeOfSlot)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	v.slot = true
	if v.confirmed, err = pgoutput.ParseLSN(v.placeOfSlot); err != nil {
		return s.broken(err)
	}
	return nil
}

// ready refuses a database that lacks something, and says what to run.
func (s *Source) ready(v view, mayMake bool) error {
	var why, next []string
	if !v.logical {
		why, next = append(why, "wal_level is not logical"), append(next, "ALTER SYSTEM SET wal_level = logical; and start the server anew;")
	}
	switch {
	case !v.published:
		why, next = append(why, fmt.Sprintf("there is no publication %s", s.config.Publication)), append(next, s.makePublication())
	case len(v.missing) > 0:
		why = append(why, fmt.Sprintf("publication %s does not hold %s", s.config.Publication, strings.Join(v.missing, ", ")))
		next = append(next, fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s;", quote(s.config.Publication), strings.Join(v.missing, ", ")))
	}
	switch {
	case !v.slot && !mayMake:
		why, next = append(why, fmt.Sprintf("there is no slot %s", s.config.Slot)), append(next, s.makeSlot())
	case v.slot && (v.plugin != "pgoutput" || v.of != v.database):
		return s.misconfigured(fmt.Sprintf("slot %s cannot be used", s.config.Slot), fmt.Sprintf("it is of plugin %q and database %q", v.plugin, v.of), "name a slot of pgoutput in this database: "+s.makeSlot())
	}
	if len(why) > 0 {
		return s.notReady(strings.Join(why, "; "), fmt.Sprintf("in database %s, in this order: %s", v.database, strings.Join(next, " ")))
	}
	if v.slot && v.status == "lost" {
		return s.slotLost("the server removed log that the slot had still to send: it was beyond max_slot_wal_keep_size", nil)
	}
	return nil
}

// Check looks for the publication and the slot, and whether the user may read.
func (s *Source) Check(ctx context.Context) error {
	v, err := s.look(ctx)
	if err != nil {
		return err
	}
	if err := s.ready(v, s.config.Create); err != nil {
		return err
	}
	conn, err := s.replicate(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)
	_, err = s.identify(ctx, conn)
	return err
}

// Overtaken says what Read would tell as lost.
func (s *Source) Overtaken(ctx context.Context, cursor source.Cursor) ([]recount.Gap, error) {
	old, known, err := newest(cursor)
	if err != nil || !known {
		return nil, recount.Located(err, s.where())
	}
	v, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	now, end, err := s.end(ctx)
	if err != nil {
		return nil, err
	}
	if !v.slot || v.status == "lost" {
		if from, to := old.spot(), (spot{commit: end}); from.before(to) {
			return []recount.Gap{lost(old.partition(), from.position(), to.position(), now)}, nil
		}
		return nil, nil
	}
	conn, err := s.replicate(ctx)
	if err != nil {
		return nil, err
	}
	defer hangUp(ctx, conn)
	sys, err := s.identify(ctx, conn)
	if err != nil {
		return nil, err
	}
	_, before, err := assign(cursor, sys, v.database, v.confirmed, now)
	var gaps []recount.Gap
	for _, b := range before {
		gaps = append(gaps, b.Gaps...)
	}
	return gaps, err
}
