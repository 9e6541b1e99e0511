package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"recount"
	"recount/engine"
)

// hit is the condition under which an event that is read is a hit event, over
// the columns of alias. It is never NULL.
func (in *input) hit(alias string) string {
	alias += "."
	h := in.Hits
	switch h.Window.By {
	case recount.ByPosition:
		return spans(alias, h.Positions)
	case recount.ByIDs:
		return "coalesce(" + alias + "id IN " + idsOf(h.IDs) + ", false)"
	case recount.ByIngest:
		return "coalesce(" + within(alias+"ingest_time", h.Window) + ", false)"
	case recount.ByEvent:
	}
	w, read := in.hitWindow(), in.span()
	from := w.From.IsZero() || !read.From.IsZero() && !read.From.Before(w.From)
	to := w.To.IsZero() || !read.To.IsZero() && !read.To.After(w.To)
	if from && to {
		return "true" // only hit events are read
	}
	return "coalesce(" + within(alias+"time", w) + ", false)"
}

// spans is the condition that an event's position lies in one of the windows.
func spans(alias string, windows []recount.PositionWindow) string {
	var parts []string
	for _, w := range windows {
		parts = append(parts, fmt.Sprintf("%spartition = %s AND %sposition >= %s AND %sposition < %s",
			alias, literal(w.Partition), alias, literal(w.From), alias, literal(w.To)))
	}
	if len(parts) == 0 {
		return "false"
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// idsOf is the set of a list's ids: the parent has put them into a file, and the
// file's name in From.
func idsOf(list *recount.IDList) string {
	if list == nil {
		return "(SELECT CAST(NULL AS VARCHAR) WHERE false)"
	}
	return "(SELECT id FROM " + readParquet([]string{list.From}) + ")"
}

// hits returns a SELECT of the sound hit events: what says where they lie.
func (in *input) hits(s sees) string {
	source := in.window("e.seq, e.id, e.partition, e.position, e.time, e.ingest_time", s)
	return "SELECT * FROM (" + source + ") AS e WHERE " + in.hit("e")
}

// mostMissingIDs is how many ids HitSpan shows.
const mostMissingIDs = 5

// hitSpan finds where the hit events lie.
func (in *input) hitSpan(ctx context.Context, dedupe bool) (span engine.HitSpan, err error) {
	if err := in.use(ctx, 0); err != nil {
		return span, err
	}
	// A quarantined event stretches the span, so that its rows are looked at, but
	// is none of the events.
	rows, err := in.db.conn.QueryContext(ctx, "SELECT partition, count(*) FILTER (WHERE NOT bad), epoch_us(min(time)), epoch_us(max(time)), "+
		"coalesce(min(position) FILTER (WHERE NOT bad), ''), coalesce(max(position) FILTER (WHERE NOT bad), '') "+
		"FROM (SELECT *, seq IN (SELECT seq FROM recount_marks WHERE bad) AS bad FROM ("+in.hits(sees{dedupe: dedupe, bad: true})+")) GROUP BY partition ORDER BY partition")
	if err != nil {
		return span, fmt.Errorf("find hit events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p recount.PositionSpan
		var first, last int64
		if err := rows.Scan(&p.Partition, &p.Rows, &first, &last, &p.First, &p.Last); err != nil {
			return span, fmt.Errorf("find hit events: %w", err)
		}
		from, to := time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		if span.First.IsZero() || from.Before(span.First) {
			span.First = from
		}
		if span.Last.IsZero() || to.After(span.Last) {
			span.Last = to
		}
		if p.Rows > 0 {
			span.Events += p.Rows
			span.Positions = append(span.Positions, p)
		}
	}
	if err := rows.Err(); err != nil {
		return span, fmt.Errorf("find hit events: %w", err)
	}
	if in.Hits.Window.By == recount.ByIDs {
		err = in.missingIDs(ctx, &span)
	}
	return span, err
}

// missingIDs counts the listed ids that no sound event has.
func (in *input) missingIDs(ctx context.Context, span *engine.HitSpan) (err error) {
	missing := "FROM (SELECT DISTINCT id FROM " + idsOf(in.Hits.IDs) + ") AS l ANTI JOIN (" + in.window("e.seq, e.id", sees{}) + ") AS e ON l.id = e.id"
	if err := in.db.row(ctx, "SELECT count(*) "+missing, &span.Missing); err != nil {
		return fmt.Errorf("look for ids: %w", err)
	}
	if span.Missing == 0 {
		return nil
	}
	rows, err := in.db.conn.QueryContext(ctx, fmt.Sprintf("SELECT l.id %s ORDER BY l.id LIMIT %d", missing, mostMissingIDs))
	if err != nil {
		return fmt.Errorf("look for ids: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("look for ids: %w", err)
		}
		span.MissingIDs = append(span.MissingIDs, id)
	}
	return rows.Err()
}

// arrivals says between which event times the hit events lie that the source
// took in after their time: no other can be late.
func (in *input) arrivals(ctx context.Context) (a arrivalsAnswer, err error) {
	if err := in.use(ctx, 0); err != nil {
		return a, err
	}
	err = in.db.row(ctx, "SELECT epoch_us(min(time)), epoch_us(max(time)) FROM ("+in.hits(sees{})+") WHERE ingest_time > time", &a.First, &a.Last)
	if err != nil {
		return a, fmt.Errorf("find hit events: %w", err)
	}
	return a, nil
}

// lateTable makes the table of the hit events that came later than after their
// bucket's end. Edges are the starts of buckets, one after the other, and the
// end of the last; none: there are no buckets, and all hit events count from
// the window's end.
func (in *input) lateTable(ctx context.Context, after time.Duration, edges []int64) error {
	late := fmt.Sprintf("epoch_us(h.ingest_time) - %d >= ", after.Microseconds())
	query := "SELECT h.seq FROM (" + in.hits(sees{}) + ") AS h WHERE " + late + fmt.Sprint(in.Window.To.UnixMicro())
	if in.Bucketed {
		query = "SELECT h.seq FROM (" + in.hits(sees{}) + ") AS h ASOF JOIN (SELECT unnest(" + seqList(firsts(edges)) + ") AS start, unnest(" + seqList(lasts(edges)) +
			") AS stop) AS b ON epoch_us(h.time) >= b.start WHERE epoch_us(h.time) < b.stop AND " + late + "b.stop"
	}
	if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE recount_late AS "+query); err != nil {
		return fmt.Errorf("find late events of %s: %w", in.Stream, err)
	}
	return nil
}

func firsts(edges []int64) []int64 { return edges[:max(len(edges)-1, 0)] }

func lasts(edges []int64) []int64 { return edges[min(1, len(edges)):] }
