package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"recount"
	"recount/source"
	"recount/source/payload"
)

// The sizes of what is handed over at once.
const (
	batchLines   = 8192
	batchBytes   = 4 << 20
	maxLineBytes = 64 << 20
)

// follow reads what of one log comes after the cursor.
func (s *Source) follow(ctx context.Context, l log, cursor string, emit func(source.Batch) error) error {
	st, err := parseCursor(cursor)
	if err != nil {
		return s.fault(l.partition, err)
	}
	files, err := openAll(l.path)
	if err != nil {
		return s.fault(l.partition, err)
	}
	defer closeAll(files)
	f := &following{source: s, log: l, state: st, emit: emit, cursor: cursor}
	first, err := f.find(files)
	if err != nil {
		return s.fault(l.partition, err)
	}
	for i := first; i < len(files); i++ {
		err := f.file(ctx, files[i], !written(files[i+1:]))
		if f.refused != nil {
			return f.refused
		}
		if err != nil {
			return s.fault(l.partition, err)
		}
	}
	s.saw(l.partition, files)
	return nil
}

// written says whether anything stands in newer files: then nobody writes to the
// older ones any more.
func written(newer []*opened) bool {
	return slices.ContainsFunc(newer, func(o *opened) bool { return o.info.Size() > 0 })
}

// following is one reading of a log.
type following struct {
	source *Source
	log    log
	state  state
	print  print
	begun  bool // state is of a file that is being read
	emit   func(source.Batch) error
	cursor string // the last one that was handed over

	batch   source.Batch
	scratch payload.Scratch
	bytes   int
	refused error // what emit returned
}

// find returns the first file that is to be read, placed where the cursor stands.
func (f *following) find(files []*opened) (int, error) {
	if f.cursor == "" {
		return 0, nil
	}
	if f.state.Offset > 0 {
		// The newest file is the likeliest.
		for i, o := range slices.Backward(files) {
			p, ok, err := o.reach(f.state.Offset)
			if err != nil {
				return 0, err
			}
			if ok && digest(p.head) == f.state.Head && digest(p.tail) == f.state.Tail {
				f.print, f.begun = p, true
				return i, nil
			}
			if err := o.rewind(); err != nil {
				return 0, err
			}
		}
	}
	// The file is gone with what was not read of it, or nothing of it was read yet.
	// Those that were written since follow it.
	lost := f.state.Offset > 0
	first := len(files)
	for i, o := range files {
		if o.info.ModTime().UnixNano() >= f.state.Seen {
			first = min(first, i)
		}
	}
	if lost {
		f.lose()
	}
	return first, nil
}

// lose tells that the rest of a file was removed before it was read. How much it
// was is not known: the gap is one position wide.
func (f *following) lose() {
	at := f.state.place()
	f.batch.Gaps = append(f.batch.Gaps, recount.Gap{
		Partition: f.log.partition, From: position(at), To: position(at + 1), Reason: recount.GapRetention,
	})
	f.state = state{Base: at + 1, Seen: f.state.Seen}
}

func (o *opened) rewind() error {
	if o.packed() {
		return o.again()
	}
	_, err := o.f.Seek(0, io.SeekStart)
	return err
}

// file reads one file to its end. newest says that somebody may still write to it:
// a process that keeps a file open writes on after it was renamed.
func (f *following) file(ctx context.Context, o *opened, newest bool) error {
	if !f.begun {
		f.state = state{Base: f.state.place()}
		f.print = print{}
	}
	f.begun = false
	f.state.Seen = o.info.ModTime().UnixNano()
	const buffer = 1 << 20
	r := bufio.NewReaderSize(o.reader(), buffer)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		whole := err == nil
		if !whole && (newest || len(line) == 0) {
			break // a line without an end is being written
		}
		if err := f.line(line); err != nil {
			return err
		}
		if !whole {
			break
		}
	}
	return f.hand()
}

// readLine returns the next line with its end; io.EOF with what stands there where
// the end is missing.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLineBytes {
			return nil, errors.New("a line is longer than 64 MiB")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func (f *following) line(line []byte) error {
	at := f.state.place()
	f.print.add(line)
	f.state.Offset += int64(len(line))
	text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	d := f.source.decoder
	if len(bytes.TrimSpace(text)) > 0 && (f.source.config.Others != "skip" || d.matches(text)) {
		text = slices.Clip(text)
		e := d.read(&f.scratch, text)
		e.Partition, e.Position = f.log.partition, position(at)
		f.batch.Events = append(f.batch.Events, e)
	}
	f.bytes += len(line)
	if len(f.batch.Events) >= batchLines || f.bytes >= batchBytes {
		return f.hand()
	}
	return nil
}

// hand emits what was read.
func (f *following) hand() error {
	f.state.Head, f.state.Tail = digest(f.print.head), digest(f.print.tail)
	cursor, err := f.state.text()
	if err != nil {
		return err
	}
	if len(f.batch.Events)+len(f.batch.Gaps) == 0 && !f.worthTelling() {
		return nil
	}
	b := f.batch
	b.Partition, b.Cursor, b.Bytes = f.log.partition, cursor, int64(f.bytes)
	b.Format, b.Header = f.source.config.Format, f.source.config.Pattern
	f.batch, f.bytes, f.cursor = source.Batch{}, 0, cursor
	f.refused = f.emit(b)
	return f.refused
}

// worthTelling says whether the cursor moved though no event was read: to another
// file, or over lines that are none. A file's time alone is no news, and one
// without a byte could not be found again.
func (f *following) worthTelling() bool {
	before, err := parseCursor(f.cursor)
	if err != nil || f.cursor == "" || f.state.Offset == 0 {
		return f.state.Offset > 0
	}
	before.Seen = f.state.Seen
	return before != f.state
}

func position(n int64) string { return recount.PadPosition(strconv.FormatInt(n, 10)) }

func (o *opened) reader() io.Reader {
	if o.packed() {
		return o.r
	}
	return o.f
}

// again begins a packed file anew.
func (o *opened) again() error {
	if err := o.r.Close(); err != nil {
		return fmt.Errorf("close packed log: %w", err)
	}
	if _, err := o.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := unpack(o.f, o.f.Name())
	o.r = r
	return err
}
