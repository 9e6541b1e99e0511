// Package kafka is the source whose events are the records of Kafka topics. It
// reads committed records alone, never joins a consumer group and never commits
// an offset: how far it has read stands in the archive.
//
// A partition is named by its number where the source has one topic, and
// topic-number where it has several. A partition keeps its name when topics are
// added or taken away. A position is the record's offset in 20 digits.
//
// Offsets without a record are told as gaps: what the broker keeps for itself and
// what was aborted, what compaction took away, what retention deleted before it
// was read, and what Recount published itself.
//
// Where a topic was deleted and made anew, or its log was cut back, offsets begin
// to mean other records. The partition then goes on under a new name, 3@2 after 3,
// and everything from the old cursor on is told as lost, without an end: how much
// of it there was nobody knows any more.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/payload"
	"recount/source/record"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Source, "kafka", "Reads events from topics of Apache Kafka, 2.8 or newer, or of a bus that speaks its protocol.", Open))
}

// Config is the block `kafka` of a source.
type Config struct {
	Brokers  []string `json:"brokers" doc:"Addresses of brokers, host:port; one is enough to find the others."`
	Topics   []string `json:"topics" doc:"The topics of the stream. Partitions are called 3 where there is one topic, and orders-3 where there are several."`
	ClientID string   `json:"client_id" doc:"The name under which brokers see this client." default:"recount"`
	TLS      *TLS     `json:"tls" doc:"Connect with TLS: {ca, cert, key, server_name}, PEM as file:PATH; without ca, the authorities of the system are trusted."`
	SASL     *SASL    `json:"sasl" doc:"Log in: {mechanism, user, password}; mechanism is plain, scram-sha-256 or scram-sha-512."`
	record.Values
}

// TLS is how brokers are known, and the client to them.
type TLS struct {
	CA         string         `json:"ca" doc:"The authorities that certificates of brokers come from, as PEM: file:ca.pem; none: those of the system."`
	Cert       string         `json:"cert" doc:"The client's own certificate, as PEM: file:client.pem."`
	Key        recount.Secret `json:"key" doc:"The key of the client's certificate, as PEM: file:client.key." secret:"true"`
	ServerName string         `json:"server_name" doc:"The name that the certificates carry, where it is not the broker's host."`
}

// SASL is a login.
type SASL struct {
	Mechanism string         `json:"mechanism" doc:"plain, scram-sha-256 or scram-sha-512."`
	User      string         `json:"user" doc:"The user."`
	Password  recount.Secret `json:"password" doc:"The password, as env:NAME or file:PATH." secret:"true"`
}

// Source reads topics. Its client stays connected between two reads.
type Source struct {
	env     adapter.Env
	config  Config
	decoder *record.Decoder
	options []kgo.Opt
	client  *kgo.Client
	admin   *kadm.Client
	// delivery is how long a message waits for its acknowledgement; 0: as usual.
	delivery time.Duration
}

// Open checks the block; it connects at first use.
func Open(_ context.Context, env adapter.Env, config Config) (source.Source, error) {
	if env.Now == nil {
		return nil, errors.New("open kafka: the source was given no clock")
	}
	s := &Source{env: env, config: config}
	if err := s.checkConfig(); err != nil {
		return nil, err
	}
	var err error
	if s.decoder, err = record.New(record.Options{Mapping: env.Mapping, Values: config.Values, Keyed: true, Where: s.where()}); err != nil {
		return nil, err
	}
	if s.options, err = s.clientOptions(); err != nil {
		return nil, err
	}
	if s.client, err = kgo.NewClient(s.options...); err != nil {
		return nil, s.misconfigured("the client cannot be made", err.Error(), "correct the block kafka:")
	}
	s.admin = kadm.NewClient(s.client)
	return s, nil
}

func (s *Source) where() string { return fmt.Sprintf("source %q, kafka", s.env.Stream) }

func (s *Source) misconfigured(what, why, next string) error {
	return &recount.Error{Code: recount.CodeConfig, What: what, Where: s.where(), Why: why, Next: next}
}

func (s *Source) checkConfig() error {
	seen := map[string]bool{}
	switch {
	case len(s.config.Brokers) == 0:
		return s.misconfigured("no broker is named", "brokers: is empty", `write brokers: ["host:9092"]`)
	case len(s.config.Topics) == 0:
		return s.misconfigured("no topic is named", "topics: is empty", "write topics: [orders]")
	}
	for _, b := range s.config.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return s.misconfigured(fmt.Sprintf("broker %q cannot be read", b), "an address is a host and a port", `write brokers: ["host:9092"]`)
		}
	}
	for _, topic := range s.config.Topics {
		if strings.TrimSpace(topic) == "" || seen[topic] {
			return s.misconfigured(fmt.Sprintf("topic %q cannot be read", topic), "topics: holds an empty text, or a topic twice", "remove it")
		}
		seen[topic] = true
	}
	if _, err := payload.Own(s.env.Mapping.Payload); err != nil {
		return recount.Located(err, s.where())
	}
	return nil
}

// Info says what the stream is like.
func (s *Source) Info() source.Info {
	own, _ := payload.Own(s.env.Mapping.Payload) // Open has read the path
	return source.Info{
		HasID: s.decoder.HasID(), Dense: true, Own: own,
		Place: "kafka " + strings.Join(s.config.Brokers, ",") + ", " + strings.Join(s.config.Topics, ", "),
	}
}

// Decoder reads archived records again.
func (s *Source) Decoder(format, header string) (source.Decoder, error) {
	return s.decoder.Again(format, header)
}

// Close ends the connections.
func (s *Source) Close() error {
	s.client.Close()
	return nil
}
