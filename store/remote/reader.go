package remote

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
)

// Fetch opens n bytes of an object from offset at; n is never 0. It always reads
// the same object, or fails.
type Fetch func(at, n int64) (io.ReadCloser, error)

const (
	window  = 512 << 10 // what is read ahead of a read at an offset
	windows = 4         // how many are kept: columns of a Parquet file are read side by side
	tries   = 3         // of a read that broke off in the middle
)

// Reader reads an object by pieces. Reads in sequence use one open piece; reads
// at offsets fetch a window ahead, so that the footer of a Parquet file and what
// it points at cost few requests. ReadAt is safe for concurrent use; Read and
// Seek are not.
type Reader struct {
	name  string
	size  int64
	fetch Fetch

	at   int64 // of the next Read
	body io.ReadCloser

	mu    sync.Mutex
	kept  []piece // the last used one last
	ended bool
}

type piece struct {
	at    int64
	bytes []byte
}

// NewReader returns a reader of an object of size bytes. head is what is known
// of its beginning; it may be empty.
func NewReader(name string, size int64, head []byte, fetch Fetch) *Reader {
	r := &Reader{name: name, size: size, fetch: fetch}
	if len(head) > 0 {
		r.kept = append(r.kept, piece{0, head})
	}
	return r
}

// Read reads on from where the last Read or Seek ended.
func (r *Reader) Read(p []byte) (int, error) {
	switch {
	case r.closed():
		return 0, fmt.Errorf("read %q: %w", r.name, fs.ErrClosed)
	case len(p) == 0:
		return 0, nil
	case r.at >= r.size:
		return 0, io.EOF
	}
	if r.body == nil {
		if n := r.recall(p, r.at); n > 0 {
			r.at += int64(n)
			return n, nil
		}
	}
	var last error
	for range tries {
		if r.body == nil {
			if r.body, last = r.fetch(r.at, r.size-r.at); last != nil {
				return 0, last
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.at)])
		r.at += int64(n)
		if n > 0 {
			return n, nil // an error comes again with the next Read
		}
		if err != nil {
			last = err
			r.drop()
		}
	}
	return 0, r.broken(last)
}

func (r *Reader) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %q: the connection broke off %d times: %w: %w", r.name, tries, ErrUnreachable, err)
}

func (r *Reader) drop() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}

// Seek sets where the next Read begins.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seek %q: whence is %d", r.name, whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek %q: the offset %d is before its beginning", r.name, offset)
	}
	if offset != r.at {
		r.drop()
	}
	r.at = offset
	return offset, nil
}

// ReadAt reads len(p) bytes from an offset, or to the end and io.EOF.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case r.closed():
		return 0, fmt.Errorf("read %q: %w", r.name, fs.ErrClosed)
	case off < 0:
		return 0, fmt.Errorf("read %q: the offset %d is before its beginning", r.name, off)
	}
	n := 0
	for n < len(p) && off+int64(n) < r.size {
		at := off + int64(n)
		if got := r.recall(p[n:], at); got > 0 {
			n += got
			continue
		}
		want := min(int64(len(p)-n), r.size-at)
		if want >= window { // too large to keep
			if err := r.load(p[n:n+int(want)], at); err != nil {
				return n, err
			}
			n += int(want)
			continue
		}
		// A read near the end is of a footer, and what is before it comes next.
		from := max(min(at, r.size-window), 0)
		ahead := piece{from, make([]byte, min(window, r.size-from))}
		if err := r.load(ahead.bytes, from); err != nil {
			return n, err
		}
		r.keep(ahead)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// load fills b from an offset; a piece that breaks off is fetched again.
func (r *Reader) load(b []byte, at int64) error {
	var last error
	n := 0
	for range tries {
		body, err := r.fetch(at+int64(n), int64(len(b)-n))
		if err != nil {
			return err
		}
		got, err := io.ReadFull(body, b[n:])
		_ = body.Close()
		n += got
		if n == len(b) {
			return nil
		}
		last = err
	}
	return r.broken(last)
}

// recall copies what is kept of p's bytes from an offset.
func (r *Reader) recall(p []byte, at int64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range slices.Backward(r.kept) {
		if at >= k.at && at < k.at+int64(len(k.bytes)) {
			r.kept = append(slices.Delete(r.kept, i, i+1), k)
			return copy(p, k.bytes[at-k.at:])
		}
	}
	return 0
}

func (r *Reader) keep(k piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept = append(r.kept, k); len(r.kept) > windows {
		r.kept = r.kept[1:]
	}
}

func (r *Reader) closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// Close frees what is kept; reads after it fail.
func (r *Reader) Close() error {
	r.drop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept, r.ended = nil, true
	return nil
}
