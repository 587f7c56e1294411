package entrypoint

import (
	"io"
	"os"
	"os/signal"
	"syscall"
	"unsafe"
)

// terminal is what this process controls, when a person has started it in the foreground: the program gets it for as
// long as it runs, so that Ctrl-C reaches it, once. The nil terminal is none.
type terminal struct{ fd int }

// terminalOf returns the terminal behind in if this process is in its foreground.
func terminalOf(in io.Reader) *terminal {
	file, ok := in.(*os.File)
	if !ok {
		return nil
	}
	t := &terminal{fd: int(file.Fd())}
	var group int32
	if t.ioctl(syscall.TIOCGPGRP, &group) != 0 || int(group) != syscall.Getpgrp() {
		return nil
	}
	return t
}

// hand has a child take the terminal over when it starts.
func (t *terminal) hand(attr *syscall.SysProcAttr) {
	if t != nil {
		attr.Foreground, attr.Ctty = true, t.fd
	}
}

// takeBack makes this process group the foreground again. Nothing is started afterwards: the signal that stops a
// background process for it is ignored from here on.
func (t *terminal) takeBack() {
	if t != nil {
		signal.Ignore(syscall.SIGTTOU)
		group := int32(syscall.Getpgrp())      //nolint:gosec // a process id
		_ = t.ioctl(syscall.TIOCSPGRP, &group) // a terminal that is gone needs no foreground
	}
}

// ioctl is tcgetpgrp and tcsetpgrp (tty_ioctl(4)).
func (t *terminal) ioctl(request uintptr, group *int32) syscall.Errno {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(t.fd), request, uintptr(unsafe.Pointer(group))) //nolint:gosec // as the call wants it
	return errno
}
