package payload

import (
	"errors"
	"slices"
)

// Envelopes carry JSON inside of a text: kcat and Connect write a payload as a
// string, and a table's export has a column of it. A path that leads into such a
// text reads it as JSON: $.payload.user_id, as if payload were the object itself.

// document is JSON text in which values are looked for: a payload, or a text
// inside of one.
type document struct {
	text string
	from int // where its value begins
	// first and last enclose its members in finder.members, if it is an object.
	first, last int
	// parent and at say in which text it was found, and where: a column for CSV,
	// whose parent is -1.
	parent, at int
	broken     bool
}

// finder follows paths through the documents of one payload. Each text is read
// once, however many paths lead into it.
type finder struct {
	members   []member
	documents []document
}

func (s *Scratch) finder() *finder {
	s.find.members, s.find.documents = s.find.members[:0], s.find.documents[:0]
	return &s.find
}

var errEmptyJSON = errors.New("it is empty")

// open reads a text as JSON and returns the document's index, also of a broken
// one, so that it is told once.
func (f *finder) open(data []byte, text string) (int, error) {
	f.documents = append(f.documents, document{text: text, parent: -1, at: -1, broken: true})
	n := len(f.documents) - 1
	sc := scanner{data: data, text: text, members: f.members}
	if from := sc.document(); from >= 0 {
		d := &f.documents[n]
		d.from, d.first, d.last, d.broken = from, len(f.members), len(sc.members), false
		f.members = sc.members
		return n, nil
	}
	if err := checkJSON(data); err != nil {
		return n, err
	}
	w := walker{text: text, members: f.members}
	from := w.space(0)
	if from == len(text) {
		return n, errEmptyJSON
	}
	first, err := len(w.members), error(nil)
	if text[from] == '{' {
		_, err = w.object(from) // its members stay
	} else {
		_, err = w.value(from)
	}
	f.members = w.members
	d := &f.documents[n]
	d.from, d.first, d.last, d.broken = from, first, len(f.members), err != nil
	return n, err
}

// find returns the value that w leads to from document n on. hint is where it
// stood among the members of the payload before.
func (f *finder) find(s *Scratch, n int, w *want, hint *int) raw {
	at := member{at: f.documents[n].from}
	switch d := &f.documents[n]; {
	case len(w.steps) == 1 && !w.steps[0].isIndex && d.text[d.from] == '{': // as most are
		m := findMember(f.members[d.first:d.last], w.steps[0].key, hint)
		if m == nil {
			return raw{}
		}
		at = *m
	default:
		for _, st := range w.steps {
			if f.documents[n].text[at.at] == '"' {
				n = f.inner(s, n, at.at, w.path)
				if f.documents[n].broken {
					return raw{kind: rawUnknown}
				}
				at.at = f.documents[n].from
			}
			if at = f.step(n, at.at, st, hint); at.at < 0 {
				return raw{}
			}
		}
	}
	d := &f.documents[n]
	if at.plain {
		return raw{kind: rawText, text: d.text[at.at+1 : at.end-1], json: d.parent >= 0, sound: true}
	}
	k := walker{text: d.text, members: f.members}
	r := k.raw(at.at)
	f.members = k.members[:len(f.members)] // the same ones, and what room they took
	r.json = d.parent >= 0
	return r
}

// step returns the value that st leads to; it begins before 0 where there is none.
func (f *finder) step(n, at int, st step, hint *int) member {
	d := &f.documents[n]
	if at == d.from && d.text[at] == '{' && !st.isIndex {
		if m := findMember(f.members[d.first:d.last], st.key, hint); m != nil {
			return *m
		}
		return member{at: -1}
	}
	w := walker{text: d.text, members: f.members}
	found := w.step(at, st)
	f.members = w.members[:len(f.members)]
	return member{at: found}
}

// inner returns the document that the JSON string at holds. What is no JSON is a
// fault: to take it for a value that is not there would lose the event in
// silence.
func (f *finder) inner(s *Scratch, parent, at int, path string) int {
	for n := range f.documents {
		if f.documents[n].parent == parent && f.documents[n].at == at {
			return n
		}
	}
	d := &f.documents[parent]
	w := walker{text: d.text}
	text, sound := unquoteJSON(d.text[at:w.skipString(at)])
	n, err := f.open([]byte(text), text)
	f.documents[n].parent, f.documents[n].at = parent, at
	if !sound {
		err, f.documents[n].broken = errNotUTF8, true
	}
	if err != nil {
		s.blame("path %q leads into a text that is no JSON: %s", path, err)
	}
	return n
}

// inCell returns the value that a path leads to inside of a CSV column.
func (f *finder) inCell(s *Scratch, w *want, text string) raw {
	n := slices.IndexFunc(f.documents, func(d document) bool { return d.parent == -1 && d.at == w.column })
	if n < 0 {
		var err error
		if n, err = f.open([]byte(text), text); err != nil {
			s.blame("path %q leads into a text that is no JSON: %s", w.path, err)
		}
		f.documents[n].at = w.column
	}
	if f.documents[n].broken {
		return raw{kind: rawUnknown}
	}
	r := f.find(s, n, w, new(int))
	r.json = true
	return r
}

// Own returns what reads the part of a JSON payload that the path leads to: the
// text or value there, or all of a payload that has none. It is nil for no path.
func Own(path string) (func(data []byte) []byte, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no path, nothing to read
	}
	d := &Decoder{wants: []want{{path: path}}}
	if err := d.bindPaths(); err != nil {
		return nil, err
	}
	return func(data []byte) []byte {
		var s Scratch
		f := s.finder()
		top, err := f.open(data, string(data))
		if err != nil {
			return data
		}
		switch r := f.find(&s, top, &d.wants[0], new(int)); r.kind {
		case rawText, rawNumber, rawBool, rawNested:
			return []byte(r.text)
		case rawAbsent, rawUnknown, rawBadText:
		}
		return data
	}, nil
}

// Member is one member of a JSON object, its value as it stands.
type Member struct {
	Key   string
	Value []byte
}

var errNoObject = errors.New("it is no JSON object")

// Members returns the members of an object, in order. What is no object, or has a
// key twice at any depth, is an error. The values are parts of data.
func Members(data []byte) ([]Member, error) {
	w := walker{text: string(data)}
	sc := scanner{data: data, text: w.text}
	from := sc.document()
	if from < 0 {
		if err := checkJSON(data); err != nil {
			return nil, err
		}
		from = w.space(0)
	}
	if data[from] != '{' {
		return nil, errNoObject
	}
	if w.members = sc.members; len(w.members) == 0 {
		if _, err := w.object(from); err != nil {
			return nil, err
		}
	}
	found := w.members
	list := make([]Member, len(found))
	for i, m := range found {
		end, err := w.value(m.at)
		if err != nil {
			return nil, err
		}
		list[i] = Member{m.key, data[m.at:end:end]}
	}
	return list, nil
}
