package config

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"recount"
	"recount/adapter"
)

var update = flag.Bool("update", false, "renew the goldens")

type fakeFiles struct {
	Paths  []string `json:"paths" doc:"Files and globs."`
	Format string   `json:"format" doc:"csv, jsonl or parquet." default:"csv"`
}

type fakeDB struct {
	DSN      recount.Secret    `json:"dsn" doc:"Where the database is." secret:"true"`
	Schema   string            `json:"schema" doc:"The schema." default:"public"`
	Pool     int               `json:"pool" doc:"Connections." default:"4"`
	Timeout  time.Duration     `json:"timeout" doc:"Of one statement." default:"30s"`
	Options  map[string]string `json:"options" doc:"Parameters of the session."`
	ReadOnly *bool             `json:"read_only" doc:"Never write."`
}

type fakePath struct {
	Path string `json:"path" doc:"The file."`
}

func fakes(t testing.TB) *adapter.Registry {
	t.Helper()
	reg := &adapter.Registry{}
	for _, spec := range []adapter.Spec{
		adapter.Declare(adapter.Source, "files", "Files.", func(context.Context, adapter.Env, fakeFiles) (any, error) { return nil, nil }),
		adapter.Declare(adapter.Store, "disk", "A folder.", func(context.Context, adapter.Env, fakePath) (any, error) { return nil, nil }),
		adapter.Declare(adapter.Target, "postgres", "A database.", func(context.Context, adapter.Env, fakeDB) (any, error) { return nil, nil }),
		adapter.Declare(adapter.Target, "sqlite", "A file.", func(context.Context, adapter.Env, fakePath) (any, error) { return nil, nil }),
	} {
		if err := reg.Add(spec); err != nil {
			t.Fatal(err)
		}
	}
	return reg
}

func env(name string) (string, bool) {
	got, ok := map[string]string{
		"LIVE_DSN": "postgres://me:hunter2@db/live", "APPLY_DSN": "postgres://writer:hunter2@db/live",
		"BAD": "hunter2", "TABLE": "totals",
	}[name]
	return got, ok
}

// project makes a folder with a recount.yaml and the files that it names.
func project(t testing.TB, yaml string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		FileName: yaml, "totals.sql": "SELECT 1\n", "v1.sql": "SELECT 2\n", "empty.sql": " \n", "dsn.txt": "postgres://me:hunter2@file/live\r\n",
		"right.csv": "user_id,total\n1,2.50\n", "ids.txt": "\ufeffe2\r\n\n  e1 \ne2\n", "more.txt": "e9\ne2", "same.txt": "e1\ne2\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const whole = `version: 1
archive: archive
defaults: &none
sources:
  orders:
    files: {paths: ["a.csv", "b/*.csv.gz"]}
    event:
      id: event_id
      time: {path: $.ts, unit: ms}
      key: user_id
    timezone: Europe/Berlin
    fields:
      user_id: string
      value: decimal(18,2)
      at: {type: timestamp, path: $.created.at}
    lateness: 15m
    quarantine: {max: 5}
calculations:
  user_totals:
    source: orders
    sql: totals.sql
    key: [user_id]
    memory: window
    bucket: 24h
    timezone: Europe/Berlin
    dedupe: false
    previous: {sql: v1.sql}
    missed:
      - {from: "2024-06-10T12:07:00Z", to: 2024-06-10T12:19:00Z, where: "partition = '3'"}
      - where: id IN ('a')
    compare: {total: exact, mean: {abs: 0.010}}
    limits: {changes: 500}
    target:
      postgres: {dsn: "env:LIVE_DSN", options: {role: "env:BAD"}, timeout: 5s}
      table: env:TABLE
      columns: {total: total, mean: average}
      where: "day >= $from AND day < $to"
      extra: delete
      apply: {dsn: "file:dsn.txt"}
  plain:
    source: orders
    sql: totals.sql
    key: [user_id]
    target: {sqlite: {path: live.db}, table: totals}
`

func load(t *testing.T, yaml string) (*Project, error) {
	t.Helper()
	return Load(project(t, yaml), fakes(t), env)
}

func TestLoadReadsEveryKey(t *testing.T) {
	p, err := load(t, strings.Replace(whole, "defaults: &none\n", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "archive %s %+v %s\n", p.Archive.Adapter, p.Archive.Config, p.Archive.URL)
	s := p.Sources["orders"]
	zone := s.Mapping.Zone.String()
	s.Mapping.Zone = nil
	fmt.Fprintf(&b, "source %s %s %+v %+v zone %s lateness %s quarantine %d line %d\n",
		s.Name, s.Adapter, s.Config, s.Mapping, zone, s.Lateness, s.QuarantineMax, s.Line)
	for _, name := range []string{"user_totals", "plain"} {
		c, err := p.Calculation(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "calculation %s of %s key %v bucket %s %v none %v dedupe %v changes %d line %d\n",
			c.Name, c.Source, c.Key, c.Bucket.Size, c.Bucket.Zone, c.BucketNone, c.Dedupe, c.MaxChanges, c.Line)
		fmt.Fprintf(&b, "  logic %+v\n  previous %+v\n  missed %+v\n  unexplained %s compare %v columns %v where %q extra %s\n",
			c.Logic, c.Previous, c.Missed, c.Unexplained, c.Compare, c.Columns, c.Where, c.Extra)
		fmt.Fprintf(&b, "  target %s %+v table %s\n", c.Target.Adapter, c.Target.Config, c.Target.Table)
		if c.Target.Apply != nil {
			fmt.Fprintf(&b, "  apply %+v\n", c.Target.Apply.Config)
		}
	}
	golden(t, "testdata/whole.golden", b.String())
}

func TestResolveGivesACopyAndKeepsTheProjectFreeOfSecrets(t *testing.T) {
	p, err := load(t, strings.Replace(whole, "defaults: &none\n", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	target := p.Calculations["user_totals"].Target
	got, err := p.Resolve(target.Config)
	if err != nil {
		t.Fatal(err)
	}
	db := got.(*fakeDB)
	if db.DSN.Reveal() != "postgres://me:hunter2@db/live" || db.Options["role"] != "hunter2" || db.Timeout != 5*time.Second || db.Schema != "public" {
		t.Errorf("resolved block: got %q, %+v", db.DSN.Reveal(), db)
	}
	kept := target.Config.(*fakeDB)
	if kept.DSN.Reveal() != "env:LIVE_DSN" || kept.Options["role"] != "env:BAD" {
		t.Errorf("the project's own block was changed: %q, %v", kept.DSN.Reveal(), kept.Options)
	}
	got, err = p.Resolve(target.Apply.Config)
	if err != nil {
		t.Fatal(err)
	}
	if db := got.(*fakeDB); db.DSN.Reveal() != "postgres://me:hunter2@file/live" || db.Options["role"] != "hunter2" || db.Timeout != 5*time.Second {
		t.Errorf("apply block: got %q, %+v", db.DSN.Reveal(), db)
	}
}

func TestASecretThatIsNotSetIsReportedWithItsPlaceOnlyWhenOpened(t *testing.T) {
	p, err := Load(project(t, strings.Replace(whole, "defaults: &none\n", "", 1)), fakes(t), func(name string) (string, bool) {
		return "t", name == "TABLE"
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Resolve(p.Calculations["user_totals"].Target.Config)
	golden(t, "testdata/secret.golden", fourParts(err))
	if e := recount.AsError(err); e.Code != recount.CodeSecret {
		t.Errorf("code: got %s, want %s", e.Code, recount.CodeSecret)
	}
}

func TestWrongFilesAreExplainedAllAtOnce(t *testing.T) {
	const file = "testdata/wrong.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	renewed := &txtar.Archive{Comment: archive.Comment}
	for i := 0; i < len(archive.Files); i++ {
		in := archive.Files[i]
		name, isInput := strings.CutSuffix(in.Name, ".yaml")
		if !isInput {
			continue
		}
		want := ""
		if i+1 < len(archive.Files) && archive.Files[i+1].Name == name+".golden" {
			want = string(archive.Files[i+1].Data)
		}
		t.Run(name, func(t *testing.T) {
			_, err := load(t, string(in.Data))
			if err == nil {
				t.Fatal("the file was read without an error")
			}
			got := fourParts(err)
			renewed.Files = append(renewed.Files, in, txtar.File{Name: name + ".golden", Data: []byte(got)})
			if strings.Contains(got, "hunter2") {
				t.Errorf("the message shows a secret:\n%s", got)
			}
			if got != want && !*update {
				t.Errorf("message: got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(renewed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFolderWithoutAConfigurationSaysHowToMakeOne(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(dir, fakes(t), env)
	if e := recount.AsError(err); e.Code != recount.CodeNoConfig || !strings.Contains(e.Next, "recount init") || !errors.Is(err, recount.ErrNotFound) {
		t.Errorf("got %+v", e)
	}
	if err := os.WriteFile(filepath.Join(dir, "recount.yml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(dir, fakes(t), env)
	if e := recount.AsError(err); !strings.Contains(e.Next, "mv recount.yml recount.yaml") {
		t.Errorf("next: got %q", e.Next)
	}
}

func TestUnknownNamesNameTheNearest(t *testing.T) {
	p, err := load(t, strings.Replace(whole, "defaults: &none\n", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Calculation("user_total")
	if e := recount.AsError(err); e.Code != recount.CodeUnknownName || e.Next != "did you mean user_totals?" {
		t.Errorf("got %+v", e)
	}
	_, err = p.Source("clicks")
	if e := recount.AsError(err); e.Code != recount.CodeUnknownName || !strings.Contains(e.Why, "orders") {
		t.Errorf("got %+v", e)
	}
}

func TestTheSameFileReadsAlikeHoweverItIsSpelled(t *testing.T) {
	plain := strings.Replace(whole, "defaults: &none\n", "", 1)
	want, err := load(t, plain)
	if err != nil {
		t.Fatal(err)
	}
	merged := strings.Replace(plain, "  plain:\n    source: orders\n    sql: totals.sql\n    key: [user_id]\n",
		"  plain:\n    <<: *base\n    key: *key\n", 1)
	merged = strings.Replace(merged, "  user_totals:\n    source: orders\n    sql: totals.sql\n    key: [user_id]\n",
		"  other: &base\n    source: orders\n    sql: totals.sql\n    key: &key [user_id]\n    target: {sqlite: {path: live.db}}\n"+
			"  user_totals:\n    source: orders\n    sql: totals.sql\n    key: [user_id]\n", 1)
	for name, yaml := range map[string]string{
		"lines that end in CRLF":   strings.ReplaceAll(plain, "\n", "\r\n"),
		"a byte order mark":        "\ufeff" + plain,
		"a document's marks":       "---\n" + plain + "...\n",
		"comments and empty lines": "# a\n\n" + strings.Replace(plain, "sources:\n", "sources: # b\n\n  # c\n", 1),
		"anchors and merged keys":  merged,
	} {
		got, err := load(t, yaml)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, b := want.Calculations["plain"], got.Calculations["plain"]
		a.Line, b.Line, a.Target.Config, b.Target.Config = 0, 0, nil, nil
		if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
			t.Errorf("%s: got %+v, want %+v", name, b, a)
		}
	}
}

func TestAliasesCannotMakeASmallFileHuge(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\narchive: a\nsources:\n  a0: &a0 {files: {paths: [x]}, event: {time: t}}\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d {", i, i)
		for j := range 12 {
			fmt.Fprintf(&b, "k%d: *a%d, ", j, i-1)
		}
		b.WriteString("}\n")
	}
	b.WriteString("calculations: {c: {source: a0, sql: totals.sql, key: *a11, target: *a11}}\n")
	if _, err := load(t, b.String()); err == nil {
		t.Error("got no error")
	}
	if _, err := load(t, "version: &a [*a]\n"); err == nil {
		t.Error("an alias inside its own anchor: got no error")
	}
	if _, err := load(t, strings.Repeat("[", 100_000)); err == nil {
		t.Error("deep nesting: got no error")
	}
}

// fourParts is the message as a person reads it.
func fourParts(err error) string {
	e := recount.AsError(err)
	indent := func(s string) string { return strings.ReplaceAll(s, "\n", "\n         ") }
	return fmt.Sprintf("error %s: %s\n  where: %s\n  why:   %s\n  next:  %s\n", e.Code, e.What, e.Where, indent(e.Why), e.Next)
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file) //nolint:gosec // a golden of this package
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(strings.Replace(whole, "defaults: &none\n", "", 1))
	if archive, err := txtar.ParseFile("testdata/wrong.txtar"); err == nil {
		for _, in := range archive.Files {
			f.Add(string(in.Data))
		}
	}
	reg := fakes(f)
	dir := project(f, "")
	f.Fuzz(func(t *testing.T, yaml string) {
		_, err := parse([]byte(yaml), dir, reg, env)
		var e *recount.Error
		if err == nil {
			return
		}
		if !errors.As(err, &e) || e.What == "" || e.Where == "" || e.Why == "" || e.Next == "" {
			t.Errorf("error without its parts: %#v", err)
		}
		if strings.Contains(err.Error(), "hunter2") && !strings.Contains(yaml, "hunter2") {
			t.Errorf("the message shows a secret: %v", err)
		}
	})
}
