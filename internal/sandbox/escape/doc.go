//go:build linux

// Package escape tries to get out of a sandbox: to the network, to files,
// processes and the kernel. Tests of the sandbox run each attempt where it must
// fail and where it must succeed; testdata/escape.py has the same attempts.
package escape

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Outside is what there is to reach, made by the test.
type Outside struct {
	Token    string            `json:"token"` // stands wherever there is something to read
	TCP4     string            `json:"tcp4"`
	TCP6     string            `json:"tcp6"`
	UDP      string            `json:"udp"`
	Unix     string            `json:"unix"`
	Abstract string            `json:"abstract"`
	Secret   string            `json:"secret"`  // a file that may not be read
	Victim   string            `json:"victim"`  // a file that may not be written
	Program  string            `json:"program"` // what runs
	PID      int               `json:"pid"`     // a process that may not be touched
	Dir      string            `json:"dir"`     // what may be written
	Read     string            `json:"read"`    // a folder that may be read, with a program in it
	ShmID    int               `json:"shm"`
	Host     string            `json:"host"`
	Threads  int               `json:"threads"`
	Numbers  map[string]uint32 `json:"numbers"` // of system calls, for Python
}

// The codes with which an attempt ends.
const (
	Escaped = 42
	Held    = 43
)

// Run makes the attempt of that name and returns the exit code; why it was held
// goes to w.
func Run(name, outside string, w io.Writer) int {
	var o Outside
	if err := json.Unmarshal([]byte(outside), &o); err != nil {
		fmt.Fprintln(w, err)
		return 1
	}
	try, ok := attempts()[name]
	if !ok {
		fmt.Fprintln(w, "no attempt", name)
		return 1
	}
	if err := try(o); err != nil {
		fmt.Fprintln(w, name+":", err)
		return Held
	}
	return Escaped
}

type attempt func(Outside) error

var errNothing = errors.New("nothing is there")
