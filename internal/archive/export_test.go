package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"recount"
	"recount/store"
)

// Reframe returns what gives a commit's object another body with its right
// digest, as another program would write it.
func Reframe(alter func(body []byte) []byte) func(object []byte) []byte {
	return func(object []byte) []byte {
		start := bytes.Index(object, []byte(frameBody)) + len(frameBody)
		body := alter(bytes.Clone(object[start : len(object)-len(frameTail)]))
		return []byte(frameHead + digestOf(body) + frameBody + string(body) + frameTail)
	}
}

// Held is what a spool of those chunks hands to a store.
func Held(chunks [][]byte) io.ReaderAt { return held{chunks: chunks} }

// ErrNewer says whether an error is that of a newer format.
func ErrNewer(err error) bool {
	var newer *newerError
	return errors.As(err, &newer)
}

// DecodeAndAdd reads a commit and adds it to an empty log.
func DecodeAndAdd(object []byte) (again []byte, err error) {
	c, digest, err := decodeCommit(object)
	if err != nil {
		return nil, err
	}
	ch := newChain(c.Stream)
	if err := ch.add(c, digest); err != nil {
		return nil, err
	}
	ch.summary()
	again, _, err = c.encode()
	return again, err
}

// Tune makes an archive write a head after so many commits, and an index of ids
// where more ids of earlier events would be read.
func Tune(a *Archive, every, scanned, fresh int64) *Archive {
	a.tuning = tuning{every: every, scanned: scanned, fresh: fresh}
	return a
}

// FakeLog writes a log of n commits, each of one event in one file; the files are
// not there.
func FakeLog(a *Archive, stream string, n int64) error {
	fields := fieldEntries([]recount.Field{{Name: "user_id", Type: recount.Type{Kind: recount.KindString}, Path: "user_id"}})
	previous := ""
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := int64(1); i <= n; i++ {
		at := start.Add(time.Duration(i) * time.Minute)
		f := fileEntry{
			Name:   fmt.Sprintf("%s%08d-%s-1-%08x.parquet", hourOf(at.UnixMicro()).folder(stream), i, hourOf(at.UnixMicro()).label(), i*0x9e3779b9&0xffffffff),
			SHA256: digestOf(fmt.Append(nil, "file ", i)), Bytes: 1000 + i%977, Rows: 1, FirstSeq: i, LastSeq: i,
			FirstTime: timeText(at), LastTime: timeText(at), FirstID: digestOf(fmt.Append(nil, "id ", i))[:36], Format: "json",
			Spans: []recount.PositionSpan{{Partition: "0", First: fmt.Sprintf("%020d", i), Last: fmt.Sprintf("%020d", i), Rows: 1}},
		}
		f.LastID = f.FirstID
		c := &commit{
			Stream: stream, Number: i, Previous: previous, At: at, Program: "test", Mapping: "m", Fields: fields, Lateness: "1h0m0s",
			Watermark: timeText(at), LastSeq: i, Cursor: map[string]string{"0": fmt.Sprint(i)}, Counts: counts{Events: 1},
			Files: []fileEntry{f}, Marks: []marksEntry{}, Marked: []markedEntry{},
		}
		object, digest, err := c.encode()
		if err != nil {
			return err
		}
		file, err := a.store.(store.Local).Path(commitName(stream, i))
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, object, 0o600)); err != nil {
			return err
		}
		previous = digest
	}
	return nil
}

// MakeHead makes a head of the whole log.
func MakeHead(ctx context.Context, a *Archive, stream string) error {
	ch, err := a.loadToWrite(ctx, stream)
	if err != nil {
		return err
	}
	return a.putHead(ctx, ch, nil)
}
