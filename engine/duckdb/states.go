package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
	"recount/engine/result"
)

const (
	// defaultStates is how many states of a key are given where nobody says.
	defaultStates = 256
	// mostPairs bounds the states of a key with a long history, each of which runs
	// over all of its events, and allPairs those of all keys: minutes of work.
	mostPairs = 200_000_000
	allPairs  = 8_000_000_000
	// batchPairs is how many events all cases of one query have.
	batchPairs = 20_000_000
)

// states writes the states of keys to a file, in order of the keys' numbers and
// of seq.
func (w *worker) states(ctx context.Context, r statesRequest) (runAnswer, error) {
	in := w.input
	v, err := w.variant(ctx, r.Variant, r.Edges)
	if err != nil {
		return runAnswer{}, err
	}
	if err := in.useFor(ctx, v.Variant); err != nil {
		return runAnswer{}, err
	}
	if err := in.ownFunctions(v.shape); err != nil {
		return runAnswer{}, err
	}
	tables, err := w.touching(ctx, v, r.Query.Touching)
	if err != nil {
		return runAnswer{}, err
	}
	if err := in.bringKeys(ctx, len(v.shape.Key), r.Query.Keys); err != nil {
		return runAnswer{}, fmt.Errorf("follow keys: %w", err)
	}
	if err := in.keyed(ctx, v, tables); err != nil {
		return runAnswer{}, fmt.Errorf("follow keys: %w", err)
	}
	if err := in.steps(ctx, r.Query); err != nil {
		return runAnswer{}, fmt.Errorf("follow keys: %w", err)
	}
	if err := in.stateRows(ctx, v); err != nil {
		return runAnswer{}, err
	}
	if err := in.crossCheck(ctx, v, r.Query.Keys); err != nil {
		return runAnswer{}, err
	}
	return runAnswer{Shape: renamed(v.shape, v.Variant)}, in.copyStates(ctx, v, r.Out)
}

// touching returns the tables that say which events are a key's: those of the
// variant's logic and of the others.
func (w *worker) touching(ctx context.Context, v variant, others []engine.Variant) (tables []string, err error) {
	all := []variant{v}
	for _, o := range others {
		other, err := w.variant(ctx, engine.Variant{Logic: o.Logic, Key: o.Key, Split: v.Split, Shake: v.Shake}, nil)
		if err != nil {
			return nil, err
		}
		if len(other.shape.Key) != len(v.shape.Key) {
			return nil, fmt.Errorf("follow keys: %s has %d key columns, not %d", name(o.Logic), len(other.shape.Key), len(v.shape.Key))
		}
		all = append(all, other)
	}
	for _, one := range all {
		table, err := w.input.touches(ctx, one)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(tables, table) {
			tables = append(tables, table)
		}
	}
	return tables, nil
}

// keyed makes recount_keyed, the events of each wanted key, with how often the
// variant processes each (an event of which its own logic makes no row of the
// key is passed over), and recount_pairs, those that it sees as it sees them.
func (in *input) keyed(ctx context.Context, v variant, tables []string) error {
	var same, touches []string
	for i := range v.shape.Key {
		same = append(same, fmt.Sprintf("t.c%d = k.c%d", i, i))
	}
	for i, t := range tables { // the variant's own logic comes first
		touches = append(touches, fmt.Sprintf("SELECT k.i AS key, t.seq, %t AS own FROM %s AS t JOIN recount_keys AS k ON %s", i == 0, t, strings.Join(same, " AND ")))
	}
	seen, err := in.seen(ctx, v, true)
	if err != nil {
		return err
	}
	// Keys begin with the same events whatever a variant leaves out of them.
	whole := v
	whole.Only = nil
	meta, err := in.meta(ctx, whole)
	if err != nil {
		return err
	}
	for _, query := range []string{
		"CREATE OR REPLACE TEMP TABLE recount_mine AS SELECT key, seq, bool_or(own) AS own FROM (" + strings.Join(touches, " UNION ALL ") + ") GROUP BY key, seq",
		"CREATE OR REPLACE TEMP TABLE recount_pairs AS SELECT m.key AS " + caseColumn + ", s." + seqColumn + ", " + in.used("s", v) + " FROM (" + seen + ") AS s JOIN recount_mine AS m ON m.seq = s." + seqColumn,
		"CREATE OR REPLACE TEMP TABLE recount_keyed AS SELECT m.key, e.seq, e.partition, e.position, coalesce(e.id, '') AS id, e.hit, e.came, CASE WHEN m.own THEN coalesce(p.n, 0) ELSE 0 END AS n FROM (" + meta +
			") AS e JOIN recount_mine AS m ON m.seq = e.seq LEFT JOIN (SELECT " + caseColumn + " AS key, " + seqColumn + " AS seq, count(*) AS n FROM recount_pairs GROUP BY ALL) AS p " +
			"ON p.key = m.key AND p.seq = m.seq",
		"DROP TABLE recount_mine",
	} {
		if err := in.db.exec(ctx, query); err != nil {
			return runError(err, bound{}, v.Logic.Path, in.Limits.MemoryMiB)
		}
	}
	return nil
}

// used lists the columns that SQL sees; those that the variant's logic cannot
// mean are NULL: payloads are large, and most SQL reads none.
func (in *input) used(alias string, v variant) string {
	list := []string{alias + ".hit"}
	add := func(name, duck string) {
		if v.logic.uses(name) {
			list = append(list, alias+"."+ident(name))
		} else {
			list = append(list, "CAST(NULL AS "+duck+") AS "+ident(name))
		}
	}
	for _, c := range envelope {
		add(c.name, c.duck)
	}
	for _, f := range in.Fields {
		add(f.Name, declared(f.Type))
	}
	return strings.Join(list, ", ")
}

// steps makes recount_steps, the states that are wanted without their rows. A
// key without events has one too, which is not given away: its row must be what
// the logic makes of no event.
func (in *input) steps(ctx context.Context, q engine.StatesQuery) error {
	most := q.Most
	if most <= 0 {
		most = defaultStates
	}
	limit := fmt.Sprintf("least(%d, greatest(1, %d // history))", most, min(mostPairs, allPairs/max(len(q.Keys), 1)))
	query := `CREATE OR REPLACE TEMP TABLE recount_steps AS WITH marked AS (
 SELECT *, count(*) OVER whole AS history, max(CASE WHEN hit THEN seq END) OVER whole AS start,
  CAST(sum(n) OVER upto AS BIGINT) AS processed, max(CASE WHEN n > 0 THEN seq END) OVER upto AS last,
  row_number() OVER (PARTITION BY key ORDER BY seq DESC) AS back
 FROM recount_keyed WINDOW whole AS (PARTITION BY key), upto AS (PARTITION BY key ORDER BY seq ROWS UNBOUNDED PRECEDING)
), located AS (
 SELECT *, max(CASE WHEN seq = start THEN partition END) OVER whole AS home, max(CASE WHEN seq = start THEN came END) OVER whole AS since
 FROM marked WINDOW whole AS (PARTITION BY key)
), apart AS (
 SELECT *, coalesce(bool_or(partition <> home AND came >= since) OVER whole, false) AS elsewhere FROM located WINDOW whole AS (PARTITION BY key)
), tails AS (
 SELECT *, count(*) OVER tail > ` + limit + ` AS cut, elsewhere OR min(partition) OVER tail <> max(partition) OVER tail AS mixed
 FROM apart WHERE seq >= start OR start IS NULL AND back <= ` + strconv.Itoa(max(q.Unhit, 1)) + ` WINDOW tail AS (PARTITION BY key)
)
SELECT t.key, t.seq, t.history, t.partition, t.position, t.id, coalesce(l.partition, '') AS last_partition, coalesce(l.position, '') AS last_position, coalesce(l.id, '') AS last_id,
 t.processed, t.back = 1 AS newest, t.mixed, t.cut
FROM tails AS t LEFT JOIN recount_keyed AS l ON l.key = t.key AND l.seq = t.last WHERE t.back <= ` + limit + `
UNION ALL SELECT k.i, -1, 0, '', '', '', '', '', '', 0, false, false, false FROM recount_keys AS k ANTI JOIN recount_keyed AS e ON e.key = k.i`
	return in.db.exec(ctx, query)
}

// stateRows makes recount_rows, the row of each step's key.
func (in *input) stateRows(ctx context.Context, v variant) error {
	if err := in.makeTyped(ctx, "recount_rows", v.shape); err != nil {
		return fmt.Errorf("follow keys: %w", err)
	}
	c := cases{v: v, shape: v.shape, into: "recount_rows", table: "recount_cases", rest: in.ofKey(v.shape, "r."+caseColumn), events: func(number, until string) string {
		return "SELECT " + in.all("b") + " FROM recount_pairs AS b WHERE b." + caseColumn + " = " + number + " AND b." + seqColumn + " <= " + until
	}}
	if len(v.Logic.Opening) > 0 {
		if err := in.openingByKey(ctx, v); err != nil {
			return err
		}
		c.opening = func(number string) string {
			return "SELECT " + strings.Join(castFields("b", v.Logic.Opening), ", ") + " FROM recount_opening AS b WHERE b." + caseColumn + " = " + number
		}
	}
	batches, err := in.batches(ctx)
	if err != nil {
		return fmt.Errorf("follow keys: %w", err)
	}
	for _, b := range batches {
		err := in.db.exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE recount_cases AS SELECT key AS %s, seq AS %s FROM recount_steps WHERE key >= %d AND key < %d",
			caseColumn, untilColumn, b[0], b[1]))
		if err != nil {
			return fmt.Errorf("follow keys: %w", err)
		}
		if err := in.runCases(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// ofKey is the join that keeps the rows of the wanted key with that number.
func (*input) ofKey(shape recount.Shape, number string) string {
	same := []string{"wanted.i = " + number}
	for i, text := range keyTexts("r", shape.Key) {
		same = append(same, fmt.Sprintf("wanted.c%d = %s", i, text))
	}
	return " SEMI JOIN recount_keys AS wanted ON " + strings.Join(same, " AND ")
}

// openingByKey makes recount_opening, the rows of `opening` of each wanted key.
func (in *input) openingByKey(ctx context.Context, v variant) error {
	if err := in.makeOpening(ctx, v.Logic, false); err != nil {
		return err
	}
	var same []string
	for i, c := range v.shape.Key {
		f := slices.IndexFunc(v.Logic.Opening, func(f recount.Field) bool { return strings.EqualFold(f.Name, c.Name) })
		if f < 0 {
			return notKeyed(v, "the relation `opening` has no column "+c.Name+", which tells rows apart")
		}
		same = append(same, fmt.Sprintf("CAST(%s AS VARCHAR) = k.c%d", sortText(plain("o."+ident(v.Logic.Opening[f].Name), c.Type), c.Type), i))
	}
	err := in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE recount_opening AS SELECT k.i AS "+caseColumn+", o.* FROM opening AS o JOIN recount_keys AS k ON "+strings.Join(same, " AND "))
	if err != nil {
		return runError(fmt.Errorf("read opening rows: %w", err), bound{}, in.Opening, in.Limits.MemoryMiB)
	}
	return nil
}

// batches cuts the keys into runs of which none is over too many events.
func (in *input) batches(ctx context.Context) (batches [][2]int64, err error) {
	rows, err := in.db.conn.QueryContext(ctx, "SELECT key, CAST(sum(history) AS BIGINT) FROM recount_steps GROUP BY key ORDER BY key")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var sum int64
	for rows.Next() {
		var key, pairs int64
		if err := rows.Scan(&key, &pairs); err != nil {
			return nil, err
		}
		if len(batches) == 0 || sum+pairs > batchPairs {
			batches, sum = append(batches, [2]int64{key, key}), 0
		}
		sum += pairs
		batches[len(batches)-1][1] = key + 1
	}
	return batches, rows.Err()
}

// crossCheck holds the newest state of each key against its row in a run over
// all events: where they differ, the row depends on more than the key's events.
func (in *input) crossCheck(ctx context.Context, v variant, keys [][]recount.Value) error {
	var twice *int64
	if err := in.db.row(ctx, "SELECT min(key) FROM (SELECT "+caseColumn+" AS key FROM recount_rows GROUP BY "+caseColumn+", "+untilColumn+" HAVING count(*) > 1)", &twice); err != nil {
		return fmt.Errorf("compare states: %w", err)
	}
	if twice != nil {
		return result.Twice(renamed(v.shape, v.Variant), keys[*twice], result.Of{Where: v.Logic.Path})
	}
	if err := in.makeEvents(ctx, v); err != nil {
		return err
	}
	start, _, _ := typedRows(v.shape)
	b := v.logic.script.bind("CREATE OR REPLACE TEMP TABLE recount_whole AS SELECT wanted.i AS key, r.* FROM ("+start,
		querySuffix+") AS r JOIN recount_keys AS wanted ON "+strings.TrimPrefix(in.ofKey(v.shape, "wanted.i"), " SEMI JOIN recount_keys AS wanted ON "), in.Window)
	if err := in.db.exec(ctx, b.sql); err != nil {
		return runError(err, b, v.Logic.Path, in.Limits.MemoryMiB)
	}
	differ := []string{"(w.key IS NULL) <> (n.key IS NULL)"}
	for i := range v.shape.Values {
		differ = append(differ, fmt.Sprintf("w.v%d IS DISTINCT FROM n.v%d", i, i))
	}
	var first *int64
	err := in.db.row(ctx, "SELECT min(k.i) FROM recount_keys AS k LEFT JOIN recount_whole AS w ON w.key = k.i LEFT JOIN (SELECT r."+caseColumn+
		" AS key, r.* FROM recount_rows AS r SEMI JOIN recount_steps AS s ON s.key = r."+caseColumn+" AND s.seq = r."+untilColumn+
		" AND (s.newest OR s.seq = -1)) AS n ON n.key = k.i WHERE "+strings.Join(differ, " OR "), &first)
	if err != nil {
		return fmt.Errorf("compare states: %w", err)
	}
	if first != nil {
		shown := result.KeyText(renamed(v.shape, v.Variant), keys[*first])
		return notKeyed(v, "the row of "+shown+" is not the same when the SQL sees the events of that key alone")
	}
	return nil
}

func notKeyed(v variant, why string) error {
	return &recount.Error{
		Code: recount.CodeNotKeyed, What: "the rows cannot be followed event by event", Where: v.Logic.Path, Why: why,
		Next: "let each row depend on those events alone that give a row of its key when the SQL sees one of them",
	}
}

func (in *input) copyStates(ctx context.Context, v variant, out string) error {
	columns := []string{
		"s.key", "s.seq", "s.partition", "s.position", "s.id", "s.last_partition", "s.last_position", "s.last_id", "s.processed", "s.newest", "s.mixed", "s.cut",
		"r." + caseColumn + " IS NOT NULL AS made",
	}
	for i := range v.shape.Values {
		columns = append(columns, "r.v"+strconv.Itoa(i))
	}
	query := "COPY (SELECT " + strings.Join(columns, ", ") + " FROM recount_steps AS s LEFT JOIN recount_rows AS r ON r." + caseColumn + " = s.key AND r." + untilColumn +
		" = s.seq WHERE s.seq <> -1 ORDER BY s.key, s.seq) TO " + literal(out) + " (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE " + strconv.Itoa(groupRows) + ")"
	if err := in.db.exec(ctx, query); err != nil {
		return runError(err, bound{}, v.Logic.Path, in.Limits.MemoryMiB)
	}
	for _, t := range []string{"recount_rows", "recount_pairs", "recount_keyed", "recount_whole"} {
		if err := in.db.exec(ctx, "DROP TABLE "+t); err != nil {
			return fmt.Errorf("follow keys: %w", err)
		}
	}
	return nil
}
