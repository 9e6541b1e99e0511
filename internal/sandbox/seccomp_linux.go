//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kinds of what a process tried and was refused, as Exit.Blocked counts them.
const (
	BlockedNetwork   = "network"   // sockets of any family, also of this machine
	BlockedFork      = "fork"      // a process of its own
	BlockedExec      = "exec"      // another program
	BlockedTrace     = "trace"     // the memory of others
	BlockedSignal    = "signal"    // a signal to others
	BlockedMount     = "mount"     // mounts and roots
	BlockedNamespace = "namespace" // namespaces
	BlockedKeys      = "keys"      // the kernel's keyrings
	BlockedKernel    = "kernel"    // programs, modules and events of the kernel
	BlockedRing      = "io_uring"  // calls that no filter sees
	BlockedMemory    = "memory"    // memory that is no process's own
	BlockedIPC       = "ipc"       // memory and queues that processes share
	BlockedClock     = "clock"     // setting the clock
	BlockedHost      = "host"      // the machine's name
	BlockedTerminal  = "terminal"  // typing for others
	BlockedCPU       = "cpu"       // processor time past its bound
	BlockedFile      = "file"      // a file past its bound
)

// denied are the system calls that are refused whatever their arguments.
// deniedHere adds those of one kind of processor.
var denied = map[uint32]string{
	unix.SYS_SOCKET: BlockedNetwork, unix.SYS_CONNECT: BlockedNetwork, unix.SYS_BIND: BlockedNetwork,
	unix.SYS_LISTEN: BlockedNetwork, unix.SYS_ACCEPT: BlockedNetwork, unix.SYS_ACCEPT4: BlockedNetwork,

	unix.SYS_EXECVEAT: BlockedExec,

	unix.SYS_PTRACE: BlockedTrace, unix.SYS_PROCESS_VM_READV: BlockedTrace, unix.SYS_PROCESS_VM_WRITEV: BlockedTrace,
	unix.SYS_PROCESS_MADVISE: BlockedTrace, unix.SYS_PIDFD_GETFD: BlockedTrace, unix.SYS_KCMP: BlockedTrace,

	unix.SYS_MOUNT: BlockedMount, unix.SYS_UMOUNT2: BlockedMount, unix.SYS_PIVOT_ROOT: BlockedMount, unix.SYS_CHROOT: BlockedMount,
	unix.SYS_OPEN_TREE: BlockedMount, unix.SYS_MOVE_MOUNT: BlockedMount, unix.SYS_FSOPEN: BlockedMount, unix.SYS_FSCONFIG: BlockedMount,
	unix.SYS_FSMOUNT: BlockedMount, unix.SYS_FSPICK: BlockedMount, unix.SYS_MOUNT_SETATTR: BlockedMount, unix.SYS_STATMOUNT: BlockedMount,
	unix.SYS_LISTMOUNT: BlockedMount, unix.SYS_SWAPON: BlockedMount, unix.SYS_SWAPOFF: BlockedMount, unix.SYS_QUOTACTL: BlockedMount,
	unix.SYS_QUOTACTL_FD: BlockedMount, unix.SYS_NAME_TO_HANDLE_AT: BlockedMount, unix.SYS_OPEN_BY_HANDLE_AT: BlockedMount,
	unix.SYS_FANOTIFY_INIT: BlockedMount, unix.SYS_FANOTIFY_MARK: BlockedMount,

	unix.SYS_SETNS: BlockedNamespace, unix.SYS_UNSHARE: BlockedNamespace,

	unix.SYS_ADD_KEY: BlockedKeys, unix.SYS_REQUEST_KEY: BlockedKeys, unix.SYS_KEYCTL: BlockedKeys,

	unix.SYS_BPF: BlockedKernel, unix.SYS_PERF_EVENT_OPEN: BlockedKernel, unix.SYS_USERFAULTFD: BlockedKernel,
	unix.SYS_KEXEC_LOAD: BlockedKernel, unix.SYS_KEXEC_FILE_LOAD: BlockedKernel, unix.SYS_INIT_MODULE: BlockedKernel,
	unix.SYS_FINIT_MODULE: BlockedKernel, unix.SYS_DELETE_MODULE: BlockedKernel, unix.SYS_REBOOT: BlockedKernel,
	unix.SYS_SYSLOG: BlockedKernel, unix.SYS_ACCT: BlockedKernel, unix.SYS_VHANGUP: BlockedKernel,

	unix.SYS_IO_URING_SETUP: BlockedRing, unix.SYS_IO_URING_ENTER: BlockedRing, unix.SYS_IO_URING_REGISTER: BlockedRing,

	unix.SYS_MEMFD_CREATE: BlockedMemory, unix.SYS_MEMFD_SECRET: BlockedMemory,

	unix.SYS_SHMGET: BlockedIPC, unix.SYS_SHMAT: BlockedIPC, unix.SYS_SHMCTL: BlockedIPC, unix.SYS_SEMGET: BlockedIPC,
	unix.SYS_SEMOP: BlockedIPC, unix.SYS_SEMCTL: BlockedIPC, unix.SYS_MSGGET: BlockedIPC, unix.SYS_MSGSND: BlockedIPC,
	unix.SYS_MSGRCV: BlockedIPC, unix.SYS_MSGCTL: BlockedIPC, unix.SYS_MQ_OPEN: BlockedIPC, unix.SYS_MQ_UNLINK: BlockedIPC,

	unix.SYS_SETTIMEOFDAY: BlockedClock, unix.SYS_CLOCK_SETTIME: BlockedClock, unix.SYS_ADJTIMEX: BlockedClock, unix.SYS_CLOCK_ADJTIME: BlockedClock,

	unix.SYS_SETHOSTNAME: BlockedHost, unix.SYS_SETDOMAINNAME: BlockedHost,
}

// lastKnown is the last system call of Linux 6.18: a later one, whatever it may
// do, does not exist here.
const lastKnown = 469

// seccomp's answers.
const (
	answerAllow  = unix.SECCOMP_RET_ALLOW
	answerAsk    = unix.SECCOMP_RET_USER_NOTIF
	answerKill   = unix.SECCOMP_RET_KILL_PROCESS
	answerNoCall = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// Where seccomp_data has its parts; all kinds of processor that are supported
// have the low half of a number first.
const (
	atNumber = 0
	atArch   = 4
	atArgs   = 16
)

// filter is a program for seccomp. What it refuses is asked of the parent, which
// counts and refuses it.
type filter struct {
	code    []unix.SockFilter
	refusal uint32 // the answer to what is refused
}

func (f *filter) add(code uint16, k uint32, yes, no int) {
	f.code = append(f.code, unix.SockFilter{Code: code, K: k, Jt: uint8(yes), Jf: uint8(no)})
}

func (f *filter) load(at uint32) { f.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, at, 0, 0) }

func (f *filter) answer(a uint32) { f.add(unix.BPF_RET|unix.BPF_K, a, 0, 0) }

// on answers calls of one number by rules, which must always answer.
func (f *filter) on(number uint32, rules func(*filter)) {
	body := filter{refusal: f.refusal}
	rules(&body)
	f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, number, 0, len(body.code))
	f.code = append(f.code, body.code...)
}

func arg(i int) uint32 { return uint32(atArgs + 8*i) }

// ask is the rule without a condition.
func ask(f *filter) { f.answer(f.refusal) }

// askIf asks where an argument, of 32 bits, is one of the values.
func askIf(i int, values ...uint32) func(*filter) {
	return func(f *filter) {
		f.load(arg(i))
		for _, v := range values {
			f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, v, 0, 1)
			f.answer(f.refusal)
		}
		f.answer(answerAllow)
	}
}

// askUnless asks where none of an argument's bits is set.
func askUnless(i int, bits uint32) func(*filter) {
	return askBits(i, bits, 1, 0)
}

// askIfAny asks where any of an argument's bits is set.
func askIfAny(i int, bits uint32) func(*filter) {
	return askBits(i, bits, 0, 1)
}

// askBits passes over so many answers, asking and then allowing, where any of an
// argument's bits is set and where none is.
func askBits(i int, bits uint32, set, unset int) func(*filter) {
	return func(f *filter) {
		f.load(arg(i))
		f.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, bits, set, unset)
		f.answer(f.refusal)
		f.answer(answerAllow)
	}
}

// askIfAll asks where all of an argument's bits are set.
func askIfAll(i int, bits uint32) func(*filter) {
	return func(f *filter) {
		f.load(arg(i))
		f.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, bits, 0, 0)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, bits, 0, 1)
		f.answer(f.refusal)
		f.answer(answerAllow)
	}
}

// askIfSet asks where an argument of 64 bits is not 0.
func askIfSet(i int) func(*filter) {
	return func(f *filter) {
		f.load(arg(i))
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, 0)
		f.answer(f.refusal)
		f.load(arg(i) + 4)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, 0)
		f.answer(f.refusal)
		f.answer(answerAllow)
	}
}

const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// wallClocks are the clocks that the replay owns. The others run free: programs
// measure and wait by them.
var wallClocks = []uint32{unix.CLOCK_REALTIME, unix.CLOCK_REALTIME_COARSE, unix.CLOCK_REALTIME_ALARM, unix.CLOCK_TAI}

// everyone and init are whom nobody may signal.
const (
	everyone = ^uint32(0)
	initPID  = 1
)

// newFilter begins a filter: calls of another kind of processor end the process,
// and later kernels' calls do not exist.
func newFilter(refusal uint32) *filter {
	f := &filter{refusal: refusal}
	f.load(atArch)
	f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, auditArch, 1, 0)
	f.answer(answerKill)
	f.load(atNumber)
	f.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, lastKnown, 0, 1)
	f.answer(answerNoCall)
	return f
}

// filter builds the filter of a cell.
func (c *cell) filter() *filter {
	f := newFilter(answerAsk)
	if c.Clock && c.has(layerClock) {
		f.on(unix.SYS_CLOCK_GETTIME, askIf(0, wallClocks...))
		for _, number := range clockCalls {
			f.on(number, ask)
		}
	}
	if c.has(layerClock) {
		f.on(unix.SYS_GETRANDOM, ask)
	}
	if c.has(layerSeccomp) {
		f.deny(c.Forks)
	}
	f.answer(answerAllow)
	return f
}

// deny adds what is refused.
func (f *filter) deny(forks bool) {
	// Its flags lie in memory, which a filter cannot read; libraries fall back to
	// clone.
	f.on(unix.SYS_CLONE3, func(f *filter) { f.answer(answerNoCall) })
	if forks {
		f.on(unix.SYS_CLONE, askIfAny(0, namespaces))
	} else {
		f.on(unix.SYS_CLONE, askUnless(0, unix.CLONE_THREAD))
		// Memory that is shared counts for no process, and one that is alone has
		// nobody to share with.
		f.on(unix.SYS_MMAP, askIfAll(3, unix.MAP_SHARED|unix.MAP_ANONYMOUS))
	}
	f.on(unix.SYS_EXECVE, ask)
	f.on(unix.SYS_SENDTO, askIfSet(4))
	f.on(unix.SYS_IOCTL, askIf(1, unix.TIOCSTI, unix.TIOCLINUX))
	for _, number := range []uint32{unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO} {
		f.on(number, askIf(0, everyone, initPID))
	}
	for _, calls := range []map[uint32]string{denied, deniedHere} {
		for _, number := range sorted(calls) {
			f.on(number, ask)
		}
	}
	if !forks {
		for _, number := range forkCalls {
			f.on(number, ask)
		}
	}
}

// kindOf names what a refused call is.
func kindOf(number uint32) string {
	switch number {
	case unix.SYS_CLONE:
		return BlockedFork
	case unix.SYS_EXECVE:
		return BlockedExec
	case unix.SYS_SENDTO:
		return BlockedNetwork
	case unix.SYS_IOCTL:
		return BlockedTerminal
	case unix.SYS_MMAP:
		return BlockedMemory
	case unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO:
		return BlockedSignal
	}
	if kind, ok := denied[number]; ok {
		return kind
	}
	if kind, ok := deniedHere[number]; ok {
		return kind
	}
	return BlockedFork
}

// asking is what the child's calls around the filter point at.
var asking struct {
	program unix.SockFprog
	message unix.Msghdr
	vector  unix.Iovec
	text    [1]byte
	rights  [24]byte // a control message with one descriptor
	fd      int32
}

// atDescriptor is where the rights have their descriptor.
const atDescriptor = unix.SizeofCmsghdr

// filterCalls lists the child's calls that set the filter and hand the parent the
// descriptor on which it is asked.
func (c *cell) filterCalls() []call {
	f := c.filter()
	kept = append(kept, f)
	asking.program = unix.SockFprog{Len: uint16(len(f.code)), Filter: &f.code[0]}
	asking.text[0] = saidFilter
	asking.vector = unix.Iovec{Base: &asking.text[0], Len: 1}
	binary.NativeEndian.PutUint64(asking.rights[0:], uint64(unix.CmsgLen(4)))
	binary.NativeEndian.PutUint32(asking.rights[8:], unix.SOL_SOCKET)
	binary.NativeEndian.PutUint32(asking.rights[12:], unix.SCM_RIGHTS)
	asking.message = unix.Msghdr{Iov: &asking.vector, Iovlen: 1, Control: &asking.rights[0], Controllen: uint64(unix.CmsgSpace(4))}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if kernelAtLeast(5, 19) {
		// A signal does not make it ask twice.
		flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}
	return []call{
		{
			name: "set the filter", number: unix.SYS_SECCOMP, args: [6]uintptr{unix.SECCOMP_SET_MODE_FILTER, flags, pointer(&asking.program)},
			result: (*int32)(unsafe.Pointer(&asking.rights[atDescriptor])),
		},
		{name: "hand over the filter", number: unix.SYS_SENDMSG, args: [6]uintptr{controlFD, pointer(&asking.message)}},
	}
}

// Forbid takes from all threads of this program what its own work never needs:
// sockets, other programs and processes, mounts, and the rarer parts of the
// kernel. It is for a process that cannot be made in a sandbox, but still runs
// what others wrote. Where the kernel has no seccomp, nothing is taken.
func Forbid() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f := newFilter(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	f.deny(false)
	f.answer(answerAllow)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("gain no privileges: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(f.code)), Filter: &f.code[0]}
	// A thread that has another filter, which cannot be, would be told as a number.
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, pointer(&program))
	switch {
	case errno == unix.ENOSYS, errno == unix.EINVAL:
		return nil
	case errno != 0:
		return fmt.Errorf("set a filter: %w", errno)
	case thread != 0:
		return fmt.Errorf("set a filter: thread %d has another", thread)
	}
	return nil
}
