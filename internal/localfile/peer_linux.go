package localfile

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptors is where the kernel shows this process's open files as paths.
const descriptors = "/proc/self/fd"

// peer is the process that connected, or that began to listen (unix(7), SO_PEERCRED).
func peer(conn net.Conn) (p Peer, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return Peer{}, errors.New("it is no socket")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { p, failed = peerOf(int(fd)) })
	return p, errors.Join(err, failed)
}

func peerOf(socket int) (Peer, error) {
	who, err := syscall.GetsockoptUcred(socket, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	p := Peer{UID: int(who.Uid), Login: NoLogin}
	if login := loginOf(int(who.Pid)); lives(socket) {
		p.Login = login
	}
	return p, nil
}

// lives tells whether the process that connected is there still, so that its number is not another one's by now. A
// kernel before 6.5 gives no handle to it, and is believed.
func lives(socket int) bool {
	handle, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return true
	}
	defer unix.Close(handle) //nolint:errcheck // nothing was written
	err = unix.PidfdSendSignal(handle, 0, nil, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

// loginOf is the uid with which the session of a process was begun (pam_loginuid(8)). su and sudo leave it as it is,
// and only CAP_AUDIT_CONTROL changes it.
func loginOf(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/loginuid")
	if err != nil {
		return NoLogin
	}
	uid, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil || uid == unset {
		return NoLogin
	}
	return int(uid)
}

// unset is the kernel's (uid_t)-1.
const unset = 1<<32 - 1
