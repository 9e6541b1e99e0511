package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"recount"
	"recount/source/payload/derive"
)

// The media types of structured CloudEvents.
const (
	cloudEvents     = "application/cloudevents"
	cloudEventsJSON = "application/cloudevents+json"
	cloudEventsMany = "application/cloudevents-batch"
)

// attribute is one attribute of a CloudEvent, its value as JSON.
type attribute struct {
	name  string
	value []byte
}

// cloudEvent finds the CloudEvent of a record: in headers that begin with ce_
// (Kafka) or ce- (NATS, HTTP), or the value itself.
func (s *session) cloudEvent(e *recount.Event) (opened, error) {
	content := contentType(e.Headers)
	media, _, err := mime.ParseMediaType(content)
	if err != nil {
		media = strings.ToLower(strings.TrimSpace(content))
	}
	attributes := binaryMode(e.Headers)
	switch {
	case strings.HasPrefix(media, cloudEventsMany):
		return opened{}, errors.New("it is a batch of CloudEvents, and a record is one event: have the producer send each in a record of its own")
	case strings.HasPrefix(media, cloudEvents) && media != cloudEventsJSON:
		return opened{}, fmt.Errorf("it is a structured CloudEvent written as %s; %s is read", media, cloudEventsJSON)
	case media == cloudEventsJSON:
		return s.structured(e)
	case len(attributes) == 0 && e.Data == nil: // a tombstone
		return opened{gone: true}, nil
	case len(attributes) == 0: // a bus without headers
		return s.structured(e)
	}
	if content != "" {
		attributes = append(attributes, attribute{"datacontenttype", derive.String(nil, content)})
	}
	o := opened{envelope: s.cloudEnvelope(attributes)}
	if e.Data != nil && (s.body.asks || s.values.needsRegistry()) {
		o.body, o.derived, o.bodyFault = s.decode(e.Data)
	}
	return o, nil
}

func contentType(headers []recount.Header) string {
	for _, h := range headers {
		if strings.EqualFold(h.Name, "content-type") || strings.EqualFold(h.Name, "contenttype") {
			return string(h.Value)
		}
	}
	return ""
}

// binaryMode returns the attributes that lie in headers.
func binaryMode(headers []recount.Header) []attribute {
	var list []attribute
	at := map[string]int{}
	for _, h := range headers {
		const prefix = len("ce_")
		if len(h.Name) <= prefix || !strings.EqualFold(h.Name[:2], "ce") || h.Name[2] != '_' && h.Name[2] != '-' || h.Value == nil {
			continue
		}
		name, value := strings.ToLower(h.Name[prefix:]), string(h.Value)
		if h.Name[2] == '-' { // HTTP and NATS encode what a header cannot hold
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
		}
		a := attribute{name, derive.String(nil, value)}
		if i, twice := at[name]; twice {
			list[i] = a // the last one counts, as for all headers
			continue
		}
		at[name] = len(list)
		list = append(list, a)
	}
	return list
}

// structured reads a value that is the CloudEvent.
func (s *session) structured(e *recount.Event) (opened, error) {
	list, err := object(e.Data)
	if err != nil {
		return opened{}, fmt.Errorf("it is no CloudEvent: it has no ce_ headers, and as a JSON object it is broken: %w", err)
	}
	if list.get("specversion") == nil {
		return opened{}, errors.New("it is no CloudEvent: it has no ce_ headers, and its value has no specversion")
	}
	var attributes []attribute
	for _, m := range list {
		if m.Key != "data" && m.Key != "data_base64" {
			attributes = append(attributes, attribute{m.Key, m.Value})
		}
	}
	o := opened{envelope: s.cloudEnvelope(attributes)}
	data, binary := list.get("data"), list.get("data_base64")
	switch {
	case !s.body.asks:
	case data != nil && binary != nil:
		o.bodyFault = errors.New("the CloudEvent has both data and data_base64")
	case data != nil:
		o.body = unwrapped(data)
	case binary != nil:
		plain, err := base64.StdEncoding.DecodeString(textOf(binary))
		if err != nil {
			o.bodyFault = fmt.Errorf("data_base64 is no Base64: %w", err)
			break
		}
		o.body, o.derived, o.bodyFault = s.decode(plain)
	}
	return o, nil
}

// cloudEnvelope is the document of the attributes, with what names the event and
// says its time.
func (s *session) cloudEnvelope(attributes []attribute) []byte {
	doc := []byte{'{'}
	text := map[string]string{}
	at := derive.Stamp(nil, s.at, false)
	for _, a := range attributes {
		doc = append(append(append(derive.String(doc, a.name), ':'), a.value...), ',')
		switch a.name {
		case "source", "id":
			text[a.name] = textOf(a.value)
		case "time":
			at = a.value
		}
	}
	if text["source"] != "" && text["id"] != "" {
		doc = append(derive.String(doc, strings.TrimPrefix(pathIdentity, partEnvelope)), ':')
		doc = append(derive.String(doc, text["source"]+" "+text["id"]), ',')
	}
	return endEnvelope(doc, at)
}

// endEnvelope closes a document of members, each with a comma after it.
func endEnvelope(doc, at []byte) []byte {
	doc = append(derive.String(doc, eventTime), ':')
	return append(append(doc, at...), '}')
}
