package views

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// page is what docs/reference/json.md says: type to its fields.
func jsonPage(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		page[name] = body
	}
	return page
}

func TestThePageOfJSONHasEveryTypeAndField(t *testing.T) {
	page := jsonPage(t)
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	seen := map[string]bool{"row": true, "effect": true} // written by app, not by a view
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var o map[string]json.RawMessage
			if json.Unmarshal(line, &o) != nil {
				continue // the mark between the two streams
			}
			name := strings.Trim(string(o["type"]), `"`)
			seen[name] = true
			body, ok := page[name]
			if !ok {
				t.Errorf("%s: type %q has no section", file, name)
				continue
			}
			for field := range o {
				if field != "type" && field != "schema" && !strings.Contains(body, "`"+field+"`") {
					t.Errorf("%s: section %q lacks the field %q", file, name, field)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(page)) {
		if !seen[name] {
			t.Errorf("section %q describes a type of which there is no golden", name)
		}
	}
}
