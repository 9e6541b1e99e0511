package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"recount"
	"recount/source"
	"recount/source/postgres/pgoutput"
)

// replicate opens a connection that can start a stream.
func (s *Source) replicate(ctx context.Context) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config := s.conn.Config.Copy()
	config.RuntimeParams = maps.Clone(config.RuntimeParams)
	// Values are printed by the stream's own settings.
	maps.Copy(config.RuntimeParams, map[string]string{
		"replication": "database", "datestyle": "ISO, YMD", "intervalstyle": "postgres", "timezone": "UTC", "extra_float_digits": "3",
		"bytea_output": "hex", "client_encoding": "UTF8",
	})
	conn, err := pgconn.ConnectConfig(ctx, config)
	return conn, s.explained("connect for replication", err)
}

func hangUp(ctx context.Context, conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// identify asks which history the server tells.
func (s *Source) identify(ctx context.Context, conn *pgconn.PgConn) (sys system, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	row, err := s.one(ctx, conn, "IDENTIFY_SYSTEM")
	if err != nil {
		return sys, err
	}
	sys.id = string(row[0])
	if sys.timeline, err = strconv.Atoi(string(row[1])); err != nil {
		return sys, s.broken(err)
	}
	if sys.timeline > 1 {
		row, err := s.one(ctx, conn, fmt.Sprintf("TIMELINE_HISTORY %d", sys.timeline))
		if err != nil {
			return sys, err
		}
		sys.left = parseHistory(string(row[1]))
	}
	return sys, nil
}

func (s *Source) one(ctx context.Context, conn *pgconn.PgConn, command string) ([][]byte, error) {
	results, err := conn.Exec(ctx, command).ReadAll()
	if err != nil {
		return nil, s.explained("ask "+command, err)
	}
	const least = 2
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < least {
		return nil, s.broken(fmt.Errorf("%s was answered by %d results", command, len(results)))
	}
	return results[0].Rows[0], nil
}

// stream is a slot that is being read. Between two readings it stands between
// transactions.
type stream struct {
	source *Source
	conn   net.Conn
	front  *pgproto3.Frontend
	idle   *time.Timer
	end    func() // ends the heartbeat

	history   mark         // that is read; its place counts for nothing
	mark      mark         // of the next change that was not handed over
	told      string       // the cursor that the receiver has
	floor     pgoutput.LSN // the slot's own place at the beginning
	at        pgoutput.LSN // of all that committed before it nothing is to come
	held      []byte       // a message that Wait took
	relations map[uint32]*relation
	tx        *transaction // that is open

	writing sync.Mutex
}

// started returns the stream that goes on at cursor, and what must be told before
// it is read. It takes the one that is open if that stands there.
func (s *Source) started(ctx context.Context, cursor source.Cursor) (st *stream, before []source.Batch, err error) {
	if s.live != nil && cursor[s.live.mark.partition()] == s.live.told {
		return s.live, nil, nil
	}
	s.drop()
	_, known, err := newest(cursor)
	if err != nil {
		return nil, nil, recount.Located(err, s.where())
	}
	v, err := s.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := s.ready(v, s.config.Create && !known); err != nil {
		return nil, nil, err
	}
	if !v.slot {
		if err := s.make(ctx, &v); err != nil {
			return nil, nil, err
		}
	}
	now, _, err := s.end(ctx)
	if err != nil {
		return nil, nil, err
	}
	conn, err := s.replicate(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			hangUp(ctx, conn)
		}
	}()
	sys, err := s.identify(ctx, conn)
	if err != nil {
		return nil, nil, err
	}
	m, before, err := assign(cursor, sys, v.database, v.confirmed, now)
	if err != nil {
		return nil, nil, recount.Located(err, s.where())
	}
	st = &stream{source: s, history: m, mark: m, told: cursor[m.partition()], floor: v.confirmed, at: m.spot().commit, relations: map[uint32]*relation{}}
	if err := s.start(ctx, conn, st, v.timeout); err != nil {
		return nil, nil, err
	}
	s.live = st
	return st, before, nil
}

// make makes the slot. It waits until the transactions that are open have ended.
func (s *Source) make(ctx context.Context, v *view) error {
	var at string
	if err := s.query(ctx, "make the slot", "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')", []any{s.config.Slot}, &at); err != nil {
		return err
	}
	return s.lookAtSlot(ctx, v)
}

// start starts the stream. A slot that is in use is asked for a while: a reader that
// was ended a moment ago may not have let it go yet.
func (s *Source) start(ctx context.Context, conn *pgconn.PgConn, st *stream, timeout time.Duration) error {
	const pause = 200 * time.Millisecond
	command := fmt.Sprintf(`START_REPLICATION SLOT %s LOGICAL %s (proto_version '1', publication_names '%s', messages 'true')`,
		quote(s.config.Slot), st.mark.spot().commit, strings.ReplaceAll(quote(s.config.Publication), "'", "''"))
	for try := 1; ; try++ {
		err := st.begin(ctx, conn, command)
		server, ok := errors.AsType[*pgconn.PgError](err)
		if err == nil || !ok || server.Code != stateInUse || try == s.tries {
			if err != nil {
				return s.explained("start the stream", err)
			}
			break
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return s.explained("start the stream", err)
	}
	st.conn, st.front = hijacked.Conn, hijacked.Frontend
	st.idle = time.AfterFunc(time.Hour, st.wake)
	st.idle.Stop()
	beat, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it lasts until the stream is dropped
	done := make(chan struct{})
	go func() {
		defer close(done)
		st.beat(beat, timeout)
	}()
	st.end = func() { cancel(); <-done }
	return nil
}

// begin sends the command. After the server's refusal the connection can be used
// again.
func (st *stream) begin(ctx context.Context, conn *pgconn.PgConn, command string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn.Frontend().SendQuery(&pgproto3.Query{String: command})
	if err := conn.Frontend().Flush(); err != nil {
		return err
	}
	var refused error
	for {
		m, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return errors.Join(refused, err)
		}
		switch m := m.(type) {
		case *pgproto3.CopyBothResponse:
			return nil
		case *pgproto3.ErrorResponse:
			refused = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.ReadyForQuery:
			return refused
		}
	}
}

// drop ends the stream that is open, if one is.
func (s *Source) drop() {
	if s.live == nil {
		return
	}
	st := s.live
	s.live = nil
	st.idle.Stop()
	st.end()
	st.writing.Lock()
	defer st.writing.Unlock()
	// A polite end lets the slot go at once.
	terminate, _ := (&pgproto3.Terminate{}).Encode(nil)
	_, _ = st.conn.Write(terminate)
	_ = st.conn.Close()
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// wake ends a Receive that waits.
func (st *stream) wake() { _ = st.conn.SetReadDeadline(longAgo) }

// beat says from time to time that the reader lives, also while a batch is written.
func (st *stream) beat(ctx context.Context, timeout time.Duration) {
	const most, least, part = 10 * time.Second, 50 * time.Millisecond, 4
	every := most
	if timeout > 0 {
		every = max(min(most, timeout/part), least)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if st.status(false) != nil {
				return // the reader finds the connection broken
			}
		}
	}
}

// archived is up to where the server need not keep its log for us; 0 where nothing
// is known. It is never before the slot's own place: a slot that goes back sends
// again what it need not.
func (st *stream) archived() pgoutput.LSN {
	st.source.mu.Lock()
	defer st.source.mu.Unlock()
	m := st.source.archived
	if m.Generation == 0 || !m.same(st.history) {
		return 0
	}
	if at := m.spot().commit; at > st.floor {
		return at
	}
	return 0
}

// status tells the server what is archived, and may ask where it stands.
func (st *stream) status(answer bool) error {
	const size = 34
	b := make([]byte, 0, size)
	b = append(b, 'r')
	at := uint64(st.archived())
	for range 3 { // written, flushed, applied: what is not archived counts for nothing
		b = binary.BigEndian.AppendUint64(b, at)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(pgoutput.Since(st.source.env.Now()))) //nolint:gosec // the bits are a signed number's
	asks := byte(0)
	if answer {
		asks = 1
	}
	message, err := (&pgproto3.CopyData{Data: append(b, asks)}).Encode(nil)
	if err != nil {
		return err
	}
	st.writing.Lock()
	defer st.writing.Unlock()
	_, err = st.conn.Write(message)
	return err
}

// receive returns the next message of the stream, which is valid until the next
// call. It ends with ctx, which must wake it.
func (st *stream) receive(ctx context.Context) ([]byte, error) {
	const quiet = time.Second // after which the server is asked where it stands
	if held := st.held; held != nil {
		st.held = nil
		return held, nil
	}
	for {
		st.idle.Reset(quiet)
		m, err := st.front.Receive()
		st.idle.Stop()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := st.conn.SetReadDeadline(time.Time{}); err != nil {
				return nil, err
			}
			// After the deadline is taken off: a context that ends now sets it again.
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err := st.status(true); err != nil {
				return nil, fmt.Errorf("tell the server that the reader lives: %w", err)
			}
			continue
		case err != nil:
			return nil, err
		}
		switch m := m.(type) {
		case *pgproto3.CopyData:
			if len(m.Data) > 0 {
				return m.Data, nil
			}
		case *pgproto3.ErrorResponse:
			return nil, pgconn.ErrorResponseToPgError(m)
		case *pgproto3.CopyDone:
			return nil, fmt.Errorf("the server ended the stream: %w", recount.ErrTransient)
		}
	}
}

// The kinds of what a stream carries.
const (
	carriesData = 'w' // then three places and a message
	keepsAlive  = 'k' // then the server's place, its clock, whether it asks for an answer

	dataHead  = 25
	aliveSize = 18
)

// alive takes in a sign of life: between transactions, all that committed before the
// server's place has come.
func (st *stream) alive(m []byte) error {
	if len(m) != aliveSize {
		return st.source.broken(fmt.Errorf("a sign of life has %d bytes", len(m)))
	}
	if at := pgoutput.LSN(binary.BigEndian.Uint64(m[1:])); st.tx == nil && at > st.at {
		st.at = at
	}
	if m[aliveSize-1] != 0 {
		return st.status(false)
	}
	return nil
}
