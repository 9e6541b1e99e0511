package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/engine"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/replay"
)

// checkpointGrid is what the times of checkpoints are cut to, so that plans of
// one incident share them.
const checkpointGrid = time.Hour

// checkpoints says that the calculation's SQL reads `opening`, or that its fold
// begins with states, and that nothing needs the history before it: a version
// counts all events of a row, and a previous logic without opening rows of its own
// reads them all.
func (r *Incident) checkpoints() bool {
	if slices.ContainsFunc(r.tables, func(t *table) bool { return t.stream != nil }) {
		return false // a change that comes late would be lost on them
	}
	if p := r.calc.Previous; p != nil && !p.Brought() && len(p.Opening) == 0 {
		return false
	}
	return len(r.calc.Logic.Opening) > 0 && r.calc.Memory.Kind == recount.MemoryUnbounded && !r.whole && r.calc.Cut.Is != recount.IsVersion
}

// begin finds or makes the checkpoint from which this replay begins, and its file
// of rows. Nil: from the beginning of the history.
func (r *Incident) begin(ctx context.Context) (c *archive.Checkpoint, file string, err error) {
	if !r.checkpoints() {
		return nil, "", nil
	}
	at := r.asked.From.Truncate(checkpointGrid)
	logic, err := r.checkpointLogic()
	if err != nil {
		return nil, "", err
	}
	known, err := r.archive.Checkpoints(ctx, r.snapshot, r.calc.Name, logic)
	if err != nil {
		return nil, "", err
	}
	known = slices.DeleteFunc(known, func(c archive.Checkpoint) bool { return c.Time.After(at) || !r.before(c) })
	dir, err := r.host.Scratch("opening")
	if err != nil {
		return nil, "", err
	}
	var last *archive.Checkpoint
	opening := ""
	for _, c := range known {
		if opening, err = r.archive.CheckpointFile(ctx, c, dir); err == nil {
			last = &c
			break // a damaged one is passed by
		}
	}
	if last != nil && last.Time.Equal(at) {
		return last, opening, nil
	}
	made, err := r.makeCheckpoint(ctx, logic, opening, last, at)
	if err != nil || made == nil {
		return nil, "", err
	}
	file, err = r.archive.CheckpointFile(ctx, *made, dir)
	return made, file, err
}

// before says whether all events of a checkpoint lie before the window's
// positions and before the cut.
func (r *Incident) before(c archive.Checkpoint) bool {
	for partition, position := range c.Last {
		if until, ok := r.until[partition]; ok && position >= until {
			return false
		}
		for _, w := range r.hits.Positions {
			if w.Partition == partition && position >= w.From {
				return false
			}
		}
	}
	return true
}

// checkpointLogic is the digest of what makes the rows of a checkpoint.
func (r *Incident) checkpointLogic() (string, error) {
	mapping, err := r.source.MappingDigest()
	if err != nil {
		return "", err
	}
	var inputs recount.PlanBody
	r.bodyOfInputs(&inputs)
	text, err := json.Marshal(struct {
		Logic, Mapping, Order string
		Opening, Fields       []recount.Field
		Dedupe                bool
		Upcasts, Lookups      []recount.PlanInput `json:",omitempty"` //nolint:tagliatelle // a digest: names of its own would change it
		By                    []string            `json:",omitempty"` //nolint:tagliatelle // as above
	}{r.calc.Logic.Digest, mapping, r.source.Mapping.Order, r.calc.Logic.Opening, r.source.Mapping.Fields, r.calc.Dedupe, inputs.Upcasts, inputs.Lookups, r.calc.Logic.By})
	if err != nil {
		return "", fmt.Errorf("digest checkpoint of %s: %w", r.calc.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// makeCheckpoint replays what lies between the last checkpoint and an instant,
// and stores the rows. Nil where none can be made: an event is quarantined, whose
// row must be kept out, the log does not keep the order of time, or the fold gives
// no states.
func (r *Incident) makeCheckpoint(ctx context.Context, logic, opening string, last *archive.Checkpoint, at time.Time) (_ *archive.Checkpoint, err error) {
	read := recount.Window{To: at, By: recount.ByEvent}
	if last != nil {
		read.From = last.Time
	}
	input := engine.Input{Window: recount.Window{From: read.From, To: at, By: recount.ByEvent}, Read: read, Opening: opening, Resume: r.resume()}
	session, err := r.open(ctx, input, cover.Select(r.snapshot, read))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil && input.Resume != "" {
			err = os.RemoveAll(input.Resume) // nothing goes on from it any more
		}
	}()
	defer joined(&err, session.Close)
	if _, err := r.known(ctx, session, engine.SeeAll, openSpan(read)); err != nil {
		return nil, err
	}
	marks, err := session.Quarantined(ctx)
	if err != nil || len(marks) > 0 {
		return nil, err
	}
	span, err := session.HitSpan(ctx, r.calc.Dedupe)
	if err != nil {
		return nil, err
	}
	c := archive.Checkpoint{Calculation: r.calc.Name, Logic: logic, Time: at, Last: map[string]string{}}
	if last != nil {
		maps.Copy(c.Last, last.Last)
	}
	for _, p := range span.Positions {
		c.Last[p.Partition] = max(c.Last[p.Partition], p.Last)
	}
	if !r.before(c) {
		return nil, nil
	}
	rows, err := replay.Prove(ctx, session, r.opened())
	if errors.Is(err, recount.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	if marks, err := session.Quarantined(ctx); err != nil || len(marks) > 0 { // of events that the fold did not survive
		return nil, err
	}
	made, err := r.archive.PutCheckpoint(ctx, r.snapshot, c, func(w io.Writer) error { return writeRows(w, rows, &c.Rows) })
	return &made, err
}

// writeRows writes rows as Parquet: every column is the canonical text of its
// values, which the engine reads under the declared types.
func writeRows(w io.Writer, rows engine.Rows, n *int64) error {
	shape := rows.Shape()
	columns := slices.Concat(shape.Key, shape.Values)
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.Name, Type: arrow.BinaryTypes.String, Nullable: true}
	}
	schema := arrow.NewSchema(fields, nil)
	out, err := pqarrow.NewFileWriter(schema, w, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	const batch = 1 << 14
	flush := func() error {
		record := b.NewRecordBatch()
		defer record.Release()
		return out.WriteBuffered(record)
	}
	for {
		row, ok := rows.Next()
		if !ok {
			break
		}
		for i, v := range slices.Concat(row.Key, row.Values) {
			text := b.Field(i).(*array.StringBuilder) //nolint:forcetypeassert // the schema says so
			if v.Null {
				text.AppendNull()
				continue
			}
			text.Append(v.Text)
		}
		if *n++; *n%batch == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	return out.Close()
}

// overtaken says whether a hit event lies before the checkpoint's last ones in
// the log: rows that stand between them would hold too much.
func (r *Incident) overtaken(ctx context.Context, session engine.Session, c *archive.Checkpoint) (bool, error) {
	span, err := session.HitSpan(ctx, r.calc.Dedupe)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(span.Positions, func(p recount.PositionSpan) bool {
		last, known := c.Last[p.Partition]
		return known && last >= p.First
	}), nil
}
