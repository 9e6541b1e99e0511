package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"recount"
	"recount/store/remote"
)

// status is the HTTP status of an error's answer; 0 where there was none.
func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// errorCode is the server's own word for an error, or "".
func errorCode(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// reason is what the server, or the network, said. Signatures and keys never
// stand in it.
func reason(err error) string {
	var (
		own *credentialsError
		api smithy.APIError
		op  *net.OpError
	)
	switch {
	case errors.As(err, &own):
		return own.Error()
	case errors.As(err, &api) && api.ErrorMessage() != "":
		return fmt.Sprintf("the server answered %d %s: %s", status(err), api.ErrorCode(), strings.TrimSuffix(api.ErrorMessage(), "."))
	case status(err) != 0:
		return fmt.Sprintf("the server answered %d %s", status(err), http.StatusText(status(err)))
	case errors.As(err, &op):
		return op.Error()
	}
	return err.Error()
}

// errReplaced says that a name now holds another object.
var errReplaced = errors.New("its ETag is another one now")

func isNotFound(err error) bool {
	return status(err) == http.StatusNotFound && errorCode(err) != "NoSuchBucket"
}

// isUnsent says whether the server was not reached at all.
func isUnsent(err error) bool {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

// rights are what AWS calls what each act needs.
var rights = map[string]string{
	"put": "s3:PutObject", "open": "s3:GetObject", "stat": "s3:GetObject", "list": "s3:ListBucket", "delete": "s3:DeleteObject",
}

// refused translates an error of S3; nil stays nil.
func (s *Store) refused(act, name string, err error) error {
	code := errorCode(err)
	var own *credentialsError
	switch {
	case err == nil:
		return nil
	case act != "put" && isNotFound(err):
		return fmt.Errorf("%s %q: %w", act, name, recount.ErrNotFound)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %q: %w", act, name, err)
	case code == "NoSuchBucket":
		return s.problem("the archive's bucket does not exist", name, err, "make the bucket, or mend archive: in recount.yaml", nil)
	case status(err) == http.StatusMovedPermanently || code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect":
		return s.problem("the archive's bucket is in another region", name, err, s.region(err), nil)
	case errors.As(err, &own):
		return s.problem("there are no AWS credentials", name, err,
			"set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role; docs/stores.md says more", recount.ErrPermission)
	case code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "ExpiredToken" || code == "InvalidToken" || code == "RequestTimeTooSkewed":
		return s.problem("the AWS credentials are not accepted", name, err, "renew the credentials, and look at this machine's clock", recount.ErrPermission)
	case status(err) == http.StatusForbidden || status(err) == http.StatusUnauthorized:
		return s.forbidden(act, name, err)
	case status(err) == http.StatusPreconditionFailed || errors.Is(err, errReplaced):
		return s.problem("an object was replaced while it was read", name, err, "find out what writes into the archive's bucket besides Recount, then recount archive verify", nil)
	case status(err) == http.StatusTooManyRequests || status(err) == http.StatusServiceUnavailable:
		return s.problem("the archive's store is overloaded", name, err, "run the command again later: it goes on from the last commit", remote.ErrUnreachable)
	case status(err) == 0:
		return s.problem("the archive's store cannot be reached", name, err, "look at the network and the endpoint, then run the command again", remote.ErrUnreachable)
	}
	var kind error
	if status(err) >= http.StatusInternalServerError {
		kind = recount.ErrTransient
	}
	return s.problem(fmt.Sprintf("the archive's store could not %s an object", act), name, err, "look at the bucket, then run the command again", kind)
}

func (s *Store) problem(what, name string, err error, next string, kind error) error {
	return &recount.Error{
		Code: recount.CodeStorage, What: what, Where: s.where(name), Why: reason(err), Next: next, Err: errors.Join(kind, err),
	}
}

func (s *Store) forbidden(act, name string, err error) error {
	next := fmt.Sprintf("give these credentials the right %s on %s/*", rights[act], s.arn())
	switch act {
	case "list":
		next = fmt.Sprintf("give these credentials the right %s on arn:aws:s3:::%s", rights[act], s.url.Host)
	case "open", "stat":
		// S3 does not say to whom it may not list that an object is not there.
		next += fmt.Sprintf(", and s3:ListBucket on arn:aws:s3:::%s: without it a missing object looks like a forbidden one", s.url.Host)
	}
	return s.problem(fmt.Sprintf("the archive's bucket does not let these credentials %s an object", act), name, err, next, recount.ErrPermission)
}

func (s *Store) arn() string {
	if s.url.Prefix == "" {
		return "arn:aws:s3:::" + s.url.Host
	}
	return "arn:aws:s3:::" + s.url.Host + "/" + s.url.Prefix
}

func (s *Store) region(err error) string {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		if region := answer.Response.Header.Get("X-Amz-Bucket-Region"); region != "" {
			return fmt.Sprintf("write archive: %s?region=%s in recount.yaml", s.Place(), region)
		}
	}
	return "find the bucket's region (aws s3api get-bucket-location) and write it as ?region=… after archive: in recount.yaml"
}
