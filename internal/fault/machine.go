package fault

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// shortage is one thing that a machine can run out of.
type shortage struct {
	errno   syscall.Errno
	what    string // in a sentence: this machine …
	details string
	hint    string
}

const (
	hintDescriptors = "raise the limit of open files (`ulimit -n`, LimitNOFILE= of the unit, ulimits of the " +
		"container) to at least 2 × `limits.in_flight` + 100"
	hintMemory = "give the machine or container more memory, or lower `limits.in_flight`"
	hintDisk   = "free the disk"
)

//nolint:gochecknoglobals // a constant table
var shortages = [...]shortage{
	{syscall.EMFILE, "lets Sallyport open no more files and connections", "out of file descriptors", hintDescriptors},
	{
		syscall.ENFILE, "can open no more files and connections, for any process", "out of file descriptors",
		"raise fs.file-max of the machine, or find the process that holds so many files",
	},
	{syscall.ENOBUFS, "has no network buffers left", "out of buffers", hintMemory},
	{syscall.ENOMEM, "has no memory left", "out of memory", hintMemory},
	{syscall.ENOSPC, "has no room left on the disk", "disk full", hintDisk},
	{syscall.EDQUOT, "has no room left in the disk quota", "disk quota", hintDisk},
}

// Machine returns the fault for an error that says that the machine beneath Sallyport ran out of something: file
// descriptors, buffers, memory, room on a disk. It is nil for every other error. Such an error says nothing of the API,
// of the caller or of a credential, wherever it turns up; it is to be asked for before any of those is blamed.
func Machine(err error) *Fault {
	if err == nil {
		return nil
	}
	for i := range shortages {
		if s := &shortages[i]; is(err, s.errno) {
			return Short(s.what, s.details, s.hint).Wrap(err)
		}
	}
	return nil
}

// Short is the fault of a machine that does not give Sallyport what it needs. What completes "this machine …".
func Short(what, details, hint string) *Fault {
	return New(SystemRefused, "this machine "+what).WithDetails(details).WithHint(hint)
}

// is also finds an error number in what the resolver says, which keeps only its text.
func is(err error, errno syscall.Errno) bool {
	if errors.Is(err, errno) {
		return true
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && strings.Contains(dns.Err, errno.Error())
}
