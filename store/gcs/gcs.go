// Package gcs keeps the archive in a bucket of Google Cloud Storage, as the store
// gs. An object is put under the condition that its name has no generation yet,
// which Google checks, and is read by its generation. Credentials are the
// application's default ones (ADC), never in the URL.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"recount"
	"recount/adapter"
	"recount/store"
	"recount/store/remote"
)

const scheme = "gs"

func init() {
	adapter.Register(adapter.Declare(adapter.Store, scheme, "The archive lies in a bucket of Google Cloud Storage.",
		func(ctx context.Context, _ adapter.Env, c Config) (store.Store, error) { return Open(ctx, c.URL) }))
}

// Config is the block `gs`.
type Config struct {
	URL string `json:"url" doc:"Where the archive lies: gs://bucket/prefix, with endpoint after a question mark for another server than Google's."`
}

// Store is a folder of a bucket. It is safe for concurrent use.
type Store struct {
	url    remote.URL
	bucket *storage.BucketHandle
}

// Open returns the store of a URL. It asks nobody for the bucket: what is wrong
// with it shows with the first call.
func Open(ctx context.Context, text string) (*Store, error) {
	u, err := remote.Parse(text, scheme, "endpoint")
	if err != nil {
		return nil, err
	}
	endpoint, err := u.Endpoint()
	if err != nil {
		return nil, err
	}
	options := []option.ClientOption{storage.WithJSONReads()}
	if endpoint != "" {
		options = append(options, option.WithEndpoint(endpoint+"/storage/v1/"))
		if strings.HasPrefix(endpoint, "http://") { // an emulator: credentials never go over plain HTTP
			options = append(options, option.WithoutAuthentication())
		}
	}
	// The client lives as long as the process, longer than ctx.
	client, err := storage.NewClient(context.WithoutCancel(ctx), options...)
	if err != nil {
		return nil, &recount.Error{
			Code: recount.CodeStorage, What: "there are no Google credentials", Where: u.String(), Why: err.Error(), Err: errors.Join(recount.ErrPermission, err),
			Next: "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS, or give this machine a service account",
		}
	}
	// Puts are sent again here, where a lost answer is told from another's object.
	const attempts = 5
	client.SetRetry(storage.WithMaxAttempts(attempts), storage.WithBackoff(gax.Backoff{Initial: 100 * time.Millisecond, Max: time.Second}))
	return &Store{url: u, bucket: client.Bucket(u.Host)}, nil
}

// Place returns the bucket and prefix.
func (s *Store) Place() string { return s.url.String() }

func (s *Store) object(name string) *storage.ObjectHandle { return s.bucket.Object(s.url.Key(name)) }

// Lock is not supported: Google Cloud Storage has no lock that ends with its
// process. Two archivers are kept apart by their commits, which are put only if
// absent.
func (s *Store) Lock(_ context.Context, name string) (func() error, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("lock %q: %w", name, recount.ErrUnsupported)
}

// tokenKey is the object's metadata that tells whose put it was.
const tokenKey = "recount-put"

// Put keeps the object back until it is written whole, since a cancelled upload
// may leave what came so far, and then sends it under the condition that its name
// is free.
func (s *Store) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
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
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(sum, object.Section(0, object.Size())); err != nil {
		return fmt.Errorf("read the scratch file of %q: %w", name, err)
	}
	return remote.Put{
		Name: name, Judge: judge,
		Send:    func(ctx context.Context) error { return s.send(ctx, name, token, object, sum.Sum32()) },
		Explain: func(err error) error { return s.refused("put", name, err) },
		Mine: func(ctx context.Context) (bool, error) {
			attrs, err := s.object(name).Attrs(ctx)
			if err != nil {
				return false, s.refused("stat", name, err)
			}
			return attrs.Metadata[tokenKey] == token, nil
		},
	}.Do(ctx)
}

func (s *Store) send(ctx context.Context, name, token string, object *remote.Spool, sum uint32) error {
	// An upload that ends early is given up with its context.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const chunk = 16 << 20 // larger objects are sent in pieces of it, and appear with the last one
	w := s.object(name).If(storage.Conditions{DoesNotExist: true}).Retryer(storage.WithPolicy(storage.RetryNever)).NewWriter(ctx)
	w.ChunkSize = chunk
	w.Metadata = map[string]string{tokenKey: token}
	w.CRC32C, w.SendCRC32C = sum, true
	w.ContentType = "application/octet-stream"
	if _, err := io.Copy(w, object.Section(0, object.Size())); err != nil {
		cancel()
		_ = w.Close()
		return err
	}
	return w.Close()
}

// head is what the first request reads of an object: small ones are read whole
// by it.
const head = 64 << 10

// Open opens an object. Its reads are of that object even if another one takes
// its name: they name its generation.
func (s *Store) Open(ctx context.Context, name string) (store.Reader, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	r, err := s.object(name).NewRangeReader(ctx, 0, head)
	if status(err) == http.StatusRequestedRangeNotSatisfiable { // an object without bytes has no first one
		if size, err := s.Stat(ctx, name); err != nil || size > 0 {
			return nil, errors.Join(err, fmt.Errorf("open %q: its size is not known", name))
		}
		return remote.NewReader(name, 0, nil, nil), nil
	}
	if err != nil {
		return nil, s.refused("open", name, err)
	}
	defer func() { _ = r.Close() }()
	first, err := io.ReadAll(r)
	if err != nil {
		first = nil // it broke off; reads fetch it again
	}
	pinned := s.object(name).Generation(r.Attrs.Generation)
	return remote.NewReader(name, r.Attrs.Size, first, func(at, n int64) (io.ReadCloser, error) {
		piece, err := pinned.NewRangeReader(ctx, at, n)
		if err != nil {
			return nil, s.refused("open", name, err)
		}
		if piece.Attrs.Generation != r.Attrs.Generation {
			_ = piece.Close()
			return nil, s.refused("open", name, errReplaced)
		}
		return piece, nil
	}), nil
}

// Stat returns the size of an object.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if err := store.CheckName(name); err != nil {
		return 0, err
	}
	attrs, err := s.object(name).Attrs(ctx)
	if err != nil {
		return 0, s.refused("stat", name, err)
	}
	return attrs.Size, nil
}

// List calls each for every object whose name begins with prefix.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	if whole := strings.TrimSuffix(prefix, "/"); prefix != "" {
		if err := store.CheckName(whole); err != nil {
			return err
		}
	}
	query := &storage.Query{Prefix: s.url.Key(prefix)} // "prefix/" for all
	if err := query.SetAttrSelection([]string{"Name", "Size"}); err != nil {
		return fmt.Errorf("list %q: %w", prefix, err)
	}
	objects := s.bucket.Objects(ctx, query)
	for {
		o, err := objects.Next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return s.refused("list", prefix, err)
		}
		if strings.HasSuffix(o.Name, "/") {
			continue // what a console makes as a folder
		}
		if err := each(s.url.Name(o.Name), o.Size); err != nil {
			return err
		}
	}
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	err := s.object(name).Retryer(storage.WithPolicy(storage.RetryAlways)).Delete(ctx)
	if err = s.refused("delete", name, err); errors.Is(err, recount.ErrNotFound) {
		return nil
	}
	return err
}
