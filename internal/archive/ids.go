package archive

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/idindex"
	"recount/internal/archive/originals"
	"recount/store"
)

// idIndex tells a run which earlier files may hold an id of its batch, where the
// files' spans of ids rule out few of them. It is made from the files and can be
// made again: whatever goes wrong with it, the files are read instead.
type idIndex struct {
	archive *Archive
	stream  string
	// on: the stream has an index. It gets one when a batch would have to be
	// compared with many earlier ids, so that streams whose ids grow with time
	// never do.
	on bool
	// runs hold the events from the first on, fresh those after them up to caught.
	runs    []*openRun
	fresh   idindex.Builder
	caught  int64
	scanned int64 // ids that were read since for want of an index
	// gathers: the ids of the present batch go to fresh.
	gathers bool
}

// openRun is a run of the store, which is opened when it is asked.
type openRun struct {
	idindex.Ref

	run   *idindex.Run
	close func()
}

func idsFolder(stream string) string { return metaFolder + stream + "/ids/" }

// newIDIndex goes on from the runs that a head names; none of them is read yet.
func newIDIndex(a *Archive, stream string, refs []idindex.Ref) *idIndex {
	x := &idIndex{archive: a, stream: stream, on: len(refs) > 0}
	for _, ref := range refs {
		x.runs = append(x.runs, &openRun{Ref: ref})
		x.caught = ref.Last
	}
	return x
}

// close gives everything back.
func (x *idIndex) close() {
	x.fresh.Close()
	closeRuns(x.runs)
	x.runs = nil
}

func closeRuns(runs []*openRun) {
	for _, r := range runs {
		if r.close != nil {
			r.close()
		}
		r.run, r.close = nil, nil
	}
}

// off does without the index, for this run.
func (x *idIndex) off() {
	x.close()
	x.on, x.gathers, x.caught = false, false, 0
}

// begin prepares for a batch after the last one of the chain.
func (x *idIndex) begin(ctx context.Context, ch *chain) error {
	x.gathers = false
	if !x.on {
		return nil
	}
	if err := x.catchUp(ctx, ch); err != nil {
		return err
	}
	x.gathers = x.on
	return nil
}

// add notes an event of the present batch.
func (x *idIndex) add(hash uint64, seq int64) {
	if x.gathers && x.fresh.Add(hash, seq) != nil {
		x.off()
	}
}

// committed says that the batch is archived.
func (x *idIndex) committed(lastSeq int64) {
	if x.gathers {
		x.caught = lastSeq
	}
	x.gathers = false
}

// forget says that the present batch is not archived.
func (x *idIndex) forget() {
	if !x.gathers {
		return
	}
	x.gathers, x.caught = false, 0
	x.fresh.Close() // it may have events of the batch
	if n := len(x.runs); n > 0 {
		x.caught = x.runs[n-1].Last
	}
}

// narrow takes out of the files that a batch is compared with those that have
// none of its ids.
func (x *idIndex) narrow(ctx context.Context, ch *chain, res *resolver) error {
	rows := int64(0)
	for _, f := range res.files {
		if f.earlier {
			rows += ch.snapshot.Files[f.index].Rows
		}
	}
	few := x.archive.tuning.scanned
	if x.on {
		few /= 4 // they are gathered anyway; a look at the runs costs as much as so many ids
	}
	if rows <= few {
		return nil
	}
	// To make an index, all files are read: that must not cost much more than what
	// was read without one.
	const share = 4
	if x.scanned += rows; !x.on && share*x.scanned < ch.lastSeq {
		return nil
	}
	x.on = true
	for again := false; ; again = true {
		if err := x.catchUp(ctx, ch); err != nil {
			return err
		}
		if !x.on {
			return nil
		}
		hits, err := x.find(ctx, res.ids, ch.lastSeq)
		if err == nil {
			res.only(func(file int) bool {
				f := &ch.snapshot.Files[file]
				return hits.In(f.FirstSeq, f.LastSeq)
			})
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x.off()
		if x.on = !again; again {
			return nil
		}
	}
}

// find looks a batch's ids up among the events up to a sequence number.
func (x *idIndex) find(ctx context.Context, ids *idindex.Set, last int64) (*idindex.Hits, error) {
	ids.Settle()
	hits := &idindex.Hits{}
	hit := func(seq int64) {
		if seq <= last { // fresh has the batch itself too
			hits.Add(seq)
		}
	}
	x.fresh.FindRecent(ids.Has, hit)
	return hits, ids.EachShort(func(short []uint64) error {
		for _, r := range x.runs {
			if err := x.archive.openRun(ctx, r); err != nil {
				return err
			}
			if err := r.run.Find(short, hit); err != nil {
				return fmt.Errorf("%s: %w", r.Name, err)
			}
		}
		return x.fresh.Find(short, hit)
	})
}

// openRun opens a run in place where the store is local, else a copy of it.
func (a *Archive) openRun(ctx context.Context, r *openRun) error {
	if r.run != nil {
		return nil
	}
	o, err := a.store.Open(ctx, r.Name)
	if err != nil {
		return err
	}
	if _, ok := a.store.(store.Local); ok {
		if r.run, err = idindex.Open(o, r.Ref); err != nil {
			_ = o.Close()
			return err
		}
		r.close = func() { _ = o.Close() }
		return nil
	}
	defer func() { _ = o.Close() }()
	s, err := idindex.Copy(r.Ref, func(w io.Writer) error { _, err := io.Copy(w, o); return err })
	if err != nil {
		return err
	}
	r.run, r.close = s.Run, s.Close
	return nil
}

// catchUp reads the ids of archived events that are not in the index yet.
func (x *idIndex) catchUp(ctx context.Context, ch *chain) error {
	if x.caught > ch.lastSeq {
		x.off() // it is of another log
		x.on = true
	}
	if x.caught == ch.lastSeq {
		return nil
	}
	var mu sync.Mutex
	var full error
	const most = 4
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), most))
	add := func(hashes []uint64, seqs []int64) {
		mu.Lock()
		defer mu.Unlock()
		for i, h := range hashes {
			if h != 0 && seqs[i] > x.caught && full == nil {
				full = x.fresh.Add(h, seqs[i])
			}
		}
	}
	missing := slices.DeleteFunc(slices.Clone(ch.snapshot.Files), func(f recount.DataFile) bool { return f.LastSeq <= x.caught })
	own, adopted := originals.Group(missing)
	for _, i := range own {
		g.Go(func() error { return x.archive.eachID(ctx, missing[i], add) })
	}
	for _, o := range adopted {
		g.Go(func() error {
			return x.archive.reader(x.stream, nil).Read(ctx, o, func(e *originals.Event) error {
				if e.ID != "" {
					add([]uint64{idindex.Hash(e.ID)}, []int64{e.Seq})
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		x.off()
		return err
	}
	if full != nil {
		x.off()
		return nil //nolint:nilerr // g.Wait has none, and without scratch files the archive's are read
	}
	x.caught = ch.lastSeq
	return nil
}

// eachID verifies a file and hands out the hashes of its ids, 0 where there is
// none, with the sequence numbers, a row group at a time.
func (a *Archive) eachID(ctx context.Context, f recount.DataFile, each func(hashes []uint64, seqs []int64)) error {
	if err := a.verifyFile(ctx, f); err != nil {
		return err
	}
	return a.openFile(ctx, f.Name, func(ef *eventfile.File) error {
		for group := range ef.Groups() {
			hashes, seqs := make([]uint64, ef.Rows(group)), make([]int64, ef.Rows(group))
			if err := ef.Texts(group, "id", func(row int, id []byte) error {
				if id != nil {
					hashes[row] = idindex.HashBytes(id)
				}
				return nil
			}); err != nil {
				return err
			}
			if err := ef.Longs(group, "seq", func(row int, seq int64, _ bool) error {
				seqs[row] = seq
				return nil
			}); err != nil {
				return err
			}
			each(hashes, seqs)
		}
		return nil
	})
}

// keep stores what is fresh as a run, together with older runs that are not much
// larger, so that there are few, and returns all of them. What cannot be stored
// now is stored with the next one.
func (x *idIndex) keep(ctx context.Context) []idindex.Ref {
	if x.on && (len(x.runs) == 0 || x.runs[len(x.runs)-1].Last < x.caught) {
		if err := x.store(ctx); err != nil && ctx.Err() == nil {
			x.off()
			x.on = true // and is made again
		}
	}
	refs := make([]idindex.Ref, 0, len(x.runs))
	for _, r := range x.runs {
		refs = append(refs, r.Ref)
	}
	return refs
}

func (x *idIndex) store(ctx context.Context) error {
	from, n, first := len(x.runs), x.fresh.Len(), int64(1)
	for from > 0 && x.runs[from-1].Entries <= 2*n {
		from--
		n += x.runs[from].Entries
	}
	if from > 0 {
		first = x.runs[from-1].Last + 1
	}
	var older []*idindex.Run
	for _, r := range x.runs[from:] {
		if err := x.archive.openRun(ctx, r); err != nil {
			return err
		}
		older = append(older, r.run)
	}
	s, err := x.fresh.Build(first, x.caught, older)
	if err != nil {
		return err
	}
	const digits = 8
	s.Name = fmt.Sprintf("%s%020d-%020d-%s.ids", idsFolder(x.stream), first, x.caught, s.SHA256[:digits])
	if err := x.archive.putDerived(ctx, s.Name, func(w io.Writer) error { _, err := s.WriteTo(w); return err }); err != nil {
		s.Close()
		return nil //nolint:nilerr // what is fresh stays so until the next head
	}
	kept := &openRun{Ref: s.Ref}
	if _, ok := x.archive.store.(store.Local); ok {
		s.Close()
	} else {
		kept.run, kept.close = s.Run, s.Close
	}
	closeRuns(x.runs[from:])
	x.runs = append(x.runs[:from], kept)
	x.fresh.Close()
	return nil
}

// holders returns, by the runs that the chain's head names, what says which files
// may have an id; without them any may.
func (a *Archive) holders(ctx context.Context, ch *chain, id string) func(file int) bool {
	var hits idindex.Hits
	covered := int64(0)
	for _, ref := range ch.head.IDs {
		found := func() error {
			o, err := a.store.Open(ctx, ref.Name)
			if err != nil {
				return err
			}
			defer func() { _ = o.Close() }()
			run, err := idindex.Open(o, ref)
			if err != nil {
				return err
			}
			return run.Find([]uint64{idindex.Short(idindex.Hash(id))}, hits.Add)
		}
		if found() != nil {
			return func(int) bool { return true }
		}
		covered = ref.Last
	}
	return func(file int) bool {
		f := &ch.snapshot.Files[file]
		return f.LastSeq > covered || hits.In(f.FirstSeq, f.LastSeq)
	}
}
