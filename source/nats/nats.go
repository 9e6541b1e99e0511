// Package nats is the source whose events are the messages of NATS JetStream
// streams. It reads by ordered consumers of its own, which keep nothing in the
// server: how far it has read stands in the archive.
//
// A stream is a partition, called by the stream's name; one that was deleted and
// made anew goes on as ORDERS@2, and what was not read of the old one is told as
// lost, without an end. A position is the message's sequence in the stream, in 20
// digits. Sequences without a message are told as gaps: what the stream's limits
// removed before it was read, what was deleted or overwritten inside, and what
// Recount published itself. A message's subject is its header Nats-Subject, the
// name that NATS itself uses for it; headers stand in the order of their names,
// since the client does not tell another.
package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/payload"
	"recount/source/record"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Source, "nats", "Reads events from streams of NATS JetStream.", Open))
}

// Config is the block `nats` of a source.
type Config struct {
	Servers  []string       `json:"servers" doc:"Addresses of servers, such as nats://127.0.0.1:4222 or tls://host:4222."`
	Streams  []string       `json:"streams" doc:"The JetStream streams, each a partition of its name."`
	Subjects []string       `json:"subjects" doc:"Read these subjects alone, with NATS's wildcards; all where there is none."`
	User     string         `json:"user" doc:"The user."`
	Password recount.Secret `json:"password" doc:"The user's password, as env:NAME or file:PATH." secret:"true"`
	Token    recount.Secret `json:"token" doc:"The token, where the server asks for one." secret:"true"`
	Creds    string         `json:"creds" doc:"The path of a credentials file with the user's JWT and seed."`
	CA       string         `json:"ca" doc:"The authorities that the servers' certificates come from, as PEM: file:ca.pem."`

	record.Values
}

const (
	subjectHeader = "Nats-Subject"
	patience      = 10 * time.Second // for one answer
)

// Source reads streams. Its connection stays open between two reads.
type Source struct {
	env     adapter.Env
	config  Config
	decoder *record.Decoder
	conn    *nats.Conn
	js      jetstream.JetStream
}

// Open checks the block; it connects at first use.
func Open(_ context.Context, env adapter.Env, config Config) (source.Source, error) {
	s := &Source{env: env, config: config}
	switch {
	case len(config.Servers) == 0:
		return nil, s.misconfigured("no server is named", "servers: is empty", `write servers: ["nats://host:4222"]`)
	case len(config.Streams) == 0:
		return nil, s.misconfigured("no stream is named", "streams: is empty", "write streams: [ORDERS]")
	}
	seen := map[string]bool{}
	for _, name := range config.Streams {
		if strings.TrimSpace(name) == "" || strings.ContainsAny(name, ".*> @") || seen[name] {
			return nil, s.misconfigured(fmt.Sprintf("stream %q cannot be read", name), "streams: holds a name that no stream can have, or one twice", "correct it")
		}
		seen[name] = true
	}
	if _, err := payload.Own(env.Mapping.Payload); err != nil {
		return nil, recount.Located(err, s.where())
	}
	var err error
	s.decoder, err = record.New(record.Options{Mapping: env.Mapping, Values: config.Values, Where: s.where()})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Source) where() string { return fmt.Sprintf("source %q, nats", s.env.Stream) }

func (s *Source) misconfigured(what, why, next string) error {
	return &recount.Error{Code: recount.CodeConfig, What: what, Where: s.where(), Why: why, Next: next}
}

// Info says what the stream is like.
func (s *Source) Info() source.Info {
	own, _ := payload.Own(s.env.Mapping.Payload) // Open has read the path
	return source.Info{
		HasID: s.decoder.HasID(), Dense: len(s.config.Subjects) == 0, Own: own,
		Place: "nats " + strings.Join(s.config.Streams, ", "),
	}
}

// Decoder reads archived messages again.
func (s *Source) Decoder(format, header string) (source.Decoder, error) {
	return s.decoder.Again(format, header)
}

// Close ends the connection.
func (s *Source) Close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return nil
}

// Check looks for the streams.
func (s *Source) Check(ctx context.Context) error {
	for _, name := range s.config.Streams {
		if _, err := s.look(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// connect connects once. The client connects again by itself where the connection
// is lost; what was asked meanwhile fails, and is asked again at the next reading.
func (s *Source) connect() (jetstream.JetStream, error) {
	if s.js != nil {
		return s.js, nil
	}
	options := []nats.Option{nats.Name("recount"), nats.Timeout(patience), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second / 4)}
	switch {
	case s.config.User != "":
		options = append(options, nats.UserInfo(s.config.User, s.config.Password.Reveal()))
	case s.config.Token != "":
		options = append(options, nats.Token(s.config.Token.Reveal()))
	case s.config.Creds != "":
		options = append(options, nats.UserCredentials(s.path()))
	}
	if s.config.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(s.config.CA)) {
			return nil, s.misconfigured("ca: holds no certificate", "its text is no PEM", "write ca: file:PATH of a PEM file")
		}
		options = append(options, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	conn, err := nats.Connect(strings.Join(s.config.Servers, ","), options...)
	if err != nil {
		return nil, s.explained("connect", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, s.explained("open JetStream", err)
	}
	s.conn, s.js = conn, js
	return js, nil
}

// path is the credentials file, relative to the project folder.
func (s *Source) path() string {
	if filepath.IsAbs(s.config.Creds) {
		return s.config.Creds
	}
	return filepath.Join(s.env.Dir, s.config.Creds)
}

// explained turns the client's words into an error for a person.
func (s *Source) explained(act string, err error) error {
	var own *recount.Error
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", act, err)
	}
	e := &recount.Error{Code: recount.CodeSourceDown, What: "NATS cannot be read", Where: s.where(), Why: act + ": " + err.Error(), Err: err}
	_, network := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrPermissionViolation):
		e.Code, e.What = recount.CodeSourceAccess, "NATS refused who asks"
		e.Next = "check user, token or creds of the source, and that they may read the streams by JetStream's API"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		e.Code, e.What = recount.CodeNoTopic, "a stream does not exist"
		e.Next = "check streams: of the source"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		e.Code, e.What = recount.CodeConfig, "the server has no JetStream"
		e.Next = "name a server or an account that has JetStream; messages outside of it are not kept"
	default:
		if network || passes(err) {
			e.Err = errors.Join(recount.ErrUnreachable, err)
		}
		e.Next = "check servers: of the source, and that they run; nothing is lost, and the next run goes on from the archive's cursor"
	}
	return e
}

// passes says whether the same may succeed later with nothing changed.
func passes(err error) bool {
	for _, passing := range []error{
		context.DeadlineExceeded, nats.ErrNoServers, nats.ErrTimeout, nats.ErrConnectionClosed, nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrNoResponders,
		nats.ErrStaleConnection, jetstream.ErrNoHeartbeat, jetstream.ErrConsumerDeleted, jetstream.ErrServerShutdown,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	const unavailable = 503
	return ok && api.Code == unavailable
}
