//go:build unix

package files

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
	"recount/target"
)

func TestUnusableFiles(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       recount.Code
		why        string
	}{
		{"empty", "", recount.CodeTargetFile, "no header"},
		{"a mark alone", bom, recount.CodeTargetFile, "no header"},
		{"a blank header", "\nid,total\n", recount.CodeTargetFile, "line 1 is blank"},
		{"a column twice", "id,total,id\n", recount.CodeTargetFile, `column "id" stands twice`},
		{"compressed", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03,id,total\n", recount.CodeTargetFile, "compressed, or of another encoding"},
		{"UTF-16", "\xff\xfei\x00d\x00\n\x00", recount.CodeTargetFile, "compressed, or of another encoding"},
		{"too few fields", "id,total\na,1\nb\n", recount.CodeTargetFile, "line 3 has 1 fields, the header has 2"},
		{"too many, after a field of three lines", "id,total\n\"a\n\n\",1\nb,2,3\n", recount.CodeTargetFile, "line 5 has 3 fields"},
		{"a quote inside", "id,total\na,1\"2\n", recount.CodeTargetFile, "line 2: a quote stands inside"},
		{"text after a quote", "id,total\na,\"1\"2\n", recount.CodeTargetFile, "line 2: something follows"},
		{"an open quote", "id,total\na,\"1\n", recount.CodeTargetFile, "line 2: a quoted field is not closed"},
		{"an open quote in the header", "id,\"total\na,1\n", recount.CodeTargetFile, "line 1: a quoted field is not closed"},
		{"not UTF-8", "id,total\na,\xff\n", recount.CodeTargetFile, `line 2: column "total" holds no text in UTF-8`},
		{"a lone return at the end", "id,total\na,1\r", recount.CodeTargetFile, "line 2: the file ends in a carriage return"},
		{"no such column", "id,totel\na,1\n", recount.CodeNoTable, `"totel"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, live := folderWith(t, c.text)
			err := live.Scan(t.Context(), target.Scan{Key: []string{"id"}, Columns: []string{"total"}}, func(recount.Row) error { return nil })
			e, ok := errors.AsType[*recount.Error](err)
			if !ok || e.Code != c.code || !strings.Contains(e.Why, c.why) || e.Where == "" || e.Next == "" {
				t.Errorf("got %v, want %s with %q", err, c.code, c.why)
			}
		})
	}
}

func TestMissingFileNamesTheNearest(t *testing.T) {
	dir, _ := folderWith(t, oldText)
	live, err := open(adapter.Env{Dir: dir}, Config{Path: "total.csv"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = live.Info(t.Context())
	e, ok := errors.AsType[*recount.Error](err)
	if !ok || e.Code != recount.CodeTargetFile || !strings.Contains(e.Why, `"totals.csv"`) || !errors.Is(err, recount.ErrNotFound) {
		t.Errorf("got %v, want %s that names totals.csv", err, recount.CodeTargetFile)
	}
	live.path = dir
	_, err = live.Info(t.Context())
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeTargetFile || !strings.Contains(e.Why, "folder") {
		t.Errorf("a folder: got %v, want %s", err, recount.CodeTargetFile)
	}
}

func TestConfiguration(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   adapter.Env
		block Config
	}{
		{"no path", adapter.Env{}, Config{}},
		{"a delimiter of two characters", adapter.Env{}, Config{Path: "a.csv", Delimiter: "||"}},
		{"a quote as the delimiter", adapter.Env{}, Config{Path: "a.csv", Delimiter: `"`}},
		{"a table of another name", adapter.Env{Table: "totals"}, Config{Path: "a.csv"}},
	} {
		_, err := Open(t.Context(), c.env, c.block)
		if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeConfig || e.Next == "" {
			t.Errorf("%s: got %v, want %s", c.name, err, recount.CodeConfig)
		}
	}
}

func TestIdentityIsThePathAsConfigured(t *testing.T) {
	dir, _ := folderWith(t, oldText)
	live, err := open(adapter.Env{Dir: filepath.Dir(dir)}, Config{Path: filepath.Base(dir) + "/totals.csv"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := live.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := recount.Identity{Adapter: "files", Place: filepath.Base(dir) + "/totals.csv", Table: filepath.Base(dir) + "/totals.csv"}
	if info.Identity != want {
		t.Errorf("identity: got %+v, want %+v", info.Identity, want)
	}
	for _, c := range info.Columns {
		if c.Declared != "csv" || !c.Nullable || c.Type.Kind != recount.KindString {
			t.Errorf("column: got %+v, want a nullable string declared csv", c)
		}
	}
	if exists(filepath.Join(dir, folder)) {
		t.Error("reading made a ledger")
	}
}

func TestFileWrittenDuringAScanIsTold(t *testing.T) {
	dir, live := folderWith(t, oldText)
	err := live.Scan(t.Context(), target.Scan{Key: []string{"id"}, Columns: []string{"total"}}, func(recount.Row) error {
		f, err := os.OpenFile(filepath.Join(dir, "totals.csv"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("e,5,\n")
		return errors.Join(err, f.Close())
	})
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeStale {
		t.Errorf("got %v, want %s", err, recount.CodeStale)
	}
}

func TestDamagedLedgerIsToldAndNotGuessed(t *testing.T) {
	for _, name := range []string{metaName, "00000001.run", intentName} {
		t.Run(name, func(t *testing.T) {
			_, live := folderWith(t, oldText)
			if err := runChanges(live, firstRun(), correction()); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(live.ledger(live.path).at(name), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := live.Info(t.Context())
			if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeTargetFile || !strings.Contains(e.Where, name) {
				t.Errorf("got %v, want %s that names %s", err, recount.CodeTargetFile, name)
			}
		})
	}
}

func FuzzTable(f *testing.F) {
	for _, s := range []string{
		oldText, newText, bom + oldText, "a,b", "a\n\"\"\n\n", "a,b\r\n1,\"2\"\"\r\n\"\r\n", "a;b\n", "\"\n\",b\n1,2\r", "a\n\r\n\"\r\"\n", "a\r\nx\r\r\n",
	} {
		f.Add([]byte(s))
	}
	live := &Target{place: "fuzz.csv", delimiter: ','}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := live.load(data)
		if err != nil {
			if _, ok := errors.AsType[*recount.Error](err); !ok {
				t.Fatalf("got %v, want a *recount.Error", err)
			}
			return
		}
		if got := b.render(); !bytes.Equal(got, data) {
			t.Fatalf("untouched: got %q, want %q", got, data)
		}
		rows := texts(t, b)
		if parsed, ok := byAnother(data); ok && !slices.EqualFunc(rows, parsed, slices.Equal[[]string]) {
			t.Fatalf("rows of %q: got %q, encoding/csv has %q", data, rows, parsed)
		}
		// Every field of a row rewritten to what it holds, and a row added: the
		// others read as before.
		for id := range b.spans {
			columns := make([]int, len(b.d.names))
			for i := range columns {
				columns[i] = i
			}
			b.update(id, columns, rows[id])
		}
		added := vals(make([]string, len(b.d.names))...)
		added[0] = recount.Text("new\r")
		columns := make([]int, len(added))
		for i := range columns {
			columns[i] = i
		}
		b.insert(columns, added)
		again, err := live.load(b.render())
		if err != nil {
			t.Fatalf("rewritten %q: %v", b.render(), err)
		}
		want := append(slices.Clone(rows), fieldTexts(added))
		if got := texts(t, again); !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Fatalf("rows after rewriting %q to %q: got %q, want %q", data, b.render(), got, want)
		}
	})
}

func fieldTexts(values []recount.Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.Text
	}
	return out
}

func texts(t *testing.T, b *table) [][]string {
	t.Helper()
	rows := [][]string{}
	for id := range len(b.spans) + b.added {
		raw, ok := b.parse(id)
		if !ok {
			t.Fatalf("row %d cannot be read again", id)
		}
		var row []string
		for _, f := range b.rec.fields {
			row = append(row, string(appendText(nil, raw, f)))
		}
		rows = append(rows, row)
	}
	return rows
}

// byAnother reads with the standard library. Carriage returns are left out: it
// turns those before line feeds into nothing, in quotes too.
func byAnother(data []byte) ([][]string, bool) {
	if bytes.IndexByte(data, '\r') >= 0 {
		return nil, false
	}
	all, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte(bom)))).ReadAll()
	if err != nil || len(all) == 0 {
		return nil, false
	}
	return all[1:], true
}

func TestBlocksCutRecordsAnywhere(t *testing.T) {
	var b strings.Builder
	b.WriteString("id,total\r\n")
	want := [][2]string{}
	for i := range 40_000 { // several blocks
		key, total := fmt.Sprintf("k%d", i), strings.Repeat("x", i%50)
		if i%3 == 0 {
			total = "a \"quoted\"\r\n, " + total
		}
		if i == 20_000 {
			total = strings.Repeat("long\n", 200_000) // larger than a block
		}
		d := dialect{delimiter: ',', names: []string{"id", "total"}}
		b.Write(d.appendField(append(d.appendField(nil, key, i%7 == 0), ','), total, i%5 == 0))
		b.WriteString([]string{"\n", "\r\n"}[i%2])
		want = append(want, [2]string{key, total})
	}
	_, live := folderWith(t, b.String())
	i := 0
	err := live.Scan(t.Context(), target.Scan{Key: []string{"id"}, Columns: []string{"total"}}, func(r recount.Row) error {
		if i >= len(want) || r.Key[0].Text != want[i][0] || r.Values[0].Text != want[i][1] {
			return fmt.Errorf("row %d: got %.50q", i, r.Key[0].Text+" "+r.Values[0].Text)
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		t.Fatalf("scan: %v after %d rows, want %d", err, i, len(want))
	}
}
