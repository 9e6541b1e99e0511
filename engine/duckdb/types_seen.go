package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount"
	"recount/engine"
)

// types counts events by what they are.
func (in *input) types(ctx context.Context, q engine.TypesQuery) (list []engine.TypeCount, err error) {
	if err := in.use(ctx, 0); err != nil {
		return nil, err
	}
	version, err := in.version(q)
	if err != nil || len(in.overlapping()) == 0 {
		return nil, err
	}
	source := in.window(fmt.Sprintf("e.seq, e.id, e.type, e.partition, e.position, e.time, e.ingest_time, %s AS version", version), sees{dedupe: q.Dedupe, bad: true})
	switch q.See {
	case engine.SeeHit:
		source = "SELECT * FROM (" + source + ") AS e WHERE " + in.hit("e")
	case engine.SeeUnhit:
		source = "SELECT * FROM (" + source + ") AS e WHERE NOT " + in.hit("e")
	case engine.SeeAll:
	}
	rows, err := in.db.conn.QueryContext(ctx, "SELECT type, version, used, bad, first, last, coalesce(one.id, ''), one.partition, one.position FROM ("+
		"SELECT type, version, count(*) FILTER (WHERE NOT bad) AS used, count(*) FILTER (WHERE bad) AS bad, epoch_us(min(time)) AS first, epoch_us(max(time)) AS last, "+
		// A struct, since arg_min passes by rows of which the value is NULL.
		"arg_min({'id': id, 'partition': partition, 'position': position}, seq) AS one "+
		"FROM (SELECT *, seq IN (SELECT seq FROM recount_marks WHERE bad) AS bad FROM ("+source+")) GROUP BY type, version) ORDER BY type NULLS FIRST, version NULLS FIRST")
	if err != nil {
		return nil, fmt.Errorf("count types: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c engine.TypeCount
		var kind, version sql.NullString
		var first, last int64
		if err := rows.Scan(&kind, &version, &c.Used, &c.Quarantined, &first, &last, &c.ID, &c.Partition, &c.Position); err != nil {
			return nil, fmt.Errorf("count types: %w", err)
		}
		if len(list) == engine.MostTypes {
			return nil, tooManyTypes(in.Stream)
		}
		c.Type, c.Version = textOrNull(kind), textOrNull(version)
		c.First, c.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		list = append(list, c)
	}
	return list, rows.Err()
}

func textOrNull(v sql.NullString) recount.Value {
	if !v.Valid {
		return recount.Null
	}
	return recount.Text(v.String)
}

// version is the expression for an event's version, as a text.
func (in *input) version(q engine.TypesQuery) (string, error) {
	switch {
	case q.Header != "":
		return "TRY(decode(list_last(list_filter(e.headers, lambda h: h.name = " + literal(q.Header) + ")).value))", nil
	case q.Field != "":
		i := slices.IndexFunc(in.Fields, func(f recount.Field) bool { return f.Name == q.Field })
		if i < 0 || in.Fields[i].Type.Kind != recount.KindString && in.Fields[i].Type.Kind != recount.KindInt64 {
			return "", fmt.Errorf("count types: field %q names no version", q.Field)
		}
		return "CAST(" + stored(in.Fields[i]) + " AS VARCHAR)", nil
	}
	return "CAST(NULL AS VARCHAR)", nil
}

func tooManyTypes(stream string) error {
	return &recount.Error{
		Code: recount.CodeLimit, What: "there are too many types of events", Where: "stream " + stream,
		Why:  fmt.Sprintf("its events have over %d types and versions: what is taken for the type seems to name single events", engine.MostTypes),
		Next: "let event: {type: …} of the source, and the version, name what tells kinds of events apart",
	}
}
