package adapter

import (
	"context"
	"io"
)

// Objects is what lies below one URL of a store, for adapters that read files
// which somebody else wrote there. Names are relative to the URL, with "/"
// between their parts. It is safe for concurrent use.
type Objects interface {
	// List calls each for every object whose name begins with prefix, in the order
	// of names. It may lag behind what was written.
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
	// Open reads an object from its beginning; recount.ErrNotFound if there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Place is where the objects lie; it holds no secret.
	Place() string
}
