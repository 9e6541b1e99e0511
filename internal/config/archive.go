package config

import (
	"net/url"
	"reflect"
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
	path, ok := archivePath(v, text)
	if !ok {
		return
	}
	spec, ok := l.reg.Lookup(adapter.Store, diskStore)
	if !ok {
		v.r.problemAs(recount.CodeUnsupported, nextMend, v.at(), "archive: this program was built without the store %q", diskStore)
		return
	}
	config := spec.NewConfig()
	setDefaults(reflect.ValueOf(config).Elem())
	setPath(reflect.ValueOf(config).Elem(), path)
	l.project.Archive = ArchiveConfig{Adapter: diskStore, Config: config, URL: text}
}

func archivePath(v value, text string) (string, bool) {
	scheme, _, hasScheme := strings.Cut(text, ":")
	switch {
	case strings.TrimSpace(text) == "":
		v.problem("the folder is empty")
		return "", false
	case !hasScheme || strings.ContainsAny(scheme, `/\.`) || len(scheme) < 2: // a folder, or a drive letter
		return text, true
	case scheme != "file":
		v.r.problemAs(recount.CodeUnsupported, nextMend, v.at(),
			"archive: %q is not supported; the archive can be a folder, or file:/ and its absolute path", clip(scheme)+":")
		return "", false
	}
	u, err := url.Parse(text)
	if err != nil || u.Path == "" || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" {
		v.problem("%q is no folder's URL; write file:/ and the absolute path", text)
		return "", false
	}
	return u.Path, true
}

func setPath(into reflect.Value, path string) {
	for i := range into.NumField() {
		if keyOf(into.Type().Field(i)) == "path" && into.Field(i).Kind() == reflect.String {
			into.Field(i).SetString(path)
		}
	}
}
