package config

import "slices"

// Block is one level of recount.yaml: the keys that may stand there. It gives
// both the check of a file and the reference page.
type Block struct {
	Path string // where the level stands; NAME and COLUMN stand for names of the user's own
	Doc  string
	Keys []Key
	// Adapter names the port of which one more key names an adapter; empty: none.
	Adapter string
}

// Key is one key of a Block.
type Key struct {
	Name     string
	Type     string
	Doc      string // one sentence
	Default  string
	Required bool
}

func (b Block) names() []string {
	names := make([]string, len(b.Keys))
	for i, k := range b.Keys {
		names[i] = k.Name
	}
	return names
}

// optional returns the block without the demand for a key.
func (b Block) optional(name string) Block {
	b.Keys = slices.Clone(b.Keys)
	for i := range b.Keys {
		b.Keys[i].Required = b.Keys[i].Required && b.Keys[i].Name != name
	}
	return b
}

var rootBlock = Block{
	Path: "", Doc: "The whole file.", Keys: []Key{
		{Name: "version", Type: "number", Doc: "The version of the file's form, 1.", Required: true},
		{Name: "archive", Type: "text", Doc: "Where the archive lies: a folder, relative to the project, or a URL of file:, s3:, gs: or hdfs:, as docs/stores.md says.", Required: true},
		{Name: "sources", Type: "mapping", Doc: "Where events come from: a block by name, which is the stream's name in the archive.", Required: true},
		{Name: "lookups", Type: "mapping", Doc: "Reference data that calculations read as of an event's time: a block by name."},
		{Name: "calculations", Type: "mapping", Doc: "What turns events into results: a block by name."},
	},
}

var sourceBlock = Block{
	Path: "sources.NAME", Doc: "One stream of events.", Adapter: "source", Keys: []Key{
		{Name: "event", Type: "mapping", Doc: "Which columns or JSON paths of a payload make the event's envelope.", Required: true},
		{Name: "timezone", Type: "text", Doc: "What a time without an offset means: an IANA name such as Europe/Berlin. Without it such a time is a fault."},
		{Name: "fields", Type: "mapping", Doc: "The typed columns that calculations read: their types by name."},
		{Name: "upcast", Type: "list", Doc: "Steps that bring old shapes of events to the present one, each after the other, before anything else sees the fields."},
		{Name: "lateness", Type: "duration", Doc: "How long after a bucket's end its events may still come.", Default: "0s"},
		{Name: "flush", Type: "duration", Doc: "How long events wait for their commit in a live run, at most.", Default: "60s"},
		{Name: "quarantine", Type: "mapping", Doc: "How many events that cannot be used are put aside before reading stops."},
		{Name: "retention", Type: "duration", Doc: "How long events are kept: recount archive expire takes out the hours that are older.", Default: "all are kept"},
	},
}

var eventBlock = Block{
	Path: "sources.NAME.event", Doc: "The envelope. Each value is a column's name, a JSON path that begins with $., or {path: …}. " +
		"A path that leads into a text reads that text as JSON, so $.payload.user_id works for {\"payload\": \"{\\\"user_id\\\": 7}\"} as for an object; " +
		"for CSV its first name is a column. Where the values of a bus have an envelope of their own (envelope: cloudevents or debezium), " +
		"the event, or what is left out of it, is taken from there.", Keys: []Key{
		{Name: "id", Type: "text", Doc: "What names an event in its stream. Without it stream/partition/position does, and repeats cannot be seen."},
		{Name: "time", Type: "text or {path, unit}", Doc: "When it happened. unit, for epoch times, is s, ms, us or ns.", Required: true},
		{Name: "key", Type: "text", Doc: "The event's key."},
		{Name: "type", Type: "text", Doc: "The event's type."},
		{Name: "ingest_time", Type: "text or {path, unit}", Doc: "When the source took it in. unit as for time.", Default: "the unit of time"},
		{Name: "partition", Type: "text", Doc: "The partition it came in."},
		{Name: "position", Type: "text", Doc: "Its place in the partition."},
		{Name: "order", Type: "text", Doc: "The declared field that says in which order a key's events are right, by its name or by the column or path that fields gives it.", Default: "the position"},
		{Name: "payload", Type: "text", Doc: "The part of a record that is the event itself, where an exporting program such as kcat wrapped it with an offset and a time of its own: " +
			"records of one id are repeats if this part agrees. For JSON and Parquet.", Default: "the whole record"},
	},
}

var partBlock = Block{
	Path: "sources.NAME.event.KEY", Doc: "One part of the envelope, spelled out.", Keys: []Key{
		{Name: "path", Type: "text", Doc: "The column's name, or a JSON path that begins with $.", Required: true},
		{Name: "unit", Type: "text", Doc: "What a number means as a time: s, ms, us or ns. Of time and ingest_time alone."},
	},
}

var fieldBlock = Block{
	Path: "sources.NAME.fields.NAME", Doc: "One typed column, where its name is not the payload's. Otherwise the value is the type alone.", Keys: []Key{
		{Name: "type", Type: "text", Doc: "One of string, int64, double, decimal(p,s), bool, timestamp, date and json.", Required: true},
		{Name: "path", Type: "text", Doc: "The column's name, or a JSON path that begins with $., also into a text that holds JSON.", Default: "the field's name"},
	},
}

var quarantineBlock = Block{
	Path: "sources.NAME.quarantine", Doc: "Events that cannot be used.", Keys: []Key{
		{Name: "max", Type: "number", Doc: "How many may be put aside; one more is an error.", Default: "1000"},
	},
}

var calculationBlock = Block{
	Path: "calculations.NAME", Doc: "One calculation.", Keys: []Key{
		{Name: "source", Type: "text", Doc: "The name of the source whose events it reads.", Required: true},
		{Name: "sql", Type: "text", Doc: "The file of the SQL that gives the right rows. A calculation has sql, worker, go, rows or shadow."},
		{Name: "rows", Type: "text or {table}", Doc: "Right rows that something else made: a file (.parquet, .csv or .jsonl, these also .gz or .zst), or {table: NAME} of the target's database."},
		{Name: "worker", Type: "mapping", Doc: "A process that folds the events of a key, one after the other."},
		{Name: "go", Type: "text", Doc: "The name of a fold that this program was built with."},
		{Name: "shadow", Type: "mapping", Doc: "The production worker, run beside the live one on a topic and a table of its own."},
		{Name: "versions", Type: "list", Doc: "Instead of one logic, several, each for the events of the time in which it was in force."},
		{Name: "types", Type: "list of texts or mapping", Doc: "The types of events that the logic knows, as they are after upcasts; an event of another one is refused.", Default: "no type is looked at"},
		{Name: "ignores", Type: "list of texts", Doc: "With types, those that the logic passes over; a * at the end stands for any rest."},
		{Name: "lookups", Type: "mapping", Doc: "Fields that the events get from reference data: a block by the name of the lookup."},
		{Name: "by", Type: "list of texts", Doc: "With worker or go, the event's fields whose values make a fold's key; [] folds all events together, or all of a bucket.", Default: "those of key that are fields of the event"},
		{Name: "key", Type: "list of texts", Doc: "The result columns that name a row.", Required: true},
		{Name: "memory", Type: "text", Doc: "How far back a row remembers. window: it depends on the events of its own bucket; a duration such as 24h: also on those before it, so far; unbounded: on all.", Default: "window"},
		{Name: "opening", Type: "mapping", Doc: "With memory: unbounded, the columns of the relation opening that the SQL reads beside events, its rows as they stood before them: their types by name, the key's columns among them."},
		{Name: "bucket", Type: "duration or none", Doc: "The grid of the results, such as 1h or 24h. Required where a key column is a time or a date; none says that there is no grid."},
		{Name: "timezone", Type: "text", Doc: "The zone in which buckets align.", Default: "UTC"},
		{Name: "dedupe", Type: "true or false", Doc: "One event for each (stream, id).", Default: "true"},
		{Name: "previous", Type: "mapping", Doc: "A hypothesis: the logic that wrote the live rows."},
		{Name: "missed", Type: "list", Doc: "Hypotheses: events that were never processed, one entry each."},
		{Name: "processed", Type: "mapping", Doc: "A hypothesis: the ids that were processed are known; the other events were missed."},
		{Name: "again", Type: "list", Doc: "Hypotheses: events that were processed several times though the log holds one copy, one entry each."},
		{Name: "late", Type: "duration", Doc: "A hypothesis: events that came later than this after their bucket's end were left out. Needs event.ingest_time."},
		{Name: "order", Type: "text", Doc: "arrival: a hypothesis: events were applied as they came. Needs event.order."},
		{Name: "unexplained", Type: "text", Doc: "hold or correct: what happens to rows that no given hypothesis explains.", Default: "hold where a hypothesis is given, else correct"},
		{Name: "effects", Type: "mapping", Doc: "What the worker sends besides its rows, and where what was sent is noted."},
		{Name: "compare", Type: "mapping", Doc: "When values are equal, by result column: exact, or {abs: \"0.01\"}.", Default: "exact"},
		{Name: "limits", Type: "mapping", Doc: "Bounds on a plan."},
		{Name: "cut", Type: "text or {paused}", Doc: "How it is known which events the live rows have absorbed. closed: their buckets are over; paused: the worker stands still, at the positions of the file {paused: FILE}, of its consumer group {paused: \"group:NAME\"}, or of --paused.", Default: "position where that is given; else closed with memory: window; else found by replay, row by row"},
		{Name: "position", Type: "mapping", Doc: "The table's column that says how far each row is."},
		{Name: "worker_state", Type: "text", Doc: "row or own: whether the worker reads the row before it writes, or keeps what it adds to elsewhere and would overwrite a correction.", Default: "row"},
		{Name: "target", Type: "mapping", Doc: "The live table.", Required: true},
	},
}

var workerBlock = Block{
	Path: "calculations.NAME.worker", Doc: "A process that is given events on its standard input and answers with rows on its standard output.", Keys: []Key{
		{Name: "command", Type: "list of texts", Doc: "The program and its arguments. Files of the project among them are part of the logic's digest.", Required: true},
		{Name: "files", Type: "list of texts", Doc: "Other files of the project that it reads, as patterns such as lib/*.py. They are part of the digest; what is not listed it cannot read."},
		{Name: "timeout", Type: "duration", Doc: "How long one answer may take.", Default: "60s"},
		{Name: "memory", Type: "size", Doc: "What each process may have, such as 512MiB.", Default: "8GiB"},
	},
}

var rowsBlock = Block{
	Path: "calculations.NAME.rows", Doc: "Right rows that stand in a table of the target's database.", Keys: []Key{
		{Name: "table", Type: "text", Doc: "The table's name.", Required: true},
	},
}

var previousBlock = Block{
	Path: "calculations.NAME.previous", Doc: "The logic that wrote the live rows: sql, worker, go or rows. It may be of another kind than the right logic.", Keys: []Key{
		{Name: "sql", Type: "text", Doc: "The file of its SQL."},
		{Name: "worker", Type: "mapping", Doc: "Its process, as for the calculation."},
		{Name: "go", Type: "text", Doc: "The name of its fold."},
		{Name: "shadow", Type: "mapping", Doc: "The production worker, run beside the live one on a topic and a table of its own."},
		{Name: "by", Type: "list of texts", Doc: "With worker or go, the fields of its key.", Default: "those of the calculation"},
		{Name: "rows", Type: "text or {table}", Doc: "Rows that it made: a file, or {table: NAME}, as for the calculation."},
	},
}

// listKeys say which events a list holds: those for which every key holds.
var listKeys = []Key{
	{Name: "from", Type: "time", Doc: "Event time, inside; without it the list is open."},
	{Name: "to", Type: "time", Doc: "Event time, outside; without it the list is open."},
	{Name: "from_position", Type: "text", Doc: "A partition and its first position on the list, as in \"3:41200\". Needs to_position."},
	{Name: "to_position", Type: "text", Doc: "The same partition and the first position after the list. Needs from_position."},
	{Name: "where", Type: "text", Doc: "An SQL condition over events."},
	{Name: "ids", Type: "text", Doc: "A file of event ids, one a line."},
}

var missedBlock = Block{
	Path: "calculations.NAME.missed", Doc: "One list of missed events: those for which every key holds. At least one key is needed.", Keys: listKeys,
}

var againBlock = Block{
	Path: "calculations.NAME.again", Doc: "One list of events that were processed again: those for which every key holds. At least one key besides times is needed.",
	Keys: append(slices.Clone(listKeys), Key{Name: "times", Type: "number", Doc: "How often each was processed in all, 2 to 100.", Default: "2"}),
}

var processedBlock = Block{
	Path: "calculations.NAME.processed", Doc: "Where the ids of processed events are kept: file, or table and column.", Keys: []Key{
		{Name: "file", Type: "text", Doc: "A file of event ids, one a line."},
		{Name: "table", Type: "text", Doc: "A table of the target's database."},
		{Name: "column", Type: "text", Doc: "Its column that holds the ids."},
	},
}

var cutBlock = Block{
	Path: "calculations.NAME.cut", Doc: "The worker stands still, and this says where.", Keys: []Key{
		{Name: "paused", Type: "text", Doc: "The file of the next positions to read, by partition: lines such as 3:41200, JSON, or what kafka-consumer-groups.sh --describe prints. group:NAME instead reads where a consumer group of the source stands; it must have no member at work.", Required: true},
	},
}

var positionBlock = Block{
	Path: "calculations.NAME.position", Doc: "How far each live row is.", Keys: []Key{
		{Name: "column", Type: "text", Doc: "The table's column.", Required: true},
		{Name: "is", Type: "text", Doc: "offset: the position of the last event that the row absorbed; version: how many it absorbed; event_id: the id of the last.", Required: true},
		{Name: "partition", Type: "text", Doc: "The table's column of the partition that an offset belongs to.", Default: "a key's events come from one partition"},
	},
}

var compareBlock = Block{
	Path: "calculations.NAME.compare.COLUMN", Doc: "A tolerance.", Keys: []Key{
		{Name: "abs", Type: "decimal", Doc: "By how much values may differ and still be equal.", Required: true},
	},
}

var limitsBlock = Block{
	Path: "calculations.NAME.limits", Doc: "Bounds on a plan.", Keys: []Key{
		{Name: "changes", Type: "number", Doc: "How many rows a plan may change.", Default: "1000000"},
	},
}

var targetBlock = Block{
	Path: "calculations.NAME.target", Doc: "The live table.", Adapter: "target", Keys: []Key{
		{Name: "table", Type: "text", Doc: "The table's name, where the target has several."},
		{Name: "columns", Type: "mapping", Doc: "The table's columns by result column; keys may be mapped too. Only those named are compared or written.", Default: "every result column under its own name"},
		{Name: "where", Type: "text", Doc: "A condition in the target's own SQL: the live rows that the calculation owns in the window; $from and $to are its edges.", Default: "every row"},
		{Name: "extra", Type: "text", Doc: "report, explained or delete: what happens to live rows that the right logic does not make. delete needs where.", Default: "report"},
		{Name: "write", Type: "text", Doc: "set: the right values; delta: what is missing is added to what the row holds by then; adjust: entries are inserted beside frozen rows.", Default: "set"},
		{Name: "against", Type: "text", Doc: "With write: delta, the cause of which the delta is taken; hypotheses joined by +. Needed where several are given.", Default: "the one hypothesis"},
		{Name: "frozen", Type: "text", Doc: "With write: adjust, a condition in the target's own SQL: the rows that are never edited."},
		{Name: "adjust", Type: "mapping", Doc: "With write: adjust, the table of entries."},
		{Name: "mark", Type: "mapping", Doc: "The table in which the worker notes processed events; missed ones are noted there with the correction. Needs missed or processed."},
		{Name: "on_insert", Type: "mapping", Doc: "What an insert writes into columns that the calculation does not return: texts, numbers, true or false, by table column."},
		{Name: "bump", Type: "text", Doc: "The table's column that counts a row's versions; each correction adds 1."},
		{Name: "apply", Type: "mapping", Doc: "Keys of the adapter's block that differ for apply and rollback, such as another dsn."},
	},
}

var adjustBlock = Block{
	Path: "calculations.NAME.target.adjust", Doc: "The table of entries that correct frozen rows, in the target's database.", Keys: []Key{
		{Name: "table", Type: "text", Doc: "The table's name.", Required: true},
		{Name: "columns", Type: "mapping", Doc: "The table's columns by what they hold: each key column of the result, one or more of its values (right minus live), reason, run and, optionally, period and at.", Required: true},
	},
}

var markBlock = Block{
	Path: "calculations.NAME.target.mark", Doc: "The table in which the worker notes the events that it processed.", Keys: []Key{
		{Name: "table", Type: "text", Doc: "The table's name.", Required: true},
		{Name: "columns", Type: "mapping", Doc: "Columns of the event (of its envelope, or declared fields), by the table's column.", Required: true},
	},
}

// Blocks lists every level of the file, from the top.
func Blocks() []Block {
	return []Block{
		rootBlock, sourceBlock, eventBlock, partBlock, fieldBlock, upcastBlock, quarantineBlock, lookupBlock,
		calculationBlock, versionBlock, effectiveBlock, lookupUseBlock, workerBlock, rowsBlock, shadowBlock, previousBlock, missedBlock, processedBlock, againBlock, effectsBlock, effectLogBlock, effectKindBlock, typesBlock, typeVersionBlock, compareBlock, limitsBlock,
		cutBlock, positionBlock, targetBlock, adjustBlock, markBlock,
	}
}
