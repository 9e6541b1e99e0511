// Package outfile writes the files that a person names with --out. It is not for
// an archive or a live table, which have writers of their own.
//
// What always holds: a file is written whole or not at all, and over nothing but
// an older file of the same kind. A wrong name must not cost a configuration, a
// log of events or a live table.
package outfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"recount"
	"recount/internal/app/incident"
)

// Kind is a kind of file, and how one is known again.
type Kind struct {
	// a is what a person calls it, with its article.
	a   string
	own func(head, tail []byte) bool
}

// The kinds. How a plan begins is what its readers look for too.
var (
	Plan        = Kind{"a plan", begins("recount-plan/")}
	Certificate = Kind{"a certificate", begins(`{"type":"certificate"`)}
	Rows        = Kind{"a file of recalculated rows", func(head, _ []byte) bool {
		line, _, _ := bytes.Cut(head, []byte("\n"))
		return bytes.HasPrefix(head, []byte(`{"type":"row"`)) || bytes.HasSuffix(bytes.TrimRight(line, "\r"), []byte(",checksum"))
	}}
	Effects = Kind{"a file of effects", func(head, tail []byte) bool {
		return bytes.HasPrefix(head, []byte(`{"type":"effect"`)) || bytes.HasPrefix(head, []byte("difference,kind,key,event_id,")) ||
			bytes.HasPrefix(head, []byte("PAR1")) && bytes.Contains(tail, []byte("sent_partition"))
	}}
)

func begins(with string) func(head, tail []byte) bool {
	return func(head, _ []byte) bool { return bytes.HasPrefix(head, []byte(with)) }
}

// edge is how much of a file's begin and end is looked at.
const edge = 1 << 16

// Free refuses a name at which something stands that is not of this kind. An
// empty file is nobody's. shown is the name as it was given.
func (k Kind) Free(name, shown string) error {
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return incident.StorageError("look at the file", shown, err)
	}
	if !info.Mode().IsRegular() {
		return taken(shown, "it is "+special(info.Mode())+", and a file written whole takes the place of what has its name")
	}
	if info.Size() == 0 {
		return nil
	}
	head, tail, err := edges(name, info.Size())
	if err != nil {
		return incident.StorageError("look at the file", shown, err)
	}
	if !k.own(head, tail) {
		return taken(shown, fmt.Sprintf("it is not %s, and would be lost", k.a))
	}
	return nil
}

func taken(shown, why string) error {
	return &recount.Error{
		Code: recount.CodeUsage, What: "something else has the file's name", Where: shown, Why: why, Next: "name another file, or move that one away",
	}
}

func special(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&os.ModeNamedPipe != 0:
		return "a pipe"
	case m&os.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

func edges(name string, size int64) (head, tail []byte, err error) {
	f, err := os.Open(name) //nolint:gosec // the person names the file
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if head, err = io.ReadAll(io.NewSectionReader(f, 0, edge)); err != nil {
		return nil, nil, err
	}
	tail, err = io.ReadAll(io.NewSectionReader(f, max(0, size-edge), edge))
	return head, tail, err
}

// Write writes a file of this kind. shown is the name as it was given.
func (k Kind) Write(name, shown string, write func(io.Writer) error) error {
	if err := k.Free(name, shown); err != nil {
		return err
	}
	return Whole(name, write)
}

// Whole writes a file whole or not at all, over whatever has its name.
func Whole(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".recount-out-*")
	if err != nil {
		return incident.StorageError("write the file", name, err)
	}
	to := &minded{w: f}
	if err = write(to); to.err != nil {
		err = incident.StorageError("write the file", name, to.err)
	}
	if closeErr := errors.Join(f.Sync(), f.Close()); err == nil && closeErr != nil {
		err = incident.StorageError("write the file", name, closeErr)
	}
	const mode = 0o644 // CreateTemp's 0600 would hide a plan from its reviewers
	if err == nil {
		err = os.Chmod(f.Name(), mode)
	}
	if err == nil {
		if err = os.Rename(f.Name(), name); err == nil {
			return nil
		}
		err = incident.StorageError("write the file", name, err)
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// minded remembers what its writer refused, so that a full disk is told from
// what the rows themselves had to say.
type minded struct {
	w   io.Writer
	err error
}

func (m *minded) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	if err != nil {
		m.err = err
	}
	return n, err
}
