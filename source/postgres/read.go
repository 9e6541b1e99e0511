package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"recount"
	"recount/source"
	"recount/source/postgres/pgoutput"
	"recount/source/record"
)

// A batch holds at most so many changes and about so many bytes, so that a large
// transaction is never in memory as a whole.
const (
	batchChanges = 4096
	batchBytes   = 8 << 20
)

// enough is how much log without an event moves the cursor, so that the server may
// let it go. Less is not worth a commit.
const enough = 1 << 20

// Read hands over what had committed when it began. A transaction that is open then
// comes in a later reading, whole and at its commit's place.
func (s *Source) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	if s.env.Now == nil {
		return source.End{}, errors.New("read changes: the source was given no clock")
	}
	if err := ctx.Err(); err != nil {
		return source.End{}, err
	}
	begun := s.env.Now()
	_, known, err := newest(cursor)
	if err != nil {
		return source.End{}, recount.Located(err, s.where())
	}
	st, before, err := s.started(ctx, cursor)
	if err != nil {
		return source.End{}, err
	}
	at, end, err := s.end(ctx)
	if err != nil {
		return source.End{}, err
	}
	r := &reading{stream: st, ctx: ctx, emit: emit, next: st.mark.spot()}
	if err := r.all(before, end, !known); err != nil {
		s.drop()
		if refused, ok := errors.AsType[refusedError](err); ok {
			return source.End{}, refused.error
		}
		return source.End{}, s.explained("read slot "+s.config.Slot, err)
	}
	if at.Before(begun) {
		begun = at // events carry the server's clock
	}
	return source.End{Watermark: begun, Partitions: 1}, nil
}

// Wait reads until there is something that is not a sign of life, and keeps it for
// the next reading.
func (s *Source) Wait(ctx context.Context, cursor source.Cursor) error {
	st, before, err := s.started(ctx, cursor)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil || len(before) > 0 {
		if err == nil {
			s.drop() // the next reading tells it
		}
		return err
	}
	defer context.AfterFunc(ctx, st.wake)()
	for st.held == nil && st.at-min(st.at, st.mark.spot().commit) < enough {
		m, err := st.receive(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil && m[0] == keepsAlive {
			err = st.alive(m)
		} else if err == nil {
			st.held = slices.Clone(m)
		}
		if err != nil {
			s.drop()
			return s.explained("wait for slot "+s.config.Slot, err)
		}
	}
	return nil
}

// refusedError is what emit answered: no trouble of the server's.
type refusedError struct{ error }

// reading is one reading of a stream.
type reading struct {
	*stream

	ctx  context.Context //nolint:containedctx // of the one Read
	emit func(source.Batch) error

	next    spot // of the first change that was not read
	records []record.Record
	gaps    []recount.Gap
	bytes   int64 // of the records
	read    int64 // from the stream
	handed  bool
}

func (r *reading) all(before []source.Batch, end pgoutput.LSN, first bool) error {
	defer context.AfterFunc(r.ctx, r.wake)()
	for _, b := range before {
		if err := r.hand(b); err != nil {
			return err
		}
	}
	for r.tx != nil || r.at < end {
		m, err := r.receive(r.ctx)
		if err == nil {
			err = r.take(m)
		}
		if err != nil {
			return err
		}
	}
	if err := r.flush(); err != nil {
		return err
	}
	// Where the first reading began is told in any case: else a slot that is made anew
	// before the first event would hide what was lost.
	quiet, stands := spot{commit: r.at}, r.mark.spot()
	if first && !r.handed || stands.before(quiet) && r.at-stands.commit >= enough {
		if stands.before(quiet) {
			r.next = quiet
		}
		return r.hand(source.Batch{Partition: r.mark.partition(), Format: r.source.decoder.Format()})
	}
	return r.ctx.Err()
}

// hand hands a batch over. One without a cursor gets that of what was read.
func (r *reading) hand(b source.Batch) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	m := r.mark
	if b.Cursor == "" {
		m = r.mark.at(r.next)
		b.Cursor = m.text()
	}
	if err := r.emit(b); err != nil {
		return refusedError{err}
	}
	r.mark, r.handed = m, true
	if b.Partition == m.partition() {
		r.told = b.Cursor
	}
	return nil
}

func (r *reading) flush() error {
	if len(r.records)+len(r.gaps) == 0 {
		return r.ctx.Err()
	}
	events, header, err := r.source.decoder.Events(r.ctx, r.mark.partition(), r.records)
	if err != nil {
		return err
	}
	for i := range events {
		r.source.columns.blame(&events[i])
	}
	b := source.Batch{Partition: r.mark.partition(), Events: events, Gaps: r.gaps, Format: r.source.decoder.Format(), Header: header, Bytes: r.read}
	r.records, r.gaps, r.bytes, r.read = nil, nil, 0, 0
	return r.hand(b)
}

// take takes in what the stream carries.
func (r *reading) take(m []byte) error {
	r.read += int64(len(m))
	switch {
	case m[0] == keepsAlive:
		return r.alive(m)
	case m[0] != carriesData || len(m) < dataHead:
		return r.source.broken(fmt.Errorf("it carries a message of kind %q and %d bytes", m[0], len(m)))
	}
	lsn := pgoutput.LSN(binary.BigEndian.Uint64(m[1:]))
	message, err := pgoutput.Parse(m[dataHead:])
	if err != nil {
		return r.source.broken(err)
	}
	if err := r.message(lsn, message); err != nil {
		if errors.Is(err, errStream) {
			return r.source.broken(err)
		}
		return err
	}
	if len(r.records) >= batchChanges || r.bytes >= batchBytes {
		return r.flush()
	}
	return nil
}

// errStream marks what a sound stream never does.
var errStream = errors.New("the stream is out of order")

func (r *reading) message(lsn pgoutput.LSN, m pgoutput.Message) error {
	switch m := m.(type) {
	case pgoutput.Begin:
		if r.tx != nil {
			return fmt.Errorf("%w: a transaction begins inside of another", errStream)
		}
		r.tx = &transaction{Begin: m}
		return nil
	case pgoutput.Relation:
		r.relations[m.ID] = r.describe(m)
		return nil
	case pgoutput.Logical:
		return r.logical(m)
	case pgoutput.Other:
		return nil
	}
	if r.tx == nil {
		return fmt.Errorf("%w: a %T comes outside of a transaction", errStream, m)
	}
	switch m := m.(type) {
	case pgoutput.Commit:
		return r.commit(m)
	case pgoutput.Insert:
		return r.row(lsn, m.Relation, "c", nil, m.New, false)
	case pgoutput.Update:
		return r.row(lsn, m.Relation, "u", m.Old, m.New, m.OldKey)
	case pgoutput.Delete:
		return r.row(lsn, m.Relation, "d", m.Old, nil, m.OldKey)
	case pgoutput.Truncate:
		for _, id := range m.Relations {
			if err := r.row(lsn, id, "t", nil, nil, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// commit ends a transaction.
func (r *reading) commit(m pgoutput.Commit) error {
	tx := r.tx
	if tx.skipped > 0 {
		p := r.mark.partition()
		r.gaps = append(r.gaps, recount.Gap{
			Partition: p, From: spot{tx.Commit, tx.from}.position(), To: spot{tx.Commit, tx.index}.position(), Reason: recount.GapReplay,
		})
	}
	r.tx = nil
	if after := (spot{commit: m.End}); r.next.before(after) {
		r.next = after
	}
	r.at = max(r.at, m.End)
	return nil
}

// row takes in a change of a table.
func (r *reading) row(lsn pgoutput.LSN, id uint32, op string, old, now []pgoutput.Value, keyOnly bool) error {
	at := spot{r.tx.Commit, r.tx.index}
	r.tx.index++
	if at.before(r.next) {
		return nil // it is in the archive
	}
	r.next = spot{at.commit, at.index + 1}
	rel, ok := r.relations[id]
	switch {
	case !ok:
		return fmt.Errorf("%w: it has a row of table %d, which it did not describe", errStream, id)
	case !rel.selected:
		return nil
	case r.tx.ours:
		if r.tx.skipped == 0 {
			r.tx.from = at.index
		}
		r.tx.skipped++
		return nil
	}
	rec, event, err := r.stream.row(at, lsn, rel, op, old, now, keyOnly)
	if err == nil && event {
		r.add(rec)
	}
	return err
}

func (r *reading) add(rec record.Record) {
	r.records = append(r.records, rec)
	r.bytes += int64(len(rec.Value))
}

// logical takes in a logical message. One that is no part of a transaction has no
// time, and may be of one that was rolled back: it is no event.
func (r *reading) logical(m pgoutput.Logical) error {
	if !m.Transactional {
		return nil
	}
	if r.tx == nil {
		return fmt.Errorf("%w: a transaction's message comes outside of it", errStream)
	}
	at := spot{r.tx.Commit, r.tx.index}
	r.tx.index++
	r.tx.ours = r.tx.ours || m.Prefix == ours
	if at.before(r.next) {
		return nil
	}
	r.next = spot{at.commit, at.index + 1}
	if m.Prefix == r.source.config.Messages && m.Prefix != "" && !r.tx.ours {
		r.add(r.said(at, m))
	}
	return nil
}
