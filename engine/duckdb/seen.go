package duckdb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/engine"
)

// seqColumn is the archive's sequence number where a relation of ours needs it
// beside the columns that SQL sees.
const seqColumn = `"recount seq"`

// variant is a variant whose texts have been checked.
type variant struct {
	engine.Variant
	logic *checked
	shape recount.Shape
	// wheres are the conditions of Missed, then those of Again.
	wheres []*checked
	edges  []int64 // see lateTable
}

// variant checks a variant's texts.
func (w *worker) variant(ctx context.Context, v engine.Variant, edges []int64) (variant, error) {
	out := variant{Variant: v, edges: edges}
	var err error
	fields := w.input.Fields
	if out.logic, err = w.check(ctx, checkRequest{Text: v.Logic.Text, Path: v.Logic.Path, Fields: fields, Opening: v.Logic.Opening}); err != nil {
		return out, err
	}
	lists := slices.Clone(v.Missed)
	for _, a := range v.Again {
		lists = append(lists, a.EventList)
	}
	if out.wheres, err = w.wheres(ctx, lists); err != nil {
		return out, err
	}
	out.shape, err = shapeOf(out.logic.columns, v)
	return out, err
}

// wheres checks the conditions of lists.
func (w *worker) wheres(ctx context.Context, lists []recount.EventList) (wheres []*checked, err error) {
	for _, l := range lists {
		c := &checked{}
		if strings.TrimSpace(l.Where) != "" {
			if c, err = w.check(ctx, checkRequest{Text: l.Where, Condition: true, Fields: w.input.Fields}); err != nil {
				return nil, err
			}
		}
		wheres = append(wheres, c)
	}
	return wheres, nil
}

// makeEvents makes the relations that the logic reads: `events`, and `opening`
// where the logic knows it.
func (in *input) makeEvents(ctx context.Context, v variant) error {
	query, err := in.seen(ctx, v, false)
	if err != nil {
		return err
	}
	if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP VIEW events AS "+query); err != nil {
		return fmt.Errorf("read events of %s: %w", in.Stream, err)
	}
	return in.makeOpening(ctx, v.Logic, v.See == engine.SeeHit || v.Only != nil)
}

// makeOpening makes the relation `opening`, with the logic's columns. It has no
// row where a run is about some events alone: the rows of others would come out
// with theirs.
func (in *input) makeOpening(ctx context.Context, logic recount.Logic, alone bool) error {
	if len(logic.Opening) == 0 {
		return nil
	}
	query := emptyRelation(logic.Opening)
	if in.Opening != "" && !alone {
		query = "SELECT " + strings.Join(castFields("o", logic.Opening), ", ") + " FROM " + readParquet([]string{in.Opening}) + " AS o"
	}
	if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP VIEW opening AS "+query); err != nil {
		return runError(fmt.Errorf("read opening rows: %w", err), bound{}, in.Opening, in.Limits.MemoryMiB)
	}
	return nil
}

func castFields(alias string, fields []recount.Field) (list []string) {
	for _, f := range fields {
		list = append(list, "CAST("+alias+"."+ident(f.Name)+" AS "+declared(f.Type)+") AS "+ident(f.Name))
	}
	return list
}

// emptyRelation has the fields as columns, and no row.
func emptyRelation(fields []recount.Field) string {
	var list []string
	for _, f := range fields {
		list = append(list, "CAST(NULL AS "+declared(f.Type)+") AS "+ident(f.Name))
	}
	return "SELECT " + strings.Join(list, ", ") + " WHERE false"
}

// seen returns a SELECT of the events that a variant sees, each as often as it
// sees it; numbered adds their sequence numbers.
func (in *input) seen(ctx context.Context, v variant, numbered bool) (string, error) {
	twice := v.Twice && v.Dedupe && v.Only == nil
	query, where, err := in.chosen(ctx, v, twice, numbered)
	if err != nil {
		return "", err
	}
	position, err := in.order(v)
	if err != nil {
		return "", err
	}
	if where == "" && len(v.Again) == 0 && position == "" { // Twice and Late have their conditions
		return query, nil
	}
	if position == "" {
		position = "events.position"
	}
	return "SELECT " + in.ordered(position, numbered) + " FROM (" + query + ") AS events" + where, nil
}

// chosen returns a SELECT of the columns that SQL sees, with the log's position
// and some columns of ours, and the WHERE clause over `events` that leaves the
// events which a variant sees.
func (in *input) chosen(ctx context.Context, v variant, twice, numbered bool) (query, where string, err error) {
	source, hit, err := in.source(ctx, v, twice)
	if err != nil {
		return "", "", err
	}
	if v.Late != nil {
		if err := in.lateTable(ctx, *v.Late, v.edges); err != nil {
			return "", "", err
		}
	}
	hidden := ""
	if twice {
		hidden += ", e." + repeatFlag
	}
	if numbered || v.Late != nil {
		hidden += ", e.seq AS " + seqColumn
	}
	query = "SELECT " + in.public(hit) + hidden + " FROM (" + source + ") AS e"
	where = in.where(strings.Join(in.conditions(v, twice), " AND "))
	if copies := in.copies(v); copies != "" {
		// A list that is unnested beside a row repeats the row.
		query, where = "SELECT *, unnest(range("+copies+")) FROM ("+query+") AS events"+where, ""
	}
	return query, where, nil
}

// source returns a SELECT of the events that are there to be seen, and the
// condition under which one of them is a hit event.
func (in *input) source(ctx context.Context, v variant, twice bool) (source, hit string, err error) {
	backwards := reversed(v.Variant)
	hit = in.hit("e")
	if v.Only == nil {
		source = in.window(in.columns(stored), sees{dedupe: v.Dedupe && !twice, flagged: twice, reversed: backwards})
	} else {
		if source, err = in.only(ctx, v.Variant); err != nil {
			return "", "", err
		}
		if hit == "true" { // what is named may lie outside of what is read
			hit = "coalesce(" + within("e.time", in.hitWindow()) + ", false)"
		}
	}
	if backwards && v.logic.sorted {
		// Rows in another order show ties: where an order leaves two rows equal,
		// another of them comes first. It costs a sort, so only what depends on
		// an order pays for it.
		source = "SELECT * FROM (" + source + ") ORDER BY seq DESC"
	}
	return source, hit, nil
}

// conditions are those under which a variant sees an event, over `events`.
func (in *input) conditions(v variant, twice bool) (list []string) {
	switch v.See {
	case engine.SeeHit:
		list = append(list, "hit")
	case engine.SeeUnhit:
		list = append(list, "NOT hit")
	case engine.SeeAll:
	}
	if !v.Within.From.IsZero() || !v.Within.To.IsZero() {
		list = append(list, within("events.time", v.Within))
	}
	if v.Part != nil && v.Part.Of > 1 {
		list = append(list, fmt.Sprintf("hash(coalesce(events.id, events.partition || ' ' || events.position)) %% %d = %d", v.Part.Of, v.Part.N))
	}
	if twice {
		list = append(list, "(hit OR NOT "+repeatFlag+")")
	}
	for i, m := range v.Missed {
		list = append(list, "NOT coalesce("+in.listed(m, v.wheres[i])+", false)")
	}
	if v.Late != nil {
		list = append(list, seqColumn+" NOT IN (SELECT seq FROM recount_late)")
	}
	return list
}

// listed is the condition that a list names an event of `events`. It may be
// NULL, which is not true. Of an event without an id no list of ids says
// anything.
func (in *input) listed(l recount.EventList, where *checked) string {
	parts := []string{"hit"}
	if !l.From.IsZero() {
		parts = append(parts, "time >= "+instant(l.From))
	}
	if !l.To.IsZero() {
		parts = append(parts, "time < "+instant(l.To))
	}
	if len(l.Positions) > 0 {
		parts = append(parts, spans("events.", l.Positions))
	}
	if l.IDs != nil {
		parts = append(parts, "events.id IN "+idsOf(l.IDs))
	}
	if l.Except != nil {
		parts = append(parts, "events.id IS NOT NULL AND events.id NOT IN "+idsOf(l.Except))
	}
	if where.script.text != "" {
		parts = append(parts, where.script.bind("(\n", ")", in.Window).sql)
	}
	return strings.Join(parts, " AND ")
}

// copies is how often an event is seen; empty: once.
func (in *input) copies(v variant) string {
	if len(v.Again) == 0 {
		return ""
	}
	parts := []string{"1"}
	for i, a := range v.Again {
		parts = append(parts, "CASE WHEN "+in.listed(a.EventList, v.wheres[len(v.Missed)+i])+" THEN "+strconv.Itoa(max(a.Times, 1)-1)+" ELSE 0 END")
	}
	return strings.Join(parts, " + ")
}

// public lists the columns that SQL sees, of alias e.
func (in *input) public(hit string) string { return in.publicOf("e", hit) }

func (in *input) publicOf(alias, hit string) string {
	var list []string
	for _, c := range envelope {
		list = append(list, alias+"."+ident(c.name))
	}
	for _, f := range in.Fields {
		list = append(list, alias+"."+ident(f.Name))
	}
	return strings.Join(append(list, hit+" AS hit"), ", ")
}

// ordered lists the columns that SQL sees, of alias events, with another
// position.
func (in *input) ordered(position string, numbered bool) string {
	var list []string
	for _, c := range envelope {
		if c.name == "position" {
			list = append(list, position+" AS position")
			continue
		}
		list = append(list, "events."+ident(c.name))
	}
	for _, f := range in.Fields {
		list = append(list, "events."+ident(f.Name))
	}
	list = append(list, "events.hit")
	if numbered {
		list = append(list, "events."+seqColumn)
	}
	return strings.Join(list, ", ")
}

// order is the text by which a variant's events sort: the declared field's,
// then partition and log position; empty: the log position. Under Arrival all
// events sort by the log, since a log has one order for all of a key's events.
func (in *input) order(v variant) (string, error) {
	if in.Order == "" || v.Arrival {
		return "", nil
	}
	i := slices.IndexFunc(in.Fields, func(f recount.Field) bool { return f.Name == in.Order })
	if i < 0 {
		return "", fmt.Errorf("order events of %s: %q is no declared field", in.Stream, in.Order)
	}
	f := in.Fields[i]
	text, ok := sortable("events."+ident(f.Name), f.Type)
	if !ok {
		return "", &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("events cannot be ordered by a field of type %s", f.Type), Where: "event.order: " + f.Name,
			Why:  "values of that type have no order that is the same everywhere",
			Next: "order by a field of type int64, decimal, timestamp, date, bool or string", Err: recount.ErrUnsupported,
		}
	}
	return text + " || ' ' || events.partition || ' ' || events.position", nil
}

// sortable returns the text whose binary order is that of the column's values,
// NULL first; false where the type has none.
func sortable(column string, t recount.Type) (string, bool) {
	switch t.Kind {
	case recount.KindInt64:
		return numbered(column, 19), true
	case recount.KindDecimal:
		return numbered(column, t.Precision+2), true // a point, and a zero before it
	case recount.KindTimestamp:
		return numbered("epoch_us("+column+")", 19), true
	case recount.KindDate:
		return numbered("("+column+" - DATE '1970-01-01')", 19), true
	case recount.KindBool:
		return "CASE WHEN " + column + " IS NULL THEN '0' WHEN " + column + " THEN '2' ELSE '1' END", true
	case recount.KindString:
		// What follows a text sorts before all hexadecimal digits.
		return "coalesce('1' || hex(" + column + "), '0')", true
	case recount.KindDouble, recount.KindJSON:
	}
	return "", false
}

// numbered pads a number's digits; those of a negative one are turned round.
func numbered(number string, width int) string {
	digits := fmt.Sprintf("lpad(ltrim(CAST(%s AS VARCHAR), '-'), %d, '0')", number, width)
	return fmt.Sprintf("CASE WHEN %s IS NULL THEN '0' WHEN %s < 0 THEN '1' || translate(%s, '0123456789', '9876543210') ELSE '2' || %s END", number, number, digits, digits)
}

// hitWindow is the window of the clock ByEvent.
func (in *input) hitWindow() recount.Window {
	w := in.Hits.Window
	if w.From.IsZero() && w.To.IsZero() && w.By == "" {
		return in.Window
	}
	return w
}
