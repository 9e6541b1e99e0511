package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"recount"
	"recount/internal/archive/eventfile"
)

// CompactOptions say what a compaction makes.
type CompactOptions struct {
	Stream string
	// Target is about how large a file shall be, in bytes; 0 means 128 MiB. Files of
	// half of it are large enough.
	Target  int64
	DryRun  bool   // says what would be done
	Dir     string // an empty folder for copies: about twice Target
	Program string // name and version, for the commit
}

const (
	defaultTarget = 128 << 20
	// joinedFiles bounds the files that are open at once, compactBytes what is done
	// between two commits.
	joinedFiles  = 256
	compactBytes = 1 << 30
)

// CompactResult says what a compaction has committed, also where it ended with an
// error.
type CompactResult struct {
	Stream   string
	Hours    int   // some of whose files were joined
	Files    int   // that were joined
	Made     int   // out of them
	Events   int64 // in them
	Bytes    int64 // of the files that were joined
	Packed   int64 // of those that were made
	Commits  int
	Snapshot string
}

// compaction is one call of Compact.
type compaction struct {
	archive *Archive
	opts    CompactOptions
	chain   *chain
	result  CompactResult
	hours   map[hour]bool
	scratch int
}

// Compact joins the small files of each hour, of the same columns and payloads, into
// large ones. No event changes: those of the new file are compared with the old
// ones, value by value, before a commit says that the new file stands for them.
// Files that are replaced stay, since older snapshots have them.
//
// An archiver may be at work meanwhile: whoever finds the number of its commit
// taken goes on after the other's (see putAfter). One compaction a stream at a
// time is let in.
func (a *Archive) Compact(ctx context.Context, opts CompactOptions) (result CompactResult, err error) {
	if opts.Target <= 0 {
		opts.Target = defaultTarget
	}
	k := &compaction{archive: a, opts: opts, hours: map[hour]bool{}, result: CompactResult{Stream: opts.Stream}}
	if k.chain, err = a.load(ctx, opts.Stream); err != nil {
		return k.result, err
	}
	if k.chain.snapshot.Commit == 0 {
		return k.result, a.nothing(opts.Stream)
	}
	unlock, err := a.lockUpkeep(ctx, opts.Stream)
	if err != nil {
		return k.result, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	err = k.run(ctx)
	k.result.Hours, k.result.Snapshot = len(k.hours), k.chain.snapshot.ID
	return k.result, err
}

func (k *compaction) run(ctx context.Context) error {
	for {
		bins := binsOf(k.chain, k.opts.Target)
		if k.opts.DryRun {
			for _, b := range bins {
				k.count(b, 0)
			}
			return nil
		}
		if len(bins) == 0 {
			return nil
		}
		var made []joined
		for done := int64(0); len(bins) > 0 && done < compactBytes; bins = bins[1:] {
			j, err := k.join(ctx, bins[0], len(made)+1)
			if err != nil {
				return err
			}
			made, done = append(made, j), done+bins[0].bytes
		}
		if err := k.commit(ctx, made); err != nil {
			return err
		}
	}
}

func (k *compaction) count(b bin, packed int64) {
	k.hours[b.hour] = true
	k.result.Files += len(b.files)
	k.result.Made++
	k.result.Bytes += b.bytes
	k.result.Packed += packed
	for _, f := range b.files {
		k.result.Events += f.Rows
	}
}

// bin is files that become one, by growing sequence number.
type bin struct {
	hour  hour
	bytes int64
	files []recount.DataFile
	ids   []idSpan
}

// binsOf shares out the small files of a snapshot. Only neighbours are joined, so
// that the sequence numbers of an hour's files never overlap.
func binsOf(ch *chain, target int64) []bin {
	type place struct {
		hour hour
		at   int
	}
	var order []place
	for i, f := range ch.snapshot.Files {
		if f.Origin == "" { // what was adopted stays as it lies
			order = append(order, place{fileHour(f), i})
		}
	}
	files := ch.snapshot.Files
	slices.SortFunc(order, func(x, y place) int {
		a, b := files[x.at], files[y.at]
		return cmp.Or(cmp.Compare(x.hour, y.hour), cmp.Compare(a.Format, b.Format), cmp.Compare(a.Header, b.Header), cmp.Compare(a.FirstSeq, b.FirstSeq))
	})
	var bins []bin
	open := bin{}
	end := func() {
		if len(open.files) > 1 {
			bins = append(bins, open)
		}
		open = bin{}
	}
	for _, p := range order {
		f := files[p.at]
		if n := len(open.files); n > 0 {
			last := open.files[n-1]
			if open.hour != p.hour || last.Format != f.Format || last.Header != f.Header || !slices.Equal(last.Fields, f.Fields) ||
				f.FirstSeq <= last.LastSeq || open.bytes+f.Bytes > target || n == joinedFiles {
				end()
			}
		}
		if f.Bytes >= target/2 {
			end()
			continue
		}
		open.hour, open.bytes = p.hour, open.bytes+f.Bytes
		open.files, open.ids = append(open.files, f), append(open.ids, ch.ids[p.at])
	}
	end()
	return bins
}

func fileHour(f recount.DataFile) hour {
	if !f.TimeKnown {
		return unknownHour
	}
	return hourOf(f.FirstTime.UnixMicro())
}

// joined is a new file and the ones that it stands for.
type joined struct {
	bin   bin
	entry fileEntry
}

// join makes and keeps the file of a bin. Each file of the bin is verified first,
// and the new one must hold the same values.
func (k *compaction) join(ctx context.Context, b bin, part int) (j joined, err error) {
	k.scratch++
	dir := filepath.Join(k.opts.Dir, fmt.Sprintf("join-%06d", k.scratch))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return j, scratchError(dir, err)
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); err == nil && rmErr != nil {
			err = scratchError(dir, rmErr)
		}
	}()
	var files []*eventfile.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	want := eventfile.NewContent(b.files[0].Fields)
	for i, f := range b.files {
		ef, err := k.source(ctx, f, filepath.Join(dir, fmt.Sprintf("part-%06d.parquet", i)))
		if err != nil {
			return j, err
		}
		files = append(files, ef)
		if err := want.Add(ef); err != nil {
			return j, fmt.Errorf("read %q: %w", f.Name, err)
		}
	}
	out := &diskSpool{path: filepath.Join(dir, "joined.parquet"), sum: sha256.New()}
	meta := eventfile.Meta{Stream: k.opts.Stream, Format: b.files[0].Format, Header: b.files[0].Header, Fields: b.files[0].Fields}
	err = create(out.path, func(w io.Writer) error { return eventfile.Join(io.MultiWriter(w, out), meta, files) })
	if err != nil {
		return j, fmt.Errorf("join %d files of %s: %w", len(files), b.hour.folder(k.opts.Stream), err)
	}
	if err := out.holds(want, b.files[0].Fields); err != nil {
		return j, fmt.Errorf("join %d files of %s: %w", len(files), b.hour.folder(k.opts.Stream), err)
	}
	j = joined{bin: b, entry: b.entry()}
	base := fmt.Sprintf("%s%08d-%s-%d", b.hour.folder(k.opts.Stream), k.chain.snapshot.Commit+1, b.hour.label(), part)
	j.entry.Name, j.entry.SHA256, err = k.archive.keep(ctx, base, out)
	j.entry.Bytes = out.size
	return j, err
}

// source verifies a file and opens it on this machine.
func (k *compaction) source(ctx context.Context, f recount.DataFile, copied string) (*eventfile.File, error) {
	path, err := k.archive.local(ctx, f.Name, f.Bytes, f.SHA256, copied)
	if err != nil {
		return nil, k.archive.damagedFile(f, err)
	}
	return openLocal(path)
}

func openLocal(path string) (*eventfile.File, error) {
	file, err := os.Open(path) //nolint:gosec // a name that this package made
	if err != nil {
		return nil, scratchError(path, err)
	}
	ef, err := eventfile.Open(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %q: %w", path, err), file.Close())
	}
	return ef, nil // and closes the file
}

// entry says of the new file what the commits say of the old ones.
func (b bin) entry() fileEntry {
	first, last := b.files[0], b.files[len(b.files)-1]
	fields := fieldEntries(first.Fields)
	e := fileEntry{FirstSeq: first.FirstSeq, LastSeq: last.LastSeq, Format: first.Format, Header: first.Header, Fields: &fields}
	from, to := first.FirstTime, first.LastTime
	spans := map[string]*recount.PositionSpan{}
	for i, f := range b.files {
		e.Rows += f.Rows
		e.Faults += f.Faults
		if f.FirstTime.Before(from) {
			from = f.FirstTime
		}
		if f.LastTime.After(to) {
			to = f.LastTime
		}
		if ids := b.ids[i]; ids.first != "" {
			if e.FirstID == "" || ids.first < e.FirstID {
				e.FirstID = ids.first
			}
			e.LastID = max(e.LastID, ids.last)
		}
		for _, s := range f.Spans {
			all := spans[s.Partition]
			if all == nil {
				all = &recount.PositionSpan{Partition: s.Partition, First: s.First, Last: s.Last}
				spans[s.Partition] = all
			}
			all.First, all.Last, all.Rows = min(all.First, s.First), max(all.Last, s.Last), all.Rows+s.Rows
		}
		e.arrive(f)
	}
	if first.TimeKnown {
		e.FirstTime, e.LastTime = recount.FormatTimestamp(from), recount.FormatTimestamp(to)
	}
	for _, partition := range slices.Sorted(maps.Keys(spans)) {
		e.Spans = append(e.Spans, *spans[partition])
	}
	return e
}

// arrive adds which commits brought the events of a file.
func (e *fileEntry) arrive(f recount.DataFile) {
	list := f.Arrivals
	if len(list) == 0 {
		list = []recount.Arrival{{LastSeq: f.LastSeq, Before: f.Before, Commit: f.Commit}}
	}
	for _, a := range list {
		if n := len(e.Arrivals); n > 0 && e.Arrivals[n-1].Commit == a.Commit {
			e.Arrivals[n-1].LastSeq = a.LastSeq
			continue
		}
		e.Arrivals = append(e.Arrivals, arrivalEntry{LastSeq: a.LastSeq, Before: timeText(a.Before), Commit: a.Commit})
	}
}

// commit makes the new files part of the archive. Where another commit was first,
// it is looked at: files that it took out are left alone.
func (k *compaction) commit(ctx context.Context, made []joined) error {
	for try := 1; ; try++ {
		c, done := k.describe(made)
		if len(done) == 0 {
			return nil
		}
		digest, err := k.archive.putCommit(ctx, c)
		if err == nil {
			for _, j := range done {
				k.count(j.bin, j.entry.Bytes)
			}
			k.result.Commits++
			return k.chain.add(c, digest)
		}
		if !errors.Is(err, recount.ErrLocked) || try == attempts {
			return err
		}
		if k.chain, err = k.archive.load(ctx, k.opts.Stream); err != nil {
			return err
		}
	}
}

// describe is the commit of those new files whose old ones are all still there,
// with the judgments about their events as they are now.
func (k *compaction) describe(made []joined) (*commit, []joined) {
	c := k.archive.upkeep(k.chain, k.opts.Program)
	now := map[string]recount.DataFile{}
	for _, f := range k.chain.snapshot.Files {
		now[f.Name] = f
	}
	var done []joined
	for _, j := range made {
		if slices.ContainsFunc(j.bin.files, func(f recount.DataFile) bool { _, there := now[f.Name]; return !there }) {
			continue
		}
		e := j.entry
		e.Repeats, e.Conflicts = 0, 0
		for _, f := range j.bin.files {
			e.Repeats += now[f.Name].Repeats
			e.Conflicts += now[f.Name].Conflicts
			c.Replaces = append(c.Replaces, f.Name)
		}
		c.Files = append(c.Files, e)
		done = append(done, j)
	}
	return c, done
}

// diskSpool is a finished object in a scratch file, with its digest.
type diskSpool struct {
	path string
	size int64
	sum  hash.Hash
}

// Write counts what goes to the file beside it.
func (s *diskSpool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	return s.sum.Write(p)
}

func (s *diskSpool) digest() string { return hex.EncodeToString(s.sum.Sum(nil)) }
func (s *diskSpool) length() int64  { return s.size }

func (s *diskSpool) writeTo(w io.Writer) (err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return scratchError(s.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(w, f)
	return err
}

// holds compares the values of the file with those that it must have.
func (s *diskSpool) holds(want *eventfile.Content, fields []recount.Field) (err error) {
	ef, err := openLocal(s.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ef.Close()) }()
	got := eventfile.NewContent(fields)
	if err := got.Add(ef); err != nil {
		return err
	}
	if got.Sum() != want.Sum() {
		return errors.New("the joined file does not hold the same events; nothing was committed")
	}
	return nil
}
