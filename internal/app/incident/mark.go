package incident

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/plan"
	"recount/target"
)

// beside opens another table of the calculation's database, for the rows that a
// plan writes beside the results.
func (r *Incident) beside(ctx context.Context, table string) (target.Target, recount.TableInfo, error) {
	calc := r.calc
	calc.Target.Table = table
	t, err := r.host.OpenTarget(ctx, calc, false)
	if err != nil {
		return nil, recount.TableInfo{}, err
	}
	info, err := t.Info(ctx)
	if err != nil {
		return nil, info, closing(t, err)
	}
	return t, info, nil
}

// besideBody is the body of such a table's part.
func besideBody(main recount.PlanBody, role recount.PartRole, info recount.TableInfo) recount.PlanBody {
	return recount.PlanBody{
		Kind: main.Kind, Calculation: main.Calculation, Window: main.Window, Asked: main.Asked, Bucket: main.Bucket, Zone: main.Zone,
		Stream: main.Stream, Snapshot: main.Snapshot, Watermark: main.Watermark, Logic: main.Logic, Unexplained: main.Unexplained, Extra: main.Extra,
		Target: info.Identity, Fingerprint: info.Fingerprint, Hazards: append([]string{}, info.Hazards...), LastRun: info.LastRun, References: info.References,
		Role: role, Write: recount.WriteSet, Touched: -1, Memory: main.Memory, MaxChanges: main.MaxChanges, Given: main.Given,
		Tried: main.Tried, Rules: []string{}, Notes: []string{}, Overrides: []string{}, Minutes: []recount.MinuteCount{}, Causes: []recount.CauseCount{}, Sums: []recount.ColumnSum{},
		NoControl: "its rows are written beside the results of " + main.Target.Table,
	}
}

// part puts the part of a further table together.
func part(body recount.PlanBody, changes []recount.Change) recount.PlanPart {
	sub := &recount.Plan{Body: body}
	slices.SortFunc(changes, func(a, b recount.Change) int { return strings.Compare(recount.KeyText(a.Key), recount.KeyText(b.Key)) })
	plan.Add(sub, changes)
	return recount.PlanPart{Body: sub.Body, Changes: sub.Changes}
}

// marked are the columns of the worker's table of processed events: first those
// from the event's id, which name a row.
type marked struct {
	info    recount.TableInfo
	key     []markColumn
	columns []markColumn
}

type markColumn struct {
	recount.Column
	from string // of the event
}

// marks makes the part that marks missed events as processed: those of which
// every row is corrected by this plan. Nil where there is none.
func (r *Incident) marks(ctx context.Context, main recount.PlanBody, changes []recount.Change) (_ *recount.PlanPart, err error) {
	if r.calc.Write.Mark == nil {
		return nil, nil
	}
	t, info, err := r.beside(ctx, r.calc.Write.Mark.Table)
	if err != nil {
		return nil, err
	}
	defer joined(&err, t.Close)
	m, err := r.markColumns(info)
	if err != nil {
		return nil, err
	}
	events, left, err := r.corrected(ctx, changes)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	body := besideBody(main, recount.RoleMark, info)
	for _, c := range m.key {
		body.Key = append(body.Key, recount.PlanColumn{Name: c.Name, Type: c.Type.String()})
	}
	for _, c := range m.columns {
		body.Columns = append(body.Columns, recount.PlanColumn{Name: c.Name, Type: c.Type.String()})
	}
	if left > 0 {
		body.Notes = append(body.Notes, fmt.Sprintf("%d missed events are not marked, since a row of theirs is not corrected", left))
	}
	inserts, err := r.markInserts(m, events)
	if err != nil {
		return nil, err
	}
	if err := r.unmarked(ctx, t, m, inserts); err != nil {
		return nil, err
	}
	made := part(body, inserts)
	return &made, nil
}

func (r *Incident) markColumns(info recount.TableInfo) (m marked, err error) {
	m.info = info
	for _, name := range sortedNames(r.calc.Write.Mark.Columns) {
		column, ok := info.Column(name)
		if !ok {
			return m, r.noColumn(info, name)
		}
		from := r.calc.Write.Mark.Columns[name]
		known := slices.Contains([]string{"id", "type", "partition", "position", "time", "ingest_time", "stream"}, from)
		if !known && !slices.ContainsFunc(r.source.Mapping.Fields, func(f recount.Field) bool { return f.Name == from }) {
			return m, &recount.Error{
				Code: recount.CodeNoColumn, What: "events have no column " + from, Where: "recount.yaml, calculations: " + r.calc.Name + ": target: mark",
				Why: "column " + name + " of table " + info.Identity.Table + " is to be filled with it", Next: "name id, time, position or another column of the envelope, or a declared field",
			}
		}
		if from == "id" {
			m.key = append(m.key, markColumn{column, from})
			continue
		}
		m.columns = append(m.columns, markColumn{column, from})
	}
	if len(m.key) == 0 {
		return m, &recount.Error{
			Code: recount.CodeNoColumn, What: "the mark has no event id", Where: "recount.yaml, calculations: " + r.calc.Name + ": target: mark",
			Why: "a processed event is known by its id", Next: "add the column of the id, such as columns: {event_id: id}",
		}
	}
	return m, nil
}

// corrected lists the missed events all of whose rows this plan corrects, and
// counts the missed ones that have another row.
func (r *Incident) corrected(ctx context.Context, changes []recount.Change) (events []engine.ReplayEvent, left int, err error) {
	written := map[string]bool{}
	for _, c := range changes {
		isMissed := !c.Cause.Single() && slices.ContainsFunc(c.Cause.Parts(), func(p string) bool { return strings.HasPrefix(p, "missed") })
		if c.Action.Writes() && isMissed {
			written[recount.KeyText(r.resultKey(c.Key))] = true
		}
	}
	lists := slices.Clone(r.calc.Missed)
	if r.processed != nil {
		lists = append(lists, recount.EventList{Except: r.processed})
	}
	if len(written) == 0 || len(lists) == 0 {
		return nil, 0, nil
	}
	const most = 1_000_000
	all, err := r.session.Events(ctx, engine.Query{Lists: lists, Limit: most})
	if err != nil {
		return nil, 0, err
	}
	keep, err := r.whollyWritten(ctx, written)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range all {
		if keep[e.Seq] {
			events = append(events, e)
		} else {
			left++
		}
	}
	return events, left, nil
}

// whollyWritten says of each hit event that makes a row whether all its rows are
// written.
func (r *Incident) whollyWritten(ctx context.Context, written map[string]bool) (keep map[int64]bool, err error) {
	v := r.right
	v.See = engine.SeeHit
	rows, err := r.session.Each(ctx, v)
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	keep = map[int64]bool{}
	for {
		c, ok := rows.Next()
		if !ok {
			return keep, rows.Err()
		}
		is, seen := keep[c.Seq]
		keep[c.Seq] = written[recount.KeyText(c.Row.Key)] && (is || !seen)
	}
}

func (r *Incident) markInserts(m marked, events []engine.ReplayEvent) ([]recount.Change, error) {
	var inserts []recount.Change
	for _, e := range events {
		c := recount.Change{Action: recount.ActionInsert, Cause: "missed", After: []recount.Value{}}
		for _, column := range m.key {
			v, err := r.eventValue(m, column, e)
			if err != nil {
				return nil, err
			}
			c.Key = append(c.Key, v)
		}
		for _, column := range m.columns {
			v, err := r.eventValue(m, column, e)
			if err != nil {
				return nil, err
			}
			c.After = append(c.After, v)
		}
		inserts = append(inserts, c)
	}
	return inserts, nil
}

// eventValue is a column of an event as the mark's column stores it.
func (r *Incident) eventValue(m marked, column markColumn, e engine.ReplayEvent) (recount.Value, error) {
	text := recount.Type{Kind: recount.KindString}
	v, t := recount.Null, text
	switch column.from {
	case "id":
		v = recount.Text(e.ID)
	case "type":
		v = recount.Text(e.Type)
	case "stream":
		v = recount.Text(r.source.Name)
	case "partition":
		v = recount.Text(e.Partition)
	case "position":
		v = recount.Text(recount.ShortPosition(e.Position))
	case "time":
		v, t = recount.Text(recount.FormatTimestamp(e.Time)), recount.Type{Kind: recount.KindTimestamp}
	case "ingest_time":
		if !e.IngestTime.IsZero() {
			v, t = recount.Text(recount.FormatTimestamp(e.IngestTime)), recount.Type{Kind: recount.KindTimestamp}
		}
	default:
		for i, f := range r.source.Mapping.Fields {
			if f.Name == column.from && i < len(e.Fields) {
				v, t = e.Fields[i], f.Type
			}
		}
	}
	fitted, err := column.Fit(t, v)
	if err != nil {
		return v, &recount.Error{
			Code: recount.CodeDoesNotFit, What: "an event's value does not fit the mark's column", Where: fmt.Sprintf("%s %s, event %s", m.info.Identity.Place, m.info.Identity.Table, e.ID),
			Why: err.Error(), Next: "name another column under mark: columns", Err: err,
		}
	}
	return fitted, nil
}

// unmarked refuses events that the worker's own table says it processed: then
// they were not missed.
func (r *Incident) unmarked(ctx context.Context, t target.Target, m marked, inserts []recount.Change) error {
	var key []string
	for _, c := range m.key {
		key = append(key, c.Name)
	}
	keys := make([][]recount.Value, len(inserts))
	for i, c := range inserts {
		keys[i] = c.Key
	}
	var there [][]recount.Value
	err := t.Scan(ctx, target.Scan{Key: key, Keys: keys, Window: r.window}, func(row recount.Row) error {
		there = append(there, row.Key)
		return nil
	})
	if err != nil || len(there) == 0 {
		return err
	}
	return &recount.Error{
		Code: recount.CodeLists, What: fmt.Sprintf("%d events that are said to be missed are marked as processed", len(there)), Where: m.info.Identity.Place + " " + m.info.Identity.Table,
		Why:  "the worker's table has " + strings.Join(texts(there[0]), " ") + ", so the list of missed events or the table is wrong",
		Next: "compare the list with the table; processed: {table: …} takes the table for what was processed",
	}
}
