package config

import (
	"fmt"
	"strings"

	"recount/adapter"
)

// Reference writes docs/reference/config.md: every level of recount.yaml and
// every adapter's block, from the declarations that the check itself uses.
func Reference(reg *adapter.Registry) string {
	var b strings.Builder
	b.WriteString("# recount.yaml\n\n" +
		"<!-- Generated: go test ./cmd/recount -update -->\n\n" +
		"One file a project. Every command reads the one in the working folder, or in the folder of `-C DIR`. A key that is\n" +
		"not listed here is an error, with its place and the nearest key. Relative paths start in the project folder.\n\n" +
		"Any text except `archive` may be a reference, so that no secret stands in the file: `env:NAME` is an environment\n" +
		"variable, `file:PATH` a file's content without its last line end. References in an adapter's block are looked up\n" +
		"when the adapter is opened: `recount show` needs none of them.\n\n" +
		"Durations are written as `90s`, `15m`, `1h` or `24h`. Anchors and aliases (`&name`, `*name`, `<<`) may be used.\n")
	for _, block := range Blocks() {
		title := block.Path
		if title == "" {
			title = "The file"
		} else {
			title = "`" + title + "`"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | value | default | |\n|---|---|---|---|\n", title, block.Doc)
		for _, k := range block.Keys {
			standing := k.Default
			if k.Required {
				standing = "**required**"
			}
			row(&b, k.Name, k.Type, standing, k.Doc)
		}
		if block.Adapter != "" {
			fmt.Fprintf(&b, "\nOne more key names the adapter; its block is below: `%s`.\n",
				strings.Join(reg.Names(adapter.Port(block.Adapter)), "`, `"))
		}
	}
	for _, port := range []adapter.Port{adapter.Source, adapter.Target} {
		for _, name := range reg.Names(port) {
			spec, _ := reg.Lookup(port, name)
			fmt.Fprintf(&b, "\n## `%s` (%s)\n\n%s\n\n| key | value | default | |\n|---|---|---|---|\n", name, port, spec.Summary)
			for _, k := range spec.Keys() {
				kind := goType(k.Type)
				if k.Secret {
					kind += ", secret"
				}
				row(&b, k.Name, kind, k.Default, k.Doc)
			}
		}
	}
	return b.String()
}

func row(b *strings.Builder, cells ...string) {
	for i, cell := range cells {
		if i == 0 {
			cell = "`" + cell + "`"
		}
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(cell, "|", "\\|"))
	}
	b.WriteString("|\n")
}

// goType says a Go type in the words of the page.
func goType(t string) string {
	t = strings.TrimPrefix(t, "*")
	switch {
	case t == "string" || t == "recount.Secret":
		return "text"
	case t == "bool":
		return "true or false"
	case t == "time.Duration":
		return "duration"
	case strings.HasPrefix(t, "int"), t == "float64":
		return "number"
	case strings.HasPrefix(t, "[]"):
		return "list of " + goType(t[2:]) + "s"
	case strings.HasPrefix(t, "map["), strings.Contains(t, "."): // the other named types are structs
		return "mapping"
	}
	return "text"
}
