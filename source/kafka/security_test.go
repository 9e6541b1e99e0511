package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	broker "recount/internal/servertest/kafka"
	"recount/source"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// sign returns a certificate and its key as PEM.
func (a authority) sign(t *testing.T, name string) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}

func TestTLSAndPasswords(t *testing.T) {
	t.Parallel() // it waits for a broker of its own most of the time
	const password = "sword-fish 7%"
	a, other := newAuthority(t), newAuthority(t)
	cert, key := a.sign(t, "localhost")
	own, ownKey := a.sign(t, "recount")
	b := broker.New(t, broker.Options{Secure: &broker.Secure{Key: key, Chain: cert, Clients: a.pem, Users: map[string]string{"recount": password}}})
	w := reach(t, b.Addr)
	topic := w.topic(t, 1)
	send(t, w.client(t), rows(topic, 0, 0, 3)...)
	w.addr = b.SecureAddr

	good := func(mechanism string) Config {
		return Config{
			TLS:  &TLS{CA: a.pem, Cert: own, Key: recount.Secret(ownKey)},
			SASL: &SASL{Mechanism: mechanism, User: "recount", Password: password},
		}
	}
	try := func(c Config) error {
		s := w.open(t, func(into *Config, _ *adapter.Env) { into.TLS, into.SASL = c.TLS, c.SASL }, topic)
		if err := s.Check(t.Context()); err != nil {
			return err
		}
		read(t, s, source.Cursor{}).want(t, log{"0": {"events 0-2"}})
		return nil
	}
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		if err := try(good(mechanism)); err != nil {
			t.Errorf("%s: got %v, want no error", mechanism, err)
		}
	}
	named := good("plain")
	named.TLS.ServerName = "localhost"
	if err := try(named); err != nil {
		t.Errorf("by another name: got %v, want no error", err)
	}
	for name, change := range map[string]func(*Config){
		"a wrong password":              func(c *Config) { c.SASL.Password = password + "!" },
		"a wrong password, scram":       func(c *Config) { c.SASL.Password, c.SASL.Mechanism = password+"!", "scram-sha-512" },
		"an authority that is not ours": func(c *Config) { c.TLS.CA = other.pem },
		"a name that is not the host's": func(c *Config) { c.TLS.ServerName = "elsewhere" },
		"no certificate of our own":     func(c *Config) { c.TLS.Cert, c.TLS.Key = "", "" },
	} {
		c := good("plain")
		change(&c)
		err := try(c)
		if err == nil {
			t.Errorf("%s: got no error", name)
		} else if e := recount.AsError(err); e.Code != recount.CodeSourceAccess {
			t.Errorf("%s: got %v, want CodeSourceAccess", name, err)
		} else if strings.Contains(e.Error()+e.Next, password) || strings.Contains(e.Error(), "PRIVATE") {
			t.Errorf("%s: the error holds a secret: %v", name, err)
		}
	}
}

func TestMistakesInTheBlock(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.sign(t, "recount")
	_, otherKey := a.sign(t, "recount")
	good := Config{Brokers: []string{"localhost:9092"}, Topics: []string{"orders"}}
	for name, change := range map[string]func(*Config){
		"no broker":               func(c *Config) { c.Brokers = nil },
		"no topic":                func(c *Config) { c.Topics = nil },
		"a topic twice":           func(c *Config) { c.Topics = []string{"a", "a"} },
		"an unknown format":       func(c *Config) { c.Format = "morse" },
		"a broker without a port": func(c *Config) { c.Brokers = []string{"localhost"} },
		"no PEM":                  func(c *Config) { c.TLS = &TLS{CA: "ca.pem"} },
		"half a certificate":      func(c *Config) { c.TLS = &TLS{Cert: cert} },
		"a key of another":        func(c *Config) { c.TLS = &TLS{Cert: cert, Key: recount.Secret(otherKey)} },
		"no password":             func(c *Config) { c.SASL = &SASL{Mechanism: "plain", User: "a"} },
		"an unknown login":        func(c *Config) { c.SASL = &SASL{Mechanism: "kerberos", User: "a", Password: "b"} },
	} {
		c := good
		change(&c)
		_, err := Open(t.Context(), adapter.Env{Stream: "orders", Mapping: mapping(), Now: now}, c)
		if err == nil {
			t.Errorf("%s: got no error", name)
		} else if e := recount.AsError(err); e.Code != recount.CodeConfig || e.Next == "" || !strings.Contains(e.Where, "orders") {
			t.Errorf("%s: got %v, want CodeConfig with its place", name, err)
		} else if strings.Contains(e.Error(), key) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
}
