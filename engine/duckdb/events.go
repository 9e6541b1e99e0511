package duckdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount"
	"recount/engine"
)

// defaultEvents is how many events a query lists where it does not say.
const defaultEvents = 10_000

// events writes the events of a query to a file and returns how many there are,
// at most one more than its limit.
func (w *worker) events(ctx context.Context, r eventsRequest) (eventsAnswer, error) {
	in := w.input
	if err := in.use(ctx, 0); err != nil {
		return eventsAnswer{}, err
	}
	q := r.Query
	if q.Limit <= 0 {
		q.Limit = defaultEvents
	}
	files := in.overlapping()
	conditions := []string{in.inRead()}
	if q.Quarantined {
		files = in.overlappingOrUnknown()
		conditions = []string{"(time IS NULL OR " + in.inRead() + ")"}
	}
	if until := in.beforeUntil(); until != "" {
		conditions = append(conditions, until)
	}
	if q.Seqs != nil {
		var err error
		if files, err = in.named(ctx, q.Seqs); err != nil {
			return eventsAnswer{}, err
		}
		conditions = []string{"e.seq IN (SELECT seq FROM recount_named)"}
	}
	if len(files) == 0 {
		return eventsAnswer{}, nil
	}
	if q.Lists != nil {
		c, err := w.onLists(ctx, q)
		if err != nil {
			return eventsAnswer{}, err
		}
		conditions = append(conditions, c)
	}
	if !q.Quarantined {
		conditions = append(conditions, "NOT coalesce(m.bad, false)")
	}
	if !q.Repeats {
		conditions = append(conditions, "(NOT coalesce(m.repeat, false) OR coalesce(m.bad, false))")
	}
	for _, name := range slices.Sorted(maps.Keys(q.Fields)) {
		c, err := in.equals(name, q.Fields[name])
		if err != nil {
			return eventsAnswer{}, err
		}
		conditions = append(conditions, c)
	}
	fault := "coalesce(e.fault, '')"
	if in.reshaping != nil && len(in.reshaping.steps) > 0 { // they mend faults and make others
		fault = "CASE WHEN m.kind = 'fault' THEN m.why ELSE '' END"
	}
	query := "COPY (SELECT e.seq, coalesce(m.kind, '') AS mark, e.id, e.type, e.partition, e.position, e.time, e.ingest_time, e.key, e.data, e.headers, " +
		fault + " AS fault, coalesce(m.broken, '') AS broken" + in.plainFields() +
		" FROM " + readParquet(in.paths(files)) + " AS e LEFT JOIN (" + in.marksBySeq() + ") AS m ON e.seq = m.seq WHERE " + strings.Join(conditions, " AND ") +
		fmt.Sprintf(" ORDER BY e.time NULLS FIRST, e.seq LIMIT %d) TO %s (FORMAT parquet, COMPRESSION snappy)", q.Limit+1, literal(r.Out))
	var n int64
	if err := in.db.row(ctx, query, &n); err != nil {
		return eventsAnswer{}, runError(fmt.Errorf("list events: %w", err), bound{}, "", in.Limits.MemoryMiB)
	}
	if n > int64(q.Limit) {
		return eventsAnswer{}, &recount.Error{
			Code: recount.CodeLimit, What: fmt.Sprintf("more than %d events match", q.Limit), Where: in.Stream,
			Why: "listing them all would fill memory", Next: "take a shorter window or a more precise key",
		}
	}
	return eventsAnswer{Rows: n}, nil
}

// onLists is the condition that an event is a hit event on any of the lists.
func (w *worker) onLists(ctx context.Context, q engine.Query) (string, error) {
	in := w.input
	wheres, err := w.wheres(ctx, q.Lists)
	if err != nil {
		return "", err
	}
	parts := []string{"false"}
	for i, l := range q.Lists {
		parts = append(parts, "("+in.listed(l, wheres[i])+")")
	}
	source := in.window(in.columns(stored), sees{dedupe: !q.Repeats, bad: q.Quarantined})
	return "e.seq IN (SELECT " + seqColumn + " FROM (SELECT " + in.public(in.hit("e")) + ", e.seq AS " + seqColumn + " FROM (" + source +
		") AS e) AS events WHERE " + strings.Join(parts, " OR ") + ")", nil
}

func (in *input) overlappingOrUnknown() []int {
	indexes := in.overlapping()
	for i, f := range in.Files {
		if !f.TimeKnown && f.Rows > 0 {
			indexes = append(indexes, i)
		}
	}
	slices.Sort(indexes)
	return indexes
}

// named makes the table of the wanted sequence numbers and returns the files
// that may hold them.
func (in *input) named(ctx context.Context, seqs []int64) ([]int, error) {
	if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE recount_named AS SELECT unnest("+seqList(seqs)+") AS seq"); err != nil {
		return nil, fmt.Errorf("choose events of %s: %w", in.Stream, err)
	}
	return in.touched(ctx, "recount_named")
}

// marksBySeq is one row for each judged event: the gravest mark is its kind.
func (in *input) marksBySeq() string {
	if len(in.Marks) == 0 {
		return "SELECT CAST(NULL AS BIGINT) AS seq, '' AS kind, '' AS broken, '' AS why, false AS repeat, false AS bad WHERE false"
	}
	return "SELECT seq, CASE WHEN bool_or(kind = 'fault') THEN 'fault' WHEN bool_or(kind = 'conflict') THEN 'conflict' ELSE 'repeat' END AS kind, " +
		"string_agg(broken, ',' ORDER BY broken) AS broken, coalesce(string_agg(why, '; ' ORDER BY why) FILTER (WHERE kind = 'fault'), '') AS why, bool_or(kind = 'repeat') AS repeat, bool_or(kind <> 'repeat') AS bad FROM " +
		readParquet(in.Marks) + " GROUP BY seq"
}

func (in *input) plainFields() string {
	var b strings.Builder
	for i, f := range in.Fields {
		fmt.Fprintf(&b, ", %s AS f%d", plain("e."+ident(f.Name), f.Type), i)
	}
	return b.String()
}

// equals compares a field with a canonical text; NULL equals NULL.
func (in *input) equals(name string, v recount.Value) (string, error) {
	i := slices.IndexFunc(in.Fields, func(f recount.Field) bool { return f.Name == name })
	if i < 0 {
		return "", fmt.Errorf("list events of %s: no field %q: %w", in.Stream, name, recount.ErrNotFound)
	}
	f := in.Fields[i]
	if v.Null {
		return "e." + ident(name) + " IS NULL", nil
	}
	return plain("e."+ident(name), f.Type) + " IS NOT DISTINCT FROM " + plain(literal(v.Text), f.Type), nil
}

var _ engine.Engine = (*Engine)(nil)
