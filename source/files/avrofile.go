package files

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"recount"
	"recount/source"
	"recount/source/payload"
	"recount/source/payload/avrojson"
)

// What a damaged or hostile file cannot go beyond.
const (
	mostAvroBlock = 256 << 20
	mostAvroRows  = 4 << 20 // in a block
)

// avroFile is an open object container file of Avro.
type avroFile struct {
	file   handle
	raw    io.Reader
	read   *int64
	r      *bufio.Reader
	schema *avrojson.Schema
	names  []string // of its fields
	tail   []byte   // of each record: what its folders say
	codec  string
	sync   [16]byte
}

func (a *avroFile) close() error { return a.file.Close() }

func (s *Source) openAvro(ctx context.Context, f file) (*avroFile, error) {
	opened, err := s.shelf.open(ctx, f)
	if err != nil {
		return nil, s.fault(f, "it cannot be opened", err)
	}
	a := &avroFile{file: opened}
	a.raw, a.read = metered(ctx, opened)
	return a, nil
}

// startAvro reads the file's header and checks that it has the mapping's columns.
func (s *Source) startAvro(f file, a *avroFile) error {
	a.r = bufio.NewReaderSize(a.raw, blockBytes)
	if err := a.header(); err != nil {
		return s.fault(f, "it is no whole Avro file", err)
	}
	var added []string
	added, a.tail = beside(f.columns, a.names)
	return s.checkColumns(f, slices.Concat(a.names, added))
}

// header reads what stands before the first block.
func (a *avroFile) header() error {
	var magic [4]byte
	if _, err := io.ReadFull(a.r, magic[:]); err != nil || string(magic[:]) != "Obj\x01" {
		return errors.New("it does not begin as one")
	}
	meta, err := a.metadata()
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(a.r, a.sync[:]); err != nil {
		return err
	}
	a.codec = string(meta["avro.codec"])
	if a.schema, err = avrojson.Parse(string(meta["avro.schema"])); err != nil {
		return fmt.Errorf("its schema cannot be read: %w", err)
	}
	names, ok := a.schema.Fields()
	if !ok {
		return errors.New("its values are no records")
	}
	a.names = names
	return nil
}

// metadata reads the map of the header.
func (a *avroFile) metadata() (map[string][]byte, error) {
	const most = 16 << 20
	meta, total := map[string][]byte{}, int64(0)
	text := func() ([]byte, error) {
		n, err := binary.ReadVarint(a.r)
		if total += n; err != nil || n < 0 || total > most {
			return nil, errors.Join(errors.New("its header is damaged"), err)
		}
		b := make([]byte, n)
		_, err = io.ReadFull(a.r, b)
		return b, err
	}
	for {
		n, err := binary.ReadVarint(a.r)
		if err != nil || n == 0 {
			return meta, err
		}
		if n < 0 {
			if _, err := binary.ReadVarint(a.r); err != nil {
				return nil, err
			}
			n = -n
		}
		for ; n > 0; n-- {
			key, err := text()
			if err != nil {
				return nil, err
			}
			if meta[string(key)], err = text(); err != nil {
				return nil, err
			}
		}
	}
}

// next returns the records of a block and how many there are; io.EOF at the end.
func (a *avroFile) next() (data []byte, records int64, err error) {
	if _, err := a.r.Peek(1); errors.Is(err, io.EOF) {
		return nil, 0, io.EOF
	}
	records, err = binary.ReadVarint(a.r)
	if err != nil {
		return nil, 0, noEnd(err)
	}
	size, err := binary.ReadVarint(a.r)
	if err != nil {
		return nil, 0, noEnd(err)
	}
	if records < 0 || records > mostAvroRows || size < 0 || size > mostAvroBlock {
		return nil, 0, fmt.Errorf("a block says that it has %d records in %d bytes", records, size)
	}
	var packed bytes.Buffer
	if _, err := io.CopyN(&packed, a.r, size); err != nil {
		return nil, 0, noEnd(err)
	}
	var sync [16]byte
	if _, err := io.ReadFull(a.r, sync[:]); err != nil {
		return nil, 0, noEnd(err)
	}
	if sync != a.sync {
		return nil, 0, errors.New("a block does not end where it should")
	}
	return packed.Bytes(), records, nil
}

// noEnd tells the end of the file from the end of a block.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unpacked undoes the codec of a block.
func unpacked(codec string, b []byte) ([]byte, error) {
	limited := func(r io.Reader) ([]byte, error) {
		out, err := io.ReadAll(io.LimitReader(r, mostAvroBlock+1))
		if len(out) > mostAvroBlock {
			return nil, errors.New("a block is larger than 256 MiB")
		}
		return out, err
	}
	switch codec {
	case "", "null":
		return b, nil
	case "deflate":
		return limited(flate.NewReader(bytes.NewReader(b)))
	case "bzip2":
		return limited(bzip2.NewReader(bytes.NewReader(b)))
	case "zstandard":
		r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return limited(r)
	case "snappy":
		const sum = 4
		if len(b) < sum {
			return nil, io.ErrUnexpectedEOF
		}
		body := b[:len(b)-sum]
		if n, err := s2.DecodedLen(body); err != nil || n > mostAvroBlock {
			return nil, errors.Join(errors.New("a block is damaged, or larger than 256 MiB"), err)
		}
		out, err := s2.Decode(nil, body)
		if err == nil && crc32.ChecksumIEEE(out) != binary.BigEndian.Uint32(b[len(b)-sum:]) {
			err = errors.New("a block does not give its checksum")
		}
		return out, err
	}
	return nil, fmt.Errorf("it is packed with %q; null, deflate, snappy, zstandard and bzip2 are read", codec)
}

// derive makes the records of a block.
func (a *avroFile) derive(packed []byte, records int64) (block, error) {
	data, err := unpacked(a.codec, packed)
	if err != nil {
		return block{}, err
	}
	b := block{data: make([]byte, 0, 2*len(data)), spans: make([]span, 0, min(records, int64(len(data))+1))}
	for range records {
		from := len(b.data)
		if b.data, data, err = a.schema.Append(b.data, data); err != nil {
			return block{}, err
		}
		if len(a.tail) > 0 {
			b.data = append(append(b.data[:len(b.data)-1], a.tail...), '}')
		}
		if len(b.data) > math.MaxInt32 {
			return block{}, errors.New("a block takes more than 2 GiB")
		}
		b.spans = append(b.spans, span{int32(from), int32(len(b.data))}) //nolint:gosec // checked above
	}
	if len(data) > 0 {
		return block{}, fmt.Errorf("%d bytes follow the last record of a block", len(data))
	}
	return b, nil
}

// readAvro reads the records after those that st counts.
func (s *Source) readAvro(ctx context.Context, f file, st state, emit func(source.Batch) error) (size int64, err error) {
	a, err := s.openAvro(ctx, f)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	before, err := a.file.Stat()
	if err != nil {
		return 0, s.fault(f, "it cannot be read", err)
	}
	done, err := s.checkWhole(f, a.file, a.raw, &st, before.Size())
	if err != nil || done {
		return st.Size, err
	}
	*a.read = 0
	if err := s.startAvro(f, a); err != nil {
		return 0, err
	}
	d, err := s.decoder(f, payload.Derived, "")
	if err != nil {
		return 0, err
	}
	if err := s.pumpAvro(ctx, f, a, d, st, emit); err != nil {
		return 0, err
	}
	return st.Size, s.checkStill(f, a.file, before)
}

func (s *Source) pumpAvro(ctx context.Context, f file, a *avroFile, d *payload.Decoder, st state, emit func(source.Batch) error) error {
	skip := st.Records
	st.Records = 0
	return pipeline(ctx, func(yield func(chunk) error) error {
		var held *chunk // the last one is known only when the next was looked for
		for {
			packed, records, err := a.next()
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return flush(held, &st, yield)
			}
			if err != nil {
				if errFlush := flush(held, nil, yield); errFlush != nil {
					return errFlush
				}
				return s.fault(f, "it is no whole Avro file", err)
			}
			first := st.Records + 1
			st.Records += records
			drop := min(skip, records)
			skip -= drop
			if records == drop {
				continue
			}
			if err := flush(held, nil, yield); err != nil {
				return err
			}
			held = &chunk{
				batch: source.Batch{Partition: f.partition, Cursor: st.String(), Format: payload.Derived, Bytes: int64(len(packed))},
				decode: func(scratch *payload.Scratch) ([]recount.Event, error) {
					b, err := a.derive(packed, records)
					if err != nil {
						return nil, s.fault(f, "its records cannot be read", err)
					}
					b.spans = b.spans[drop:]
					return events(d, scratch, b, f, first+drop), nil
				},
			}
		}
	}, emit)
}
