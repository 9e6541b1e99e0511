package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"recount"
)

const (
	// maxMessage is the largest message that is read or published, with its batch.
	maxMessage = 72 << 20
	// maxAnswer bounds what a broker may send at once: a message more than was
	// asked for comes where it is the first.
	maxAnswer = 256 << 20
	// patience is how long a broker that does not answer is asked again.
	patience = 12 * time.Second
)

func (s *Source) clientOptions() ([]kgo.Opt, error) {
	id := s.config.ClientID
	if id == "" {
		id = "recount"
	}
	// What is known of topics is asked anew with each look.
	const dial, metadata = 5 * time.Second, 10 * time.Millisecond
	options := []kgo.Opt{
		kgo.SeedBrokers(s.config.Brokers...), kgo.ClientID(id), kgo.DialTimeout(dial), kgo.MetadataMinAge(metadata),
		kgo.RetryTimeout(patience), kgo.BrokerMaxReadBytes(maxAnswer), kgo.BrokerMaxWriteBytes(maxAnswer),
		// A reader writes nothing, not even figures of its own.
		kgo.DisableClientMetrics(),
	}
	if s.config.TLS != nil {
		c, err := s.tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.DialTLSConfig(c))
	}
	if s.config.SASL != nil {
		m, err := s.mechanism()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(m))
	}
	return options, nil
}

func (s *Source) tlsConfig() (*tls.Config, error) {
	t := s.config.TLS
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	const next = "write file:PATH of a PEM file"
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, s.misconfigured("tls.ca holds no certificate", "the text is no PEM of certificates", next)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, s.misconfigured("the client's certificate is incomplete", "tls.cert and tls.key belong together", "give both, or neither")
	}
	if t.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key.Reveal()))
		if err != nil {
			// The parser's words hold no part of the key.
			return nil, s.misconfigured("the client's certificate cannot be read", err.Error(), next)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (s *Source) mechanism() (sasl.Mechanism, error) {
	c := s.config.SASL
	if c.User == "" || c.Password == "" {
		return nil, s.misconfigured("the login is incomplete", "sasl.user and sasl.password belong together", `write sasl: {mechanism: scram-sha-512, user: NAME, password: "env:KAFKA_PASSWORD"}`)
	}
	switch strings.ToLower(c.Mechanism) {
	case "plain":
		return plain.Auth{User: c.User, Pass: c.Password.Reveal()}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: c.User, Pass: c.Password.Reveal()}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: c.User, Pass: c.Password.Reveal()}.AsSha512Mechanism(), nil
	}
	return nil, s.misconfigured(fmt.Sprintf("login %q is not known", c.Mechanism), "sasl.mechanism is one of plain, scram-sha-256 and scram-sha-512", "correct it")
}

// explained turns the client's words into an error for a person. act is what was
// being done.
func (s *Source) explained(act string, err error) error {
	var own *recount.Error
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", act, err)
	}
	e := &recount.Error{Code: recount.CodeSourceDown, What: "Kafka cannot be read", Where: s.where() + " " + strings.Join(s.config.Brokers, ", "), Why: act + ": " + err.Error(), Err: err}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var verify *tls.CertificateVerificationError
	// The other side's word that ends a handshake has no type of its own.
	remote, _ := errors.AsType[*net.OpError](err)
	switch {
	case refused(err):
		e.Code, e.What = recount.CodeSourceAccess, "Kafka refused who asks"
		e.Next = "check sasl: of the source, and that its user may read and describe the topics"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &verify):
		e.Code, e.What = recount.CodeSourceAccess, "the broker's certificate is not trusted"
		e.Next = "give the authority of the brokers, tls: {ca: file:PATH}, or the name in their certificates, server_name:"
	case remote != nil && remote.Op == "remote error":
		e.Code, e.What = recount.CodeSourceAccess, "the broker refused the TLS connection"
		e.Next = "check tls.cert and tls.key of the source: the broker wants a certificate that its own authority signed"
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		e.Code, e.What = recount.CodeNoTopic, "a topic does not exist"
		e.Next = "check topics: of the source, and that its user may describe them"
	default:
		if passes(err) {
			e.What = "Kafka cannot be reached"
			e.Err = errors.Join(recount.ErrUnreachable, recount.ErrTransient, err)
		}
		e.Next = "check brokers: of the source, and that the brokers run; nothing is lost: the next run goes on where the archive ends"
	}
	return e
}

// passes says whether the same may succeed later with nothing changed.
func passes(err error) bool {
	if errors.Is(err, errAgain) || errors.Is(err, errMoved) || kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err) {
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// refused says whether a broker knows us and will not answer.
func refused(err error) bool {
	for _, code := range []error{
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
