package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"recount"
	"recount/internal/archive/eventfile"
)

// budget says how much memory the parts of a batch may take.
type budget struct {
	live  int64 // rows that wait for their row group
	group int64 // one row group, so also what each encoder holds
	spool int64 // encoded files that wait for their end
	rows  int   // in a row group
}

// newBudget shares out a total: a sixth to rows that wait, which take up to twice
// of it, a quarter to encoded files, a sixth to the encoders, and as much to rows
// kept for the next groups.
func newBudget(total int64, workers int) budget {
	const least = 64 << 10
	return budget{
		live: max(total/6, least), spool: max(total/4, least), group: max(total/6/int64(workers), least), rows: eventfile.MaxGroupRows,
	}
}

// batch is what a run has read since its last commit: open files by hour, whose
// row groups are encoded by a few goroutines of the batch's own.
type batch struct {
	archive *Archive
	number  int64 // of the commit that it will be
	stream  string
	fields  []recount.Field
	budget  budget

	files map[fileKey]*openFile
	last  *openFile
	parts map[hour]int
	live  int64
	seq   int64 // of the last event

	workers []chan task
	running sync.WaitGroup // goroutines
	pending sync.WaitGroup // tasks
	free    chan *eventfile.Rows

	done []*openFile

	mu  sync.Mutex
	err error // of an encoder
}

// fileKey says which rows may share a file.
type fileKey struct {
	hour    hour
	payload payload
}

// payload is what a reader must know of a file's payloads.
type payload struct{ format, header string }

// openFile is one file of a batch. Its rows and statistics are the run's, its
// writer and spool its encoder's.
type openFile struct {
	key    fileKey
	part   int
	worker int
	rows   *eventfile.Rows // nil: none wait
	size   int64           // about what they take, with the room that they came with
	groups int
	entry  fileEntry
	first  int64 // times, in microseconds
	final  int64
	spans  map[string]*recount.PositionSpan
	span   *recount.PositionSpan // of the last event

	w     *eventfile.Writer
	spool *spool
}

// task hands rows of a file to its encoder; finish ends the file.
type task struct {
	file   *openFile
	rows   *eventfile.Rows
	finish bool
}

// newBatch starts the encoders. free keeps empty rows, with their memory, from one
// batch to the next.
func newBatch(ctx context.Context, a *Archive, ch *chain, opts RunOptions, free chan *eventfile.Rows) *batch {
	workers := cap(free)
	b := &batch{
		archive: a, number: ch.snapshot.Commit + 1, stream: ch.stream, fields: opts.Fields, budget: newBudget(opts.MemoryBudget, workers),
		files: map[fileKey]*openFile{}, parts: map[hour]int{}, free: free,
	}
	for range workers {
		tasks := make(chan task)
		b.workers = append(b.workers, tasks)
		b.running.Go(func() {
			for t := range tasks {
				b.note(b.encode(ctx, t))
				b.pending.Done()
			}
		})
	}
	return b
}

// close ends the encoders. What was not committed is forgotten.
func (b *batch) close() {
	for _, tasks := range b.workers {
		close(tasks)
	}
	b.workers = nil
	b.running.Wait()
}

func (b *batch) note(err error) {
	if err == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

func (b *batch) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// add appends an event to the file of its hour.
func (b *batch) add(seq int64, e *recount.Event, known bool, p payload) error {
	key := fileKey{hour: unknownHour, payload: p}
	micros := int64(0)
	if known {
		micros = e.Time.UnixMicro()
		key.hour = hourOf(micros)
	}
	f := b.file(key)
	b.fill(f)
	if f.rows.Len() >= b.budget.rows || f.rows.Bytes()+int64(len(e.Data)) > b.budget.group && f.rows.Len() > 0 {
		if err := b.flush(f, false); err != nil {
			return err
		}
		f = b.file(key)
		b.fill(f)
	}
	if err := f.rows.Append(seq, e, known); err != nil {
		return fmt.Errorf("event at %s of partition %q: %w", e.Position, e.Partition, err)
	}
	f.count(seq, e, micros)
	b.seq = seq
	if size := f.rows.Bytes(); size > f.size {
		b.live += size - f.size
		f.size = size
	}
	return b.relieve()
}

func (b *batch) file(key fileKey) *openFile {
	if b.last != nil && b.last.key == key {
		return b.last
	}
	f := b.files[key]
	if f == nil {
		b.parts[key.hour]++
		f = &openFile{key: key, part: b.parts[key.hour], spool: newSpool(), spans: map[string]*recount.PositionSpan{}}
		f.worker = int(uint64(key.hour) % uint64(len(b.workers)))
		b.files[key] = f
	}
	b.last = f
	return f
}

// fill gives a file empty rows.
func (b *batch) fill(f *openFile) {
	if f.rows != nil {
		return
	}
	select {
	case f.rows = <-b.free:
	default:
		f.rows = eventfile.NewRows(b.fields)
	}
	f.size = f.rows.Held()
	b.live += f.size
}

// count keeps what the commit says of the file.
func (f *openFile) count(seq int64, e *recount.Event, micros int64) {
	n := &f.entry
	if n.Rows == 0 {
		n.FirstSeq, f.first, f.final = seq, micros, micros
	}
	n.Rows++
	n.LastSeq = seq
	f.first, f.final = min(f.first, micros), max(f.final, micros)
	if e.ID != "" {
		// Copies: an event's texts are parts of larger ones.
		if n.FirstID == "" || e.ID < n.FirstID {
			n.FirstID = strings.Clone(e.ID)
		}
		if e.ID > n.LastID {
			n.LastID = strings.Clone(e.ID)
		}
	}
	if e.Fault != "" {
		n.Faults++
	}
	if f.span == nil || f.span.Partition != e.Partition {
		if f.span = f.spans[e.Partition]; f.span == nil {
			f.span = &recount.PositionSpan{Partition: e.Partition, First: e.Position, Last: e.Position}
			f.spans[e.Partition] = f.span
		}
	}
	f.span.Rows++
	f.span.First, f.span.Last = min(f.span.First, e.Position), max(f.span.Last, e.Position)
}

// relieve keeps the batch within its budget: the rows that are worth the most room
// become a row group, and the largest encoded file is ended.
func (b *batch) relieve() error {
	for b.live > b.budget.live {
		var found *openFile
		most := 0.0
		for _, f := range b.files {
			if f.rows == nil {
				continue
			}
			if worth := b.worth(f); found == nil || worth > most || worth == most && f.entry.FirstSeq < found.entry.FirstSeq {
				found, most = f, worth
			}
		}
		if err := b.flush(found, false); err != nil {
			return err
		}
	}
	return nil
}

// worth weighs the size of a file's rows with how many events came since its last
// one: an hour that is over gets no more, and its rows only take room.
func (b *batch) worth(f *openFile) float64 {
	const active = 1 << 16 // events: so many come before each partition had its turn
	return float64(f.rows.Bytes()) * float64(max(b.seq-f.entry.LastSeq, active))
}

// flush hands a file's rows to its encoder, which blocks while that one is busy,
// and ends the fullest file where the encoded ones take too much room.
func (b *batch) flush(f *openFile, finish bool) error {
	const mostGroups = 4096
	if err := b.send(f, finish || f.groups+1 >= mostGroups); err != nil || finish {
		return err
	}
	total := int64(0)
	var fullest *openFile
	for _, f := range b.files {
		n := f.spool.mine.Load()
		total += n
		if fullest == nil || n > fullest.spool.mine.Load() {
			fullest = f
		}
	}
	if total <= b.budget.spool {
		return nil
	}
	return b.send(fullest, true)
}

func (b *batch) send(f *openFile, finish bool) error {
	if err := b.failed(); err != nil {
		return err
	}
	b.live -= f.size
	rows := f.rows
	f.rows, f.size = nil, 0
	f.groups++
	if finish {
		delete(b.files, f.key)
		b.last = nil
		b.done = append(b.done, f)
	}
	b.pending.Add(1)
	b.workers[f.worker] <- task{file: f, rows: rows, finish: finish}
	return nil
}

// writerBytes is about what a file's writer takes beside what it has written.
const writerBytes = 24 << 10

// encode is an encoder's work: it alone touches the file's writer and spool.
func (b *batch) encode(ctx context.Context, t task) error {
	if err := errors.Join(b.failed(), ctx.Err()); err != nil {
		return err
	}
	f := t.file
	if t.rows != nil {
		if f.w == nil {
			meta := eventfile.Meta{Stream: b.stream, Format: f.key.payload.format, Header: f.key.payload.header, Fields: b.fields}
			w, err := eventfile.NewWriter(f.spool, meta, t.rows)
			if err != nil {
				return err
			}
			f.w = w
			f.spool.mine.Add(writerBytes)
		}
		f.spool.mine.Add(f.w.GroupBytes())
		if err := f.w.Write(t.rows); err != nil {
			return err
		}
		t.rows.Reset()
		select {
		case b.free <- t.rows:
		default:
		}
	}
	if !t.finish {
		return nil
	}
	if err := f.w.Close(); err != nil {
		return err
	}
	base := fmt.Sprintf("%s%08d-%s-%d", f.key.hour.folder(b.stream), b.number, f.key.hour.label(), f.part)
	name, digest, err := b.archive.keep(ctx, base, f.spool)
	if err != nil {
		return err
	}
	f.entry.Name, f.entry.SHA256, f.entry.Bytes = name, digest, f.spool.size
	f.spool.release()
	f.w = nil // it knows all its row groups
	return nil
}

// finish ends all files and returns what the commit says of them, by hour, then
// by order of arrival.
func (b *batch) finish() ([]fileEntry, error) {
	for _, f := range slices.SortedFunc(maps.Values(b.files), func(x, y *openFile) int { return cmp.Compare(x.entry.FirstSeq, y.entry.FirstSeq) }) {
		if err := b.send(f, true); err != nil {
			return nil, err
		}
	}
	b.pending.Wait()
	if err := b.failed(); err != nil {
		return nil, err
	}
	slices.SortFunc(b.done, func(x, y *openFile) int {
		return cmp.Or(cmp.Compare(x.key.hour, y.key.hour), cmp.Compare(x.entry.FirstSeq, y.entry.FirstSeq))
	})
	entries := make([]fileEntry, len(b.done))
	for i, f := range b.done {
		entries[i] = f.described()
	}
	return entries, nil
}

func (f *openFile) described() fileEntry {
	e := f.entry
	e.Format, e.Header = f.key.payload.format, f.key.payload.header
	if f.key.hour != unknownHour {
		e.FirstTime = recount.FormatTimestamp(time.UnixMicro(f.first))
		e.LastTime = recount.FormatTimestamp(time.UnixMicro(f.final))
	}
	for _, partition := range slices.Sorted(maps.Keys(f.spans)) {
		e.Spans = append(e.Spans, *f.spans[partition])
	}
	return e
}
