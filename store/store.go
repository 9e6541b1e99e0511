// Package store is the port where the archive lies: named, immutable objects.
// An object is put only if its name is free, whole or not at all. What an
// archive holds is never learned from List: it serves to find leftovers.
package store

import (
	"context"
	"io"

	"recount"
)

// Store keeps objects. It is safe for concurrent use. Names are relative, with
// "/" between their parts; "." and ".." are refused.
type Store interface {
	// Put stores what write writes under name and returns when it is durable.
	// recount.ErrExists: the name is taken by a durable object, which is unchanged.
	// Any other error: nothing is visible under name, unless the error is
	// recount.ErrUnknown. Then Open says whether the object is there, and another
	// Put of it whether it is durable. An error that passes by itself, such as a
	// server that is overloaded, wraps recount.ErrTransient, here and in all other
	// methods.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Open reads an object; recount.ErrNotFound if there is none. The reader
	// also seeks and reads at offsets.
	Open(ctx context.Context, name string) (Reader, error)
	// Stat returns the size in bytes; recount.ErrNotFound if there is none.
	Stat(ctx context.Context, name string) (int64, error)
	// List calls each for every object whose name begins with prefix, in the
	// order of names. It may lag behind Put.
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
	// Delete removes an object; none there is no error.
	Delete(ctx context.Context, name string) error
	// Lock takes the archive's advisory writer lock, or recount.ErrLocked with
	// who holds it. A lock ends with its process.
	Lock(ctx context.Context, name string) (unlock func() error, err error)
	// Place is where the objects lie, for a person; it holds no secret.
	Place() string
}

// Object is an object that its writer holds whole, with its digest.
type Object interface {
	io.ReaderAt
	Size() int64
	SHA256() []byte
}

// Taker is a writer handed to the write of a Put that takes an object as it is: a
// store that sends it needs no copy and no digest of its own. The object must stay
// as it is until nothing refers to it any more; nothing else may be written.
type Taker interface {
	Take(o Object) error
}

// Reader reads one object.
type Reader interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
}

// Local is a Store whose objects are files on this machine, which an engine can
// read in place.
type Local interface {
	Store
	// Path returns the file of an object; it need not exist.
	Path(name string) (string, error)
}

// CheckName refuses names that lead out of the store or name nothing.
func CheckName(name string) error {
	if !validName(name) {
		return &recount.Error{
			Code: recount.CodeStorage, What: "an object's name is not allowed", Where: name,
			Why:  "names are relative and hold no empty part, '.', '..', backslash or control character",
			Next: "rename the stream or file that the name was made from",
		}
	}
	return nil
}

func validName(name string) bool {
	const longest = 1024
	if name == "" || len(name) > longest {
		return false
	}
	start := 0
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			if name[i] < 0x20 || name[i] == 0x7f || name[i] == '\\' {
				return false
			}
			continue
		}
		if part := name[start:i]; part == "" || part == "." || part == ".." {
			return false
		}
		start = i + 1
	}
	return true
}
