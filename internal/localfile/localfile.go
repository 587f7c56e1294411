// Package localfile opens files of this machine so that nobody else decides which file it is, or how long reading it
// takes.
//
//   - A file of ours (the database, the audit log, the control socket) is opened through [Dir] or [OpenOwn]: no link is
//     followed, and what was opened must be a regular file that this user or root owns and that has no second name.
//     Without that, a command that root runs in someone else's folder makes, cuts or chmods whatever file that person
//     points it to.
//   - A file that a flag, a variable or the configuration names is read with [Read]: links are followed, because the
//     operator set them, but a FIFO that nobody writes to, a device or an endless file ends with an error, and not in
//     waiting or without memory.
//   - A file that is written for a person (--out, --backup) is made with [Create]: always new, never through a link.
//
// It is no guard against someone who has this user's rights, or root's.
package localfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"sallyport/internal/fault"
)

// root's uid, who may do anything anyway.
const root = 0

// ErrForeign means that a file or a directory belongs to another user.
var ErrForeign = errors.New("it belongs to another user")

// ErrKind means that a name leads to something that is no file: a directory, a device, a socket.
var ErrKind = errors.New("it is no file")

// Trusted tells whether this process lets what uid owns decide for it: its own, and root's.
func Trusted(uid int) bool { return trusts(os.Geteuid(), uid) }

func trusts(self, uid int) bool { return uid == self || uid == root }

// owner is the uid of a file's owner.
func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// judge returns an error unless info is a regular file that this process trusts and that has one name.
func judge(info fs.FileInfo, self int) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		return fault.WithHint(errors.New("it is a symbolic link, and Sallyport follows none to its own files"),
			"put the file itself there, or set its path to where the link leads")
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is a %s", ErrKind, kind(info.Mode()))
	}
	if uid := owner(info); !trusts(self, uid) {
		return foreign(uid)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return fault.WithHint(fmt.Errorf("it has %d names (hard links), and what is done to it happens to the others",
			stat.Nlink), "copy it to a file of its own")
	}
	return nil
}

// foreign is ErrForeign with who it is and what to do.
func foreign(uid int) error {
	name := Name(uid)
	return fault.WithHint(fmt.Errorf("%w (%s), and this process runs as %s", ErrForeign, name, Name(os.Geteuid())),
		"run the command as that user: sudo -u '"+sudo(uid, name)+"' sallyport …")
}

// sudo spells a user for sudo -u: a number has a # before it.
func sudo(uid int, name string) string {
	if name == strconv.Itoa(uid) {
		return "#" + name
	}
	return name
}

// Name is the name of a user, or the number where there is none, as in a container.
func Name(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return strconv.Itoa(uid)
	}
	return u.Username
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "file of another kind"
}
