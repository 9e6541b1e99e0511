package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// clockCalls tell the wall clock, besides clock_gettime.
var clockCalls = []uint32{unix.SYS_GETTIMEOFDAY}

// forkCalls are none: clone does it all.
var forkCalls []uint32

var deniedHere = map[uint32]string{}

// stackRegister is which of the general registers is the stack pointer.
const stackRegister = 31
