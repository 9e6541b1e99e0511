package iceberg

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	ice "github.com/apache/iceberg-go"
)

// metadata is a table's metadata file, format version 2.
type metadata struct {
	FormatVersion   int               `json:"format-version"`
	UUID            string            `json:"table-uuid"`
	Location        string            `json:"location"`
	LastSequence    int64             `json:"last-sequence-number"`
	LastUpdatedMS   int64             `json:"last-updated-ms"`
	LastColumn      int               `json:"last-column-id"`
	CurrentSchema   int               `json:"current-schema-id"`
	Schemas         []*ice.Schema     `json:"schemas"`
	DefaultSpec     int               `json:"default-spec-id"`
	Specs           []idAndFields     `json:"partition-specs"`
	LastPartition   int               `json:"last-partition-id"`
	DefaultSort     int               `json:"default-sort-order-id"`
	Sorts           []sortOrder       `json:"sort-orders"`
	Properties      map[string]string `json:"properties"`
	CurrentSnapshot *int64            `json:"current-snapshot-id,omitempty"`
	Refs            map[string]ref    `json:"refs,omitempty"`
	Snapshots       []tableSnapshot   `json:"snapshots"`
	SnapshotLog     []snapshotLog     `json:"snapshot-log"`
	MetadataLog     []metadataLog     `json:"metadata-log"`
}

type idAndFields struct {
	ID     int   `json:"spec-id"`
	Fields []any `json:"fields"`
}

type sortOrder struct {
	ID     int   `json:"order-id"`
	Fields []any `json:"fields"`
}

type ref struct {
	Snapshot int64  `json:"snapshot-id"`
	Type     string `json:"type"`
}

type tableSnapshot struct {
	ID           int64             `json:"snapshot-id"`
	Parent       *int64            `json:"parent-snapshot-id,omitempty"`
	Sequence     int64             `json:"sequence-number"`
	TimestampMS  int64             `json:"timestamp-ms"`
	ManifestList string            `json:"manifest-list"`
	Summary      map[string]string `json:"summary"`
	Schema       int               `json:"schema-id"`
}

type snapshotLog struct {
	TimestampMS int64 `json:"timestamp-ms"`
	Snapshot    int64 `json:"snapshot-id"`
}

type metadataLog struct {
	TimestampMS int64  `json:"timestamp-ms"`
	File        string `json:"metadata-file"`
}

// mostSnapshots is how many of a table's snapshots its metadata name.
const mostSnapshots = 100

// register brings one table up to what it shall be.
func (w wanted) register(ctx context.Context, c *catalog, opts Options) (Table, error) {
	out := Table{Name: Namespace + "." + w.name, Files: len(w.files)}
	for _, f := range w.files {
		out.Rows += f.rows
	}
	previous, err := c.metadata(ctx, w.name)
	if err != nil {
		return out, err
	}
	m, err := w.load(previous, opts)
	if err != nil {
		return out, err
	}
	out.Anew = previous == ""
	u := &update{wanted: w, m: m, folder: filepath.Join(opts.Dir, Namespace, w.name, "metadata"), now: max(opts.Now.UnixMilli(), m.LastUpdatedMS)}
	if err := u.read(); err != nil {
		return out, err
	}
	newSchema := m.settle(w.columns)
	out.Added, out.Dropped = len(u.add), len(u.drop)
	if out.Added+out.Dropped == 0 && !newSchema && !out.Anew {
		return out, nil
	}
	if out.Added+out.Dropped > 0 {
		if err := u.snapshot(previous, opts.Snapshot.ID); err != nil {
			return out, err
		}
	}
	at, err := u.write(previous)
	if err != nil {
		return out, err
	}
	return out, c.set(ctx, w.name, at, previous)
}

// load reads a table's metadata, or begins a table.
func (w wanted) load(at string, opts Options) (*metadata, error) {
	if at != "" {
		text, err := os.ReadFile(strings.TrimPrefix(at, "file://"))
		if err != nil {
			return nil, err
		}
		m := &metadata{}
		if err := json.Unmarshal(text, m); err != nil {
			return nil, fmt.Errorf("read %s: %w", at, err)
		}
		if m.FormatVersion != 2 {
			return nil, fmt.Errorf("%s has format version %d, not 2: another program changed it", at, m.FormatVersion)
		}
		return m, nil
	}
	id := digest(opts.Dir, w.name, opts.Snapshot.ID, strconv.FormatInt(opts.Now.UnixNano(), 10))
	return &metadata{
		FormatVersion: 2, UUID: uuid(id), Location: location(filepath.Join(opts.Dir, Namespace, w.name)), CurrentSchema: -1,
		Specs: []idAndFields{{Fields: []any{}}}, LastPartition: 999, Sorts: []sortOrder{{Fields: []any{}}},
		Properties: map[string]string{}, Snapshots: []tableSnapshot{}, SnapshotLog: []snapshotLog{}, MetadataLog: []metadataLog{},
	}, nil
}

func digest(parts ...string) []byte {
	sum := sha256.New()
	for _, p := range parts {
		sum.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(p))))
		sum.Write([]byte(p))
	}
	return sum.Sum(nil)
}

// uuid is version 8 of RFC 9562: bits of one's own.
func uuid(b []byte) string {
	b = slices.Clone(b[:16])
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// update is the change of one table.
type update struct {
	wanted wanted
	m      *metadata
	folder string
	now    int64
	lists  []ice.ManifestFile  // of the present snapshot
	live   []ice.ManifestEntry // their files
	add    []string
	drop   map[string]bool
}

// read finds what the table's present snapshot has, and what differs.
func (u *update) read() error {
	have := map[string]bool{}
	u.drop = map[string]bool{}
	if u.m.CurrentSnapshot != nil {
		at := slices.IndexFunc(u.m.Snapshots, func(s tableSnapshot) bool { return s.ID == *u.m.CurrentSnapshot })
		if at < 0 {
			return errors.New("its metadata lack the current snapshot")
		}
		err := reading(u.m.Snapshots[at].ManifestList, func(r io.Reader) (err error) {
			u.lists, err = ice.ReadManifestList(r)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, list := range u.lists {
		err := reading(list.FilePath(), func(r io.Reader) error {
			entries, err := ice.ReadManifest(list, r, true)
			u.live = append(u.live, entries...)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, e := range u.live {
		path := e.DataFile().FilePath()
		have[path] = true
		if _, still := u.wanted.files[path]; !still {
			u.drop[path] = true
		}
	}
	for path := range u.wanted.files {
		if !have[path] {
			u.add = append(u.add, path)
		}
	}
	slices.Sort(u.add)
	return nil
}

func reading(at string, use func(io.Reader) error) error {
	text, err := os.ReadFile(strings.TrimPrefix(at, "file://"))
	if err != nil {
		return err
	}
	if err := use(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("read %s: %w", at, err)
	}
	return nil
}

// snapshot adds a snapshot of the files that the table shall have. Where files
// leave it, what stays is written into one new manifest.
func (u *update) snapshot(previous, archived string) error {
	m := u.m
	const positive = 1<<63 - 1
	id := int64(binary.LittleEndian.Uint64(digest(m.UUID, previous, archived)) & positive)
	m.LastSequence++
	lists, operation := u.lists, "append"
	if len(u.drop) > 0 {
		operation = "overwrite"
		kept, err := u.manifest(id, "kept", u.kept(id))
		if err != nil {
			return err
		}
		lists = []ice.ManifestFile{kept}
	}
	if len(u.add) > 0 {
		var entries []ice.ManifestEntry
		for _, path := range u.add {
			d, err := u.wanted.files[path].entry(path, m.ids())
			if err != nil {
				return err
			}
			entries = append(entries, ice.NewManifestEntry(ice.EntryStatusADDED, &id, nil, nil, d))
		}
		added, err := u.manifest(id, "added", entries)
		if err != nil {
			return err
		}
		lists = append(slices.Clone(lists), added)
	}
	var list bytes.Buffer
	if err := ice.WriteManifestList(2, &list, id, m.CurrentSnapshot, &m.LastSequence, 0, lists); err != nil {
		return fmt.Errorf("write manifest list: %w", err)
	}
	at, err := u.keep(fmt.Sprintf("snap-%d.avro", id), list.Bytes())
	if err != nil {
		return err
	}
	rows := int64(0)
	for _, f := range u.wanted.files {
		rows += f.rows
	}
	m.Snapshots = append(m.Snapshots, tableSnapshot{
		ID: id, Parent: m.CurrentSnapshot, Sequence: m.LastSequence, TimestampMS: u.now, ManifestList: at, Schema: m.CurrentSchema,
		Summary: map[string]string{
			"operation": operation, "added-data-files": strconv.Itoa(len(u.add)), "deleted-data-files": strconv.Itoa(len(u.drop)),
			"total-data-files": strconv.Itoa(len(u.wanted.files)), "total-records": strconv.FormatInt(rows, 10), "recount.snapshot": archived,
		},
	})
	m.SnapshotLog = append(m.SnapshotLog, snapshotLog{TimestampMS: u.now, Snapshot: id})
	if n := len(m.Snapshots) - mostSnapshots; n > 0 {
		m.Snapshots, m.SnapshotLog = m.Snapshots[n:], m.SnapshotLog[max(0, len(m.SnapshotLog)-mostSnapshots):]
	}
	m.CurrentSnapshot, m.Refs = &id, map[string]ref{"main": {Snapshot: id, Type: "branch"}}
	return nil
}

// kept are the present files, as existing ones or as deleted with this snapshot.
func (u *update) kept(id int64) []ice.ManifestEntry {
	var entries []ice.ManifestEntry
	for _, e := range u.live {
		status, snapshot, seq := ice.EntryStatusEXISTING, e.SnapshotID(), e.SequenceNum()
		if u.drop[e.DataFile().FilePath()] {
			status, snapshot = ice.EntryStatusDELETED, id
		}
		entries = append(entries, ice.NewManifestEntry(status, &snapshot, &seq, e.FileSequenceNum(), e.DataFile()))
	}
	return entries
}

func (u *update) manifest(id int64, name string, entries []ice.ManifestEntry) (ice.ManifestFile, error) {
	name = fmt.Sprintf("%d-%s.avro", id, name)
	var b bytes.Buffer
	file, err := ice.WriteManifest(location(filepath.Join(u.folder, name)), &b, 2, *ice.UnpartitionedSpec, u.m.schema(), id, entries)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	_, err = u.keep(name, b.Bytes())
	return file, err
}

// write keeps the metadata, which name the ones before.
func (u *update) write(previous string) (at string, err error) {
	m := u.m
	version := 0
	if previous != "" {
		m.MetadataLog = append(m.MetadataLog, metadataLog{TimestampMS: m.LastUpdatedMS, File: previous})
		m.MetadataLog = m.MetadataLog[max(0, len(m.MetadataLog)-mostSnapshots):]
		number, _, _ := strings.Cut(previous[strings.LastIndexByte(previous, '/')+1:], "-")
		version, _ = strconv.Atoi(number)
		version++
	}
	m.LastUpdatedMS = u.now
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	return u.keep(fmt.Sprintf("%05d-%s.metadata.json", version, uuid(digest(string(text)))), text)
}

// keep writes a file and returns its location. One of an earlier try, which the
// catalog does not name, is replaced.
func (u *update) keep(name string, text []byte) (at string, err error) {
	if err := os.MkdirAll(u.folder, 0o777); err != nil { //nolint:gosec // as open as the person's umask lets it be
		return "", err
	}
	path := filepath.Join(u.folder, name)
	f, err := os.Create(path) //nolint:gosec // a name that this package made
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	return location(path), errors.Join(err, f.Sync(), f.Close())
}
