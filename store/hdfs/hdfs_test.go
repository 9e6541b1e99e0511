package hdfs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"recount"
	server "recount/internal/servertest/hdfs"
	"recount/store"
	"recount/store/remote"
	"recount/store/storetest"
)

func open(t *testing.T, address, folder string) *Store {
	t.Helper()
	s, err := Open("hdfs://" + address + "/" + folder + "?user=" + server.User)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.client != nil {
			_ = s.client.Close()
		}
	})
	return s
}

func fresh(address string) storetest.Open {
	var count atomic.Int64
	return func(t *testing.T) (store.Store, func() store.Store) {
		folder := url.PathEscape(fmt.Sprintf("archive %d", count.Add(1))) + "/a+b"
		return open(t, address, folder), func() store.Store { return open(t, address, folder) }
	}
}

func TestConformance(t *testing.T) { storetest.Run(t, fresh(server.Start(t))) }

func TestFaults(t *testing.T) { storetest.Faults(t, fresh(server.Start(t))) }

// TestOfSixteenRenamesOneWins races at the one call that puts-if-absent rest on,
// many times.
func TestOfSixteenRenamesOneWins(t *testing.T) {
	address := server.Start(t)
	const rounds, writers = 10, 16
	s := open(t, address, "races")
	if err := s.Put(t.Context(), "first", func(io.Writer) error { return nil }); err != nil { // makes the folder
		t.Fatal(err)
	}
	for round := range rounds {
		for i := range writers {
			object, err := remote.Fill(t.Context(), "x", func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%02d", i)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			err = s.fill(t.Context(), s.path(fmt.Sprintf("%s%d-%d", hidden, round, i)), "x", object)
			object.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				errs[i] = rename(t.Context(), dial, s.address, s.user, s.path(fmt.Sprintf("%s%d-%d", hidden, round, i)), s.path(fmt.Sprint(round)))
			})
		}
		wg.Wait()
		r, err := s.Open(t.Context(), fmt.Sprint(round))
		if err != nil {
			t.Fatal(err)
		}
		found, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range errs {
			var fault *remoteError
			won := string(found) == fmt.Sprintf("%02d", i)
			if won != (err == nil) || !won && (!errors.As(err, &fault) || fault.class != alreadyExists) {
				t.Errorf("round %d: writer %d got %v, and the file holds %q", round, i, err, found)
			}
		}
	}
}

// TestALostRenameIsFoundOut cuts the connection of a rename before and after it
// takes effect.
func TestALostRenameIsFoundOut(t *testing.T) {
	address := server.Start(t)
	for _, after := range []bool{false, true} {
		for _, cuts := range []int64{1, 100} {
			t.Run(fmt.Sprintf("after %t, %d times", after, cuts), func(t *testing.T) {
				folder := fmt.Sprintf("lost-%t-%d", after, cuts)
				good, bad := open(t, address, folder), open(t, address, folder)
				bad.address = cutting(t, address, after, cuts)
				if _, err := bad.connected(); err != nil { // over the proxy too, which cuts renames alone
					t.Fatal(err)
				}
				storetest.Truth(t, bad, good, "object", []byte("mine"), false)
			})
		}
	}
}

// cutting stands before a NameNode and cuts the first connections that rename.
func cutting(t *testing.T, address string, after bool, cuts int64) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var left atomic.Int64
	left.Store(cuts)
	pass := func(in net.Conn) {
		defer func() { _ = in.Close() }()
		out, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return
		}
		defer func() { _ = out.Close() }()
		buf := make([]byte, 64<<10)
		var cut atomic.Bool
		go func() {
			defer func() { _ = in.Close() }()
			back := make([]byte, 64<<10)
			for {
				n, err := out.Read(back)
				if err != nil || cut.Load() {
					return
				}
				if _, err := in.Write(back[:n]); err != nil {
					return
				}
			}
		}()
		for {
			n, err := in.Read(buf)
			if err != nil {
				return
			}
			if strings.Contains(string(buf[:n]), "rename2") && left.Add(-1) >= 0 {
				if !after {
					return
				}
				cut.Store(true)
			}
			if _, err := out.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go pass(in)
		}
	}()
	return l.Addr().String()
}

func TestAFolderWithoutRightsIsRefused(t *testing.T) {
	address := server.Start(t)
	if err := open(t, address, "mine").Put(t.Context(), "a", func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	s, err := Open("hdfs://" + address + "/mine?user=somebody")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Put(t.Context(), "b", func(io.Writer) error { return nil })
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeStorage || !errors.Is(err, recount.ErrPermission) || !strings.Contains(e.Next, "somebody") {
		t.Errorf("got %v, want RC3007 that names the user", err)
	}
}

func TestKerberosIsRefused(t *testing.T) {
	s := &Store{}
	err := s.refused("put", "x", &remoteError{accessControl, simpleNotEnabled + ".  Available:[TOKEN, KERBEROS]"})
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeUnsupported || !strings.Contains(e.What, "Kerberos") {
		t.Errorf("got %v, want CodeUnsupported", err)
	}
}

func TestURLsWithMistakesAreRefused(t *testing.T) {
	for _, text := range []string{"hdfs://", "hdfs:///x", "hdfs://me:hunter2@nn/x", "hdfs://nn/x?usr=me", "hdfs://nn/x?datanode_hostname=perhaps"} {
		_, err := Open(text)
		var e *recount.Error
		if !errors.As(err, &e) || e.Code != recount.CodeConfig || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want CodeConfig without a secret", text, err)
		}
	}
}

// FuzzAnswer reads any bytes as an answer of the NameNode.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x03\x10\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x06\x05\x10\x01\x22\x01x"))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = answer(strings.NewReader(string(b))) })
}
