package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"recount"
	"recount/adapter"
)

const (
	defaultQuarantine = 1000
	defaultFlush      = time.Minute
)

func (l *loader) source(e entry) {
	found := e.block(sourceBlock.optional("event"), true)
	if found == nil {
		return
	}
	s := Source{Name: e.key, Line: e.at.line, QuarantineMax: defaultQuarantine, Flush: defaultFlush}
	if spec, block, ok := l.pickAdapter(adapter.Source, e.value, sourceBlock, found); ok {
		s.Adapter, s.Config = spec.Name, l.adapterBlock(spec, block.value, nil)
	}
	event := eventBlock
	envelope, ok := s.Config.(completer)
	if ok && envelope.Completes() {
		event = event.optional("time")
	} else {
		e.require(sourceBlock, found, "event")
	}
	if v, ok := found["event"]; ok {
		l.event(v.value, event, &s.Mapping)
	}
	if ok {
		envelope.Complete(&s.Mapping)
	}
	if v, ok := found["timezone"]; ok {
		s.Mapping.Zone = zone(v.value)
	}
	if v, ok := found["fields"]; ok {
		s.Mapping.Fields = fields(v.value)
	}
	if v, ok := found["event"]; ok {
		if order, ok := v.find("order"); ok {
			s.Mapping.Order = orderField(order, s.Mapping.Fields)
		}
	}
	if v, ok := found["upcast"]; ok {
		s.Upcasts = upcasts(v.value, s.Mapping.Fields)
	}
	if v, ok := found["lateness"]; ok {
		s.Lateness, _ = v.duration()
	}
	if v, ok := found["retention"]; ok {
		s.Retention, _ = v.duration()
	}
	if v, ok := found["flush"]; ok {
		s.Flush = flush(v.value)
	}
	if v, ok := found["quarantine"]; ok {
		if most, ok := v.block(quarantineBlock, false)["max"]; ok {
			s.QuarantineMax, _ = most.integer(0, math.MaxInt64)
		}
	}
	l.project.Sources[s.Name] = s
}

// flush reads how long events wait; nothing is committed more often than each
// second.
func flush(v value) time.Duration {
	length, ok := v.duration()
	if ok && length < time.Second {
		v.problem("events wait at least 1s for their commit, so that commits do not become many")
	}
	return length
}

// zone reads an IANA name. The machine's own zone has none: what a file means
// must not depend on where it is read.
func zone(v value) *time.Location {
	text, shown, ok := v.text()
	if !ok {
		return nil
	}
	if text != "" && text != "Local" {
		if z, err := time.LoadLocation(text); err == nil {
			return z
		}
	}
	v.problem("%q is no time zone; use an IANA name such as UTC or Europe/Berlin", clip(shown))
	return nil
}

// completer is an adapter's block that says itself where the envelope is found,
// for what the file leaves out.
type completer interface {
	// Completes says whether event and its time may be left out.
	Completes() bool
	Complete(m *recount.Mapping)
}

func (l *loader) event(v value, b Block, m *recount.Mapping) {
	found := v.block(b, false)
	for key, into := range map[string]*string{
		"id": &m.ID, "time": &m.Time, "key": &m.Key, "type": &m.Type,
		"ingest_time": &m.IngestTime, "partition": &m.Partition, "position": &m.Position,
		"payload": &m.Payload,
	} {
		e, ok := found[key]
		if !ok {
			continue
		}
		var unit recount.TimeUnit
		*into, unit = part(e)
		if unit == recount.UnitText {
			continue
		}
		switch key {
		case "time":
			m.TimeUnit = unit
		case "ingest_time":
			m.IngestUnit = unit
		default:
			e.problem("unit is of time and ingest_time alone")
		}
	}
}

// orderField finds the declared field that orders a key's events: payloads keep
// no types, and an order needs one.
func orderField(v value, fields []recount.Field) string {
	text, shown, ok := v.text()
	if !ok {
		return ""
	}
	var names []string
	for _, by := range []func(recount.Field) string{
		func(f recount.Field) string { return f.Name },
		func(f recount.Field) string { return f.Path },
	} {
		for _, f := range fields {
			names = append(names, by(f))
			if by(f) != text {
				continue
			}
			if f.Type.Kind == recount.KindDouble || f.Type.Kind == recount.KindJSON {
				v.problem("%q is declared %s, which gives no order that is the same everywhere; declare it int64, decimal, timestamp or string", clip(shown), f.Type)
				return ""
			}
			return f.Name
		}
	}
	hint := ""
	if near := recount.Nearest(shown, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	v.problem("%q is no declared field: declare it under fields, with its type%s", clip(shown), hint)
	return ""
}

// part reads one part of the envelope: a path, or {path, unit}.
func part(e entry) (string, recount.TimeUnit) {
	if !e.isMapping() {
		return payloadPath(e.value), recount.UnitText
	}
	found := e.block(partBlock, false)
	var path, unit string
	if v, ok := found["path"]; ok {
		path = payloadPath(v.value)
	}
	if v, ok := found["unit"]; ok {
		unit, _ = v.oneOf(recount.CodeConfig, string(recount.UnitS), string(recount.UnitMS), string(recount.UnitUS), string(recount.UnitNS))
	}
	return path, recount.TimeUnit(unit)
}

// payloadPath reads a column's name or a JSON path.
func payloadPath(v value) string {
	text, ok := v.word()
	if !ok {
		return ""
	}
	if text == "$" || text == "$." || strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "$.") && !strings.HasPrefix(text, "$[") {
		v.problem("a JSON path begins with $. and a name, such as $.order.id")
		return ""
	}
	return text
}

// fields reads the typed columns. Names are compared without case, as SQL does.
func fields(v value) []recount.Field {
	var list []recount.Field
	seen := map[string]string{}
	for _, e := range v.entries() {
		folded := strings.ToLower(e.key)
		if first, twice := seen[folded]; twice {
			v.r.problem(e.at, "%s: SQL does not tell it from %q", e.path, first)
			continue
		}
		seen[folded] = clip(e.key)
		if problem := badFieldName(e.key); problem != "" {
			v.r.problem(e.at, "%s: %s", e.path, problem)
			continue
		}
		if f, ok := field(e); ok {
			list = append(list, f)
		}
	}
	return list
}

func badFieldName(name string) string {
	if recount.ReservedColumn(name) {
		return "every event has a column of that name; give the field another, and its path: {type: …, path: " + name + "}"
	}
	return badColumnName(name)
}

func badColumnName(name string) string {
	const longest = 200
	if name == "" || len(name) > longest || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "a column's name has 1 to 200 bytes, no control characters and no space at its ends"
	}
	return ""
}

func field(e entry) (recount.Field, bool) {
	typed, path := e.value, e.key
	if e.isMapping() {
		found := e.block(fieldBlock, false)
		t, ok := found["type"]
		if !ok {
			return recount.Field{}, false
		}
		typed = t.value
		if v, ok := found["path"]; ok {
			path = payloadPath(v.value)
		}
	}
	t, ok := typeOf(typed)
	return recount.Field{Name: e.key, Type: t, Path: path}, ok
}

func typeOf(v value) (recount.Type, bool) {
	text, shown, ok := v.text()
	if !ok {
		return recount.Type{}, false
	}
	t, err := recount.ParseType(text)
	if err == nil {
		return t, true
	}
	if text != shown {
		v.problem("%q names no type", shown)
	} else {
		v.problem("%s%s", err, typeHint(text))
	}
	return recount.Type{}, false
}

// typeHint maps the names that other systems use.
func typeHint(text string) string {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "int", "integer", "bigint", "long":
		return "; did you mean int64?"
	case "float", "real", "number", "float64":
		return "; did you mean double, or decimal(18,2) for money?"
	case "text", "varchar", "str":
		return "; did you mean string?"
	case "boolean":
		return "; did you mean bool?"
	case "time", "datetime", "timestamptz":
		return "; did you mean timestamp?"
	case "numeric":
		return "; did you mean decimal(18,2)?"
	}
	return ""
}

// MappingDigest is the digest of what makes an event's envelope. Fields are not
// part of it: columns can be declared later.
func (s Source) MappingDigest() (string, error) {
	m := s.Mapping
	zone := ""
	if m.Zone != nil {
		zone = m.Zone.String()
	}
	parts := []string{m.ID, m.Time, string(m.TimeUnit), m.Key, m.Type, m.IngestTime, m.Partition, m.Position, zone}
	if m.IngestUnit != recount.UnitText { // older archives were made without it
		parts = append(parts, "ingest unit", string(m.IngestUnit))
	}
	if m.Payload != "" {
		parts = append(parts, "payload", m.Payload)
	}
	b, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("digest mapping of source %q: %w", s.Name, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
