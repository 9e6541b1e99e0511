package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"recount"
	"recount/adapter"
)

// StoreAt is the store of a place as archive: may name it: a folder, or an URL
// whose scheme is the name of a store.
func StoreAt(reg *adapter.Registry, text string) (ArchiveConfig, error) {
	name, key := diskStore, "path"
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		name, key = scheme, "url"
	}
	spec, ok := reg.Lookup(adapter.Store, name)
	if !ok || !slices.ContainsFunc(spec.Keys(), func(k adapter.Key) bool { return k.Name == key }) {
		return ArchiveConfig{}, &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("%q is no store", clip(text)),
			Why: "this program has no store of that name", Next: "write a folder, " + (&loader{reg: reg}).otherPlaces(),
		}
	}
	config := spec.NewConfig()
	setDefaults(reflect.ValueOf(config).Elem())
	setText(reflect.ValueOf(config).Elem(), key, text)
	return ArchiveConfig{Adapter: name, Config: config, URL: text}, nil
}
