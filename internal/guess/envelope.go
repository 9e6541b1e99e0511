package guess

import (
	"slices"

	"recount"
)

// Envelope is which columns make an event's envelope; empty names: none.
type Envelope struct {
	ID, Type, Key, Partition, Position string
	// Payload is the event itself, where the envelope differs from copy to copy.
	Payload string
	Time    Column
	Timed   bool // a Time was found
	Ingest  Column
	// Aside are columns of the exporting program that say nothing of the event.
	Aside []string
}

// EnvelopeOf guesses the envelope of a sample.
func EnvelopeOf(t Table, columns []Column) Envelope {
	var e Envelope
	switch t.Shape {
	case Kcat:
		e.Aside = []string{"topic", "tstype", "broker", "headers"}
		e.Partition, e.Position = present(columns, "partition"), present(columns, "offset")
		e.Key, e.Payload = present(columns, "key"), "payload"
		e.Ingest, _ = spelled(columns, "ts")
	case EventBridge:
		e.Aside = []string{"version", "account", "region", "resources", "source"}
		e.Type = present(columns, "detail-type")
		e.ID = present(columns, "id")
	case Connect, Plain:
		e.plain(columns)
	}
	if e.ID == "" {
		e.ID = id(columns)
	}
	e.Time, e.Timed = eventTime(columns, e.Ingest.Name)
	if t.Shape == Kcat && (!e.Timed || t.Tombstones > 0) && e.Ingest.Time() {
		// A tombstone has no payload: only the broker knows its time, and only its
		// position names it.
		e.Time, e.Timed = e.Ingest, true
		if t.Tombstones > 0 {
			e.ID = ""
		}
	}
	return e
}

// plain finds the envelope by names alone.
func (e *Envelope) plain(columns []Column) {
	partition := word(columns, "partition", "kafka_partition", "shard", "shard_id")
	position := word(columns, "offset", "kafka_offset", "position", "sequence_number")
	if c, ok := column(columns, position); ok && partition != "" && c.Type.Kind == recount.KindInt64 {
		e.Partition, e.Position = partition, position
	}
	e.Key = word(columns, "key", "message_key", "kafka_key", "partition_key", "record_key")
	e.Type = word(columns, "type", "event_type", "event_name")
	for _, name := range []string{"ingest_time", "ingested_at", "received_at", "inserted_at", "arrived_at", "kafka_timestamp", "kafka_ts", "broker_time", "record_timestamp"} {
		if c, ok := spelled(columns, name); ok && c.Time() && e.Ingest.Name == "" {
			e.Ingest = c
		}
	}
}

// Has says whether a column is part of the envelope, or set aside.
func (e Envelope) Has(name string) bool {
	return name != "" && slices.Contains(append([]string{e.ID, e.Type, e.Key, e.Partition, e.Position, e.Time.Name, e.Ingest.Name}, e.Aside...), name)
}

// id guesses the event's id: a column of nearly unique values whose name says so.
func id(columns []Column) string {
	const nearly = 0.9 // some events came twice
	best, score := "", 0
	for _, c := range columns {
		if c.Unique < nearly || c.Filled < nearly || c.Time() || !named(c.Word(), "id", "uuid", "guid") {
			continue
		}
		s := 1
		switch name := splitCamel(c.Word()); {
		case named(name, "event", "message"):
			s = 3
		case name == "id", name == "uuid":
			s = 2
		}
		if s > score {
			best, score = c.Name, s
		}
	}
	return best
}

// eventTime guesses the event's time: the column of times whose name says most,
// but for the time of its ingest.
func eventTime(columns []Column, ingest string) (Column, bool) {
	const whole = 0.9 // a time that many events lack is something else's
	best, score := Column{}, 0
	for _, c := range columns {
		if !c.Time() || c.Name == ingest {
			continue
		}
		s := 2
		switch {
		case named(c.Word(), "event", "occurred", "timestamp"):
			s = 8
		case named(c.Word(), "ts", "time", "at"):
			s = 6
		case named(c.Word(), "created"):
			s = 4
		}
		if c.Filled < whole {
			s = 1
		}
		if s > score {
			best, score = c, s
		}
	}
	return best, score > 0
}

func column(columns []Column, name string) (Column, bool) {
	i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name && name != "" })
	if i < 0 {
		return Column{}, false
	}
	return columns[i], true
}

// present is the name, if there is such a column.
func present(columns []Column, name string) string {
	c, _ := column(columns, name)
	return c.Name
}

// spelled finds the column whose word is the name.
func spelled(columns []Column, name string) (Column, bool) {
	i := slices.IndexFunc(columns, func(c Column) bool { return splitCamel(c.Word()) == name })
	if i < 0 {
		return Column{}, false
	}
	return columns[i], true
}

// word is the first column whose word is one of the names.
func word(columns []Column, names ...string) string {
	for _, name := range names {
		if c, ok := spelled(columns, name); ok {
			return c.Name
		}
	}
	return ""
}
