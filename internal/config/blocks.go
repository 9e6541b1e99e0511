package config

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

var rootBlock = Block{
	Path: "", Doc: "The whole file.", Keys: []Key{
		{Name: "version", Type: "number", Doc: "The version of the file's form, 1.", Required: true},
		{Name: "archive", Type: "text", Doc: "The folder of the archive, relative to the project, or file:/ and an absolute path.", Required: true},
		{Name: "sources", Type: "mapping", Doc: "Where events come from: a block by name, which is the stream's name in the archive.", Required: true},
		{Name: "calculations", Type: "mapping", Doc: "What turns events into results: a block by name."},
	},
}

var sourceBlock = Block{
	Path: "sources.NAME", Doc: "One stream of events.", Adapter: "source", Keys: []Key{
		{Name: "event", Type: "mapping", Doc: "Which columns or JSON paths of a payload make the event's envelope.", Required: true},
		{Name: "timezone", Type: "text", Doc: "What a time without an offset means: an IANA name such as Europe/Berlin. Without it such a time is a fault."},
		{Name: "fields", Type: "mapping", Doc: "The typed columns that calculations read: their types by name."},
		{Name: "lateness", Type: "duration", Doc: "How long after a bucket's end its events may still come.", Default: "0s"},
		{Name: "quarantine", Type: "mapping", Doc: "How many events that cannot be used are put aside before reading stops."},
	},
}

var eventBlock = Block{
	Path: "sources.NAME.event", Doc: "The envelope. Each value is a column's name, a JSON path that begins with $., or {path: …}.", Keys: []Key{
		{Name: "id", Type: "text", Doc: "What names an event in its stream. Without it stream/partition/position does, and repeats cannot be seen."},
		{Name: "time", Type: "text or {path, unit}", Doc: "When it happened. unit, for epoch times, is s, ms, us or ns.", Required: true},
		{Name: "key", Type: "text", Doc: "The event's key."},
		{Name: "type", Type: "text", Doc: "The event's type."},
		{Name: "ingest_time", Type: "text", Doc: "When the source took it in."},
		{Name: "partition", Type: "text", Doc: "The partition it came in."},
		{Name: "position", Type: "text", Doc: "Its place in the partition."},
	},
}

var partBlock = Block{
	Path: "sources.NAME.event.KEY", Doc: "One part of the envelope, spelled out.", Keys: []Key{
		{Name: "path", Type: "text", Doc: "The column's name, or a JSON path that begins with $.", Required: true},
		{Name: "unit", Type: "text", Doc: "What a number means as a time: s, ms, us or ns. Of time alone."},
	},
}

var fieldBlock = Block{
	Path: "sources.NAME.fields.NAME", Doc: "One typed column, where its name is not the payload's. Otherwise the value is the type alone.", Keys: []Key{
		{Name: "type", Type: "text", Doc: "One of string, int64, double, decimal(p,s), bool, timestamp, date and json.", Required: true},
		{Name: "path", Type: "text", Doc: "The column's name, or a JSON path that begins with $.", Default: "the field's name"},
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
		{Name: "sql", Type: "text", Doc: "The file of the SQL that gives the right rows.", Required: true},
		{Name: "key", Type: "list of texts", Doc: "The result columns that name a row.", Required: true},
		{Name: "memory", Type: "text", Doc: "How far back a row remembers. window: it depends on the events of its own bucket.", Default: "window"},
		{Name: "bucket", Type: "duration or none", Doc: "The grid of the results, such as 1h or 24h. Required where a key column is a time or a date; none says that there is no grid."},
		{Name: "timezone", Type: "text", Doc: "The zone in which buckets align.", Default: "UTC"},
		{Name: "dedupe", Type: "true or false", Doc: "One event for each (stream, id).", Default: "true"},
		{Name: "previous", Type: "mapping", Doc: "A hypothesis: the logic that wrote the live rows."},
		{Name: "missed", Type: "list", Doc: "Hypotheses: events that were never processed, one entry each."},
		{Name: "unexplained", Type: "text", Doc: "hold or correct: what happens to rows that no given hypothesis explains.", Default: "hold where a hypothesis is given, else correct"},
		{Name: "compare", Type: "mapping", Doc: "When values are equal, by result column: exact, or {abs: \"0.01\"}.", Default: "exact"},
		{Name: "limits", Type: "mapping", Doc: "Bounds on a plan."},
		{Name: "target", Type: "mapping", Doc: "The live table.", Required: true},
	},
}

var previousBlock = Block{
	Path: "calculations.NAME.previous", Doc: "The logic that wrote the live rows.", Keys: []Key{
		{Name: "sql", Type: "text", Doc: "The file of its SQL.", Required: true},
	},
}

var missedBlock = Block{
	Path: "calculations.NAME.missed", Doc: "One list of missed events: those of [from, to) for which where holds. At least one key is needed.", Keys: []Key{
		{Name: "from", Type: "time", Doc: "Event time, inside; without it the list is open."},
		{Name: "to", Type: "time", Doc: "Event time, outside; without it the list is open."},
		{Name: "where", Type: "text", Doc: "An SQL condition over events."},
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
		{Name: "apply", Type: "mapping", Doc: "Keys of the adapter's block that differ for apply and rollback, such as another dsn."},
	},
}

// Blocks lists every level of the file, from the top.
func Blocks() []Block {
	return []Block{
		rootBlock, sourceBlock, eventBlock, partBlock, fieldBlock, quarantineBlock,
		calculationBlock, previousBlock, missedBlock, compareBlock, limitsBlock, targetBlock,
	}
}
