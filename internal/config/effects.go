package config

import (
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

// Effects says where what a worker would have sent comes from, if its logic does
// not say it by itself, and where what was sent is noted.
type Effects struct {
	// SQL gives them, Previous those that the previous logic sent; nil: the logic
	// itself does.
	SQL, Previous *recount.Logic
	Log           *EffectLog // nil: nothing is noted
}

// EffectLog is a source whose events say what was sent. Names are those of its
// fields, or of the envelope's columns that EffectColumns lists.
type EffectLog struct {
	Source string
	Kind   string // empty: Is says the kind of all
	Is     string
	Key    string
	// EventID is the id of the event at which it was sent; empty: nothing says it.
	EventID string
	// Payload are the fields that make the payload: one that is a payload, or
	// several that are its members where Members says so. None: the whole event.
	Payload []string
	Members bool
	// Compare are the members of a payload that are compared; none: all.
	Compare []string
	Where   string // an SQL condition over events; empty: all are
	// Within is how long after its event an effect is noted, at most, and how far
	// clocks may differ.
	Within time.Duration
}

// EffectColumns are the columns of an event's envelope that can name an effect.
var EffectColumns = []string{"id", "type", "key", "partition"}

const defaultWithin = 10 * time.Minute

var effectsBlock = Block{
	Path: "calculations.NAME.effects", Doc: "What the worker sends besides its rows: mails, invoices, calls. Recount lists and reconciles effects; it sends none.", Keys: []Key{
		{Name: "sql", Type: "text", Doc: "The file of an SQL over events that gives kind, key, event_id and payload of each.", Default: "those that the fold itself gives"},
		{Name: "previous", Type: "text", Doc: "The same of what the previous logic sent. Needs sql."},
		{Name: "log", Type: "mapping", Doc: "The source of what was really sent."},
	},
}

var effectLogBlock = Block{
	Path: "calculations.NAME.effects.log", Doc: "What was really sent, one event each. Its values name fields of that source, or id, type, key and partition of the envelope.", Keys: []Key{
		{Name: "source", Type: "text", Doc: "The name of the source.", Required: true},
		{Name: "kind", Type: "text or {is}", Doc: "The field that says what kind was sent; {is: mail} where all are of one.", Required: true},
		{Name: "key", Type: "text", Doc: "The field that tells effects of a kind apart, as the worker's key does.", Required: true},
		{Name: "event_id", Type: "text", Doc: "The field that names the event at which it was sent.", Default: "kind and key alone say what belongs together"},
		{Name: "payload", Type: "text or list of texts", Doc: "The field that holds what was sent, as JSON; a list of fields makes one of them.", Default: "the whole event"},
		{Name: "compare", Type: "list of texts", Doc: "The members of a payload that must be equal, such as amount or $.order.total.", Default: "all of it"},
		{Name: "where", Type: "text", Doc: "An SQL condition over events: those that say that something was sent.", Default: "every event"},
		{Name: "within", Type: "duration", Doc: "How long after its event an effect is noted, at most.", Default: "10m"},
	},
}

var effectKindBlock = Block{
	Path: "calculations.NAME.effects.log.kind", Doc: "One kind for all.", Keys: []Key{
		{Name: "is", Type: "text", Doc: "The kind.", Required: true},
	},
}

// effects reads what a worker sends.
func (l *loader) effects(c *Calculation, v value) {
	found := v.block(effectsBlock, false)
	if found == nil {
		return
	}
	c.Effects = &Effects{}
	if e, ok := found["sql"]; ok {
		if logic, ok := l.sql(e.value); ok {
			c.Effects.SQL = &logic
		}
	} else if c.Logic.Kind != "" && !c.Logic.Fold() {
		e := entry{at: v.key, value: v}
		v.r.problem(e.at, "%s: needs sql: a fold says itself what it sends, other rows do not", v.path)
	}
	if e, ok := found["previous"]; ok {
		_, hasSQL := found["sql"]
		switch logic, ok := l.sql(e.value); {
		case !hasSQL || c.Previous == nil:
			e.problem("needs sql beside it, and previous in the calculation")
		case ok:
			c.Effects.Previous = &logic
		}
	}
	if e, ok := found["log"]; ok {
		c.Effects.Log = l.effectLog(e.value)
	}
}

func (l *loader) effectLog(v value) *EffectLog {
	found := v.block(effectLogBlock, false)
	if found == nil {
		return nil
	}
	log := &EffectLog{Within: defaultWithin}
	var source Source
	if e, ok := found["source"]; ok {
		log.Source = l.sourceName(e.value)
		source = l.project.Sources[log.Source]
	}
	if e, ok := found["kind"]; ok && e.isMapping() {
		if is, ok := e.block(effectKindBlock, false)["is"]; ok {
			log.Is, _ = is.word()
		}
	} else if ok {
		log.Kind = l.effectField(e.value, source)
	}
	for key, into := range map[string]*string{"key": &log.Key, "event_id": &log.EventID} {
		if e, ok := found[key]; ok {
			*into = l.effectField(e.value, source)
		}
	}
	if e, ok := found["payload"]; ok {
		log.Payload, log.Members = l.effectPayload(e.value, source)
	}
	if e, ok := found["compare"]; ok {
		log.Compare = texts(e.value)
		for _, path := range log.Compare {
			if rest, ok := strings.CutPrefix(path, "$"); ok && (!strings.HasPrefix(rest, ".") || slices.Contains(strings.Split(rest[1:], "."), "")) {
				e.problem("%q is no member: write its name, or a path such as $.order.total", clip(path))
			}
		}
	}
	if e, ok := found["where"]; ok {
		log.Where, _ = e.word()
	}
	if e, ok := found["within"]; ok {
		log.Within, _ = e.duration()
	}
	return log
}

// effectPayload reads one field, or the list of those that are members.
func (l *loader) effectPayload(v value, source Source) (fields []string, members bool) {
	if _, list := v.node.(*ast.SequenceNode); !list {
		return []string{l.effectField(v, source)}, false
	}
	for _, item := range v.items() {
		fields = append(fields, l.effectField(item, source))
	}
	if len(fields) == 0 {
		v.problem("the list is empty")
	}
	return fields, true
}

// effectField reads the name of a field that the source declares, or of a column
// that every event has.
func (l *loader) effectField(v value, source Source) string {
	name, ok := v.word()
	if !ok || source.Name == "" {
		return name
	}
	known := slices.Clone(EffectColumns)
	for _, f := range source.Mapping.Fields {
		known = append(known, f.Name)
	}
	if slices.Contains(known, name) {
		return name
	}
	hint := "; there is: " + strings.Join(known, ", ")
	if near := recount.Nearest(name, known); near != "" {
		hint = "; did you mean \"" + near + "\"?"
	}
	v.problem("%q is no field of source %s%s", clip(name), source.Name, hint)
	return ""
}
