package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/idindex"
)

// resolver finds the repeats and conflicts that a batch brings: exactly, by ids
// and payloads. Hashes only choose the rows that are looked at.
type resolver struct {
	archive *Archive
	stream  string
	ids     *idindex.Set
	files   []*idFile
	perPass int // copies that are held in memory at once
	// own is the part of a payload that is compared; nil: all of it.
	own func(payload []byte) []byte
}

// idFile is a file whose ids are looked at: one of the batch, or an earlier one
// whose span of ids reaches into the batch's.
type idFile struct {
	name    string
	size    int64
	digest  string
	earlier bool
	index   int // among the commit's files; earlier: the chain's
	groups  []int
	marks   counts
	// adopted is the entry of a file that was adopted, entry the same where this
	// commit makes it; both are empty elsewhere.
	adopted recount.DataFile
	entry   *fileEntry
}

// newResolver holds about as many bytes of copies as memory says.
func newResolver(a *Archive, ch *chain, c *commit, ids *idindex.Set, memory int64, own func([]byte) []byte) *resolver {
	const copyBytes, least = 200, 64
	r := &resolver{archive: a, stream: ch.stream, ids: ids, perPass: int(max(memory/copyBytes, least)), own: own}
	batch := idSpan{}
	for i, f := range c.Files {
		if f.FirstID != "" && (batch.first == "" || f.FirstID < batch.first) {
			batch.first = f.FirstID
		}
		batch.last = max(batch.last, f.LastID)
		if f.FirstID != "" {
			own := &idFile{name: f.Name, size: f.Bytes, digest: f.SHA256, index: i}
			if f.Origin != "" {
				own.entry = &c.Files[i]
			}
			r.files = append(r.files, own)
		}
	}
	for i, f := range ch.snapshot.Files {
		if span := ch.ids[i]; span.first != "" && span.first <= batch.last && span.last >= batch.first {
			r.files = append(r.files, &idFile{name: f.Name, size: f.Bytes, digest: f.SHA256, earlier: true, index: i, adopted: f})
		}
	}
	return r
}

// only leaves out the earlier files for which may says no.
func (r *resolver) only(may func(file int) bool) {
	r.files = slices.DeleteFunc(r.files, func(f *idFile) bool { return f.earlier && !may(f.index) })
}

// resolve hands all marks to emit, a pass at a time.
func (r *resolver) resolve(ctx context.Context, emit func([]recount.Mark) error) error {
	r.ids.Settle()
	older, err := r.markEarlier(ctx)
	if err != nil {
		return err
	}
	rows := older + r.ids.Twice() + r.ids.Candidates()
	if r.ids.Candidates() == 0 {
		return nil
	}
	passes := uint64((rows + r.perPass - 1) / r.perPass)
	for pass := range passes {
		copies, err := r.collect(ctx, func(h uint64) bool { return r.ids.Candidate(h) && h>>32%passes == pass })
		if err != nil {
			return err
		}
		marks := r.judge(copies)
		slices.SortFunc(marks, func(a, b recount.Mark) int {
			return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Kind, b.Kind))
		})
		if err := emit(marks); err != nil {
			return err
		}
	}
	return nil
}

// each runs work on files, a few at a time.
func (r *resolver) each(ctx context.Context, files []*idFile, work func(context.Context, *idFile) error) error {
	const most = 4
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), most))
	for _, f := range files {
		g.Go(func() error { return work(ctx, f) })
	}
	return g.Wait()
}

// markEarlier marks the hashes that ids of earlier files have too, and counts
// those rows. Earlier files are verified first: they are used.
func (r *resolver) markEarlier(ctx context.Context) (rows int, err error) {
	var mu sync.Mutex
	var earlier []*idFile
	for _, f := range r.files {
		if f.earlier && !f.isAdopted() {
			earlier = append(earlier, f)
		}
	}
	if rows, err = r.markAdopted(ctx); err != nil {
		return 0, err
	}
	err = r.each(ctx, earlier, func(ctx context.Context, f *idFile) error {
		if err := r.archive.check(ctx, f.name, f.size, f.digest); err != nil {
			return r.archive.damaged(f.name, err)
		}
		return r.open(ctx, f, func(ef *eventfile.File) error {
			for group := range ef.Groups() {
				var found []uint64
				if err := ef.Texts(group, "id", func(_ int, id []byte) error {
					if id == nil {
						return nil
					}
					if h := idindex.HashBytes(id); r.ids.Has(h) {
						found = append(found, h)
					}
					return nil
				}); err != nil {
					return err
				}
				if len(found) == 0 {
					continue
				}
				f.groups = append(f.groups, group)
				mu.Lock()
				rows += len(found)
				for _, h := range found {
					r.ids.Mark(h)
				}
				mu.Unlock()
			}
			return nil
		})
	})
	return rows, err
}

func (r *resolver) open(ctx context.Context, f *idFile, use func(*eventfile.File) error) error {
	return r.archive.openFile(ctx, f.name, use)
}

// openFile opens a file of events or marks whose bytes are known to be right.
func (a *Archive) openFile(ctx context.Context, name string, use func(*eventfile.File) error) error {
	o, err := a.store.Open(ctx, name)
	if err != nil {
		return fmt.Errorf("open %q: %w", name, err)
	}
	defer func() { _ = o.Close() }()
	ef, err := eventfile.Open(o)
	if err != nil {
		return fmt.Errorf("open %q: %w", name, err)
	}
	if err := use(ef); err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	return nil
}

// idCopy is one archived copy of an id.
type idCopy struct {
	id   string
	seq  int64
	time time.Time
	sum  [sha256.Size]byte // of the payload
	file *idFile
}

// collect reads the copies whose id has a wanted hash, by id, then by arrival.
func (r *resolver) collect(ctx context.Context, wanted func(hash uint64) bool) ([]idCopy, error) {
	var mu sync.Mutex
	all, err := r.collectAdopted(ctx, wanted)
	if err != nil {
		return nil, err
	}
	err = r.each(ctx, r.files, func(ctx context.Context, f *idFile) error {
		if f.earlier && len(f.groups) == 0 || f.isAdopted() {
			return nil
		}
		return r.open(ctx, f, func(ef *eventfile.File) error {
			groups := f.groups
			if !f.earlier {
				groups = groups[:0]
				for g := range ef.Groups() {
					groups = append(groups, g)
				}
			}
			for _, group := range groups {
				copies, err := r.readCopies(ef, group, f, wanted)
				if err != nil {
					return err
				}
				mu.Lock()
				all = append(all, copies...)
				mu.Unlock()
			}
			return nil
		})
	})
	slices.SortFunc(all, func(a, b idCopy) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.seq, b.seq)) })
	return all, err
}

func (r *resolver) readCopies(ef *eventfile.File, group int, f *idFile, wanted func(hash uint64) bool) ([]idCopy, error) {
	var copies []idCopy
	var rows []int // of copies
	err := ef.Texts(group, "id", func(row int, id []byte) error {
		if id != nil && wanted(idindex.HashBytes(id)) {
			copies = append(copies, idCopy{id: string(id), file: f})
			rows = append(rows, row)
		}
		return nil
	})
	if err != nil || len(copies) == 0 {
		return nil, err
	}
	next := 0
	at := func(row int) *idCopy { // rows come in order
		if next < len(rows) && rows[next] == row {
			next++
			return &copies[next-1]
		}
		return nil
	}
	if err := ef.Longs(group, "seq", func(row int, v int64, _ bool) error {
		if c := at(row); c != nil {
			c.seq = v
		}
		return nil
	}); err != nil {
		return nil, err
	}
	next = 0
	if err := ef.Longs(group, "time", func(row int, v int64, ok bool) error {
		if c := at(row); c != nil && ok {
			c.time = time.UnixMicro(v).UTC()
		}
		return nil
	}); err != nil {
		return nil, err
	}
	next = 0
	err = ef.Texts(group, "data", func(row int, v []byte) error {
		if c := at(row); c != nil {
			if v == nil {
				return nil // a tombstone is no empty payload
			}
			if r.own != nil {
				v = r.own(v)
			}
			c.sum = sha256.Sum256(v)
		}
		return nil
	})
	return copies, err
}

// judge marks repeats and conflicts among copies that are sorted by id and
// arrival. What earlier commits have marked is not marked again: copies of
// earlier files had their repeats marked when they came, and their conflicts too
// if two of them differ.
func (r *resolver) judge(copies []idCopy) []recount.Mark {
	var marks []recount.Mark
	for len(copies) > 0 {
		n := 1
		for n < len(copies) && copies[n].id == copies[0].id {
			n++
		}
		marks = r.judgeID(copies[:n], marks)
		copies = copies[n:]
	}
	return marks
}

func (r *resolver) judgeID(copies []idCopy, marks []recount.Mark) []recount.Mark {
	if len(copies) < 2 || copies[len(copies)-1].file.earlier {
		return marks
	}
	same := "the same event, byte for byte, was archived before"
	if r.own != nil {
		same = "the same event was archived before, its payload byte for byte"
	}
	payloads := map[[sha256.Size]byte]bool{}
	earlierPayloads := 0
	for _, c := range copies {
		if payloads[c.sum] && !c.file.earlier {
			marks = append(marks, c.mark(recount.MarkRepeat, same))
			c.file.marks.Repeats++
		}
		payloads[c.sum] = true
		if c.file.earlier {
			earlierPayloads = len(payloads)
		}
	}
	if len(payloads) == 1 {
		return marks
	}
	for _, c := range copies {
		if c.file.earlier && earlierPayloads > 1 {
			continue
		}
		marks = append(marks, c.mark(recount.MarkConflict, "its id came with more than one payload"))
		c.file.marks.Conflicts++
	}
	return marks
}

func (c *idCopy) mark(kind recount.MarkKind, why string) recount.Mark {
	return recount.Mark{Seq: c.seq, Kind: kind, ID: c.id, Time: c.time, Why: why}
}

// count fills in what a commit says of its marks.
func (r *resolver) count(c *commit) {
	for _, f := range r.files {
		c.Counts.Repeats += f.marks.Repeats
		c.Counts.Conflicts += f.marks.Conflicts
		switch {
		case f.marks == counts{}:
		case f.earlier:
			c.Marked = append(c.Marked, markedEntry{Name: f.name, Repeats: f.marks.Repeats, Conflicts: f.marks.Conflicts})
		default:
			c.Files[f.index].Repeats, c.Files[f.index].Conflicts = f.marks.Repeats, f.marks.Conflicts
		}
	}
}
