package fault_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"sallyport/internal/fault"
)

// TestMachine: what the machine ran out of is found however deep it lies, and nothing else is taken for it.
func TestMachine(t *testing.T) {
	op := func(errno syscall.Errno) error {
		return fmt.Errorf("deep: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)})
	}
	for name, c := range map[string]struct {
		err     error
		details string
	}{
		"nil":                       {nil, ""},
		"EMFILE at a dial":          {op(syscall.EMFILE), "out of file descriptors"},
		"ENFILE":                    {op(syscall.ENFILE), "out of file descriptors"},
		"ENOBUFS":                   {op(syscall.ENOBUFS), "out of buffers"},
		"ENOMEM":                    {op(syscall.ENOMEM), "out of memory"},
		"a file":                    {&os.PathError{Op: "open", Path: "/tmp/x", Err: syscall.EMFILE}, "out of file descriptors"},
		"a full disk":               {&os.PathError{Op: "write", Path: "/tmp/x", Err: syscall.ENOSPC}, "disk full"},
		"a quota":                   {&os.PathError{Op: "write", Path: "/tmp/x", Err: syscall.EDQUOT}, "disk quota"},
		"the resolver, as text":     {&net.DNSError{Err: "dial udp 127.0.0.53:53: socket: too many open files", Name: "x"}, "out of file descriptors"},
		"refused":                   {op(syscall.ECONNREFUSED), ""},
		"reset":                     {op(syscall.ECONNRESET), ""},
		"no such host":              {&net.DNSError{Err: "no such host", Name: "too many open files.example", IsNotFound: true}, ""},
		"the end":                   {io.ErrUnexpectedEOF, ""},
		"a text that looks like it": {errors.New("socket: too many open files"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := fault.Machine(c.err)
			switch {
			case c.details == "" && f != nil:
				t.Errorf("got %v, want nil", f)
			case c.details == "":
			case f == nil || f.Details != c.details || f.Row().Blame != fault.BlameSallyport || !errors.Is(f, c.err):
				t.Errorf("got %+v, want %q, Sallyport's", f, c.details)
			}
		})
	}
}
