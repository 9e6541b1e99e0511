package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"

	client "github.com/colinmarc/hdfs/v2"

	"recount"
	"recount/store/remote"
)

// errReplaced says that a name now holds another file.
var errReplaced = errors.New("another file has its name now")

// silence is how long a server may say nothing before its connection is cut.
const silence = 60 * time.Second

// dial connects to a server of the cluster. The client library knows no context:
// the connection itself ends where nothing comes for long.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	const reach = 20 * time.Second
	c, err := (&net.Dialer{Timeout: reach}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{c}, nil
}

type conn struct{ net.Conn }

// Read reads, or fails after a long silence.
func (c *conn) Read(p []byte) (int, error) {
	defer time.AfterFunc(silence, func() { _ = c.Close() }).Stop()
	return c.Conn.Read(p)
}

// Write writes, or fails where nobody takes it for long.
func (c *conn) Write(p []byte) (int, error) {
	defer time.AfterFunc(silence, func() { _ = c.Close() }).Stop()
	return c.Conn.Write(p)
}

// exception is the class and message of a Java exception; empty where the error
// is none.
func exception(err error) (class, message string) {
	var (
		fault *remoteError
		far   client.Error
	)
	switch {
	case errors.As(err, &fault):
		return fault.class, fault.message
	case errors.As(err, &far):
		return far.Exception(), far.Message()
	}
	return "", ""
}

// isBroken says whether a call failed on its way: neither a word of the cluster
// nor one of the file system.
func isBroken(err error) bool {
	class, _ := exception(err)
	return class == "" && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrPermission) &&
		!errors.Is(err, fs.ErrInvalid) && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func isNotFound(err error) bool {
	class, message := exception(err)
	// Of a path below a file the NameNode says that it may not be entered.
	return errors.Is(err, fs.ErrNotExist) || class == fileNotFound || class == parentNotFolder ||
		class == accessControl && strings.Contains(message, "is not a directory")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line)
}

// refused translates an error of the cluster; nil stays nil.
func (s *Store) refused(act, name string, err error) error {
	class, message := exception(err)
	switch {
	case err == nil:
		return nil
	case act != "put" && isNotFound(err):
		return fmt.Errorf("%s %q: %w", act, name, recount.ErrNotFound)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %q: %w", act, name, err)
	case strings.Contains(message, simpleNotEnabled):
		return &recount.Error{
			Code: recount.CodeUnsupported, What: "this HDFS demands Kerberos", Where: s.Place(), Why: firstLine(message), Err: err,
			Next: "keep the archive in a folder, in S3 or in Google Cloud Storage, or in a cluster without Kerberos; docs/stores.md says more",
		}
	case errors.Is(err, fs.ErrPermission) || class == accessControl:
		return s.problem("the archive's folder refused", name, err,
			fmt.Sprintf("give user %s the right to read and write %s, or name another user with ?user=…", s.user, s.path("")), recount.ErrPermission)
	case class == safeMode:
		return s.problem("HDFS is in safe mode, where nothing is written", name, err, "wait until the cluster leaves it, then run the command again", remote.ErrUnreachable)
	case class == standby:
		return s.problem("the NameNode is on standby", name, err, "write the address of the active NameNode after archive: in recount.yaml", remote.ErrUnreachable)
	case strings.HasSuffix(class, "QuotaExceededException"):
		return s.problem("the archive's folder is full", name, err, "raise its quota, then run the command again: it goes on from the last commit", nil)
	case errors.Is(err, errReplaced):
		return s.problem("an object was replaced while it was read", name, err, "find out what writes into the archive's folder besides Recount, then recount archive verify", nil)
	case isBroken(err):
		return s.problem("HDFS cannot be reached", name, err, "look at the address and the NameNode, then run the command again", remote.ErrUnreachable)
	}
	return s.problem(fmt.Sprintf("HDFS could not %s an object", act), name, err, "look at the cluster, then run the command again", nil)
}

func (s *Store) problem(what, name string, err error, next string, kind error) error {
	where := s.Place()
	if name != "" {
		where += "/" + name
	}
	why := err.Error()
	if class, message := exception(err); class != "" {
		why = class[strings.LastIndexByte(class, '.')+1:] + ": " + firstLine(message)
	}
	return &recount.Error{Code: recount.CodeStorage, What: what, Where: where, Why: why, Next: next, Err: errors.Join(kind, err)}
}
