//go:build linux

package escape

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

func dial(network, address string) error {
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()                   //nolint:errcheck // an attempt
	_, _ = conn.Write([]byte("escaped")) // a listener may have closed already
	return nil
}

// question asks for the address of escaped.example.
const question = "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07escaped\x07example\x00\x00\x01\x00\x01"

func resolve(o Outside) error {
	conn, err := net.Dial("udp", o.UDP)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(question))
	return err
}

// open makes a socket of a family and looks no further: to have one is enough.
func open(family, kind, protocol int) attempt {
	return func(Outside) error {
		fd, err := unix.Socket(family, kind, protocol)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}

func listen(Outside) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return l.Close()
}

func interfaces(Outside) error {
	list, err := net.Interfaces()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errNothing
	}
	return nil
}

func network() map[string]attempt {
	return map[string]attempt{
		"tcp4":     func(o Outside) error { return dial("tcp4", o.TCP4) },
		"tcp6":     func(o Outside) error { return dial("tcp6", o.TCP6) },
		"udp":      func(o Outside) error { return dial("udp", o.UDP) },
		"dns":      resolve,
		"unix":     func(o Outside) error { return dial("unix", o.Unix) },
		"abstract": func(o Outside) error { return dial("unix", "@"+o.Abstract) },
		"raw":      open(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP),
		"packet":   open(unix.AF_PACKET, unix.SOCK_RAW, 0),
		"netlink":  open(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE),
		"vsock":    open(unix.AF_VSOCK, unix.SOCK_STREAM, 0),
		"listen":   listen,
		"routes":   interfaces,
	}
}
