package archive

import (
	"bytes"
	"errors"
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
	ch := &chain{stream: c.Stream, cursor: map[string]string{}}
	ch.snapshot.Stream = c.Stream
	if err := ch.add(c, digest); err != nil {
		return nil, err
	}
	ch.summary()
	again, _, err = c.encode()
	return again, err
}
