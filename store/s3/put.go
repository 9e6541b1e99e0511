package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"recount/store/remote"
)

const (
	// Larger objects are put in parts of this size, if the server checks their
	// condition too: 10,000 parts, the most there can be, hold 156 GiB.
	single   = 16 << 20
	attempts = 5 // of what may be done twice
	patience = 15 * time.Second
)

// tokenKey is the object's metadata that tells whose put it was.
const tokenKey = "recount-put"

// Put keeps the object back until it is written whole, and then sends it under
// the condition that its name is free.
func (s *Store) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := remote.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.checkFence(ctx); err != nil {
		return err
	}
	object, err := remote.Fill(ctx, name, write)
	if err != nil {
		return err
	}
	defer object.Close()
	token, err := remote.Token()
	if err != nil {
		return err
	}
	if object.Size() > s.single && s.checkParts(ctx) {
		return s.putParts(ctx, name, token, object)
	}
	sum := object.SHA256()
	return s.send(ctx, name, token, func(ctx context.Context) error {
		_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: s.bucket(), Key: s.key(name), IfNoneMatch: aws.String("*"),
			Body: object.Section(0, object.Size()), ContentLength: aws.Int64(object.Size()), ChecksumSHA256: text(sum),
			Metadata: map[string]string{tokenKey: token},
		}, once, signed(sum))
		return err
	})
}

// once keeps the SDK from sending a request again by itself: a put that is sent
// again after its answer was lost finds its own object.
func once(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

// signed tells the SDK the SHA-256 of a body: it would read the body to compute it
// for the signature.
func signed(sum []byte) func(*s3.Options) {
	set := middleware.FinalizeMiddlewareFunc("recount.PayloadHash", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		return next.HandleFinalize(v4.SetPayloadHash(ctx, hex.EncodeToString(sum)), in)
	})
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error { return stack.Finalize.Add(set, middleware.Before) })
	}
}

func text(sum []byte) *string { return aws.String(base64.StdEncoding.EncodeToString(sum)) }

// send makes a conditional put until its outcome is known.
func (s *Store) send(ctx context.Context, name, token string, put func(context.Context) error) error {
	return remote.Put{
		Name: name, Send: put, Judge: judge,
		Mine: func(ctx context.Context) (bool, error) {
			out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.key(name)})
			if err != nil {
				return false, s.refused("stat", name, err)
			}
			return out.Metadata[tokenKey] == token, nil
		},
		Explain: func(err error) error { return s.refused("put", name, err) },
	}.Do(ctx)
}

func judge(err error) remote.Outcome {
	var own *credentialsError
	switch code := status(err); {
	case err == nil:
		return remote.Done
	case code == http.StatusPreconditionFailed:
		return remote.Taken
	case code == http.StatusConflict: // with another put of this name, whose end is open
		return remote.Lost
	case code == http.StatusTooManyRequests, code == http.StatusInternalServerError, code == http.StatusServiceUnavailable:
		return remote.Answered
	case code >= http.StatusInternalServerError, errorCode(err) == "RequestTimeout":
		return remote.Lost // what a gateway says, the server behind it may see otherwise
	case code >= http.StatusMultipleChoices:
		return remote.Refused
	case errors.As(err, &own):
		return remote.Refused
	case isUnsent(err):
		return remote.Unsent
	}
	return remote.Lost
}

// putParts puts a large object in parts. The parts are invisible, and given up
// unless the object was made.
func (s *Store) putParts(ctx context.Context, name, token string, object *remote.Spool) (err error) {
	upload, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: s.bucket(), Key: s.key(name), ChecksumAlgorithm: types.ChecksumAlgorithmSha256, Metadata: map[string]string{tokenKey: token},
	})
	if err != nil {
		return s.refused("put", name, err)
	}
	defer func() {
		if err != nil {
			s.abort(ctx, name, upload.UploadId)
		}
	}()
	const mostParts = 10_000
	size := max(s.single, object.Size()/mostParts+1)
	var parts []types.CompletedPart
	for at := int64(0); at < object.Size(); at += size {
		part, err := s.putPart(ctx, name, upload.UploadId, int32(len(parts)+1), object.Section(at, min(size, object.Size()-at)))
		if err != nil {
			return s.refused("put", name, err)
		}
		parts = append(parts, part)
	}
	return s.send(ctx, name, token, func(ctx context.Context) error {
		_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: s.bucket(), Key: s.key(name), UploadId: upload.UploadId, IfNoneMatch: aws.String("*"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		}, once)
		return err
	})
}

func (s *Store) putPart(ctx context.Context, name string, upload *string, number int32, body *io.SectionReader) (types.CompletedPart, error) {
	sum, err := checksum(body)
	if err != nil {
		return types.CompletedPart{}, err
	}
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: s.bucket(), Key: s.key(name), UploadId: upload, PartNumber: aws.Int32(number),
		Body: body, ContentLength: aws.Int64(body.Size()), ChecksumSHA256: text(sum),
	}, signed(sum))
	if err != nil {
		return types.CompletedPart{}, err
	}
	part := types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(number)}
	if out.ChecksumSHA256 != nil { // where the server keeps them
		part.ChecksumSHA256 = text(sum)
	}
	return part, nil
}

// abort gives up an upload. What is left where that fails too is invisible and
// costs room, until the bucket's lifecycle rule removes it.
func (s *Store) abort(ctx context.Context, name string, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, _ = s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: s.bucket(), Key: s.key(name), UploadId: upload})
}
