package run

import (
	"cmp"
	"fmt"
	"slices"

	"recount"
)

// slot is one column that is kept of each event.
type slot struct {
	name  string
	form  form
	width int
	typ   recount.Type // of a declared field
	// kept says that the slot's values outlive the block in which they were read.
	kept bool
}

// form is how a slot's bytes are to be understood.
type form uint8

const (
	formText    form = iota // UTF-8
	formBytes               // byte strings
	formHeaders             // see appendHeaders
	formInt64               // also of timestamps, and of decimals that fit
	formTime
	formDouble
	formDate // days since 1970, 4 bytes
	formBool
	formDecimal // 8 bytes where the precision fits, else 16, both little endian
	formOrdinal // number of the partition, 4 bytes
	formPlace   // number of the partition, then position: see place64
)

// none stands for a slot that is not there.
const none = -1

// plan says what is kept of events, and where.
type plan struct {
	spec  *Spec
	slots []slot
	reads []int // by Spec.Reads; none: the stream
	by    []int

	seq, partition, position, order, time, id, hit int
	// place is the order in the log as one number; none where positions are no
	// numbers or too large ones: then partition and position are kept.
	place int
	// key is the slot whose bytes tell keys apart. Where By is one field whose bytes
	// do so it is that field's; else one of ours.
	key     int
	keyOwn  bool
	bucketd bool
}

// orderColumn orders the events of a feed.
const orderColumn = "recount_order"

// newPlan plans a run. numbered says that positions are numbers that fit.
func newPlan(spec *Spec, numbered bool) (*plan, error) {
	p := &plan{spec: spec, seq: none, partition: none, position: none, order: none, time: none, id: none, hit: none, key: none, place: none, bucketd: !spec.Bucket.None()}
	var err error
	look := func(name string, kept bool) int {
		i, e := p.slot(name)
		if e != nil {
			err = cmp.Or(err, e)
			return none
		}
		p.slots[i].kept = p.slots[i].kept || kept
		return i
	}
	need := func(name string) int { return look(name, true) }
	p.seq = need("seq")
	switch {
	case spec.Feed && spec.Logged:
		p.partition, p.position = need("partition"), need("position")
	case spec.Feed:
		p.order = need(orderColumn)
	default:
		p.partition, p.position, p.time = look("partition", !numbered), look("position", !numbered), look("time", false)
	}
	if p.named() {
		p.partition, p.position, p.id, p.time = need("partition"), need("position"), need("id"), need("time")
	}
	if p.bucketd {
		p.time = look("time", false)
	}
	if spec.Show || spec.Alone {
		p.hit = need("hit")
	}
	for _, name := range spec.Reads {
		if name == "stream" {
			p.reads = append(p.reads, none)
			continue
		}
		p.reads = append(p.reads, need(name))
	}
	for _, name := range spec.By {
		p.by = append(p.by, need(name))
	}
	if err != nil {
		return nil, err
	}
	p.time, p.hit = p.find("time"), p.find("hit")
	p.chooseKey()
	if numbered && !spec.Feed {
		p.place = len(p.slots)
		p.slots = append(p.slots, slot{form: formPlace, width: formPlace.width(recount.Type{}), kept: true})
	}
	return p, nil
}

// named says that output names the events it stands by.
func (p *plan) named() bool { return p.spec.Show || p.spec.Alone || p.spec.Effects != "" }

func (p *plan) find(name string) int {
	return slices.IndexFunc(p.slots, func(s slot) bool { return s.name == name })
}

// slot returns the slot of a column, a new one where there is none yet.
func (p *plan) slot(name string) (int, error) {
	if i := p.find(name); i >= 0 {
		return i, nil
	}
	s := slot{name: name}
	switch name {
	case "seq":
		s.form = formInt64
	case "time", "ingest_time":
		s.form = formTime
	case "partition":
		s.form = formOrdinal
	case "id", "type", "position", orderColumn:
		s.form = formText
	case "key", "data":
		s.form = formBytes
	case "headers":
		s.form = formHeaders
	case "hit":
		s.form = formBool
	default:
		i := slices.IndexFunc(p.spec.Fields, func(f recount.Field) bool { return f.Name == name })
		if i < 0 {
			return none, fmt.Errorf("events of %s have no column %q", p.spec.Stream, name)
		}
		s.typ = p.spec.Fields[i].Type
		s.form = fieldForm(s.typ)
	}
	s.width = s.form.width(s.typ)
	p.slots = append(p.slots, s)
	return len(p.slots) - 1, nil
}

func fieldForm(t recount.Type) form {
	switch t.Kind {
	case recount.KindInt64:
		return formInt64
	case recount.KindDouble:
		return formDouble
	case recount.KindDecimal:
		return formDecimal
	case recount.KindBool:
		return formBool
	case recount.KindTimestamp:
		return formTime
	case recount.KindDate:
		return formDate
	case recount.KindString, recount.KindJSON:
	}
	return formText
}

const digitsInt64 = 18 // decimals of so many digits fit 8 bytes

func (f form) width(t recount.Type) int {
	const boolBytes, intBytes, longBytes, hugeBytes = 1, 4, 8, 16
	switch f {
	case formText, formBytes, formHeaders:
		return 0
	case formBool:
		return boolBytes
	case formDate, formOrdinal:
		return intBytes
	case formInt64, formTime, formDouble, formPlace:
		return longBytes
	case formDecimal:
		if t.Precision > digitsInt64 {
			return hugeBytes
		}
		return longBytes
	}
	return 0
}

// exact says that values are equal if and only if their bytes are.
func (s slot) exact() bool { return s.form != formDouble && s.typ.Kind != recount.KindJSON }

// chooseKey takes the only field of By as the key where its bytes serve.
func (p *plan) chooseKey() {
	if len(p.by) == 1 && !p.bucketd && p.spec.Several == 0 && p.slots[p.by[0]].exact() {
		p.key = p.by[0]
		return
	}
	p.key, p.keyOwn = len(p.slots), true
	p.slots = append(p.slots, slot{form: formBytes, kept: true})
}
