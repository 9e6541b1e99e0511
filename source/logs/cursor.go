package logs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// fingerprintBytes is how much of a file's beginning, and of what stands before the
// place that was reached, a cursor knows.
const fingerprintBytes = 1024

// state is how far a log was read: Offset bytes of a file before which Base bytes
// of the log lay in older ones.
type state struct {
	Base   int64  `json:"base"`
	Offset int64  `json:"offset"`
	Head   string `json:"head"` // digest of the file's first bytes, as many as were read of 1024
	Tail   string `json:"tail"` // digest of the bytes before Offset, likewise
	Seen   int64  `json:"seen"` // when the file was last written, in nanoseconds since 1970
}

func parseCursor(text string) (state, error) {
	var st state
	if text == "" {
		return st, nil
	}
	if err := json.Unmarshal([]byte(text), &st); err != nil || st.Base < 0 || st.Offset < 0 {
		return st, fmt.Errorf("its cursor cannot be read: %q", text)
	}
	return st, nil
}

func (st state) text() (string, error) {
	b, err := json.Marshal(st)
	return string(b), err
}

// place is the position in the log.
func (st state) place() int64 { return st.Base + st.Offset }

// print keeps the bytes that a cursor knows of, while a file is read.
type print struct {
	head []byte
	tail []byte
}

// add tells of the bytes that were read next.
func (p *print) add(b []byte) {
	if room := fingerprintBytes - len(p.head); room > 0 {
		p.head = append(p.head, b[:min(room, len(b))]...)
	}
	if len(b) >= fingerprintBytes {
		p.tail = append(p.tail[:0], b[len(b)-fingerprintBytes:]...)
		return
	}
	p.tail = append(p.tail, b...)
	if over := len(p.tail) - fingerprintBytes; over > 0 {
		p.tail = append(p.tail[:0], p.tail[over:]...)
	}
}

func digest(b []byte) string {
	const half = sha256.Size / 2
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:half])
}

// reach reads a file up to offset and says what it holds there; false where it is
// shorter.
func (o *opened) reach(offset int64) (p print, ok bool, err error) {
	if o.packed() {
		n, err := io.Copy(printer{&p}, io.LimitReader(o.r, offset))
		return p, n == offset, err
	}
	if o.info.Size() < offset {
		return p, false, nil
	}
	head := make([]byte, min(offset, fingerprintBytes))
	tail := make([]byte, len(head))
	for _, part := range []struct {
		b  []byte
		at int64
	}{{head, 0}, {tail, offset - int64(len(tail))}} {
		if _, err := o.f.ReadAt(part.b, part.at); err != nil {
			return p, false, ignoreEnd(err)
		}
	}
	_, err = o.f.Seek(offset, io.SeekStart)
	return print{head: head, tail: tail}, err == nil, err
}

// ignoreEnd is for a file that was cut while it was looked at.
func ignoreEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // as io gives them
		return nil
	}
	return err
}

type printer struct{ p *print }

func (w printer) Write(b []byte) (int, error) {
	w.p.add(b)
	return len(b), nil
}

// glance is a file's size and time when a reading came to its end.
type glance struct {
	size int64
	at   int64
}

// saw remembers how the file that is written now was left.
func (s *Source) saw(partition string, files []*opened) {
	if s.seen == nil {
		s.seen = map[string]glance{}
	}
	if len(files) == 0 {
		delete(s.seen, partition)
		return
	}
	info := files[len(files)-1].info
	s.seen[partition] = glance{size: info.Size(), at: info.ModTime().UnixNano()}
}

// moved says whether a log may have more than the last reading saw.
func (s *Source) moved(l log) bool {
	last, known := s.seen[l.partition]
	info, err := os.Stat(l.path)
	if err != nil {
		return false // between two acts of a rotation
	}
	return !known || info.Size() != last.size || info.ModTime().UnixNano() != last.at
}
