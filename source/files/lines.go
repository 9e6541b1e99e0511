package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount"
	"recount/source"
	"recount/source/payload"
)

// lines is an open file of records.
type lines struct {
	file   handle
	raw    io.Reader // the file's own bytes; it ends with its context
	read   *int64    // how many of them were read
	told   int64     // how many of those the batches so far have told
	unpack io.Closer // nil for a plain file
	cut    *cutter
	prefix []byte // what stands before the first record: a byte order mark, the header
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// metered counts what is read of r and stops when ctx is done.
func metered(ctx context.Context, r io.Reader) (io.Reader, *int64) {
	var read int64
	return readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(b)
		read += int64(n)
		return n, err
	}), &read
}

// openLines opens a file and finds out how it is packed.
func (s *Source) openLines(ctx context.Context, f file) (file, *lines, error) {
	opened, err := s.shelf.open(ctx, f)
	if err != nil {
		return f, nil, s.fault(f, "it cannot be opened", err)
	}
	if f.packing == plain {
		f.packing = packed(opened)
	}
	l := &lines{file: opened}
	l.raw, l.read = metered(ctx, opened)
	return f, l, nil
}

// start begins to read records at the file's present offset.
func (s *Source) start(f file, l *lines) error {
	if err := l.unpackWith(f); err != nil {
		return s.fault(f, "it is not packed with "+strings.TrimPrefix(string(f.packing), ".")+", or is cut", err)
	}
	return nil
}

func (l *lines) unpackWith(f file) error {
	unpacked := l.raw
	switch f.packing {
	case gz:
		r, err := gzip.NewReader(l.raw)
		if err != nil {
			return err
		}
		unpacked, l.unpack = r, r
	case zst:
		r, err := zstd.NewReader(l.raw, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		unpacked, l.unpack = r, r.IOReadCloser()
	case plain:
	}
	l.cut = newCutter(unpacked, f.format)
	return nil
}

func (l *lines) close() error {
	if l.unpack != nil {
		_ = l.unpack.Close() // it only frees memory; what it read was checked before
	}
	return l.file.Close()
}

var errUTF16 = errors.New("it is UTF-16; convert it to UTF-8, for example: iconv -f UTF-16 -t UTF-8")

// begin reads over a byte order mark.
func (l *lines) begin() error {
	if err := l.cut.fill(); err != nil {
		return err
	}
	start := string(l.cut.buf[:min(len(l.cut.buf), 3)])
	switch {
	case start == "\xef\xbb\xbf":
		l.prefix = l.cut.buf[:3]
		l.cut.from = 3
	case strings.HasPrefix(start, "\xff\xfe") || strings.HasPrefix(start, "\xfe\xff"):
		return errUTF16
	}
	return nil
}

var errNoHeader = errors.New("it is empty: there is no header line")

// header reads the header record.
func (l *lines) header() (string, error) {
	if err := l.begin(); err != nil {
		return "", err
	}
	for {
		b, err := l.cut.next(1)
		switch {
		case errors.Is(err, io.EOF):
			return "", errNoHeader
		case err != nil:
			return "", err
		}
		l.prefix = append(slices.Clip(l.prefix), b.data...)
		if len(b.spans) > 0 {
			return string(b.data[b.spans[0].from:b.spans[0].to]), nil
		}
	}
}

// prepare makes the decoder. It reads up to the first record, unless st says
// that this was read before.
func (s *Source) prepare(f file, l *lines, st *state) (*payload.Decoder, error) {
	if f.format != formatCSV {
		if st.Size == 0 || st.Whole {
			if err := l.begin(); err != nil {
				return nil, s.fault(f, "it cannot be read", err)
			}
		}
		return s.decoder(f, payload.JSON, "")
	}
	if st.Size == 0 || st.Whole {
		header, err := l.header()
		if err != nil {
			return nil, s.fault(f, "its header cannot be read", err)
		}
		st.Header = header
	}
	return s.decoder(f, payload.CSV, st.Header)
}

func (s *Source) decoder(f file, payloadFormat, header string) (*payload.Decoder, error) {
	d, err := payload.New(payloadFormat, header, s.env.Mapping)
	if err != nil {
		return nil, recount.Located(err, s.where(f.partition))
	}
	return d, nil
}

// readLines reads what of a CSV or JSON file comes after st.
func (s *Source) readLines(ctx context.Context, f file, st state, emit func(source.Batch) error) (size int64, err error) {
	f, l, err := s.openLines(ctx, f)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if f.grows() && !st.Whole {
		return s.readTail(ctx, f, l, st, emit)
	}
	return s.readPacked(ctx, f, l, st, emit)
}

// readTail checks that the file still begins with what was read, and reads on.
func (s *Source) readTail(ctx context.Context, f file, l *lines, st state, emit func(source.Batch) error) (int64, error) {
	sum := sha256.New()
	if st.Size > 0 {
		if err := s.checkPrefix(f, l.raw, sum, st); err != nil {
			return 0, err
		}
		l.told = st.Size
	}
	if err := s.start(f, l); err != nil {
		return 0, err
	}
	d, err := s.prepare(f, l, &st)
	if err != nil {
		return 0, err
	}
	if st.Open != "" {
		if err := s.checkOpen(f, l, st); err != nil {
			return 0, err
		}
	}
	st.Size += int64(len(l.prefix))
	sum.Write(l.prefix)
	note := func(st *state, b block) {
		sum.Write(b.data)
		st.Size += int64(len(b.data))
		st.SHA256 = hex.EncodeToString(sum.Sum(nil))
		st.Open = l.cut.open
	}
	err = s.pump(ctx, f, l, d, st, 0, note, emit)
	return *l.read, err
}

func (s *Source) checkPrefix(f file, raw io.Reader, sum hash.Hash, st state) error {
	n, err := io.CopyBuffer(sum, io.LimitReader(raw, st.Size), make([]byte, blockBytes))
	if err != nil {
		return s.fault(f, "it cannot be read", err)
	}
	if n < st.Size {
		return s.changed(f, fmt.Sprintf("%d bytes of it were archived, it now has %d", st.Size, n))
	}
	if hex.EncodeToString(sum.Sum(nil)) != st.SHA256 {
		return s.changed(f, fmt.Sprintf("its first %d bytes (%d records) are no longer those that were archived", st.Size, st.Records))
	}
	return nil
}

// checkOpen refuses a file whose last record was read before all of it was
// written: the archive holds its beginning as an event.
func (s *Source) checkOpen(f file, l *lines, st state) error {
	if err := l.cut.fill(); err != nil {
		return s.fault(f, "it cannot be read", err)
	}
	more := string(l.cut.buf[:min(len(l.cut.buf), 2)])
	switch {
	case more == "" || more == "\r" && l.cut.end:
		return nil
	case st.Open == openLine && (more[0] == '\n' || more == "\r\n"):
		return nil
	}
	return s.changed(f, fmt.Sprintf("record %d was read when it had no end yet, and was written on since", st.Records))
}

// readPacked reads a packed file: it is whole, or it is another one.
func (s *Source) readPacked(ctx context.Context, f file, l *lines, st state, emit func(source.Batch) error) (int64, error) {
	before, err := l.file.Stat()
	if err != nil {
		return 0, s.fault(f, "it cannot be read", err)
	}
	done, err := s.checkWhole(f, l.file, l.raw, &st, before.Size())
	if err != nil || done {
		return st.Size, err
	}
	*l.read = 0
	if err := s.start(f, l); err != nil {
		return 0, err
	}
	d, err := s.prepare(f, l, &st)
	if err != nil {
		return 0, err
	}
	skip := st.Records
	st.Records = 0
	if err := s.pump(ctx, f, l, d, st, skip, func(*state, block) {}, emit); err != nil {
		return 0, err
	}
	return st.Size, s.checkStill(f, l.file, before)
}

// checkWhole takes the digest of a file that cannot grow, compares it with what
// was read, and goes back to its beginning. done says that all of it was read.
func (s *Source) checkWhole(f file, opened io.Seeker, raw io.Reader, st *state, size int64) (done bool, err error) {
	if _, err := opened.Seek(0, io.SeekStart); err != nil {
		return false, s.fault(f, "it cannot be read", err)
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, raw, make([]byte, blockBytes))
	if err != nil {
		return false, s.fault(f, "it cannot be read", err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	switch {
	case n != size:
		return false, s.changed(f, "it is being written while it is read")
	case st.SHA256 == "":
	case !st.Whole:
		return false, s.changed(f, "it was archived as a file that may grow")
	case st.SHA256 != digest || st.Size != n:
		return false, s.changed(f, fmt.Sprintf("%d bytes with another digest were archived; a packed, Parquet, Avro or adopted file cannot grow", st.Size))
	}
	st.Size, st.SHA256, st.Whole = n, digest, true
	if st.Done {
		return true, nil
	}
	_, err = opened.Seek(0, io.SeekStart)
	return false, err
}

// checkStill refuses a file that was written while it was read.
func (s *Source) checkStill(f file, opened handle, before os.FileInfo) error {
	after, err := opened.Stat()
	if err != nil {
		return s.fault(f, "it cannot be read", err)
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return s.changed(f, "it was written while it was read")
	}
	return nil
}

// pump cuts records and hands them to the pipeline, all but the first skip.
// note brings the cursor up to the end of a block.
func (s *Source) pump(ctx context.Context, f file, l *lines, d *payload.Decoder, st state, skip int64,
	note func(*state, block), emit func(source.Batch) error,
) error {
	format := payload.JSON
	if f.format == formatCSV {
		format = payload.CSV
	}
	return pipeline(ctx, func(yield func(chunk) error) error {
		var held *chunk // the last one is known only when the next was looked for
		for {
			b, err := l.cut.next(batchRecords)
			if errors.Is(err, io.EOF) {
				return flush(held, &st, yield)
			}
			if err != nil {
				if errFlush := flush(held, nil, yield); errFlush != nil {
					return errFlush
				}
				return s.fault(f, "it cannot be read, or is cut", err)
			}
			first := st.Records + 1
			st.Records += int64(len(b.spans))
			note(&st, b)
			if drop := min(skip, int64(len(b.spans))); drop > 0 {
				skip -= drop
				b.spans, first = b.spans[drop:], first+drop
			}
			if len(b.spans) == 0 {
				continue
			}
			if err := flush(held, nil, yield); err != nil {
				return err
			}
			fresh := *l.read - l.told
			l.told += fresh
			held = &chunk{
				batch: source.Batch{Partition: f.partition, Cursor: st.String(), Format: format, Header: st.Header, Bytes: fresh},
				decode: func(scratch *payload.Scratch) ([]recount.Event, error) {
					return events(d, scratch, b, f, first), nil
				},
			}
		}
	}, emit)
}

// flush hands held over; with st, it is the last one, and its cursor says all.
func flush(held *chunk, st *state, yield func(chunk) error) error {
	if held == nil {
		return nil
	}
	if st != nil {
		st.Done = st.Whole
		held.batch.Cursor = st.String()
	}
	return yield(*held)
}

// events decodes a block whose first record has that number in its file. Its texts
// share one string, its payloads the block.
func events(d *payload.Decoder, scratch *payload.Scratch, b block, f file, first int64) []recount.Event {
	text := string(b.data)
	numbers := positions(f.base+first-1, len(b.spans))
	out := make([]recount.Event, len(b.spans))
	for i, sp := range b.spans {
		out[i].Partition = f.log
		out[i].Position = numbers[i*recount.PositionWidth : (i+1)*recount.PositionWidth]
		d.Into(&out[i], scratch, b.data[sp.from:sp.to:sp.to], text[sp.from:sp.to])
	}
	return out
}

// positions returns n positions from first on, joined.
func positions(first int64, n int) string {
	const width = recount.PositionWidth
	b := make([]byte, 0, n*width)
	b = fmt.Appendf(b, "%0*d", width, first)
	for i := 1; i < n; i++ {
		b = append(b, b[len(b)-width:]...)
		for j := len(b) - 1; ; j-- {
			if b[j]++; b[j] <= '9' {
				break
			}
			b[j] = '0'
		}
	}
	return string(b)
}
