package fold

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
)

// defaultMemoryMiB bounds a run where nobody says otherwise.
const defaultMemoryMiB = 1024

// spec makes the run of a job. Its files are the archive's own where the variant
// needs no rule about events but those of the archive's marks, else a feed.
func (s *session) spec(ctx context.Context, j job, dir string) (run.Spec, error) {
	spec := s.frame(j, dir)
	spec.Out = filepath.Join(dir, "rows")
	keys, keyed := j.keysBy()
	if keyed {
		spec.Keys = keys
	}
	return spec, s.finish(ctx, j, &spec)
}

// frame fills in all but the events.
func (s *session) frame(j job, dir string) run.Spec {
	spec := run.Spec{
		Stream: s.input.Stream, Fields: s.input.Fields, Reads: j.reads(s.input.Fields), By: j.v.Logic.By, Bucket: j.v.Logic.Bucket,
		Shape: j.shape, Where: name(j.v.Logic), Threads: s.input.Limits.Threads, Memory: int64(s.input.Limits.MemoryMiB) << 20,
		Shake: shake(j.v), Scratch: dir,
	}
	if s.input.Resume != "" {
		spec.Resume = filepath.Join(dir, "resume")
	}
	if j.begins() {
		spec.Opening = s.input.Opening
	}
	if spec.Threads <= 0 {
		spec.Threads = runtime.GOMAXPROCS(0)
	}
	if spec.Memory <= 0 {
		spec.Memory = defaultMemoryMiB << 20
	}
	return spec
}

// events gives a spec its events.
func (s *session) events(ctx context.Context, j job, spec *run.Spec) error {
	if s.plain(j, *spec) {
		s.archived(j, spec)
		return nil
	}
	spec.Feed, spec.Logged = true, s.input.Order == "" || j.v.Arrival
	f, err := s.feed(ctx, j.v, fed(*spec))
	if err != nil {
		return err
	}
	spec.Files = []run.File{{Path: f.Path, Rows: f.Rows}}
	return nil
}

// fed are the columns of the feed of a spec.
func fed(spec run.Spec) []string {
	columns := slices.Concat(spec.Reads, spec.By)
	if !spec.Bucket.None() {
		columns = append(columns, "time")
	}
	if spec.Logged {
		columns = append(columns, "partition", "position")
	}
	if spec.Show || spec.Alone {
		columns = append(columns, "hit")
	}
	if spec.Show || spec.Alone || spec.Effects != "" {
		columns = append(columns, "id", "partition", "position", "time")
	}
	return columns
}

// plain says whether the archive's marks alone say which events the variant sees.
func (s *session) plain(j job, spec run.Spec) bool {
	v, in := j.v, s.input
	byTime := in.Hits.Window.By == "" || in.Hits.Window.By == recount.ByEvent
	return len(v.Missed) == 0 && len(v.Again) == 0 && !v.Twice && v.Late == nil && v.See == engine.SeeAll && v.Part == nil && v.Only == nil &&
		v.Within.From.IsZero() && v.Within.To.IsZero() && in.Order == "" && len(in.Upcasts) == 0 && len(in.Lookups) == 0 &&
		(byTime || !slices.Contains(spec.Reads, "hit") && !spec.Show && !spec.Alone)
}

// archived takes the archive's files that can hold events of what is read.
func (s *session) archived(j job, spec *run.Spec) {
	in := s.input
	spec.Dedupe, spec.Marks, spec.Until = j.v.Dedupe, in.Marks, in.Until
	spec.Read, spec.Hit = in.Read, in.Window
	if in.Read == (recount.Window{}) {
		spec.Read = in.Window
	}
	if in.Hits.Window.By == recount.ByEvent {
		spec.Hit = in.Hits.Window
	}
	for _, f := range in.Files {
		if f.Data.TimeKnown && overlaps(spec.Read, f.Data.FirstTime, f.Data.LastTime) {
			spec.Files = append(spec.Files, run.File{Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq})
		}
	}
	slices.SortStableFunc(spec.Files, func(a, b run.File) int { return cmp.Compare(a.FirstSeq, b.FirstSeq) })
}

// overlaps says whether a span of event time reaches into a window whose zero
// edges are open.
func overlaps(w recount.Window, first, last time.Time) bool {
	return (w.From.IsZero() || !last.Before(w.From)) && (w.To.IsZero() || first.Before(w.To))
}

// reads are the columns that the fold looks at.
func (j job) reads(fields []recount.Field) []string {
	if j.fold.Reads != nil {
		return j.fold.Reads
	}
	list := []string{"id", "type", "partition", "position", "time"}
	for _, f := range fields {
		list = append(list, f.Name)
	}
	return list
}

// keysBy are the keys of a fold that make the wanted rows, where the rows' own
// keys name them.
func (j job) keysBy() ([][]recount.Value, bool) {
	if j.v.Keys == nil {
		return nil, false
	}
	at, ok := j.byInKey()
	if !ok {
		return nil, false
	}
	list, seen := [][]recount.Value{}, map[string]bool{}
	for _, key := range j.v.Keys {
		by := make([]recount.Value, len(at))
		for i, n := range at {
			by[i] = key[n]
		}
		if text := recount.KeyText(by); !seen[text] {
			seen[text] = true
			list = append(list, by)
		}
	}
	return list, true
}

// byInKey are the places of the fold's key fields among the result's key columns;
// false where one is not there.
func (j job) byInKey() ([]int, bool) {
	var at []int
	for _, name := range j.v.Logic.By {
		i := slices.Index(j.v.Key, name)
		if i < 0 {
			return nil, false
		}
		at = append(at, i)
	}
	return at, true
}

// shake is what a run changes.
func shake(v engine.Variant) engine.Shake {
	if v.Split == 0 {
		return v.Shake
	}
	all := engine.Shake{Threads: true, Files: true, Batches: true, Seed: true, Clock: true, Zone: true, Locale: true, Cores: true, Machine: true}
	all.Interleave = v.Split%2 == 1
	return all
}

// digest names the logic and all that goes into a run. Files are named by what
// they hold: where they lie is another place each time.
func (s *session) digest(spec run.Spec, j job) (string, error) {
	feed, err := feedName(j.v, nil)
	if err != nil {
		return "", err
	}
	spec.Scratch, spec.Resume, spec.Files, spec.Marks, spec.Opening = "", "", nil, nil, filepath.Base(spec.Opening)
	spec.Out, spec.Effects = filepath.Base(spec.Out), filepath.Base(spec.Effects)
	in := s.input
	in.Files, in.Marks, in.Scratch, in.Opening, in.Resume = nil, nil, "", "", ""
	var files []recount.DataFile
	for _, f := range s.input.Files {
		files = append(files, f.Data)
	}
	text, err := json.Marshal(struct {
		Spec  run.Spec
		Input engine.Input
		Files []recount.DataFile
		Feed  []byte
		Logic string
	}{spec, in, files, feed[:], j.v.Logic.Digest})
	if err != nil {
		return "", fmt.Errorf("digest a run: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
