package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"recount"
)

// count counts the events of all files. What the commit log says of a file that
// lies wholly in the window is not counted again.
func (in *input) count(ctx context.Context, dedupe bool) (recount.EventCounts, error) {
	var c recount.EventCounts
	if err := in.use(ctx, 0); err != nil {
		return c, err
	}
	var inside int64
	var edges []int
	for _, f := range in.Files {
		c.Read += f.Rows
	}
	for _, i := range in.overlapping() {
		f := in.Files[i]
		if len(in.Until) == 0 && in.covers(f) {
			inside += f.Rows
			continue
		}
		edges = append(edges, i)
	}
	if len(edges) > 0 {
		var n int64
		if err := in.db.row(ctx, "SELECT count(*) FROM "+readParquet(in.paths(edges))+" AS e WHERE "+in.isRead(), &n); err != nil {
			return c, fmt.Errorf("count events: %w", err)
		}
		inside += n
	}
	if err := in.presentMarks(ctx); err != nil {
		return c, err
	}
	var badInside int64
	err := in.db.row(ctx, "SELECT count(*) FILTER (WHERE bad), count(*) FILTER (WHERE bad AND time IS NOT NULL), count(*) FILTER (WHERE repeat AND NOT bad AND time IS NOT NULL) FROM recount_present",
		&c.Quarantined, &badInside, &c.Duplicates)
	if err != nil {
		return c, fmt.Errorf("count marks: %w", err)
	}
	if !dedupe {
		c.Duplicates = 0
	}
	c.Used = inside - badInside - c.Duplicates
	c.Outside = c.Read - c.Used - c.Duplicates - c.Quarantined
	if c.Late, err = in.late(ctx, dedupe); err != nil {
		return c, err
	}
	c.Hit, err = in.countHits(ctx, dedupe, c.Used)
	return c, err
}

// covers says that all events of a file, but those that are marked, are read.
func (in *input) covers(f openFile) bool {
	span := in.span()
	return (span.From.IsZero() || !f.FirstTime.Before(span.From)) && (span.To.IsZero() || f.LastTime.Before(span.To))
}

// countHits counts the hit events among used ones.
func (in *input) countHits(ctx context.Context, dedupe bool, used int64) (int64, error) {
	if in.hit("e") == "true" {
		return used, nil
	}
	var n int64
	if err := in.db.row(ctx, "SELECT count(*) FROM ("+in.hits(sees{dedupe: dedupe})+")", &n); err != nil {
		return 0, fmt.Errorf("count hit events: %w", err)
	}
	return n, nil
}

// presentMarks makes the table of the marks that lie in what is read, or whose
// time is unknown, and whose events are in a file.
func (in *input) presentMarks(ctx context.Context) error {
	if err := in.use(ctx, 0); err != nil || in.counted {
		return err
	}
	query := "CREATE TEMP TABLE recount_present (seq BIGINT, repeat BOOLEAN, bad BOOLEAN, time TIMESTAMP WITH TIME ZONE)"
	if len(in.Marks) > 0 {
		err := in.db.exec(ctx, "CREATE TEMP TABLE recount_near AS SELECT seq, bool_or(kind = 'repeat') AS repeat, bool_or(kind <> 'repeat') AS bad, max(time) AS time FROM "+
			readParquet(in.Marks)+" WHERE "+in.inRead()+" OR time IS NULL GROUP BY seq")
		if err != nil {
			return fmt.Errorf("read marks: %w", err)
		}
		touched, err := in.touched(ctx, "recount_near")
		if err != nil {
			return err
		}
		if len(touched) > 0 {
			query = "CREATE TEMP TABLE recount_present AS SELECT * FROM recount_near SEMI JOIN (SELECT e.seq FROM " +
				readParquet(in.paths(touched)) + " AS e SEMI JOIN recount_near AS m ON e.seq = m.seq" + in.where(in.beforeUntil()) + ") USING (seq)"
		}
	}
	if err := in.db.exec(ctx, query); err != nil {
		return fmt.Errorf("find marked events: %w", err)
	}
	in.counted = true
	return nil
}

// late counts the used events that are older than the archive watermark before
// their commit. Most files hold none, and their metadata says so.
func (in *input) late(ctx context.Context, dedupe bool) (int64, error) {
	groups := map[time.Time][]int{}
	var compacted []int
	for _, i := range in.overlapping() {
		switch f := in.Files[i]; {
		case len(f.Arrivals) > 0:
			compacted = append(compacted, i)
		case !f.Before.IsZero() && f.FirstTime.Before(f.Before):
			groups[f.Before] = append(groups[f.Before], i)
		}
	}
	gone := "recount_marks"
	if !dedupe {
		gone = "(SELECT seq FROM recount_marks WHERE bad)"
	}
	var parts []string
	for before, files := range groups { // their order does not change the sum
		parts = append(parts, "(SELECT count(*) FROM (SELECT seq FROM "+readParquet(in.paths(files))+" AS e WHERE "+in.isRead()+
			" AND time < "+instant(before)+") AS e ANTI JOIN "+gone+" AS m ON e.seq = m.seq)")
	}
	for _, i := range compacted {
		if arrivals := in.Files[i].lateArrivals(); arrivals != "" {
			parts = append(parts, "(SELECT count(*) FROM (SELECT e.seq FROM (SELECT seq, time FROM "+readParquet(in.paths([]int{i}))+" AS e WHERE "+in.isRead()+
				") AS e JOIN (VALUES "+arrivals+") AS a (after, until, late) ON e.seq > a.after AND e.seq <= a.until AND e.time < a.late) AS e ANTI JOIN "+
				gone+" AS m ON e.seq = m.seq)")
		}
	}
	if len(parts) == 0 {
		return 0, nil
	}
	var n int64
	if err := in.db.row(ctx, "SELECT CAST("+strings.Join(parts, " + ")+" AS BIGINT)", &n); err != nil {
		return 0, fmt.Errorf("count late events: %w", err)
	}
	return n, nil
}

// lateArrivals are those of a compacted file's commits with which a late event can
// have come: after which sequence number, up to which, and what is late. Neighbours
// with the same watermark are one.
func (f openFile) lateArrivals() string {
	var rows []string
	after := f.FirstSeq - 1
	for i, a := range f.Arrivals {
		if next := i + 1; next < len(f.Arrivals) && f.Arrivals[next].Before.Equal(a.Before) {
			continue
		}
		if !a.Before.IsZero() && f.FirstTime.Before(a.Before) {
			rows = append(rows, fmt.Sprintf("(%d, %d, %s)", after, a.LastSeq, instant(a.Before)))
		}
		after = a.LastSeq
	}
	return strings.Join(rows, ", ")
}

// minutes counts used events per step. A step is a number of whole minutes, or a
// part of a minute where the window is shorter than one.
func (in *input) minutes(ctx context.Context, dedupe bool, most int) (steps []recount.MinuteCount, err error) {
	if err := in.use(ctx, 0); err != nil {
		return nil, err
	}
	step := stepOf(in.Window.Length(), most)
	if step <= 0 {
		return nil, nil
	}
	for from := in.Window.From; from.Before(in.Window.To); from = from.Add(step) {
		steps = append(steps, recount.MinuteCount{From: from.UTC(), Wrong: -1})
	}
	rows, err := in.db.conn.QueryContext(ctx, fmt.Sprintf("SELECT CAST((epoch_us(time) - %d) // %d AS BIGINT) AS step, count(*) FROM (%s) GROUP BY step",
		in.Window.From.UnixMicro(), step.Microseconds(), in.inWindow("e.seq, e.time", sees{dedupe: dedupe})))
	if err != nil {
		return nil, fmt.Errorf("count events per step: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var i, n int64
		if err := rows.Scan(&i, &n); err != nil {
			return nil, fmt.Errorf("count events per step: %w", err)
		}
		steps[i].Events = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count events per step: %w", err)
	}
	return steps, nil
}

// inWindow is window, but for events outside Window.
func (in *input) inWindow(columns string, s sees) string {
	if in.span() == in.Window {
		return in.window(columns, s)
	}
	return "SELECT * FROM (" + in.window(columns, s) + ") WHERE " + within("time", in.Window)
}

// where is a WHERE clause; none for an empty condition.
func (*input) where(condition string) string {
	if condition == "" {
		return ""
	}
	return " WHERE " + condition
}

// stepOf is the shortest step of whole minutes of which at most most cover
// length; below a minute, of whole microseconds.
func stepOf(length time.Duration, most int) time.Duration {
	most = max(most, 1)
	unit := time.Minute
	if length < time.Minute {
		unit = time.Microsecond
	}
	units := (length + unit - 1) / unit
	each := (int64(units) + int64(most) - 1) / int64(most)
	return time.Duration(each * int64(unit))
}

// quarantined lists marks of kind fault and conflict.
func (in *input) quarantined(ctx context.Context) (marks []recount.Mark, err error) {
	if err := in.presentMarks(ctx); err != nil {
		return nil, err
	}
	if len(in.Marks) == 0 {
		return nil, nil
	}
	rows, err := in.db.conn.QueryContext(ctx, "SELECT seq, kind, coalesce(id, ''), epoch_us(time), coalesce(broken, ''), coalesce(why, '') FROM "+
		readParquet(in.Marks)+" SEMI JOIN (SELECT seq FROM recount_present WHERE bad) USING (seq) WHERE kind <> 'repeat' ORDER BY seq, kind")
	if err != nil {
		return nil, fmt.Errorf("list quarantined events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var m recount.Mark
		var at *int64
		var broken string
		if err := rows.Scan(&m.Seq, &m.Kind, &m.ID, &at, &broken, &m.Why); err != nil {
			return nil, fmt.Errorf("list quarantined events: %w", err)
		}
		if at != nil {
			m.Time = time.UnixMicro(*at).UTC()
		}
		if broken != "" {
			m.Broken = strings.Split(broken, ",")
		}
		marks = append(marks, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list quarantined events: %w", err)
	}
	return marks, nil
}
