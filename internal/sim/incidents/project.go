package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"recount"
)

// laneName is the file of a lane, which is the partition's name.
func laneName(lane int) string { return fmt.Sprintf("lane%d.jsonl", lane) }

// all lists the entries of all histories that reached the log before a tick, as
// they are archived: lane by lane, in the order of the lane.
func (b *batch) all(from, to int) []*entry {
	var list []*entry
	for _, h := range b.histories {
		for _, e := range h.log {
			if e.tick >= from && e.tick < to {
				list = append(list, e)
			}
		}
	}
	slices.SortStableFunc(list, func(x, y *entry) int {
		if x.lane != y.lane {
			return x.lane - y.lane
		}
		if x.tick != y.tick {
			return x.tick - y.tick
		}
		return x.history - y.history
	})
	return list
}

// publish writes what reached the log in a span of ticks, and notes where each
// entry lies, which are repeats, and which are quarantined.
func (b *batch) publish(dir string, from, to int) error {
	if b.laneEnd == nil {
		b.laneEnd = make([]int, b.lanes)
	}
	files := make([]strings.Builder, b.lanes)
	for _, e := range b.all(from, to) {
		b.lines++
		b.laneEnd[e.lane]++
		e.seq, e.pos = b.lines, b.laneEnd[e.lane]
		files[e.lane].WriteString(b.line(e))
	}
	b.judgeCopies(to)
	for lane := range files {
		f, err := os.OpenFile(filepath.Join(dir, laneName(lane)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteString(files[lane].String())
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judgeCopies finds the repeats and the quarantined entries among those that
// reached the log before a tick: another payload under an id condemns all of
// its copies.
func (b *batch) judgeCopies(to int) {
	first := map[string]*entry{}
	odd := map[string]bool{}
	list := b.all(0, to)
	slices.SortStableFunc(list, func(x, y *entry) int { return x.seq - y.seq })
	for _, e := range list {
		one := first[e.id]
		if one == nil {
			first[e.id] = e
			continue
		}
		e.repeat = true
		odd[e.id] = odd[e.id] || b.line(one) != b.line(e)
	}
	for _, e := range list {
		e.bad = e.poison || odd[e.id]
	}
}

// sql is the calculation's logic, of one version or of all (-1).
func (b *batch) sql(p previous, version int) string {
	who, amount, where := "who", b.amountSQL(version), ""
	switch p {
	case prevAbs:
		amount = "CASE WHEN hit THEN abs(" + amount + ") ELSE " + amount + " END"
	case prevSkip:
		where = " WHERE NOT (hit AND kind = 'b')"
	case prevRoute:
		who = "CASE WHEN hit AND kind = 'b' THEN who || '-x' ELSE who END"
	case prevDouble:
		amount = "CASE WHEN hit AND kind = 'a' THEN 2 * " + amount + " ELSE " + amount + " END"
	case prevNone:
	}
	if b.opening {
		return "SELECT who, sum(total) AS total, sum(n)::BIGINT AS n FROM (SELECT " + who + " AS who, " + amount + " AS total, 1 AS n FROM events" + where +
			" UNION ALL SELECT who, total, n FROM opening) GROUP BY 1\n"
	}
	columns := []string{who + " AS who"}
	from := "events"
	switch b.memory {
	case memoryBucket:
		columns = append(columns, "date_trunc('hour', time) AS hour")
	case memoryRolling:
		const bucket = "date_trunc('hour', time) + ahead * INTERVAL 1 HOUR"
		columns = append(columns, bucket+" AS hour")
		from = "(SELECT * FROM events, (VALUES (0), (1), (2)) AS hours(ahead) WHERE " + bucket + fmt.Sprintf(" <= time + INTERVAL %d SECOND)", b.remembers)
	case memoryWindow, memoryUnbounded:
	}
	if b.lastWins {
		columns = append(columns, "last(kind ORDER BY position) AS last")
	}
	if b.sums() {
		columns = append(columns, "sum("+amount+") AS total")
	}
	columns = append(columns, "count(*) AS n")
	group := " GROUP BY 1"
	if b.bucketed() {
		group += ", 2"
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + from + where + group + "\n"
}

// yaml is recount.yaml.
func (b *batch) yaml() string {
	var y strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&y, format+"\n", args...) }
	var lanes []string
	for lane := range b.lanes {
		lanes = append(lanes, laneName(lane))
	}
	add("version: 1\narchive: archive\nsources:\n  sales:\n    files: {paths: [%s]}", strings.Join(lanes, ", "))
	order := ""
	if b.order {
		order = ", order: ord"
	}
	add("    event: {id: id, time: at, ingest_time: in%s}", order)
	add("    fields: {who: string, kind: string, amount: \"decimal(18,2)\", ord: int64}\n    quarantine: {max: 100000}")
	b.yamlSources(add)
	add("calculations:\n  totals:\n    source: sales")
	b.yamlLogic(add)
	switch b.memory {
	case memoryWindow:
		add("    key: [who]\n    memory: window\n    bucket: none")
	case memoryBucket:
		add("    key: [who, hour]\n    memory: window\n    bucket: 1h")
	case memoryRolling:
		add("    key: [who, hour]\n    memory: %ds\n    bucket: 1h", b.remembers)
	case memoryUnbounded:
		add("    key: [who]\n    memory: unbounded")
	}
	if !b.dedupe {
		add("    dedupe: false")
	}
	b.yamlHypotheses(add)
	b.yamlTarget(add)
	return y.String()
}

func (b *batch) yamlHypotheses(add func(string, ...any)) {
	if b.given.previous {
		add("    previous: {%s}", b.logic(b.prevFold, b.previous, false, "previous.sql"))
	}
	for _, what := range []string{"missed", "again"} {
		headed := false
		for i, l := range b.lists {
			if !l.given || l.by == listProcessed || (l.times > 0) != (what == "again") {
				continue
			}
			if !headed {
				headed = true
				add("    %s:", what)
			}
			add("      - %s", b.yamlList(l, i))
		}
	}
	for i, l := range b.lists {
		if l.given && l.by == listProcessed {
			add("    processed: {file: %s}", listFile(i))
		}
	}
	if b.given.late {
		add("    late: %ds", b.lateAfter)
	}
	if b.given.order {
		add("    order: arrival")
	}
	if b.unexplained != "" {
		add("    unexplained: %s", b.unexplained)
	}
	switch b.cut {
	case cutPaused:
		add("    cut: {paused: paused.txt}")
	case cutOffset:
		add("    position: {column: pos, is: offset}")
	case cutVersion:
		add("    position: {column: version, is: version}")
	case cutEvent:
		add("    position: {column: event, is: event_id}")
	case cutClosed, cutFound:
	}
}

func listFile(i int) string { return fmt.Sprintf("list%d.txt", i) }

func (b *batch) yamlList(l listed, i int) string {
	var parts, where []string
	if l.kinds != "" {
		where = append(where, fmt.Sprintf("kind IN ('%c', '%c')", l.kinds[0], l.kinds[1]))
	}
	switch l.by {
	case listTimes:
		parts = append(parts, fmt.Sprintf("from: %q, to: %q", recount.FormatTimestamp(instant(l.from)), recount.FormatTimestamp(instant(l.to))))
	case listPositions:
		parts = append(parts, fmt.Sprintf("from_position: %q, to_position: %q", b.edge(l.lane, l.from), b.edge(l.lane, l.to)))
	case listWhere:
		where = append(where, "ord % 2 = 0")
	case listIDs:
		parts = append(parts, "ids: "+listFile(i))
	case listProcessed:
	}
	if len(where) > 0 {
		parts = append(parts, fmt.Sprintf("where: %q", strings.Join(where, " AND ")))
	}
	if l.times > 0 {
		parts = append(parts, fmt.Sprintf("times: %d", l.times))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// edge is the first position of a lane that came at a tick or later.
func (b *batch) edge(lane, tick int) string {
	pos := 1
	for _, e := range b.all(0, tick) {
		if e.lane == lane {
			pos++
		}
	}
	return fmt.Sprintf("%s:%d", laneName(lane), pos)
}

func (b *batch) yamlTarget(add func(string, ...any)) {
	add("    target:\n      %s\n      table: totals", b.database)
	var named []string
	for _, column := range b.compared() {
		named = append(named, column+": "+column)
	}
	add("      columns: {%s}", strings.Join(named, ", "))
	if b.extra != "" {
		add("      extra: %s", b.extra)
	}
	if b.extra == "delete" {
		add("      where: %q", b.where())
	}
	if b.write != "" {
		add("      write: %s", b.write)
	}
	if b.write == "adjust" {
		add("      frozen: \"frozen = 1\"")
		hour := ""
		if b.bucketed() {
			hour = "hour: hour, "
		}
		add("      adjust: {table: entries, columns: {who: who, %stotal: amount, n: n, reason: reason, run: run}}", hour)
	}
	if b.against != "" {
		add("      against: %s", b.against)
	}
}

// where is the condition for the rows that the calculation owns.
func (b *batch) where() string {
	if b.bucketed() {
		return "hour >= $from AND hour < $to"
	}
	return "who IS NOT NULL"
}

// listIDs chooses the ids of the window, where ids measure it, and those of the
// lists.
func (b *batch) listIDs() {
	entries := b.all(0, planned)
	b.hitIDs = map[string]bool{}
	for _, e := range entries {
		if e.listed[mostLists-1] && !e.bad {
			b.hitIDs[e.id] = true
		}
	}
	b.ids = make([]map[string]bool, len(b.lists))
	for i, l := range b.lists {
		b.ids[i] = map[string]bool{}
		if l.by != listIDs && l.by != listProcessed {
			continue
		}
		said := map[string]claim{}
		for _, e := range entries {
			kind := l.kinds == "" || strings.Contains(l.kinds, e.kind)
			switch on := e.listed[i] && b.hit(e) && kind; {
			case l.by == listProcessed: // the last of the lists: it must agree with the others about all copies
				named, missed := b.named(e)
				was := said[e.id]
				said[e.id] = claim{was.on || on, was.named || named, was.missed || missed}
			case on && !e.bad && !e.repeat && (b.cut != cutPaused || e.tick < b.pause[e.lane]):
				b.ids[i][e.id] = true
			}
		}
		for id, c := range said {
			b.ids[i][id] = !c.missed && (!c.on || c.named)
		}
	}
}

// claim is what lists say of any copy of an id.
type claim struct{ on, named, missed bool }

// named says whether a given list names a hit entry, and whether one says that it
// was missed.
func (b *batch) named(e *entry) (named, missed bool) {
	for i, l := range b.lists {
		if l.given && l.by != listProcessed && b.hit(e) && b.on(l, i, e) {
			named, missed = true, missed || l.times == 0
		}
	}
	return named, missed
}

// idFiles are the project's files of ids, by name.
func (b *batch) idFiles() map[string]string {
	files := map[string]string{hitFile: idLines(b.hitIDs)}
	for i, l := range b.lists {
		if l.by == listIDs || l.by == listProcessed {
			files[listFile(i)] = idLines(b.ids[i])
		}
	}
	return files
}

const hitFile = "hits.txt"

func idLines(ids map[string]bool) string {
	var lines []string
	for id, on := range ids {
		if on {
			lines = append(lines, id+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// writeProject makes the project's files but for the log.
func (b *batch) writeProject(dir string) error {
	files := b.idFiles()
	files["recount.yaml"] = b.yaml()
	files["right.sql"] = b.sql(prevNone, 0)
	files["later.sql"] = b.sql(prevNone, 1)
	files["previous.sql"] = b.sql(b.previous, -1)
	if b.cut == cutPaused {
		var lines []string
		for lane := range b.lanes {
			lines = append(lines, b.edge(lane, b.pause[lane])+"\n")
		}
		files["paused.txt"] = strings.Join(lines, "")
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return b.writeRates(dir)
}
