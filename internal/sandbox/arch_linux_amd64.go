package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// clockCalls tell the wall clock, besides clock_gettime.
var clockCalls = []uint32{unix.SYS_GETTIMEOFDAY, unix.SYS_TIME}

var forkCalls = []uint32{unix.SYS_FORK, unix.SYS_VFORK}

var deniedHere = map[uint32]string{
	unix.SYS_IOPL: BlockedKernel, unix.SYS_IOPERM: BlockedKernel, unix.SYS_MODIFY_LDT: BlockedKernel, unix.SYS_USELIB: BlockedKernel,
	unix.SYS_CREATE_MODULE: BlockedKernel, unix.SYS_QUERY_MODULE: BlockedKernel, unix.SYS__SYSCTL: BlockedKernel,
}

// stackRegister is which of the general registers is the stack pointer.
const stackRegister = 19
