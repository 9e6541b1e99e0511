// Package payload turns the bytes of one payload into an event under a mapping:
// the envelope and the declared fields. Every source shares it, so that a
// payload reads the same whichever source brought it, and the same again years
// later out of the archive. It does no I/O and never changes a payload.
//
// What always holds: Decode never fails. What cannot be read is a fault of the
// event, its fields are NULL, and all else is still filled. A number is never
// read through a binary float unless it was declared double.
package payload

import (
	"fmt"
	"strings"
	"time"

	"recount"
)

// The formats of payloads.
const (
	CSV     = "csv"
	JSON    = "json"
	Derived = "derived-json" // canonical JSON made from a row that has no bytes of its own
)

// Decoder reads payloads of one format under one mapping. It is safe for
// concurrent use; each Scratch serves one goroutine.
type Decoder struct {
	format  string
	mapping recount.Mapping
	wants   []want
	columns int // of the CSV header
}

// want is one value that the mapping asks of a payload.
type want struct {
	role   role
	field  int    // index into Mapping.Fields
	name   string // of the field, or of the envelope's part
	path   string // as the configuration spells it
	typ    recount.Type
	column int    // CSV
	steps  []step // JSON; for CSV what follows the column
}

type role int

const (
	roleField role = iota
	roleID
	roleTime
	roleIngest
	roleKey
	roleType
	rolePartition
	rolePosition
)

// New returns the decoder of payloads of that format. header is the header
// record of CSV and unused elsewhere. A mapping that cannot be used, or that
// names a column which the header lacks, is a *recount.Error.
func New(format, header string, m recount.Mapping) (*Decoder, error) {
	if err := CheckFields(m.Fields); err != nil {
		return nil, err
	}
	d := &Decoder{format: format, mapping: m, wants: wantsOf(m)}
	switch format {
	case CSV:
		return d, d.bindColumns(header)
	case JSON, Derived:
		return d, d.bindPaths()
	}
	return nil, &recount.Error{
		Code: recount.CodeNewerArchive, What: fmt.Sprintf("payloads of format %q cannot be read", format),
		Why: "this version knows csv, json and derived-json", Next: "use a newer version of recount",
	}
}

func wantsOf(m recount.Mapping) []want {
	var wants []want
	envelope := []struct {
		role role
		name string
		path string
	}{
		{roleID, "id", m.ID},
		{roleTime, "time", m.Time},
		{roleIngest, "ingest_time", m.IngestTime},
		{roleKey, "key", m.Key},
		{roleType, "type", m.Type},
		{rolePartition, "partition", m.Partition},
		{rolePosition, "position", m.Position},
	}
	for _, e := range envelope {
		if e.path != "" {
			wants = append(wants, want{role: e.role, name: e.name, path: e.path})
		}
	}
	for i, f := range m.Fields {
		path := f.Path
		if path == "" {
			path = f.Name
		}
		wants = append(wants, want{role: roleField, field: i, name: f.Name, path: path, typ: f.Type})
	}
	return wants
}

// CheckFields refuses declared fields that could not be columns of the archive:
// names without text, given twice or taken by the envelope.
func CheckFields(fields []recount.Field) error {
	seen := map[string]bool{}
	for _, f := range fields {
		name := strings.ToLower(f.Name)
		why := ""
		switch {
		case name == "":
			why = "a field needs a name"
		case recount.ReservedColumn(name):
			why = "the archive has a column of that name of its own"
		case seen[name]:
			why = "the name stands twice; upper and lower case do not tell columns apart in SQL"
		}
		if why != "" {
			return &recount.Error{
				Code: recount.CodeConfig, What: fmt.Sprintf("field %q cannot be declared", f.Name), Where: "fields",
				Why: why, Next: fmt.Sprintf("give the field another name and write where it is found: {my_%s: {type: %s, path: %s}}", f.Name, f.Type, f.Name),
			}
		}
		seen[name] = true
	}
	return nil
}

// Decode reads one payload. The event's Data is payload itself, not a copy.
func (d *Decoder) Decode(data []byte) recount.Event {
	var ev recount.Event
	d.Into(&ev, &Scratch{}, data, string(data))
	return ev
}

// Into reads one payload into ev, which must be zero but for Partition and
// Position, which stay where the mapping does not name them, and Fields, which are
// overwritten where they are as many as the mapping's. text is data as a string;
// the event's texts may be parts of it.
func (d *Decoder) Into(ev *recount.Event, s *Scratch, data []byte, text string) {
	ev.Data = data
	if n := len(d.mapping.Fields); len(ev.Fields) != n || n == 0 {
		ev.Fields = s.Values(n)
	}
	s.begin(len(d.wants))
	if d.format == CSV {
		d.readCSV(s, text)
	} else {
		d.readJSON(s, data, text)
	}
	for i := range d.wants {
		d.fill(ev, s, &d.wants[i], s.raw[i])
	}
	ev.Fault = s.sentence()
}

// raw is a value as the payload holds it.
type raw struct {
	kind  rawKind
	text  string
	json  bool // it stood in JSON, where a text is what it says
	sound bool // the text is known to be UTF-8
}

type rawKind uint8

const (
	rawAbsent  rawKind = iota // no such key, JSON null, or an empty CSV field of a type that has no empty value
	rawText                   // CSV, or the text of a JSON string
	rawNumber                 // a JSON number, its digits as written
	rawBool                   // a JSON true or false
	rawNested                 // a JSON object or array
	rawUnknown                // the payload is too broken to say
	rawBadText                // a JSON string that is no Unicode
)

func (d *Decoder) fill(ev *recount.Event, s *Scratch, w *want, r raw) {
	switch w.role {
	case roleField:
		text, null, err := d.value(s, w, r)
		switch {
		case err != nil:
			s.blame("field %q: %s", w.name, err)
			fallthrough
		case r.kind == rawUnknown:
			ev.Broken = append(ev.Broken, w.name)
			fallthrough
		case null:
			ev.Fields[w.field] = recount.Null
		default:
			ev.Fields[w.field] = recount.Text(text)
		}
	case roleTime:
		ev.Time = d.instant(s, w, r, d.mapping.TimeUnit, true)
	case roleIngest:
		unit := d.mapping.IngestUnit
		if unit == recount.UnitText {
			unit = d.mapping.TimeUnit
		}
		ev.IngestTime = d.instant(s, w, r, unit, false)
	case roleKey:
		ev.Key = d.key(s, r)
	case roleID:
		ev.ID = d.word(s, w, r)
		if ev.ID == "" && (r.kind == rawAbsent || r.kind == rawText && r.text == "") {
			s.blame("id: there is none in %q", w.path)
		}
	case roleType:
		ev.Type = d.word(s, w, r)
	case rolePartition:
		if p := d.word(s, w, r); p != "" {
			ev.Partition = p
		} else {
			s.blameMissing(r, "partition: there is none in %q", w.path)
		}
	case rolePosition:
		d.position(ev, s, w, r)
	}
}

// PositionWidth is the number of digits of a position that is a number.
const PositionWidth = 20

// position pads numbers, so that text order is log order.
func (d *Decoder) position(ev *recount.Event, s *Scratch, w *want, r raw) {
	before := s.faults
	text := d.word(s, w, r)
	if s.faults > before || r.kind == rawUnknown {
		return
	}
	digits := strings.TrimLeft(text, "0")
	if text == "" || len(digits) > PositionWidth || strings.Trim(digits, "0123456789") != "" {
		s.blame("position: %s is no whole number of at most %d digits", quote(text), PositionWidth)
		return
	}
	ev.Position = strings.Repeat("0", PositionWidth-len(digits)) + digits
}

// instant reads a time of the envelope; zero where there is none.
func (d *Decoder) instant(s *Scratch, w *want, r raw, unit recount.TimeUnit, required bool) time.Time {
	switch {
	case r.kind == rawAbsent || r.kind == rawText && r.text == "":
		if required {
			s.blame("%s: there is none in %q", w.name, w.path)
		}
		return time.Time{}
	case r.kind == rawUnknown:
		return time.Time{}
	}
	at, err := d.parseTime(s, r, unit)
	if err != nil {
		s.blame("%s: %s", w.name, err)
		return time.Time{}
	}
	return at
}
