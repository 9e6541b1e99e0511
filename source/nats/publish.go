package nats

import (
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"recount/source"
)

// Reads says whether a subject belongs to a stream of this source.
func (s *Source) Reads(destination string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	js, err := s.connect()
	if err != nil {
		return true // nothing is published where that is not known
	}
	stream, err := js.StreamNameBySubject(ctx, destination)
	if err != nil {
		return false
	}
	return slices.Contains(s.config.Streams, stream)
}

// Publisher opens a subject, which a stream must keep.
func (s *Source) Publisher(ctx context.Context, destination string) (source.Publisher, error) {
	js, err := s.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stream, err := js.StreamNameBySubject(ctx, destination)
	if err != nil {
		return nil, s.explained("look for the stream of subject "+destination, err)
	}
	return &publisher{source: s, subject: destination, stream: stream}, nil
}

// publisher writes to one subject, a message after the other is acknowledged, so
// that all stay in order.
type publisher struct {
	source  *Source
	subject string
	stream  string
}

// Publish returns when all messages are acknowledged. A message carries its place
// in the archive as its id, so that a stream which looks for repeats keeps it once.
func (p *publisher) Publish(ctx context.Context, messages []source.Message) error {
	for _, m := range messages {
		out := nats.NewMsg(p.subject)
		out.Data = m.Data
		var id []string
		for _, h := range m.Headers {
			if h.Name == subjectHeader {
				continue
			}
			if h.Name == source.HeaderReplay || h.Name == source.HeaderPosition {
				id = append(id, string(h.Value))
			}
			out.Header.Add(h.Name, string(h.Value))
		}
		if len(id) > 0 {
			out.Header.Set(jetstream.MsgIDHeader, strings.Join(id, " "))
		}
		if _, err := p.source.js.PublishMsg(ctx, out); err != nil {
			return p.source.explained("publish to subject "+p.subject, err)
		}
	}
	return nil
}

// Published looks through the whole subject.
func (p *publisher) Published(ctx context.Context, name, value string, each func(partition, position string)) error {
	v, err := p.source.look(ctx, p.stream)
	if err != nil {
		return err
	}
	config := p.source.config
	config.Subjects = []string{p.subject}
	reader := &Source{env: p.source.env, config: config, decoder: p.source.decoder, conn: p.source.conn, js: p.source.js}
	consumer, err := p.source.js.OrderedConsumer(ctx, p.stream, jetstream.OrderedConsumerConfig{FilterSubjects: config.Subjects, HeadersOnly: true})
	if err != nil {
		return p.source.explained("look through subject "+p.subject, err)
	}
	for next := v.first; next <= v.last; {
		messages, err := reader.fetch(ctx, consumer)
		if err != nil {
			return p.source.explained("look through subject "+p.subject, err)
		}
		if len(messages) == 0 {
			break
		}
		for _, m := range messages {
			next = m.sequence + 1
			place := m.Headers().Get(source.HeaderPosition)
			if at := strings.LastIndexByte(place, '@'); m.Headers().Get(name) == value && at >= 0 {
				each(place[:at], place[at+1:])
			}
		}
	}
	return nil
}

// Close leaves the source's connection open.
func (p *publisher) Close() error { return nil }

var (
	_ source.Waiter  = (*Source)(nil)
	_ source.Spanned = (*Source)(nil)
	_ source.Resumer = (*Source)(nil)
	_ source.Bus     = (*Source)(nil)
)
