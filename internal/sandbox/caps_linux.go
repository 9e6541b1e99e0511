//go:build amd64 || arm64

package sandbox

import (
	"errors"

	"golang.org/x/sys/unix"
)

// builderCaps are what building the cell needs: mounts, and the end of capabilities
// themselves. They are good in the builder's own namespaces alone.
var builderCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}

// boundCapabilities keeps executed files from giving any, for ever.
func boundCapabilities() error {
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && c > unix.CAP_CHOWN {
			break // one more than the kernel has
		}
		if err != nil {
			return step(err, "drop capabilities")
		}
	}
	const noRoot = 1<<0 | 1<<1 // SECBIT_NOROOT and its lock
	return step(unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0), "make root nobody")
}

// none is what the calls below leave, in the kernel's form.
var none = struct {
	header unix.CapUserHeader
	data   [2]unix.CapUserData
}{header: unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}}

// noCapabilities takes all that the child has.
func noCapabilities() call {
	return call{name: "drop capabilities", number: unix.SYS_CAPSET, args: [6]uintptr{pointer(&none.header), pointer(&none.data)}}
}

// dropCapabilities takes all that this thread has.
func dropCapabilities() error {
	return step(unix.Capset(&none.header, &none.data[0]), "drop capabilities")
}
