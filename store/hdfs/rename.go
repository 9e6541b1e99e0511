package hdfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/protobuf/encoding/protowire"
)

// The client library renames over what has the new name. Put-if-absent needs the
// other kind, which the NameNode offers in the same call, so that call is made
// here: one connection, one request of Hadoop's RPC (version 9) and its answer.

const (
	protocolClass    = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
	handshakeCall    = -3
	mostResponse     = 1 << 20
	finalPacket      = 0
	protobufKind     = 2
	alreadyExists    = "org.apache.hadoop.fs.FileAlreadyExistsException"
	fileNotFound     = "java.io.FileNotFoundException"
	parentNotFolder  = "org.apache.hadoop.fs.ParentNotDirectoryException"
	accessControl    = "org.apache.hadoop.security.AccessControlException"
	standby          = "org.apache.hadoop.ipc.StandbyException"
	safeMode         = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"
	simpleNotEnabled = "SIMPLE authentication is not enabled"
)

// remoteError is an exception of the NameNode: the call did nothing.
type remoteError struct{ class, message string }

func (e *remoteError) Error() string { return e.class + ": " + firstLine(e.message) }

// unsentError says that a call did not reach the NameNode.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// rename gives a file its name, unless another file has it. A *remoteError or
// *unsentError says that it was not done; any other error, that nobody knows.
func rename(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), address, user, from, to string) error {
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return &unsentError{err}
	}
	defer func() { _ = conn.Close() }()
	client := make([]byte, 16) // a new one for each call, which is the only one of its connection
	copy(client, from[max(0, len(from)-len(client)):])

	var request []byte
	request = append(request, "hrpc\x09\x00\x00"...)
	request = append(request, packet(header(handshakeCall, client), connectionContext(user))...)
	request = append(request, packet(header(0, client), call("rename2"), renameRequest(from, to))...)
	if n, err := conn.Write(request); err != nil {
		if n == 0 {
			return &unsentError{err}
		}
		return fmt.Errorf("rename: %w", err)
	}
	return answer(conn)
}

// packet frames messages: the length of all, then each with its own.
func packet(messages ...[]byte) []byte {
	b := make([]byte, 4)
	for _, m := range messages {
		b = protowire.AppendBytes(b, m)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func header(id int32, client []byte) []byte {
	b := appendVarint(nil, 1, protobufKind)
	b = appendVarint(b, 2, finalPacket)
	b = appendVarint(b, 3, protowire.EncodeZigZag(int64(id)))
	return appendText(b, 4, client)
}

func connectionContext(user string) []byte {
	b := appendText(nil, 2, appendText(nil, 1, []byte(user)))
	return appendText(b, 3, []byte(protocolClass))
}

func call(method string) []byte {
	b := appendText(nil, 1, []byte(method))
	b = appendText(b, 2, []byte(protocolClass))
	return appendVarint(b, 3, 1)
}

func renameRequest(from, to string) []byte {
	b := appendText(nil, 1, []byte(from))
	b = appendText(b, 2, []byte(to))
	return appendVarint(b, 3, 0) // overwriteDest: false
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendText(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

var errAnswer = errors.New("the NameNode's answer is not understood")

// answer reads the answer of a call; nil if it was done.
func answer(r io.Reader) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return fmt.Errorf("read the NameNode's answer: %w", err)
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > mostResponse {
		return errAnswer
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("read the NameNode's answer: %w", err)
	}
	b, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return errAnswer
	}
	status, found := uint64(0), false
	var fault remoteError
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errAnswer
		}
		b = b[n:]
		switch {
		case field == 2 && kind == protowire.VarintType:
			status, n = protowire.ConsumeVarint(b)
			found = true
		case field == 4 && kind == protowire.BytesType:
			fault.class, n = protowire.ConsumeString(b)
		case field == 5 && kind == protowire.BytesType:
			fault.message, n = protowire.ConsumeString(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return errAnswer
		}
		b = b[n:]
	}
	switch {
	case !found:
		return errAnswer
	case status != 0:
		return &fault
	}
	return nil
}
