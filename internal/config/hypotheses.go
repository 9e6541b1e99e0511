package config

import (
	"time"

	"recount"
)

// hypotheses reads what may have happened, and what depends on whether anything
// is given.
func (l *loader) hypotheses(c *Calculation, found map[string]entry) {
	if v, ok := found["previous"]; ok {
		if block := v.block(previousBlock, false); block != nil {
			if logic, ok := l.logic(v.value, block); ok {
				c.Previous = &logic
				l.by(c, c.Previous, block)
				over(c, block)
			}
		}
	}
	l.replayed(c, found)
	c.Unexplained = recount.UnexplainedCorrect
	if c.Hypotheses() {
		c.Unexplained = recount.UnexplainedHold
	}
	if v, ok := found["unexplained"]; ok {
		word, _ := v.oneOf(recount.CodeConfig, string(recount.UnexplainedHold), string(recount.UnexplainedCorrect))
		c.Unexplained = recount.Unexplained(word)
	}
}

// over reads which events the previous logic processed.
func over(c *Calculation, found map[string]entry) {
	v, ok := found["over"]
	if !ok {
		return
	}
	if !c.Previous.Fold() {
		v.problem("it is for worker or go, whose states can be handed over; SQL reads the column hit, and rows are as they were made")
		return
	}
	word, _ := v.oneOf(recount.CodeConfig, string(recount.OverHit), string(recount.OverAll))
	c.Over = recount.Over(word)
}

// replayed reads the hypotheses that are tried by replaying the right logic over
// other events.
func (l *loader) replayed(c *Calculation, found map[string]entry) {
	for _, key := range []string{"missed", "processed", "again", "late", "order"} {
		if v, ok := found[key]; ok && (c.Logic.Kind == recount.LogicRows || c.Logic.Kind == recount.LogicTable) {
			v.r.problem(v.at, "%s: needs sql, which can be run again over other events; rows that something else made cannot", v.path)
		}
	}
	if v, ok := found["missed"]; ok {
		var lists []placed
		for _, item := range v.items() {
			if list, ok := l.eventList(item, missedBlock); ok {
				lists = append(lists, placed{list.EventList, item})
				c.Missed = append(c.Missed, list.EventList)
			}
		}
		overlaps(lists)
	}
	if v, ok := found["again"]; ok {
		var lists []placed
		for _, item := range v.items() {
			if list, ok := l.eventList(item, againBlock); ok {
				lists = append(lists, placed{list.EventList, item})
				c.Again = append(c.Again, list)
			}
		}
		overlaps(lists)
		contradicts(c.Missed, lists)
	}
	if v, ok := found["processed"]; ok {
		c.Processed = l.processed(v.value)
	}
	source, known := l.project.Sources[c.Source]
	if v, ok := found["late"]; ok {
		if d, ok := v.duration(); ok {
			c.Late = &d
		}
		if known && source.Mapping.IngestTime == "" {
			v.r.problem(v.at, "%s: needs event.ingest_time in the source %q: without it nothing says when an event came", v.path, c.Source)
		}
	}
	if v, ok := found["order"]; ok {
		_, c.Arrival = v.oneOf(recount.CodeConfig, "arrival")
		if known && source.Mapping.Order == "" {
			v.r.problem(v.at, "%s: needs event.order in the source %q: without it the order of arrival is the right one", v.path, c.Source)
		}
	}
}

// eventList reads one entry of missed or again. Times is 2 where nothing says it.
func (l *loader) eventList(v value, b Block) (recount.Again, bool) {
	const most = 100
	list := recount.Again{Times: 2}
	found := v.block(b, false)
	if found == nil {
		return list, false
	}
	before, known := len(v.r.problems), len(found)
	if e, ok := found["times"]; ok {
		if n, ok := e.integer(2, most); ok {
			list.Times = int(n)
		}
		delete(found, "times")
	}
	if len(found) == 0 {
		if known > 0 || len(v.entries()) == 0 { // else only unknown keys stand there, which were reported
			v.problem("the entry names no event; it needs from, to, from_position with to_position, where or ids")
		}
		return list, false
	}
	if e, ok := found["from"]; ok {
		list.From = instant(e.value)
	}
	if e, ok := found["to"]; ok {
		list.To = instant(e.value)
	}
	if e, ok := found["where"]; ok {
		list.Where, _ = e.word()
	}
	if !list.From.IsZero() && !list.To.IsZero() && !list.From.Before(list.To) {
		v.problem("from is not before to")
	}
	list.Positions = positions(v, found)
	if e, ok := found["ids"]; ok {
		list.IDs = l.ids(e.value)
	}
	return list, len(v.r.problems) == before
}

// positions reads from_position and to_position.
func positions(v value, found map[string]entry) []recount.PositionWindow {
	from, hasFrom := found["from_position"]
	to, hasTo := found["to_position"]
	switch {
	case !hasFrom && !hasTo:
		return nil
	case !hasFrom:
		v.r.problem(to.at, "%s: needs from_position: positions have two edges, [from, to)", to.path)
		return nil
	case !hasTo:
		v.r.problem(from.at, "%s: needs to_position: positions have two edges, [from, to)", from.path)
		return nil
	}
	first, ok := from.word()
	end, okEnd := to.word()
	if !ok || !okEnd {
		return nil
	}
	window, err := PositionWindow(first, end)
	if err != nil {
		v.problem("from_position and to_position: %v", err)
		return nil
	}
	return []recount.PositionWindow{window}
}

// ids reads a file of ids; nil after a problem.
func (l *loader) ids(v value) *recount.IDList {
	path, shown, ok := v.text()
	if !ok {
		return nil
	}
	list, err := ReadIDs(l.project.Dir, path)
	if err != nil {
		v.problem("%s: %v", clip(shown), err)
		return nil
	}
	return list
}

// processed reads where processed ids are kept. A file is read once here, so that
// one that is missing or broken is known before any work begins.
func (l *loader) processed(v value) *recount.Processed {
	found := v.block(processedBlock, false)
	if found == nil {
		return nil
	}
	file, hasFile := found["file"]
	table, hasTable := found["table"]
	column, hasColumn := found["column"]
	var p recount.Processed
	switch {
	case hasFile && (hasTable || hasColumn):
		v.problem("file and table both stand there; the ids are kept in one of them")
	case hasFile:
		if list := l.ids(file.value); list != nil {
			p.File = list.From
		}
	case hasTable && hasColumn:
		p.Table, _ = table.word()
		p.Column, _ = column.word()
	case hasTable:
		v.problem("table needs column: the one that holds the ids")
	case hasColumn:
		v.problem("column needs table: the one that it stands in")
	default:
		v.problem("it names no place of ids; it needs file, or table and column")
	}
	return &p
}

func instant(v value) time.Time {
	text, shown, ok := v.text()
	if !ok {
		return time.Time{}
	}
	at, err := recount.ParseTimestamp(text)
	if err != nil {
		v.problem("%q is no time with an offset, such as 2024-06-10T12:00:00Z", clip(shown))
	}
	return at
}
