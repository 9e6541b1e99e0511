package config

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"recount"
	"recount/adapter"
)

// diskStore is the store of folders. Its block has the key path.
const diskStore = "disk"

// archive reads where the archive lies. It is the one text that is no reference:
// file: begins an URL there.
func (l *loader) archive(v value) {
	text, ok := v.raw()
	if !ok {
		return
	}
	name, key, place, ok := l.archivePlace(v, text)
	if !ok {
		return
	}
	spec, ok := l.reg.Lookup(adapter.Store, name)
	if !ok {
		v.r.problemAs(recount.CodeUnsupported, nextMend, v.at(), "archive: this program was built without the store %q", name)
		return
	}
	config := spec.NewConfig()
	setDefaults(reflect.ValueOf(config).Elem())
	setText(reflect.ValueOf(config).Elem(), key, place)
	l.project.Archive = ArchiveConfig{Adapter: name, Config: config, URL: text}
}

// archivePlace says which store a text means, and the key of its block that takes
// the place: path for a folder, url for all others, whose scheme is their name.
func (l *loader) archivePlace(v value, text string) (name, key, place string, ok bool) {
	scheme, _, hasScheme := strings.Cut(text, ":")
	switch {
	case strings.TrimSpace(text) == "":
		v.problem("the folder is empty")
		return "", "", "", false
	case !hasScheme || strings.ContainsAny(scheme, `/\.`) || len(scheme) < 2: // a folder, or a drive letter
		return diskStore, "path", text, true
	case scheme != "file":
		if spec, known := l.reg.Lookup(adapter.Store, scheme); known && slices.ContainsFunc(spec.Keys(), func(k adapter.Key) bool { return k.Name == "url" }) {
			return scheme, "url", text, true
		}
		v.r.problemAs(recount.CodeUnsupported, nextMend, v.at(),
			"archive: %q is not supported; the archive can be a folder, %s", clip(scheme)+":", l.otherPlaces())
		return "", "", "", false
	}
	u, err := url.Parse(text)
	if err != nil || u.Path == "" || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" {
		v.problem("%q is no folder's URL; write file:/ and the absolute path", text)
		return "", "", "", false
	}
	return diskStore, "path", u.Path, true
}

// otherPlaces lists what an archive can be besides a folder.
func (l *loader) otherPlaces() string {
	const file = "file:/ and its absolute path"
	var list []string
	for _, name := range l.reg.Names(adapter.Store) {
		spec, _ := l.reg.Lookup(adapter.Store, name)
		if slices.ContainsFunc(spec.Keys(), func(k adapter.Key) bool { return k.Name == "url" }) {
			list = append(list, name+"://")
		}
	}
	if len(list) == 0 {
		return "or " + file
	}
	return file + ", or an URL of " + strings.Join(list, ", ")
}

func setText(into reflect.Value, key, text string) {
	for i := range into.NumField() {
		if keyOf(into.Type().Field(i)) == key && into.Field(i).Kind() == reflect.String {
			into.Field(i).SetString(text)
		}
	}
}

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
