//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The kernel's names of what it tells a program as it starts, and of the set of
// general registers.
const (
	auxEnd       = 0
	auxIgnore    = 1
	auxRandom    = 25
	auxVDSO      = 33
	generalNotes = 1
	wordBytes    = 8
	randomAux    = 16
)

// prepareImage changes what the kernel told the program that the process has just
// become and that has not run yet: it does not find the code with which it would
// read the clock and make random numbers without a system call, and its first
// randomness is the replay's. Then the process runs on.
func (c *cell) prepareImage(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	if !status.Stopped() {
		return fmt.Errorf("the program did not stop as it started: %#x", uint32(status))
	}
	aux, err := findAux(pid)
	if err != nil {
		return err
	}
	for ; ; aux += 2 * wordBytes {
		kind, err := peek(pid, aux)
		if err != nil {
			return err
		}
		switch kind {
		case auxEnd:
			return unix.PtraceDetach(pid)
		case auxVDSO:
			err = poke(pid, aux, binary.NativeEndian.AppendUint64(nil, auxIgnore))
		case auxRandom:
			var at uint64
			if at, err = peek(pid, aux+wordBytes); err == nil {
				first := make([]byte, randomAux)
				newRandom(^c.Seed).fill(first)
				err = poke(pid, at, first)
			}
		}
		if err != nil {
			return err
		}
	}
}

// findAux returns where the vector of what the kernel tells lies: behind the
// arguments and the environment, on the stack.
func findAux(pid int) (uint64, error) {
	registers := make([]byte, 512)
	vector := unix.Iovec{Base: &registers[0], Len: uint64(len(registers))}
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GETREGSET, uintptr(pid), generalNotes, pointer(&vector), 0, 0); errno != 0 {
		return 0, errno
	}
	at := binary.NativeEndian.Uint64(registers[stackRegister*wordBytes:])
	arguments, err := peek(pid, at)
	if err != nil {
		return 0, err
	}
	at += (1 + arguments + 1) * wordBytes
	for {
		variable, err := peek(pid, at)
		if err != nil {
			return 0, err
		}
		at += wordBytes
		if variable == 0 {
			return at, nil
		}
	}
}

func peek(pid int, at uint64) (uint64, error) {
	var word [wordBytes]byte
	if _, err := unix.PtracePeekData(pid, uintptr(at), word[:]); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(word[:]), nil
}

func poke(pid int, at uint64, what []byte) error {
	_, err := unix.PtracePokeData(pid, uintptr(at), what)
	return err
}
