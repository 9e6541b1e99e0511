package record

import (
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/source/payload"
)

// Values is the part of an adapter's block that says how a record's value becomes
// fields. An adapter embeds it, so that its keys are the block's own.
type Values struct {
	Format   string   `json:"format" doc:"How values are encoded: json, json-schema, avro, protobuf or raw. json-schema, avro and protobuf are the wire format of a schema registry." default:"json"`
	Envelope string   `json:"envelope" doc:"What wraps the fields in a value: none, cloudevents or debezium." default:"none"`
	Registry Registry `json:"registry" doc:"The schema registry of the values: {url, user, password, ca}; ca holds the authorities that its certificate comes from, as PEM: file:ca.pem."`
}

// Registry says where a schema registry is.
type Registry struct {
	URL      string         `json:"url" doc:"The address of the registry, such as https://registry:8081."`
	User     string         `json:"user" doc:"The user, or the key of an API."`
	Password recount.Secret `json:"password" doc:"The user's password, or the secret of an API, as env:NAME or file:PATH." secret:"true"`
	CA       string         `json:"ca" doc:"The authorities that its certificate comes from, as PEM: file:ca.pem."`
}

// The encodings of values. CSV and derived JSON come from files alone.
const (
	formatJSON       = payload.JSON
	formatJSONSchema = "json-schema" // JSON after the five bytes that name its schema
	formatAvro       = "avro"
	formatProtobuf   = "protobuf"
	formatRaw        = "raw"
)

// What wraps fields.
const (
	envelopeNone        = "none"
	envelopeCloudEvents = "cloudevents"
	envelopeDebezium    = "debezium"
)

var (
	formats   = []string{formatJSON, formatJSONSchema, formatAvro, formatProtobuf, formatRaw}
	envelopes = []string{envelopeNone, envelopeCloudEvents, envelopeDebezium}
)

// plain gives the keys that were left out their meaning.
func (v Values) plain() Values {
	if v.Format == "" {
		v.Format = formatJSON
	}
	if v.Envelope == "" {
		v.Envelope = envelopeNone
	}
	return v
}

// name is what the archive calls values of that encoding and envelope.
func (v Values) name() string {
	if v.Envelope == envelopeNone {
		return v.Format
	}
	return v.Format + "+" + v.Envelope
}

// named is the reverse of name.
func named(format string) Values {
	v := Values{}
	v.Format, v.Envelope, _ = strings.Cut(format, "+")
	return v.plain()
}

// framed says whether values begin with the id of their schema.
func (v Values) framed() bool {
	return v.Format == formatAvro || v.Format == formatProtobuf || v.Format == formatJSONSchema
}

// needsRegistry says whether values cannot be read without their schema.
func (v Values) needsRegistry() bool { return v.Format == formatAvro || v.Format == formatProtobuf }

// Completes says whether the values say the event's time themselves, so that the
// mapping may leave it out.
func (v Values) Completes() bool { return v.plain().Envelope != envelopeNone }

// Complete names in the mapping what the envelope has and the mapping leaves out.
// Again it changes nothing.
func (v Values) Complete(m *recount.Mapping) {
	given := map[*string]string{}
	switch v.plain().Envelope {
	case envelopeCloudEvents:
		given[&m.ID], given[&m.Type], given[&m.Time] = pathIdentity, "envelope:type", pathTime
	case envelopeDebezium:
		given[&m.Type], given[&m.Time] = pathOperation, pathTime
	}
	for into, path := range given {
		if *into == "" {
			*into = path
		}
	}
}

func (v Values) check(o Options) error {
	fault := func(what, why, next string) error {
		return &recount.Error{Code: recount.CodeConfig, What: what, Where: o.Where, Why: why, Next: next}
	}
	for _, key := range []struct {
		name, value string
		known       []string
	}{{"format", v.Format, formats}, {"envelope", v.Envelope, envelopes}} {
		if !slices.Contains(key.known, key.value) {
			list := strings.Join(key.known, ", ")
			next := "write one of " + list
			if near := recount.Nearest(key.value, key.known); near != "" {
				next = fmt.Sprintf("write %s: %s", key.name, near)
			}
			return fault(fmt.Sprintf("%s cannot be %q", key.name, key.value), "it is one of "+list, next)
		}
	}
	switch {
	case v.needsRegistry() && v.Registry.URL == "":
		return fault("format "+v.Format+" needs a schema registry", "values name their schema by an id alone", "give registry: {url: …}")
	case !v.framed() && v.Registry.URL != "":
		return fault("a registry is given, and values of format "+v.Format+" have no schema there", "only json-schema, avro and protobuf name one", "leave registry out, or write the format that the producers use")
	case o.Mapping.Payload != "" && v.Format != formatJSON:
		return fault("event.payload cannot be given", "copies of an event are compared by it in their bytes, and values of format "+v.Format+" are no JSON text", "leave it out")
	case v.Format == formatRaw && v.Envelope == envelopeDebezium:
		return fault("raw values have no envelope debezium", "it is in the value, and a raw value is not read", "write format: json or avro")
	}
	return v.checkPaths(o)
}

// checkPaths refuses paths that lead to what these values do not have.
func (v Values) checkPaths(o Options) error {
	for name, path := range paths(o.Mapping) {
		why, next := "", ""
		switch {
		case path == partKey && !o.Keyed:
			why, next = "records of this bus have no key", "name the column of the payload"
		case ofEnvelope(path) && v.Envelope == envelopeNone:
			why, next = "values have no envelope", "give the source envelope: cloudevents or debezium, or another path"
		case path == partTime && name != "time" && name != "ingest_time":
			why, next = "the time of a record is no column of its own", "use event.time or event.ingest_time for it; calculations read those"
		case v.Format == formatRaw && !ofRecord(path) && !ofEnvelope(path):
			why, next = "a raw value is not read", "name record:value, record:key, record:timestamp or header:NAME, or give the format that the values have"
		default:
			continue
		}
		return &recount.Error{Code: recount.CodeConfig, What: fmt.Sprintf("%s cannot be %q", name, path), Where: o.Where, Why: why, Next: next}
	}
	return nil
}

// paths yields what a mapping names, by the names of the columns.
func paths(m recount.Mapping) func(yield func(name, path string) bool) {
	return func(yield func(name, path string) bool) {
		for _, part := range []struct{ name, path string }{
			{"id", m.ID}, {"time", m.Time}, {"key", m.Key}, {"type", m.Type}, {"ingest_time", m.IngestTime},
		} {
			if part.path != "" && !yield(part.name, part.path) {
				return
			}
		}
		for _, f := range m.Fields {
			if !yield(f.Name, pathOf(f)) {
				return
			}
		}
	}
}

func pathOf(f recount.Field) string {
	if f.Path == "" {
		return f.Name
	}
	return f.Path
}
