package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"recount/store"
	"recount/store/remote"
)

// head is what the first request reads of an object: small ones are read whole
// by it.
const head = 64 << 10

// Open opens an object. Its reads are of that object even if another one takes
// its name: they name its ETag, and fail where it changed.
func (s *Store) Open(ctx context.Context, name string) (store.Reader, error) {
	if err := remote.CheckName(name); err != nil {
		return nil, err
	}
	out, err := s.get(ctx, name, "", 0, head)
	if status(err) == http.StatusRequestedRangeNotSatisfiable { // an object without bytes has no first one
		if size, err := s.Stat(ctx, name); err != nil || size > 0 {
			return nil, errors.Join(err, fmt.Errorf("open %q: its size is not known", name))
		}
		return remote.NewReader(name, 0, nil, nil), nil
	}
	if err != nil {
		return nil, s.refused("open", name, err)
	}
	defer func() { _ = out.Body.Close() }()
	size, err := whole(out)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", name, err)
	}
	etag := aws.ToString(out.ETag)
	var first bytes.Buffer
	if _, err := io.Copy(&first, io.LimitReader(out.Body, head)); err != nil {
		first.Reset() // it broke off; reads fetch it again
	}
	return remote.NewReader(name, size, first.Bytes(), func(at, n int64) (io.ReadCloser, error) {
		out, err := s.get(ctx, name, etag, at, n)
		if err != nil {
			return nil, s.refused("open", name, err)
		}
		switch {
		case aws.ToString(out.ETag) != etag: // a server that ignores If-Match
			err = errReplaced
		case out.ContentRange == nil && at > 0:
			err = errors.New("the server does not read at offsets: it answered without Content-Range")
		default:
			return out.Body, nil
		}
		_ = out.Body.Close()
		return nil, s.refused("open", name, err)
	}), nil
}

func (s *Store) get(ctx context.Context, name, etag string, at, n int64) (*s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{Bucket: s.bucket(), Key: s.key(name), Range: aws.String(fmt.Sprintf("bytes=%d-%d", at, at+n-1))}
	if etag != "" {
		in.IfMatch = aws.String(etag)
	}
	return s.client.GetObject(ctx, in)
}

// whole is the size of the whole object of which a piece was read.
func whole(out *s3.GetObjectOutput) (int64, error) {
	if out.ContentRange == nil {
		return aws.ToInt64(out.ContentLength), nil
	}
	_, text, _ := strings.Cut(*out.ContentRange, "/")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the server's Content-Range %q has no size", *out.ContentRange)
	}
	return size, nil
}
