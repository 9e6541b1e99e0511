package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/originals"
	"recount/internal/archive/positions"
)

// Report is what Verify found.
type Report struct {
	Streams []StreamReport
}

// StreamReport is the proof that one stream is whole, or what is wrong with it.
type StreamReport struct {
	Stream     string
	Snapshot   string
	Commits    int64
	Files      int
	Marks      int // files of marks
	Events     int64
	Bytes      int64 // of files and marks
	Partitions []PartitionSummary
	// Problems are damages, in the order of the commit log.
	Problems []*recount.Error
	// Leftovers are objects that no commit names: what a crash left behind. They
	// are harmless and never read.
	Leftovers []Leftover
}

// PartitionSummary says which positions of a partition are archived.
type PartitionSummary struct {
	Partition string
	First     string
	Last      string
	Events    int64
	Files     int
	// Runs say what each position is, where positions are numbers without holes; nil
	// elsewhere. How far the source is ahead of the last one nobody can know from the
	// archive.
	Runs []positions.Run
	// Gaps counts the positions that hold no event, by reason.
	Gaps map[recount.GapReason]int64
}

// Leftover is an object that no commit names.
type Leftover struct {
	Name  string
	Bytes int64
}

// Verify proves the named streams, or all: the commit log, every byte of every
// file by its digest, and that files hold what their commits say. It reads on
// after a damage; the error then is the first one, the report has all.
func (a *Archive) Verify(ctx context.Context, streams []string, progress recount.Progress) (Report, error) {
	if progress == nil {
		progress = recount.Quiet{}
	}
	if len(streams) == 0 {
		var err error
		if streams, err = a.Streams(ctx); err != nil {
			return Report{}, err
		}
	}
	var report Report
	var first *recount.Error
	for _, stream := range streams {
		r, err := a.verifyStream(ctx, stream, progress)
		if err != nil {
			return report, err
		}
		report.Streams = append(report.Streams, r)
		if len(r.Problems) > 0 && first == nil {
			first = r.Problems[0]
		}
	}
	if first != nil {
		return report, first
	}
	return report, nil
}

func (a *Archive) verifyStream(ctx context.Context, stream string, progress recount.Progress) (StreamReport, error) {
	r := StreamReport{Stream: stream}
	ch, err := a.loadWhole(ctx, stream)
	var e *recount.Error
	if errors.As(err, &e) && e.Code == recount.CodeDamaged {
		r.Problems = append(r.Problems, e)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if ch.snapshot.Commit == 0 {
		return r, a.nothing(stream)
	}
	s := ch.snapshot
	r.Snapshot, r.Commits, r.Marks = s.ID, s.Commit, len(s.Marks)
	r.Files, r.Bytes = sizeOf(s.Files)
	for _, f := range s.Files {
		r.Events += f.Rows
	}
	for _, m := range s.Marks {
		r.Bytes += m.Bytes
	}
	r.Partitions = ch.partitions()
	act := progress.Begin("verify "+stream, r.Bytes)
	defer act.End()
	v := &verification{archive: a, chain: ch, act: act, problems: map[int]*recount.Error{}, commits: map[int64]*seen{}, held: map[string]*positions.Held{}}
	if err := v.run(ctx); err != nil {
		return r, err
	}
	for _, i := range slices.Sorted(maps.Keys(v.problems)) {
		r.Problems = append(r.Problems, v.problems[i])
	}
	for i := range r.Partitions {
		r.Problems = append(r.Problems, v.positions(&r.Partitions[i])...)
	}
	r.Leftovers, err = a.leftovers(ctx, ch)
	return r, err
}

func (ch *chain) partitions() []PartitionSummary {
	byName := map[string]*PartitionSummary{}
	for _, f := range ch.snapshot.Files {
		for _, s := range f.Spans {
			p := byName[s.Partition]
			if p == nil {
				p = &PartitionSummary{Partition: s.Partition, First: s.First, Last: s.Last}
				byName[s.Partition] = p
			}
			p.First, p.Last = min(p.First, s.First), max(p.Last, s.Last)
			p.Events += s.Rows
			p.Files++
		}
	}
	list := []PartitionSummary{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, *byName[name])
	}
	return list
}

// leftovers lists the stream's objects that no commit names. It is the one place
// where a listing is believed, and nothing follows from it.
func (a *Archive) leftovers(ctx context.Context, ch *chain) ([]Leftover, error) {
	named := ch.named()
	left := []Leftover{}
	for _, folder := range []string{ch.stream + "/", metaFolder + ch.stream + "/"} {
		err := a.store.List(ctx, folder, func(name string, size int64) error {
			aside := strings.HasPrefix(name, commitsFolder(ch.stream)) || strings.HasPrefix(name, checkpointsFolder(ch.stream)) ||
				strings.HasPrefix(name, replaysFolder(ch.stream)) || derived(ch.stream, name)
			if !named[name] && !aside {
				left = append(left, Leftover{Name: name, Bytes: size})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list leftovers of stream %q: %w", ch.stream, err)
		}
	}
	return left, nil
}

// verification is one stream's, while it runs.
type verification struct {
	archive *Archive
	chain   *chain
	act     recount.Act

	mu       sync.Mutex
	problems map[int]*recount.Error // by the place of the file, marks after all files
	commits  map[int64]*seen
	held     map[string]*positions.Held // by partition, where positions are dense
}

// seen says which sequence numbers of a commit its files hold.
type seen struct {
	first int64
	left  int // files that are not read yet
	bits  []uint64
	whole bool // every file could be read
}

func (v *verification) run(ctx context.Context) error {
	files, marks := v.chain.snapshot.Files, v.chain.snapshot.Marks
	seq := int64(1)
	for _, c := range v.chain.commits {
		v.commits[c.number] = &seen{first: seq, bits: nil, whole: true}
		seq += c.counts.Events
	}
	for _, f := range files {
		for _, a := range broughtBy(f) {
			v.commits[a.Commit].left++
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers())
	own, adopted := originals.Group(files)
	g.Go(func() error { return v.adopted(ctx, adopted) })
	for _, i := range own {
		f := files[i]
		g.Go(func() error {
			err := v.file(ctx, i, f)
			v.act.Add(f.Bytes)
			return v.note(i, err)
		})
	}
	for i, m := range marks {
		g.Go(func() error {
			err := v.marks(ctx, m)
			v.act.Add(m.Bytes)
			return v.note(len(files)+i, err)
		})
	}
	return g.Wait()
}

// note keeps a damage and goes on; any other error ends the verification.
func (v *verification) note(place int, err error) error {
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeDamaged {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.problems[place] = e
	return nil
}
