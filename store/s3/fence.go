package s3

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"recount"
	"recount/store/remote"
)

// fence says whether a server keeps the condition that a name must be free. All
// of the archive's safety against two writers rests on it.
type fence int

const (
	unknown fence = iota
	keeps
	ignores
)

// probe is the object that is put twice. It stays, so that later processes need
// one request to see that the server keeps the condition.
var probe = remote.Own("probe")

const probeText = "Recount puts this object again and again, to see that the store refuses it: that keeps two archivers apart.\n"

// checkFence finds out, before the first object of a process, whether the server
// keeps the condition of single puts.
func (s *Store) checkFence(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced == unknown {
		var err error
		if s.fenced, err = s.probe(ctx); err != nil {
			return s.refused("put", probe, err)
		}
	}
	if s.fenced == keeps {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeUnsupported, What: "this S3 server does not keep two archivers apart", Where: s.Place(),
		Why:  "it ignores If-None-Match: it replaced an object that was put under the condition that its name is free",
		Next: "use a server that keeps conditional writes, such as a newer version of this one; docs/stores.md says more",
	}
}

// probe puts one object until the server refuses it, or takes it a second time.
func (s *Store) probe(ctx context.Context) (fence, error) {
	sum := sha256.Sum256([]byte(probeText))
	taken := 0
	var last error
	for try := range attempts {
		if try > taken && !remote.Pause(ctx, try-taken) {
			break
		}
		_, last = s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: s.bucket(), Key: s.key(probe), IfNoneMatch: aws.String("*"), Body: strings.NewReader(probeText),
			ChecksumSHA256: text(sum[:]),
		}, once)
		switch code := status(last); {
		case code == http.StatusPreconditionFailed:
			return keeps, nil
		case code == http.StatusNotImplemented:
			return ignores, nil
		case last == nil && taken > 0:
			return ignores, nil
		case last == nil:
			taken++
		case judge(last) == remote.Refused:
			return unknown, last
		}
		if ctx.Err() != nil {
			break
		}
	}
	return unknown, errors.Join(ctx.Err(), last)
}

// checkParts says whether the server keeps the condition of puts in parts too:
// some keep only that of single ones. Such objects are then put in one piece.
func (s *Store) checkParts(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parted == unknown {
		s.parted = s.probeParts(ctx)
	}
	return s.parted == keeps
}

// probeParts makes an object of one part under the name of the probe, which is
// taken.
func (s *Store) probeParts(ctx context.Context) fence {
	upload, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: s.bucket(), Key: s.key(probe), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	if err != nil {
		return unknown
	}
	body := io.NewSectionReader(strings.NewReader(probeText), 0, int64(len(probeText)))
	part, err := s.putPart(ctx, probe, upload.UploadId, 1, body)
	if err != nil {
		s.abort(ctx, probe, upload.UploadId)
		return unknown
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: s.bucket(), Key: s.key(probe), UploadId: upload.UploadId, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{part}},
	}, once)
	if err == nil {
		return ignores
	}
	s.abort(ctx, probe, upload.UploadId)
	switch status(err) {
	case http.StatusPreconditionFailed:
		return keeps
	case http.StatusNotImplemented, http.StatusBadRequest:
		return ignores
	}
	return unknown
}

// checksum returns the SHA-256 of what r reads, and winds it back.
func checksum(r io.ReadSeeker) ([]byte, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return nil, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}
