package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/idindex"
	"recount/internal/archive/originals"
	"recount/internal/archive/positions"
	"recount/source"
)

// adoption is the originals of a run that were read since its last commit.
type adoption struct {
	source  source.Originals
	current source.Original
	first   int64 // sequence number of its first event
	files   map[hour]*openFile
	last    *openFile
	entries []fileEntry
	parts   map[hour]int // of the commit
	cursor  [2]string    // partition of the current original, and its cursor
}

// Adopt makes files part of the archive that the source reads, where they lie: each
// is read once, and the commit holds its digest, its size and what is in it. Files
// of which the archive knows already are left alone. A file is committed whole or
// not at all; else all is as with Run. A source that has no files is
// CodeUnsupported.
func (a *Archive) Adopt(ctx context.Context, opts RunOptions) (RunResult, error) {
	src, ok := opts.Source.(source.Originals)
	if !ok {
		return RunResult{}, &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("source %s cannot be adopted", opts.Stream), Where: opts.Source.Info().Place,
			Why:  "only files can be taken over where they lie; this source has none",
			Next: fmt.Sprintf("recount archive run %s --once, which copies its events into the archive", opts.Stream),
		}
	}
	return a.start(ctx, opts, &adoption{source: src})
}

// readOriginals reads the files of which the archive does not know yet.
func (r *run) readOriginals(ctx, writing context.Context) error {
	end, err := r.adoption.source.ReadOriginals(ctx, r.place(), func(o source.Original, b source.Batch) error {
		return r.adopt(writing, o, b)
	})
	if err != nil {
		return err
	}
	r.endOriginal()
	r.came(end)
	return nil
}

// adopt takes in a batch of an original. A commit is made between originals alone.
func (r *run) adopt(ctx context.Context, o source.Original, b source.Batch) (err error) {
	defer func() { r.broken = r.broken || err != nil }()
	if err := checkTexts("partition, cursor, origin or header of "+o.Origin, b.Partition, b.Cursor, o.Origin, o.Header, o.Format); err != nil {
		return err
	}
	ad := r.adoption
	if o != ad.current {
		r.endOriginal()
		if r.events >= r.opts.CommitEvents || r.bytes >= r.opts.CommitBytes {
			if err := r.commit(ctx, nil); err != nil {
				return err
			}
		}
		ad.current, ad.first, ad.files, ad.last = o, r.seq+1, map[hour]*openFile{}, nil
		if ad.parts == nil {
			ad.parts = map[hour]int{}
		}
	}
	if !r.taken() {
		if err := r.index.begin(ctx, r.chain); err != nil {
			return err
		}
	}
	ad.cursor = [2]string{b.Partition, b.Cursor}
	if err := r.addGaps(b); err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		known, err := r.take(e)
		if err != nil {
			return err
		}
		r.adoption.add(r.seq, e, known)
	}
	r.act.Add(int64(len(b.Events)))
	return ctx.Err()
}

// add counts an event in the entry of its hour.
func (ad *adoption) add(seq int64, e *recount.Event, known bool) {
	h, micros := unknownHour, int64(0)
	if known {
		micros = e.Time.UnixMicro()
		h = hourOf(micros)
	}
	if ad.last == nil || ad.last.key.hour != h {
		if ad.last = ad.files[h]; ad.last == nil {
			ad.last = &openFile{
				key:   fileKey{hour: h, payload: payload{format: ad.current.Format, header: ad.current.Header}},
				spans: map[string]*recount.PositionSpan{},
			}
			ad.files[h] = ad.last
		}
	}
	ad.last.count(seq, e, micros)
}

// endOriginal makes the entries of the original that was read last.
func (r *run) endOriginal() {
	ad := r.adoption
	if ad.current.Origin == "" {
		return
	}
	for _, h := range slices.Sorted(maps.Keys(ad.files)) {
		e := ad.files[h].described()
		ad.parts[h]++
		// No object has this name: it stands for the entry, among those of its hour.
		e.Name = fmt.Sprintf("%s%08d-%s-%d-%.8s.adopted", h.folder(r.opts.Stream), r.chain.snapshot.Commit+1, h.label(), ad.parts[h], ad.current.SHA256)
		e.SHA256, e.Bytes, e.Origin, e.OriginSeq = ad.current.SHA256, ad.current.Bytes, ad.current.Origin, ad.first
		ad.entries = append(ad.entries, e)
	}
	r.cursor[ad.cursor[0]] = ad.cursor[1]
	ad.current, ad.files = source.Original{}, nil
}

// forget drops what was not committed, or what was.
func (ad *adoption) forget() {
	if ad != nil {
		*ad = adoption{source: ad.source}
	}
}

// original writes the wanted events of an original as files of the archive's
// form: those whose time is known, and the others. Faults are those that were told
// at the adoption; new ones, under fields that were declared since, get marks.
func (st *staging) original(ctx context.Context, i int, o originals.Original) error {
	told, err := st.told(ctx, o)
	if err != nil {
		return err
	}
	made := [2]*madeFile{}
	var marks []recount.Mark
	reader := st.archive.reader(st.opts.Snapshot.Stream, st.opts.Fields)
	err = reader.Read(ctx, o, func(e *originals.Event) error {
		if told != nil {
			if why, was := told[e.Seq]; was {
				e.Fault = why
			} else if e.Fault != "" {
				m := recount.Mark{Seq: e.Seq, Kind: recount.MarkFault, ID: e.ID, Broken: e.Broken, Why: e.Fault, Time: e.Time}
				marks = append(marks, m)
			}
		}
		side := 0
		if !e.TimeKnown {
			side = 1
		}
		if made[side] == nil {
			meta := eventfile.Meta{Stream: st.opts.Snapshot.Stream, Format: e.Format, Header: e.Header, Fields: st.opts.Fields}
			path := filepath.Join(st.opts.Dir, fmt.Sprintf("original-%06d-%d.parquet", i, side))
			if made[side], err = newMadeFile(path, meta); err != nil {
				return err
			}
		}
		return made[side].add(e)
	})
	for side, m := range made {
		if m == nil {
			continue
		}
		if closeErr := m.close(); err == nil {
			err = closeErr
		}
		st.adopted[2*i+side] = engine.File{Path: m.path, Data: joinedParts(o.Parts, side == 0, m.meta)}
	}
	if err != nil || len(marks) == 0 {
		return err
	}
	path := filepath.Join(st.opts.Dir, fmt.Sprintf("faults-original-%06d.parquet", i))
	st.extraAdopted[i] = path
	return st.writeMarks(path, marks)
}

// told returns the faults of an original's events by sequence number, as they were
// told at the adoption; nil where they are told the same way now.
func (st *staging) told(ctx context.Context, o originals.Original) (map[int64]string, error) {
	f := o.Parts[0].File
	if slices.Equal(f.Fields, st.opts.Fields) {
		return nil, nil
	}
	told := map[int64]string{}
	for _, m := range st.opts.Snapshot.Marks {
		if m.Commit != f.Commit {
			continue
		}
		if err := st.archive.verifyMarks(ctx, m); err != nil {
			return nil, err
		}
		err := st.archive.openFile(ctx, m.Name, func(ef *eventfile.File) error {
			marks, err := ef.Marks()
			for _, mark := range marks {
				if mark.Kind == recount.MarkFault {
					told[mark.Seq] = mark.Why
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return told, nil
}

// joinedParts describes the entries of one original whose times are known, or
// those of the unknown ones, as one file.
func joinedParts(parts []originals.Part, known bool, meta eventfile.Meta) recount.DataFile {
	var all recount.DataFile
	spans := map[string]recount.PositionSpan{}
	for _, p := range parts {
		f := p.File
		if f.TimeKnown != known {
			continue
		}
		if all.Name == "" {
			all = f
			all.Rows, all.Repeats, all.Conflicts, all.Faults = 0, 0, 0, 0
		}
		all.Rows, all.Repeats, all.Conflicts, all.Faults = all.Rows+f.Rows, all.Repeats+f.Repeats, all.Conflicts+f.Conflicts, all.Faults+f.Faults
		all.FirstSeq, all.LastSeq = min(all.FirstSeq, f.FirstSeq), max(all.LastSeq, f.LastSeq)
		if f.FirstTime.Before(all.FirstTime) {
			all.FirstTime = f.FirstTime
		}
		if f.LastTime.After(all.LastTime) {
			all.LastTime = f.LastTime
		}
		for _, s := range f.Spans {
			if have, ok := spans[s.Partition]; ok {
				s.First, s.Last, s.Rows = min(s.First, have.First), max(s.Last, have.Last), s.Rows+have.Rows
			}
			spans[s.Partition] = s
		}
	}
	all.Spans = slices.SortedFunc(maps.Values(spans), func(a, b recount.PositionSpan) int { return cmp.Compare(a.Partition, b.Partition) })
	all.Fields, all.Format, all.Header = meta.Fields, meta.Format, meta.Header
	return all
}

// adopted verifies originals: their bytes, then that they give the events that
// their commits say.
func (v *verification) adopted(ctx context.Context, list []originals.Original) error {
	reader := v.archive.reader(v.chain.stream, nil)
	return reader.All(ctx, list, func(ctx context.Context, n int) error {
		o := list[n]
		got := make([]*found, len(o.Parts))
		for i, p := range o.Parts {
			got[i] = &found{
				meta:  eventfile.Meta{Stream: v.chain.stream, Format: p.File.Format, Header: p.File.Header},
				spans: map[string]*recount.PositionSpan{}, numbers: v.dense(p.File),
			}
		}
		err := reader.Read(ctx, o, func(e *originals.Event) error {
			got[e.Part].add(e)
			return nil
		})
		v.act.Add(o.Bytes)
		for i, p := range o.Parts {
			if problem := v.note(p.Index, v.part(p, got[i], err)); problem != nil {
				return problem
			}
			if err != nil {
				// One damage is told once, and the other entries count as unread.
				for _, other := range o.Parts[i+1:] {
					v.unread(other.File)
				}
				return nil
			}
		}
		return nil
	})
}

// part compares what was read of an entry with its commit.
func (v *verification) part(p originals.Part, got *found, err error) error {
	if err != nil {
		v.unread(p.File)
		return err
	}
	v.hold(p.File, got.numbers)
	// Fields that were declared since can make other events faulty.
	if wrong := got.compare(v.chain.stream, p.File, v.chain.ids[p.Index], false); wrong != "" {
		_ = v.covered(p.File, nil) // wrong says more
		return v.archive.otherContent(p.File.Name, wrong)
	}
	return v.covered(p.File, got.seqs)
}

// unread says that the events of an entry could not be read, which is told
// already.
func (v *verification) unread(f recount.DataFile) {
	v.hold(f, nil)
	_ = v.covered(f, nil)
}

// sizeOf counts files and bytes, each original once.
func sizeOf(files []recount.DataFile) (n int, bytes int64) {
	own, adopted := originals.Group(files)
	for _, i := range own {
		bytes += files[i].Bytes
	}
	for _, o := range adopted {
		bytes += o.Bytes
	}
	return len(own) + len(adopted), bytes
}

// add counts one event of an adopted file.
func (got *found) add(e *originals.Event) {
	got.seqs = append(got.seqs, e.Seq)
	if e.TimeKnown {
		micros := e.Time.UnixMicro()
		if got.times == 0 {
			got.first, got.last = micros, micros
		}
		got.first, got.last = min(got.first, micros), max(got.last, micros)
		got.times++
	}
	if e.ID != "" {
		if got.ids.first == "" || e.ID < got.ids.first {
			got.ids.first = e.ID
		}
		got.ids.last = max(got.ids.last, e.ID)
	}
	if e.Fault != "" {
		got.faults++
	}
	s := got.spans[e.Partition]
	if s == nil {
		s = &recount.PositionSpan{Partition: e.Partition, First: e.Position, Last: e.Position}
		got.spans[e.Partition] = s
	}
	s.First, s.Last = min(s.First, e.Position), max(s.Last, e.Position)
	s.Rows++
	if numbers, dense := got.numbers[s.Partition]; dense {
		got.numbers[s.Partition] = positions.Append(numbers, e.Position)
	}
}

func (f *idFile) isAdopted() bool { return f.entry != nil || f.adopted.Origin != "" }

// adoptedOf groups the adopted files among those whose ids are looked at. Indexes
// of parts are those of files.
func (r *resolver) adoptedOf(wanted func(*idFile) bool) (files []*idFile, list []originals.Original, err error) {
	var entries []recount.DataFile
	for _, f := range r.files {
		if !f.isAdopted() || !wanted(f) {
			continue
		}
		entry := f.adopted
		if f.entry != nil {
			if entry, err = f.entry.dataFile(&commit{}, nil, time.Time{}); err != nil {
				return nil, nil, err
			}
		}
		files, entries = append(files, f), append(entries, entry)
	}
	_, list = originals.Group(entries)
	return files, list, nil
}

// markAdopted is markEarlier for adopted files.
func (r *resolver) markAdopted(ctx context.Context) (rows int, err error) {
	files, list, err := r.adoptedOf(func(f *idFile) bool { return f.earlier })
	if err != nil {
		return 0, err
	}
	var mu sync.Mutex
	err = r.archive.reader(r.stream, nil).Each(ctx, list, func(o int, e *originals.Event) error {
		h := idindex.Hash(e.ID)
		if e.ID == "" || !r.ids.Has(h) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		files[list[o].Parts[e.Part].Index].groups = []int{0} // there is something in it
		rows++
		r.ids.Mark(h)
		return nil
	})
	return rows, err
}

// collectAdopted reads the wanted copies out of adopted files.
func (r *resolver) collectAdopted(ctx context.Context, wanted func(hash uint64) bool) (copies []idCopy, err error) {
	files, list, err := r.adoptedOf(func(f *idFile) bool { return !f.earlier || len(f.groups) > 0 })
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	err = r.archive.reader(r.stream, nil).Each(ctx, list, func(o int, e *originals.Event) error {
		if e.ID == "" || !wanted(idindex.Hash(e.ID)) {
			return nil
		}
		c := idCopy{id: e.ID, seq: e.Seq, time: e.Time, file: files[list[o].Parts[e.Part].Index]}
		if data := e.Data; data != nil { // a tombstone is no empty payload
			if r.own != nil {
				data = r.own(data)
			}
			c.sum = sha256.Sum256(data)
		}
		mu.Lock()
		defer mu.Unlock()
		copies = append(copies, c)
		return nil
	})
	return copies, err
}
