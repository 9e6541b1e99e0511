// Package lockfile is the lock that a process holds on a file until it ends, and
// what the file says meanwhile of the process that holds it.
package lockfile

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"recount"
)

// Holder is what a lock file says of the process that holds it. It informs; the
// lock itself is the kernel's and ends with the process.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"` // UTC, whole seconds; zero where it is not known
}

// Own describes this process, which takes the lock now; without a clock it does
// not say since when.
func Own(now func() time.Time) Holder {
	h := Holder{PID: os.Getpid()}
	h.Host, _ = os.Hostname() // without it the process is named alone
	if now != nil {
		h.Since = now().UTC().Truncate(time.Second)
	}
	return h
}

// String shows the holder to a person.
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	text := fmt.Sprintf("process %d on %s", h.PID, h.Host)
	if !h.Since.IsZero() {
		text += " since " + recount.FormatTimestamp(h.Since)
	}
	return text
}

// Write puts the holder into the file, in place of what stood there. The caller
// holds the lock.
func (h Holder) Write(f interface {
	io.WriterAt
	Truncate(size int64) error
},
) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

// Read reads the holder from the start of a lock file. A file that says nothing,
// or is being written, gives the zero Holder.
func Read(f io.Reader) Holder {
	const most = 4096
	var h Holder
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}
