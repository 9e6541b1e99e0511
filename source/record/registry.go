package record

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"recount"
)

// The bounds of what a registry may say.
const (
	registryTimeout = 15 * time.Second // of one answer
	maxAnswer       = 16 << 20
	maxReferences   = 500 // of one schema, those of its references included
)

// client asks a schema registry. It is safe for concurrent use.
type client struct {
	base           string
	user, password string
	http           *http.Client
	where          string
}

// newClient returns a client, or nil where no registry is given. It asks nothing.
func newClient(r Registry, where string) (*client, error) {
	if r.URL == "" {
		return nil, nil //nolint:nilnil // no registry, no client
	}
	fault := func(what, why string) error {
		return &recount.Error{Code: recount.CodeConfig, What: what, Where: where, Why: why, Next: "mend registry in the source's block"}
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault("registry.url is no address", "an address is http://HOST:PORT or https://HOST:PORT")
	}
	c := &client{base: strings.TrimRight(u.Redacted(), "/"), user: r.User, password: r.Password.Reveal(), where: where}
	if u.User != nil {
		return nil, fault("registry.url holds a user", "an address is shown and written down, a password must not be")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	if r.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(r.CA)) {
			return nil, fault("registry.ca holds no certificate", "it is PEM text that begins with -----BEGIN CERTIFICATE-----, or file:PATH of such a text")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	c.http = &http.Client{Transport: transport, Timeout: registryTimeout}
	return c, nil
}

// answer is what a registry says of a schema.
type answer struct {
	Schema     string `json:"schema"`
	Type       string `json:"schemaType"` //nolint:tagliatelle // the registry's word; empty: AVRO
	References []struct {
		Name    string `json:"name"`
		Subject string `json:"subject"`
		Version int    `json:"version"`
	} `json:"references"`
}

// byID returns the schema of that id with all that it refers to, or
// recount.ErrNotFound where the registry says that there is none. Every other
// error is a *recount.Error: the same may succeed later.
func (c *client) byID(ctx context.Context, id uint32) (*schema, error) {
	a, err := c.get(ctx, fmt.Sprintf("/schemas/ids/%d", id))
	if err != nil {
		return nil, err
	}
	s := &schema{ID: id, Type: kindOf(a.Type), Schema: a.Schema}
	err = c.follow(ctx, a, s, map[string]bool{})
	return s, err
}

// follow appends the schemas that a refers to, each after those that it needs.
func (c *client) follow(ctx context.Context, a answer, s *schema, seen map[string]bool) error {
	for _, r := range a.References {
		if seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		if len(seen) > maxReferences {
			return c.fault(fmt.Sprintf("schema %d refers to more than %d others", s.ID, maxReferences), "no more are followed", recount.ErrUnsupported)
		}
		// A version that was deleted is still what older values were written with.
		next, err := c.get(ctx, fmt.Sprintf("/subjects/%s/versions/%d?deleted=true", url.PathEscape(r.Subject), r.Version))
		if err != nil {
			return err
		}
		if err := c.follow(ctx, next, s, seen); err != nil {
			return err
		}
		s.References = append(s.References, reference{Name: r.Name, Schema: next.Schema})
	}
	return nil
}

func (c *client) get(ctx context.Context, path string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if c.user != "" {
		request.SetBasicAuth(c.user, c.password)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		return answer{}, c.fault("the schema registry cannot be reached", cause(err), recount.ErrUnreachable)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case response.StatusCode == http.StatusNotFound && notFound(body):
		return answer{}, recount.ErrNotFound
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return answer{}, c.fault("the schema registry refuses the user", "it answered "+response.Status, recount.ErrPermission)
	case response.StatusCode != http.StatusOK:
		return answer{}, c.fault("the schema registry gives no answer that can be used", "it answered "+response.Status, recount.ErrUnreachable)
	case err != nil:
		return answer{}, c.fault("the schema registry's answer broke off", cause(err), recount.ErrUnreachable)
	case len(body) > maxAnswer:
		return answer{}, c.fault("the schema registry's answer is too long", fmt.Sprintf("it has more than %d bytes", maxAnswer), recount.ErrUnsupported)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || a.Schema == "" {
		return answer{}, c.fault("the schema registry gives no answer that can be used", "what it says of "+path+" holds no schema", recount.ErrUnreachable)
	}
	return a, nil
}

// notFound says whether a registry means that it has no such schema. A server that
// is no registry, or a wrong path in front of one, answers 404 as well, and taking
// that for an answer would put every event aside.
func notFound(body []byte) bool {
	var said struct {
		Code int `json:"error_code"`
	}
	const subject, version, schema = 40401, 40402, 40403
	return json.Unmarshal(body, &said) == nil && (said.Code == subject || said.Code == version || said.Code == schema)
}

func (c *client) fault(what, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeRegistry, What: what, Where: "schema registry " + c.base + ", " + c.where, Why: why, Err: err,
		Next: "see that the registry answers and the user may read it, then run again; what is archived stays",
	}
}

// cause leaves the address out, which stands beside it.
func cause(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}
