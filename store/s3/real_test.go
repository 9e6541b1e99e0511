package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"recount"
	server "recount/internal/servertest/s3"
	"recount/store"
	"recount/store/storetest"
)

func TestRealConformance(t *testing.T) {
	address, bucket := server.Start(t)
	var count atomic.Int64
	storetest.Run(t, func(t *testing.T) (store.Store, func() store.Store) {
		place := bucket + fmt.Sprintf("/archive %d/a+b", count.Add(1))
		return open(t, address, place), func() store.Store { return open(t, address, place) }
	})
	if n := server.Uploads(t, bucket); n > 0 {
		t.Errorf("%d unfinished uploads are left", n)
	}
}

// TestRealRaceInParts lets writers race for one name with objects that are put in
// parts.
func TestRealRaceInParts(t *testing.T) {
	address, bucket := server.Start(t)
	const writers = 6
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			errs[i] = open(t, address, bucket+"/race").Put(t.Context(), "large", func(w io.Writer) error {
				_, err := w.Write(bytes.Repeat([]byte{byte('a' + i)}, single+1))
				return err
			})
		})
	}
	wg.Wait()
	s := open(t, address, bucket+"/race")
	if !s.checkParts(t.Context()) {
		t.Fatal("the server does not keep the condition of puts in parts")
	}
	r, err := s.Open(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	found, err := io.ReadAll(r)
	if err != nil || len(found) != single+1 {
		t.Fatalf("read %d bytes, %v", len(found), err)
	}
	for i, err := range errs {
		won := found[0] == byte('a'+i)
		if won != (err == nil) || !won && !errors.Is(err, recount.ErrExists) {
			t.Errorf("writer %d: got %v, and the object is %c's", i, err, found[0])
		}
	}
	if n := server.Uploads(t, bucket); n > 0 {
		t.Errorf("%d unfinished uploads are left", n)
	}
}

// TestRealPutInPartsSaysTheTruth is TestAPutSaysTheTruth for objects in parts:
// one request makes the upload, two send parts, one completes it.
func TestRealPutInPartsSaysTheTruth(t *testing.T) {
	address, bucket := server.Start(t)
	text := bytes.Repeat([]byte("mine"), 5<<18+1)
	for _, what := range []string{"500 after", "cut before", "cut after"} {
		trouble := troubles[what]
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tellsTheTruth(t, address, bucket+"/"+what, trouble, text, 4, false)
		})
	}
}

func TestRealWrongCredentials(t *testing.T) {
	address, bucket := server.Start(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	refusal(t, open(t, address, bucket), "credentials are not accepted", "renew", recount.ErrPermission)
}

func TestRealBucketThatIsNotThere(t *testing.T) {
	address, _ := server.Start(t)
	refusal(t, open(t, address, "nobodys"), "bucket does not exist", "make the bucket", nil)
}
