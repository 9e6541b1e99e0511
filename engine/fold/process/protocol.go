package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/engine/fold/run"
)

// protocol is the version of the protocol (docs/worker-protocol.md).
const protocol = 1

// The formats of events and answers.
const (
	formatNDJSON = "ndjson"
	formatArrow  = "arrow"
)

// envelope are the columns of an event besides its fields that a worker can read.
var envelope = []string{"id", "stream", "type", "partition", "position", "time", "ingest_time", "key", "data", "headers", "hit"}

// usual are those of the envelope that a worker reads where it does not say.
var usual = []string{"id", "type", "partition", "position", "time"}

// greeting is the first line that a worker gets.
type greeting struct {
	Recount  int         `json:"recount"`
	Formats  []string    `json:"formats"`
	Stream   string      `json:"stream,omitempty"`
	Fields   []namedType `json:"fields"`
	Envelope []string    `json:"envelope"`
	By       []string    `json:"by"`
	// Seed is text: its 64 bits are more than a number of JSON holds everywhere.
	Seed string `json:"seed"`
	// State and Effects say that Recount wants them.
	State   bool `json:"state"`
	Effects bool `json:"effects"`
}

type namedType struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// reply is the first line that a worker writes.
type reply struct {
	Recount *int        `json:"recount"`
	Format  string      `json:"format"`
	Columns []namedType `json:"columns"`
	Reads   []string    `json:"reads"`
	State   bool        `json:"state"`
	Effects bool        `json:"effects"`
	// Failed is why the worker will not run, in place of all others.
	Failed string `json:"failed"`
}

func greet(stream string, logic recount.Logic, fields []recount.Field, seed uint64, wants run.Wants) greeting {
	g := greeting{
		Recount: protocol, Formats: []string{formatArrow, formatNDJSON}, Stream: stream, Fields: []namedType{}, Envelope: envelope,
		By: logic.By, Seed: fmt.Sprint(seed), State: wants.State, Effects: wants.Effects,
	}
	for _, f := range fields {
		g.Fields = append(g.Fields, namedType{f.Name, f.Type.String()})
	}
	if g.By == nil {
		g.By = []string{}
	}
	return g
}

// hello is what a reply comes to.
type hello struct {
	format string
	run.Description
}

// errProtocol is an answer that is none of the protocol's.
var errProtocol = errors.New("no protocol")

// readReply reads a worker's first line. What it says of columns is checked
// against the fields and the key of the logic.
func readReply(line []byte, fields []recount.Field, by []string) (hello, error) {
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		if looksLikeReply(line) {
			return hello{}, fmt.Errorf("its first line is not as docs/worker-protocol.md says: %w", err)
		}
		return hello{}, errProtocol
	}
	if r.Failed != "" {
		return hello{}, fmt.Errorf("it says: %s", tidy(r.Failed))
	}
	if r.Recount == nil {
		return hello{}, errProtocol
	}
	if *r.Recount != protocol {
		return hello{}, fmt.Errorf("it speaks version %d of the protocol, and this program version %d", *r.Recount, protocol)
	}
	if r.Format != formatArrow && r.Format != formatNDJSON {
		return hello{}, fmt.Errorf("its format is %q: it can be arrow or ndjson", clip(r.Format))
	}
	h := hello{format: r.Format, Description: run.Description{State: r.State, Effects: r.Effects}}
	var err error
	if h.Columns, err = resultColumns(r.Columns); err != nil {
		return hello{}, err
	}
	h.Reads, err = readColumns(r.Reads, fields, by)
	return h, err
}

// looksLikeReply tells a reply that is wrong from a line that is none.
func looksLikeReply(line []byte) bool {
	var any map[string]json.RawMessage
	return json.Unmarshal(line, &any) == nil && any["recount"] != nil
}

const mostColumns = 1000

func resultColumns(list []namedType) ([]recount.Column, error) {
	if len(list) == 0 {
		return nil, errors.New("its first line names no columns: it needs those of its rows, such as {\"name\":\"total\",\"type\":\"decimal(18,2)\"}")
	}
	if len(list) > mostColumns {
		return nil, fmt.Errorf("it names %d columns; %d are the most", len(list), mostColumns)
	}
	var columns []recount.Column
	for _, c := range list {
		t, err := recount.ParseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("its column %q: %w", clip(c.Name), err)
		}
		if c.Name == "" || strings.HasPrefix(c.Name, "recount_") || tidy(c.Name) != c.Name {
			return nil, fmt.Errorf("its column %q cannot have that name", clip(c.Name))
		}
		if slices.ContainsFunc(columns, func(o recount.Column) bool { return strings.EqualFold(o.Name, c.Name) }) {
			return nil, fmt.Errorf("it names the column %q twice", clip(c.Name))
		}
		columns = append(columns, recount.Column{Name: c.Name, Type: t, Nullable: true})
	}
	return columns, nil
}

// readColumns lists what a worker reads: the key's fields always.
func readColumns(reads []string, fields []recount.Field, by []string) ([]string, error) {
	list := slices.Clone(by)
	if reads == nil {
		reads = slices.Clone(usual)
		for _, f := range fields {
			reads = append(reads, f.Name)
		}
	}
	for _, name := range reads {
		known := slices.Contains(envelope, name) || slices.ContainsFunc(fields, func(f recount.Field) bool { return f.Name == name })
		if !known {
			return nil, fmt.Errorf("it reads %q, which is neither a field of the source nor a column of the envelope", clip(name))
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, nil
}
