package gcs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"

	"recount"
	"recount/store/remote"
)

// errReplaced says that a name now holds another object.
var errReplaced = errors.New("its generation is another one now")

// status is the HTTP status of an error's answer; 0 where there was none.
func status(err error) int {
	if answer, ok := errors.AsType[*googleapi.Error](err); ok {
		return answer.Code
	}
	return 0
}

func judge(err error) remote.Outcome {
	switch code := status(err); {
	case err == nil:
		return remote.Done
	case code == http.StatusPreconditionFailed:
		return remote.Taken
	case code == http.StatusTooManyRequests, code == http.StatusInternalServerError, code == http.StatusServiceUnavailable:
		return remote.Answered
	case code >= http.StatusInternalServerError, code == http.StatusRequestTimeout, code == http.StatusConflict:
		return remote.Lost // what a gateway says, the server behind it may see otherwise
	case code >= http.StatusMultipleChoices:
		return remote.Refused
	case isUnsent(err):
		return remote.Unsent
	}
	return remote.Lost
}

// isUnsent says whether the server was not reached at all.
func isUnsent(err error) bool {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

// reason is what the server, or the network, said. Tokens never stand in it.
func reason(err error) string {
	var (
		answer *googleapi.Error
		op     *net.OpError
	)
	switch {
	case errors.As(err, &answer) && answer.Message != "":
		return fmt.Sprintf("the server answered %d: %s", answer.Code, strings.TrimSuffix(answer.Message, "."))
	case status(err) != 0:
		return fmt.Sprintf("the server answered %d %s", status(err), http.StatusText(status(err)))
	case errors.As(err, &op):
		return op.Error()
	}
	return err.Error()
}

// rights are what Google calls what each act needs.
var rights = map[string]string{
	"put": "storage.objects.create", "open": "storage.objects.get", "stat": "storage.objects.get", "list": "storage.objects.list", "delete": "storage.objects.delete",
}

// refused translates an error of Google Cloud Storage; nil stays nil.
func (s *Store) refused(act, name string, err error) error {
	code := status(err)
	bucketGone := errors.Is(err, storage.ErrBucketNotExist) || code == http.StatusNotFound && (act == "put" || act == "list")
	switch {
	case err == nil:
		return nil
	case bucketGone:
		return s.problem("the archive's bucket does not exist", name, err, "make the bucket, or mend archive: in recount.yaml", nil)
	case errors.Is(err, storage.ErrObjectNotExist) || code == http.StatusNotFound:
		return fmt.Errorf("%s %q: %w", act, name, recount.ErrNotFound)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %q: %w", act, name, err)
	case code == http.StatusUnauthorized:
		return s.problem("the Google credentials are not accepted", name, err, "renew them (gcloud auth application-default login), and look at this machine's clock", recount.ErrPermission)
	case code == http.StatusForbidden:
		return s.problem(fmt.Sprintf("the archive's bucket does not let these credentials %s an object", act), name, err,
			fmt.Sprintf("give them a role with the right %s on bucket %s", rights[act], s.url.Host), recount.ErrPermission)
	case code == http.StatusPreconditionFailed || errors.Is(err, errReplaced):
		return s.problem("an object was replaced while it was read", name, err, "find out what writes into the archive's bucket besides Recount, then recount archive verify", nil)
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		return s.problem("the archive's store is overloaded", name, err, "run the command again later: it goes on from the last commit", remote.ErrUnreachable)
	case code == 0:
		return s.problem("the archive's store cannot be reached", name, err, "look at the network, the endpoint and the credentials, then run the command again", remote.ErrUnreachable)
	}
	var kind error
	if code >= http.StatusInternalServerError {
		kind = recount.ErrTransient
	}
	return s.problem(fmt.Sprintf("the archive's store could not %s an object", act), name, err, "look at the bucket, then run the command again", kind)
}

func (s *Store) problem(what, name string, err error, next string, kind error) error {
	where := s.Place()
	if name != "" {
		where += "/" + name
	}
	return &recount.Error{Code: recount.CodeStorage, What: what, Where: where, Why: reason(err), Next: next, Err: errors.Join(kind, err)}
}
