package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"recount"
	"recount/source/payload/avrojson"
)

// schema is one schema of a registry, with all that it needs.
type schema struct {
	ID         uint32      `json:"id"`
	Type       string      `json:"type"` // avro, protobuf or json-schema
	Schema     string      `json:"schema"`
	References []reference `json:"references,omitempty"` // each after those that it needs

	once    sync.Once
	reads   valueReader
	problem error
}

type reference struct {
	Name   string `json:"name"`
	Schema string `json:"schema"`
}

// valueReader appends the canonical JSON of what follows a schema's id.
type valueReader func(b, data []byte) ([]byte, error)

// kindOf says a registry's type of schema in our words.
func kindOf(schemaType string) string {
	switch schemaType {
	case "", "AVRO":
		return formatAvro
	case "PROTOBUF":
		return formatProtobuf
	case "JSON":
		return formatJSONSchema
	}
	return strings.ToLower(schemaType)
}

// reader returns what reads values of the schema. It is made once; an error says
// why there can be none.
func (s *schema) reader() (valueReader, error) {
	s.once.Do(func() {
		// Both compilers read what a stranger registered. They are not known to
		// panic, and one that did would end every source beside this one.
		defer func() {
			if p := recover(); p != nil {
				s.problem = fmt.Errorf("the schema cannot be read: %v", p)
			}
		}()
		switch s.Type {
		case formatAvro:
			s.reads, s.problem = s.avro()
		case formatProtobuf:
			s.reads, s.problem = s.protobuf()
		}
	})
	return s.reads, s.problem
}

func (s *schema) avro() (valueReader, error) {
	var references []string
	for _, r := range s.References {
		references = append(references, r.Schema)
	}
	compiled, err := avrojson.Parse(s.Schema, references...)
	if err != nil {
		return nil, err
	}
	return func(b, data []byte) ([]byte, error) {
		b, rest, err := compiled.Append(b, data)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("%d bytes follow the value", len(rest))
		}
		return b, err
	}, nil
}

var (
	errNoFrame    = errors.New("it does not begin with the zero of a schema registry's wire format")
	errShortFrame = errors.New("it is too short to name its schema")
)

// frame splits a value in the wire format of a registry: a zero, four bytes of the
// schema's id, and what was written under it.
func frame(value []byte) (id uint32, rest []byte, err error) {
	const head = 5
	switch {
	case len(value) > 0 && value[0] != 0:
		return 0, nil, errNoFrame
	case len(value) < head:
		return 0, nil, errShortFrame
	}
	return binary.BigEndian.Uint32(value[1:head]), value[head:], nil
}

// shelf holds the schemas that a process has met. It is safe for concurrent use.
type shelf struct {
	mu     sync.Mutex
	client *client // nil: only what is there already
	byID   map[uint32]*schema
	used   library
}

func newShelf(c *client) *shelf {
	return &shelf{client: c, byID: map[uint32]*schema{}}
}

// find returns a schema; recount.ErrNotFound where there is none of that id.
func (s *shelf) find(ctx context.Context, id uint32) (*schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.byID[id]; ok {
		return known, nil
	}
	if s.client == nil {
		return nil, recount.ErrNotFound
	}
	found, err := s.client.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	found.compact()
	s.byID[id] = found
	return found, nil
}

// compact takes out what says nothing, as the schemas are kept with each file.
func (s *schema) compact() {
	if s.Type == formatProtobuf {
		return
	}
	s.Schema = avrojson.Compact(s.Schema)
	for i := range s.References {
		s.References[i].Schema = avrojson.Compact(s.References[i].Schema)
	}
}

// library is the set of schemas that the batches of a process keep. Events of all
// partitions share the files of an archive, and a file has one header, so that
// every new header begins a new file. A set that only grows makes as many headers
// as there are schemas, and none more when partitions or values take turns.
type library struct {
	schemas []*schema // by id
	header  string
}

// maxLibrary bounds what each file keeps; a larger set begins anew with what the
// batch at hand needs.
const maxLibrary = 1 << 20

// header returns what a batch that needs these schemas keeps.
func (s *shelf) header(needs map[uint32]*schema) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.used
	grown := l.schemas
	for _, n := range needs {
		if !slices.ContainsFunc(grown, func(has *schema) bool { return has.ID == n.ID }) {
			grown = append(slices.Clip(grown), n)
		}
	}
	if len(grown) == len(l.schemas) {
		return l.header, nil
	}
	header, err := writeHeader(grown)
	if err == nil && len(header) > maxLibrary {
		grown = nil
		for _, n := range needs {
			grown = append(grown, n)
		}
		header, err = writeHeader(grown)
	}
	if err != nil {
		return "", err
	}
	l.schemas, l.header = grown, header
	return header, nil
}

// kept is the header of a batch.
type kept struct {
	Schemas []*schema `json:"schemas"`
}

func writeHeader(schemas []*schema) (string, error) {
	slices.SortFunc(schemas, func(a, b *schema) int { return int(int64(a.ID) - int64(b.ID)) })
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(kept{schemas}); err != nil {
		return "", fmt.Errorf("write the header of a batch: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// readHeader is the reverse of writeHeader. An empty header has no schema.
func readHeader(header string) (*shelf, error) {
	s := newShelf(nil)
	if header == "" {
		return s, nil
	}
	var k kept
	if err := json.Unmarshal([]byte(header), &k); err != nil {
		return nil, &recount.Error{
			Code: recount.CodeDamaged, What: "the schemas of archived events cannot be read", Why: err.Error(), Err: err,
			Next: "run recount archive verify",
		}
	}
	for _, one := range k.Schemas {
		if one != nil {
			s.byID[one.ID] = one
		}
	}
	return s, nil
}
