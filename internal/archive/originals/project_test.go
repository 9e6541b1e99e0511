package originals_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/internal/archive"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
	"recount/source"
	"recount/source/files"
	"recount/store"
	"recount/store/mem"
)

// project is a folder of files, or a store of them, and an archive.
type project struct {
	t       *testing.T
	dir     string
	lake    *mem.Store // where the files lie; nil: in dir
	store   store.Store
	config  files.Config
	mapping recount.Mapping
	now     time.Time
}

func newProject(t *testing.T, paths ...string) *project {
	t.Helper()
	return &project{t: t, dir: t.TempDir(), store: &mem.Store{}, config: files.Config{Paths: paths}, mapping: mapping(), now: noon}
}

// objects is a store as a source sees it.
type objects struct{ *mem.Store }

func (o objects) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return o.Store.Open(ctx, name)
}

func (p *project) source() source.Source {
	p.t.Helper()
	env := adapter.Env{Dir: p.dir, Stream: "orders", Mapping: p.mapping, Now: func() time.Time { return p.now }}
	if p.lake != nil {
		p.config.Store = "mem://lake/all?key=secret"
		env.Objects = func(context.Context, string) (adapter.Objects, error) { return objects{p.lake}, nil }
	}
	s, err := files.Open(p.t.Context(), env, p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *project) archive(s store.Store) *archive.Archive {
	a := archive.Open(s, clock.Fixed(noon))
	a.UseOriginals(func(context.Context, string) (source.Originals, error) {
		o, ok := p.source().(source.Originals)
		if !ok {
			return nil, errors.New("the source has no originals")
		}
		return o, nil
	})
	return a
}

func (p *project) options() archive.RunOptions {
	return archive.RunOptions{Stream: "orders", Source: p.source(), Fields: p.mapping.Fields, MappingDigest: "m", QuarantineMax: 100, Program: "test"}
}

func (p *project) adopt() archive.RunResult {
	p.t.Helper()
	res, err := p.archive(p.store).Adopt(p.t.Context(), p.options())
	if err != nil {
		p.t.Fatalf("adopt: %v", err)
	}
	return res
}

func (p *project) run() archive.RunResult {
	p.t.Helper()
	res, err := p.archive(p.store).Run(p.t.Context(), p.options())
	if err != nil {
		p.t.Fatalf("run: %v", err)
	}
	return res
}

func (p *project) write(name, content string) {
	p.t.Helper()
	if p.lake != nil {
		if err := p.lake.Delete(p.t.Context(), name); err != nil {
			p.t.Fatal(err)
		}
		if err := p.lake.Put(p.t.Context(), name, func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		}); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	full := filepath.Join(p.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) remove(name string) {
	p.t.Helper()
	err := os.Remove(filepath.Join(p.dir, name))
	if p.lake != nil {
		err = p.lake.Delete(p.t.Context(), name)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// csv is a file of n events from first on, a minute apart.
func csv(first, n int) string {
	var b strings.Builder
	b.WriteString("id,at,user,value\n")
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "e%05d,%s,u%d,%d.50\n", i, noon.Add(time.Duration(i-200)*time.Minute).Format(time.RFC3339), i%7, i)
	}
	return b.String()
}

// stagedRow is what of an event must not depend on how it was archived.
type stagedRow struct{ id, at, partition, position, data, fault string }

// staged returns all events of the snapshot by sequence number, the marks by
// sequence number, both as an engine gets them.
func (p *project) staged() (rows map[int64]stagedRow, marks map[string]bool) {
	p.t.Helper()
	a := p.archive(p.store)
	snap, err := a.Snapshot(p.t.Context(), "orders")
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := p.stage(a, snap)
	if err != nil {
		p.t.Fatalf("stage: %v", err)
	}
	rows, marks = map[int64]stagedRow{}, map[string]bool{}
	for _, f := range got.Files {
		n := int64(0)
		readParquet(p.t, f.Path, func(ef *eventfile.File) {
			for g := range ef.Groups() {
				events, err := ef.Events(g, nil)
				if err != nil {
					p.t.Fatal(err)
				}
				for _, e := range events {
					n++
					if _, twice := rows[e.Seq]; twice {
						p.t.Errorf("event %d stands twice", e.Seq)
					}
					rows[e.Seq] = stagedRow{e.ID, e.Time.String(), e.Partition, e.Position, string(e.Data), e.Fault}
					if e.TimeKnown != f.Data.TimeKnown || e.TimeKnown && (e.Time.Before(f.Data.FirstTime) || e.Time.After(f.Data.LastTime)) || e.Seq < f.Data.FirstSeq || e.Seq > f.Data.LastSeq {
						p.t.Errorf("event %d at %s is not of what is said of its file: %+v", e.Seq, e.Time, f.Data)
					}
				}
			}
		})
		if n != f.Data.Rows {
			p.t.Errorf("file %s: got %d rows, want %d", f.Data.Name, n, f.Data.Rows)
		}
	}
	for _, path := range got.Marks {
		readParquet(p.t, path, func(ef *eventfile.File) {
			list, err := ef.Marks()
			if err != nil {
				p.t.Fatal(err)
			}
			for _, m := range list {
				key := fmt.Sprintf("%d %s %s %s %v", m.Seq, m.Kind, m.ID, m.Why, m.Broken)
				if marks[key] {
					p.t.Errorf("mark %s stands twice", key)
				}
				marks[key] = true
			}
		})
	}
	return rows, marks
}

func (p *project) stage(a *archive.Archive, snap recount.Snapshot) (archive.Staged, error) {
	return a.Stage(p.t.Context(), archive.StageOptions{
		Snapshot: snap, Files: snap.Files, Fields: p.mapping.Fields, Dir: p.t.TempDir(), Decoder: p.source().Decoder,
	})
}

func readParquet(t *testing.T, path string, use func(*eventfile.File)) {
	t.Helper()
	b, err := os.ReadFile(path) //nolint:gosec // a file of this test
	if err != nil {
		t.Fatal(err)
	}
	ef, err := eventfile.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	use(ef)
}

func (p *project) verify() {
	p.t.Helper()
	if _, err := p.archive(p.store).Verify(p.t.Context(), nil, nil); err != nil {
		p.t.Errorf("verify: %v", err)
	}
}
