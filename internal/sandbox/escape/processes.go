//go:build linux

package escape

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// environs looks for the token in what others were given.
func environs(o Outside) error {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, f := range folders {
		if reads(filepath.Join(f, "environ"), o.Token) == nil {
			return nil
		}
	}
	return errNothing
}

// memory opens the memory of others.
func memory(o Outside) error {
	var errs []error
	for _, pid := range []int{o.PID, os.Getppid(), 1} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
		if err == nil {
			return f.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func trace(o Outside) error {
	runtime.LockOSThread()
	if err := unix.PtraceSeize(o.PID); err != nil {
		return err
	}
	if err := unix.PtraceInterrupt(o.PID); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(o.PID, &status, unix.WALL, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(o.PID)
}

// peek reads the memory of another: where, it does not care; that there is such a
// place is told by another error.
func peek(o Outside) error {
	got := make([]byte, 8)
	local := []unix.Iovec{{Base: &got[0], Len: 8}}
	_, err := unix.ProcessVMReadv(o.PID, local, []unix.RemoteIovec{{Base: 1 << 30, Len: 8}}, 0)
	if errors.Is(err, unix.EFAULT) {
		return nil
	}
	return err
}

func pidfd(o Outside) error {
	fd, err := unix.PidfdOpen(o.PID, 0)
	if err != nil {
		return err
	}
	taken, err := unix.PidfdGetfd(fd, 0, 0)
	if err != nil {
		return err
	}
	return unix.Close(taken)
}

func runs(command ...string) attempt {
	return func(Outside) error { return exec.Command(command[0], command[1:]...).Run() }
}

// becomes replaces itself by another program, which ends with the code of an
// escape.
func becomes(args ...string) attempt {
	return func(Outside) error { return unix.Exec(args[0], args, nil) }
}

var sayEscaped = []string{"-c", "exit " + strconv.Itoa(Escaped)}

// written runs a program that it has written itself.
func written(o Outside) error {
	shell, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	path := filepath.Join(o.Dir, "written")
	if err := os.WriteFile(path, shell, 0o755); err != nil {
		return err
	}
	return unix.Exec(path, []string{path, EscapedArg}, nil)
}

// EscapedArg makes the program, run by itself, end as an escape.
const EscapedArg = "__escaped"

// anonymous runs a program that lies in memory alone.
func anonymous(Outside) error {
	shell, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("escape", 0)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, shell); err != nil {
		return err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	return unix.Exec(path, []string{path, EscapedArg}, nil)
}

// forks makes processes until there are more than any worker needs.
func forks(Outside) error {
	var started []*os.Process
	defer func() {
		for _, p := range started {
			_ = p.Kill()
			_, _ = p.Wait()
		}
	}()
	for range 32 {
		p, err := os.StartProcess("/proc/self/exe", []string{"self", SleepArg}, &os.ProcAttr{})
		if err != nil {
			return err
		}
		started = append(started, p)
	}
	return nil
}

// SleepArg makes the program, run by itself, wait for its end.
const SleepArg = "__sleep"

// threads starts more threads than are allowed. Go ends a program that gets none.
func threads(o Outside) error {
	began := make(chan struct{})
	for range o.Threads {
		go func() {
			runtime.LockOSThread()
			began <- struct{}{}
			select {}
		}()
	}
	for range o.Threads {
		<-began
	}
	return nil
}

// allocate takes a GiB and writes to it.
func allocate(flags int) attempt {
	return func(Outside) error {
		const size = 1 << 30
		got, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|flags)
		if err != nil {
			return err
		}
		for i := 0; i < size; i += 1 << 20 {
			got[i] = 1
		}
		return nil
	}
}

// spin uses the processor for longer than it may.
func spin(Outside) error {
	var use unix.Rusage
	for use.Utime.Sec+use.Stime.Sec < 4 {
		for i := range 1 << 20 {
			_ = i
		}
		if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
			return err
		}
	}
	return nil
}

// dump lets a crash write a core file.
func dump(Outside) error {
	most := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	return unix.Setrlimit(unix.RLIMIT_CORE, &most)
}

func processes() map[string]attempt {
	return map[string]attempt{
		"environments":     environs,
		"memory of others": memory,
		"ptrace":           trace,
		"process_vm_readv": peek,
		"pidfd":            pidfd,
		"see a process":    func(o Outside) error { _, err := os.Stat(fmt.Sprintf("/proc/%d", o.PID)); return err },
		"signal":           func(o Outside) error { return unix.Kill(o.PID, unix.SIGCONT) },
		"signal parent":    func(Outside) error { return unix.Kill(os.Getppid(), unix.SIGCONT) },
		"signal all":       func(Outside) error { return unix.Kill(-1, unix.SIGCONT) },
		"shell":            runs("/bin/sh", "-c", "true"),
		"become a shell":   becomes(append([]string{"/bin/sh"}, sayEscaped...)...),
		"loader":           becomes(append([]string{loader(), "/bin/sh"}, sayEscaped...)...),
		"setuid program":   runs("/bin/su", "--version"),
		"program in reach": func(o Outside) error {
			return unix.Exec(filepath.Join(o.Read, "program"), []string{"program", EscapedArg}, nil)
		},
		"written program": written,
		"memfd program":   anonymous,
		"fork bomb":       forks,
		"thread bomb":     threads,
		"memory bomb":     allocate(unix.MAP_PRIVATE),
		"shared memory":   allocate(unix.MAP_SHARED),
		"endless loop":    spin,
		"core file":       dump,
	}
}

func loader() string {
	if runtime.GOARCH == "arm64" {
		return "/lib/ld-linux-aarch64.so.1"
	}
	return "/lib64/ld-linux-x86-64.so.2"
}

// Sleep waits for the end of the process.
func Sleep() {
	for {
		_, _ = unix.Poll(nil, -1)
	}
}
