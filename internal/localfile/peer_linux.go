package localfile

import (
	"errors"
	"net"
	"syscall"
)

// descriptors is where the kernel shows this process's open files as paths.
const descriptors = "/proc/self/fd"

// peer is the uid of the process that connected, or that began to listen (unix(7), SO_PEERCRED).
func peer(conn net.Conn) (uid int, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0, errors.New("it is no socket")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		who, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	return int(who.Uid), nil
}
