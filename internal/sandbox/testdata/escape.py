"""Tries to get out of a sandbox: the attempts of package escape, once more."""

import ctypes
import glob
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

ESCAPED, HELD = 42, 43
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    """Makes a system call, whose number the test gives."""
    converted = [a if isinstance(a, bytes) else ctypes.c_long(a) for a in args]
    got = libc.syscall(ctypes.c_long(OUT["numbers"][name]), *converted)
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got


def reached(name, *args):
    """Makes a system call; the kernel's complaint about arguments is a success."""
    try:
        got = call(name, *args)
        if got > 2:
            os.close(got)
    except PermissionError:
        raise
    except OSError as e:
        if e.errno == 38:  # ENOSYS
            raise


def nothing():
    raise LookupError("nothing is there")


def reads(path, token):
    with open(path, "rb") as f:
        if token.encode() not in f.read(1 << 20):
            nothing()


def overwrite(path):
    with open(path, "r+b") as f:
        f.write(b"escaped")


def dial(family, kind, address):
    s = socket.socket(family, kind)
    s.settimeout(5)
    s.connect(address)
    if kind == socket.SOCK_DGRAM:
        s.send(b"escaped")


def host_port(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def listen():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen()


def replace_program():
    os.remove(OUT["program"])
    with open(OUT["program"], "wb") as f:
        f.write(b"escaped")


def link(make):
    path = os.path.join(OUT["dir"], "link")
    make(OUT["secret"], path)
    reads(path, OUT["token"])


def huge_file():
    with open(os.path.join(OUT["dir"], "huge"), "wb") as f:
        for _ in range(32):
            f.write(bytes(1 << 20))


def many_files():
    paths = []
    try:
        for n in range(24):
            paths.append("/dev/shm/recount-escape-py-%d-%d" % (os.getpid(), n))
            with open(paths[-1], "wb") as f:
                f.write(bytes(4 << 20))
    finally:
        for path in paths:
            if os.path.exists(path):
                os.remove(path)


def leaked():
    for fd in range(3, 256):
        try:
            if OUT["token"].encode() in os.pread(fd, 4096, 0):
                return
        except OSError:
            pass
    nothing()


def file_handle():
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.c_uint32.from_buffer(handle).value = 128
    mount = ctypes.create_string_buffer(8)
    folder = os.path.dirname(OUT["program"])
    pointers = (ctypes.c_long(-100), folder.encode(), handle, mount, ctypes.c_long(0))
    if libc.syscall(ctypes.c_long(OUT["numbers"]["name_to_handle_at"]), *pointers) < 0:
        raise OSError(ctypes.get_errno(), "handle")
    at = os.open(folder, os.O_RDONLY)
    if libc.syscall(ctypes.c_long(OUT["numbers"]["open_by_handle_at"]), ctypes.c_long(at), handle, ctypes.c_long(0)) < 0:
        raise OSError(ctypes.get_errno(), "handle")


def device():
    path = os.path.join(OUT["dir"], "mem-py")
    os.mknod(path, 0o020600, os.makedev(1, 11))
    os.close(os.open(path, os.O_RDONLY))


def opens(*paths):
    last = None
    for path in paths:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
            return
        except OSError as e:
            last = e
    raise last


def watch():
    fd = call("inotify_init1", 0)
    call("inotify_add_watch", fd, OUT["secret"].encode(), 0xFFF)


def cgroup():
    for root in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        path = "%s/recount-escape-py-%d" % (root, os.getpid())
        try:
            os.mkdir(path)
            os.rmdir(path)
            return
        except OSError:
            pass
    nothing()


def environment():
    if OUT["token"] not in json.dumps(dict(os.environ)):
        nothing()


def machine():
    if socket.gethostname() != OUT["host"]:
        nothing()


def environs():
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            reads(path, OUT["token"])
            return
        except (OSError, LookupError):
            pass
    nothing()


def memory():
    opens(*["/proc/%d/mem" % pid for pid in (OUT["pid"], os.getppid(), 1)])


def trace():
    pid = OUT["pid"]
    call("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE
    call("ptrace", 0x4207, pid, 0, 0)  # PTRACE_INTERRUPT
    os.waitpid(pid, 0x40000000)
    call("ptrace", 17, pid, 0, 0)  # PTRACE_DETACH


def peek():
    local = ctypes.create_string_buffer(8)
    vectors = (ctypes.c_ulong * 4)(ctypes.addressof(local), 8, 1 << 30, 8)
    at = ctypes.addressof(vectors)
    try:
        call("process_vm_readv", OUT["pid"], at, 1, at + 16, 1, 0)
    except OSError as e:
        if e.errno != 14:  # EFAULT: it would have read
            raise


def pidfd():
    os.close(call("pidfd_getfd", call("pidfd_open", OUT["pid"], 0), 0, 0))


def written():
    path = os.path.join(OUT["dir"], "written-py")
    with open("/proc/self/exe", "rb") as f, open(path, "wb") as to:
        to.write(f.read())
    os.chmod(path, 0o755)
    os.execv(path, [path, "-S", "-c", "raise SystemExit(%d)" % ESCAPED])


def anonymous():
    fd = os.memfd_create("escape", 0)
    with open("/proc/self/exe", "rb") as f:
        os.write(fd, f.read())
    path = "/proc/self/fd/%d" % fd
    os.execv(path, [path, "-S", "-c", "raise SystemExit(%d)" % ESCAPED])


def forks():
    children = []
    try:
        for _ in range(32):
            pid = os.fork()
            if pid == 0:
                time.sleep(600)
                os._exit(0)
            children.append(pid)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def threads():
    threading.stack_size(64 << 10)
    stop = threading.Event()
    try:
        for _ in range(OUT["threads"]):
            threading.Thread(target=stop.wait, daemon=True).start()
    finally:
        stop.set()


def allocate(flags):
    size = 1 << 30
    got = mmap.mmap(-1, size, flags=flags | mmap.MAP_ANONYMOUS)
    for i in range(0, size, 1 << 20):
        got[i] = 1


def spin():
    while time.process_time() < 4:
        for _ in range(1 << 16):
            pass


def core():
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))


def mount():
    call("mount", b"none", OUT["dir"].encode(), b"tmpfs", 0, 0)
    call("umount2", OUT["dir"].encode(), 0)


def joins():
    call("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), 0)


def shared():
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(OUT["shm"], None, 0o10000)
    if at in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    if OUT["token"].encode() not in ctypes.string_at(at, 4096):
        nothing()


def queue():
    os.close(call("mq_open", b"recount-escape-py", os.O_CREAT | os.O_RDWR, 0o600, 0))
    call("mq_unlink", b"recount-escape-py")


def perf():
    attr = bytearray(128)
    attr[0:4] = (1).to_bytes(4, "little")  # PERF_TYPE_SOFTWARE
    attr[4:8] = (128).to_bytes(4, "little")
    attr[40:48] = (1 << 5 | 1 << 6).to_bytes(8, "little")  # neither kernel nor hypervisor
    os.close(call("perf_event_open", bytes(attr), 0, -1, -1, 0))


def hypervise():
    attr = bytearray(72)
    attr[0], attr[4], attr[8], attr[12] = 2, 4, 4, 1
    os.close(call("bpf", 0, bytes(attr), 72))


def wall_clock():
    if time.time() < 1_750_000_000:
        nothing()


LOADER = "/lib/ld-linux-aarch64.so.1" if os.uname().machine == "aarch64" else "/lib64/ld-linux-x86-64.so.2"
SAY = ["-c", "exit %d" % ESCAPED]

ATTEMPTS = {
    "tcp4": lambda: dial(socket.AF_INET, socket.SOCK_STREAM, host_port(OUT["tcp4"])),
    "tcp6": lambda: dial(socket.AF_INET6, socket.SOCK_STREAM, host_port(OUT["tcp6"])),
    "udp": lambda: dial(socket.AF_INET, socket.SOCK_DGRAM, host_port(OUT["udp"])),
    "dns": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
        b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07escaped\x07example\x00\x00\x01\x00\x01", host_port(OUT["udp"])
    ),
    "unix": lambda: dial(socket.AF_UNIX, socket.SOCK_STREAM, OUT["unix"]),
    "abstract": lambda: dial(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + OUT["abstract"]),
    "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "vsock": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "listen": listen,
    "routes": lambda: socket.if_nameindex() or nothing(),
    "write outside": lambda: overwrite(OUT["victim"]),
    "own program": replace_program,
    "read a file": lambda: reads(OUT["secret"], OUT["token"]),
    "stat a file": lambda: os.stat(OUT["secret"]),
    "read accounts": lambda: reads("/etc/passwd", "root:"),
    "symlink": lambda: link(os.symlink),
    "hard link": lambda: link(os.link),
    "huge file": huge_file,
    "fill memory": many_files,
    "leaked": leaked,
    "file handle": file_handle,
    "device": device,
    "kernel log": lambda: opens("/dev/kmsg", "/dev/mem"),
    "inotify": watch,
    "cgroup": cgroup,
    "named pipe": lambda: os.mkfifo(os.path.join(OUT["dir"], "pipe-py")),
    "sysfs": lambda: opens("/sys/class/net", "/sys/kernel"),
    "environment": environment,
    "machine's name": machine,
    "environments": environs,
    "memory of others": memory,
    "ptrace": trace,
    "process_vm_readv": peek,
    "pidfd": pidfd,
    "see a process": lambda: os.stat("/proc/%d" % OUT["pid"]),
    "signal": lambda: os.kill(OUT["pid"], signal.SIGCONT),
    "signal parent": lambda: os.kill(os.getppid(), signal.SIGCONT),
    "signal all": lambda: os.kill(-1, signal.SIGCONT),
    "shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
    "become a shell": lambda: os.execv("/bin/sh", ["/bin/sh", *SAY]),
    "loader": lambda: os.execv(LOADER, [LOADER, "/bin/sh", *SAY]),
    "setuid program": lambda: subprocess.run(["/bin/su", "--version"], check=True, stdout=subprocess.DEVNULL),
    "program in reach": lambda: os.execv(os.path.join(OUT["read"], "program"), ["program", "__escaped"]),
    "written program": written,
    "memfd program": anonymous,
    "fork bomb": forks,
    "thread bomb": threads,
    "memory bomb": lambda: allocate(mmap.MAP_PRIVATE),
    "shared memory": lambda: allocate(mmap.MAP_SHARED),
    "endless loop": spin,
    "core file": core,
    "chroot": lambda: os.chroot(OUT["dir"]),
    "mount": mount,
    "unshare": lambda: reached("unshare", 0x04000000 | 0x400),
    "setns": joins,
    "keyctl": lambda: reached("add_key", b"user", b"escape", b"x", 1, 0xFFFFFFFE),
    "bpf": hypervise,
    "perf": perf,
    "io_uring": lambda: reached("io_uring_setup", 4, bytes(120)),
    "userfaultfd": lambda: reached("userfaultfd", 1 | 0o2000000),
    "module": lambda: reached("finit_module", -1, b"", 0),
    "kernel ring": lambda: reached("syslog", 3, bytes(64), 64),
    "terminal": lambda: opens("/dev/ptmx"),
    "sysv memory": shared,
    "queue": queue,
    "set clock": lambda: reached("settimeofday", 0, bytes(8)),
    "set host": lambda: socket.sethostname(OUT["host"]),
    "wall clock": wall_clock,
}

if __name__ == "__main__":
    OUT = json.loads(sys.argv[2])
    try:
        ATTEMPTS[sys.argv[1]]()
    except BaseException as e:  # whatever held it
        print("%s: %r" % (sys.argv[1], e), file=sys.stderr)
        os._exit(HELD)
    os._exit(ESCAPED)
