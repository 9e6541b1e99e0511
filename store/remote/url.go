// Package remote is what stores behind a network share: how their URL is read,
// how an object is kept until its size is known, and how one is read by pieces.
// It knows no service.
package remote

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/store"
)

// URL is where an archive lies: scheme://Host/Prefix?key=value.
type URL struct {
	Scheme string
	Host   string
	Prefix string // without "/" at either end; may be empty
	query  url.Values
}

// Parse reads the URL of an archive. keys are the query keys that the store
// knows; another one is refused by name. A URL never holds a secret: one with a
// user or password is refused, and no error repeats it.
func Parse(text, scheme string, keys ...string) (URL, error) {
	form := scheme + "://bucket/prefix"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return URL{}, malformed(form, form, "it is no URL") // its text may hold a secret
	case u.Scheme != scheme || u.Opaque != "" || u.Host == "":
		return URL{}, malformed(form, form, "it does not have that form")
	}
	where := scheme + "://" + u.Host + u.Path
	prefix := strings.Trim(u.Path, "/")
	switch {
	case u.User != nil:
		return URL{}, malformed(where, form, "it holds a user or a password; credentials come from the environment of the store, never from the URL")
	case u.Fragment != "":
		return URL{}, malformed(where, form, "it has a part after #")
	case prefix != "" && store.CheckName(prefix) != nil:
		return URL{}, malformed(where, form, "its folder has an empty part, '.', '..', a backslash or a control character")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return URL{}, malformed(where, form, "what follows ? is no list of key=value")
	}
	for key, values := range query {
		if !slices.Contains(keys, key) {
			return URL{}, malformed(where, form, unknownKey(key, keys))
		}
		if len(values) > 1 {
			return URL{}, malformed(where, form, fmt.Sprintf("the key %q stands twice", key))
		}
	}
	return URL{Scheme: scheme, Host: u.Host, Prefix: prefix, query: query}, nil
}

func unknownKey(key string, keys []string) string {
	if near := recount.Nearest(key, keys); near != "" {
		return fmt.Sprintf("the key %q is not known; did you mean %q?", key, near)
	}
	if len(keys) == 0 {
		return fmt.Sprintf("the key %q is not known; there are none", key)
	}
	return fmt.Sprintf("the key %q is not known; there are %s", key, strings.Join(keys, ", "))
}

func malformed(where, form, why string) error {
	return &recount.Error{
		Code: recount.CodeConfig, What: "the archive's URL has a mistake", Where: "archive: " + where, Why: why,
		Next: "write archive: " + form + " in recount.yaml; docs/stores.md lists the keys",
	}
}

// String returns the URL without its query.
func (u URL) String() string {
	if u.Prefix == "" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host + "/" + u.Prefix
}

// Get returns the value of a query key, or "".
func (u URL) Get(key string) string { return u.query.Get(key) }

// Bool returns a key's true or false, or otherwise where the key is not there.
func (u URL) Bool(key string, otherwise bool) (bool, error) {
	text := u.Get(key)
	if text == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, malformed(u.String(), u.Scheme+"://bucket/prefix", fmt.Sprintf("the key %q takes true or false", key))
	}
	return b, nil
}

// Endpoint returns the key endpoint: the address of a server that is not the
// service's own, or "".
func (u URL) Endpoint() (string, error) {
	text := u.Get("endpoint")
	if text == "" {
		return "", nil
	}
	e, err := url.Parse(text)
	if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Fragment != "" {
		return "", malformed(u.String(), u.Scheme+"://bucket/prefix", "the key \"endpoint\" takes http://host:port or https://host:port, without a user or password")
	}
	return strings.TrimSuffix(text, "/"), nil
}

// own begins the names of the stores' own objects. No object's name has a part
// that begins so.
const own = ".recount-"

// Own returns the name of an object that belongs to the store itself.
func Own(name string) string { return own + name }

// IsOwn says whether a name, or a part of it, belongs to the store itself.
func IsOwn(name string) bool {
	return strings.HasPrefix(name, own) || strings.Contains(name, "/"+own)
}

// CheckName is store.CheckName, and refuses the names of the store's own objects.
func CheckName(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if IsOwn(name) {
		return &recount.Error{
			Code: recount.CodeStorage, What: "an object's name is not allowed", Where: name,
			Why:  fmt.Sprintf("names that begin with %s are the store's own", own),
			Next: "rename the stream or file that the name was made from",
		}
	}
	return nil
}

// Key returns the object's key below the URL's prefix.
func (u URL) Key(name string) string {
	if u.Prefix == "" {
		return name
	}
	return u.Prefix + "/" + name
}

// Name is the reverse of Key.
func (u URL) Name(key string) string {
	if u.Prefix == "" {
		return key
	}
	return strings.TrimPrefix(key, u.Prefix+"/")
}
