//go:build unix

package files

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/targettest"
)

func TestConformance(t *testing.T) {
	for _, dialect := range []struct {
		name, delimiter, bom string
		crlf                 bool
	}{{"plain", ",", "", false}, {"from a spreadsheet", ";", bom, true}} {
		t.Run(dialect.name, func(t *testing.T) {
			targettest.Run(t, targettest.Harness{New: func(t *testing.T, table targettest.Table) targettest.Live {
				f := &liveFile{dir: t.TempDir(), delimiter: dialect.delimiter, bom: dialect.bom, crlf: dialect.crlf, keys: len(table.Key)}
				for _, c := range slices.Concat(table.Key, table.Columns) {
					f.header = append(f.header, c.Name)
				}
				for _, r := range table.Rows {
					f.rows = append(f.rows, fields(r.Key, r.Values))
				}
				f.write(t)
				return targettest.Live{Target: f.open(t), Reopen: f.open, Edit: f.edit, AddColumn: f.addColumn, Copy: f.copy}
			}})
		})
	}
}

// liveFile is a CSV file as the live system writes it, by another program.
type liveFile struct {
	dir, delimiter, bom string
	crlf                bool
	keys                int
	header              []string
	rows                [][]string
}

func fields(groups ...[]recount.Value) []string {
	var out []string
	for _, v := range slices.Concat(groups...) {
		out = append(out, v.Text)
	}
	return out
}

func (f *liveFile) path() string { return filepath.Join(f.dir, "totals.csv") }

func (f *liveFile) write(t *testing.T) {
	t.Helper()
	eol := "\n"
	if f.crlf {
		eol = "\r\n"
	}
	var b strings.Builder
	b.WriteString(f.bom)
	d := dialect{delimiter: f.delimiter[0], names: f.header}
	for _, r := range append([][]string{f.header}, f.rows...) {
		for i, text := range r {
			if i > 0 {
				b.WriteString(f.delimiter)
			}
			b.Write(d.appendField(nil, text, false))
		}
		b.WriteString(eol)
	}
	if err := os.WriteFile(f.path(), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read reads the file by another parser than the adapter's.
func (f *liveFile) read(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(f.path())
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte(bom))))
	r.Comma = rune(f.delimiter[0])
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	f.header, f.rows = all[0], all[1:]
}

func (f *liveFile) open(t *testing.T) target.Target {
	t.Helper()
	opened, err := Open(t.Context(), adapter.Env{Dir: f.dir}, Config{Path: "totals.csv", Delimiter: f.delimiter})
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func (f *liveFile) edit(t *testing.T, c recount.Change) {
	t.Helper()
	f.read(t)
	key := fields(c.Key)
	at := slices.IndexFunc(f.rows, func(r []string) bool { return slices.Equal(r[:f.keys], key) })
	switch c.Action {
	case recount.ActionInsert:
		f.rows = append(f.rows, fields(c.Key, c.After))
	case recount.ActionDelete:
		f.rows = slices.Delete(f.rows, at, at+1)
	case recount.ActionUpdate:
		f.rows[at] = fields(c.Key, c.After)
	case recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
		t.Fatalf("edit by %s", c.Action)
	}
	f.write(t)
}

func (f *liveFile) addColumn(t *testing.T, name string) {
	t.Helper()
	f.read(t)
	f.header = append(f.header, name)
	for i := range f.rows {
		f.rows[i] = append(f.rows[i], "")
	}
	f.write(t)
}

// copy makes a copy in the same project, its ledger included.
func (f *liveFile) copy(t *testing.T) target.Target {
	t.Helper()
	other := filepath.Join(f.dir, "copy")
	text, err := os.ReadFile(f.path())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(other, folder), os.DirFS(filepath.Join(f.dir, folder))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "totals.csv"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(t.Context(), adapter.Env{Dir: f.dir}, Config{Path: "copy/totals.csv", Delimiter: f.delimiter})
	if err != nil {
		t.Fatal(err)
	}
	return opened
}
