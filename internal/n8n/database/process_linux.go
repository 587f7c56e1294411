package database

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The bytes that SQLite locks. In its file, all that it ever locks: pending, reserved and 510 for readers; a process
// with WAL keeps one of them while it is connected. In the -shm, the eight locks of WAL and the dead-man switch, which
// each process holds.
const (
	fileLocks, fileLocksLen = 0x40000000, 512
	shmLocks, shmLocksLen   = 120, 9
)

// processesWith are the other processes that have a SQLite file open, or hold a lock on it. The first are those that
// this user may see in /proc; a lock also tells of a process of another user or container.
//
// It opens nothing: closing a second descriptor of the file would give back the locks that SQLite holds for us. The
// locks are asked for through SQLite's own descriptors, while its connection is ours.
func processesWith(path string) ([]Session, error) {
	files, err := stat(path, path+"-shm", path+"-wal", path+"-journal")
	if err != nil {
		return nil, err
	}
	holders := make(map[int]string)
	for _, pid := range processes() {
		if pid != os.Getpid() && holds(pid, files) {
			holders[pid] = "has the file open"
		}
	}
	locks, err := lockHolders(files[:2])
	if err != nil {
		return nil, err
	}
	for _, pid := range locks {
		if pid != os.Getpid() {
			holders[pid] = "has the file open and holds a lock on it"
		}
	}
	sessions := make([]Session, 0, len(holders))
	for pid, how := range holders {
		sessions = append(sessions, sessionOf(pid, how))
	}
	slices.SortFunc(sessions, func(a, b Session) int { return cmp.Compare(a.Who, b.Who) })
	return sessions, nil
}

func sessionOf(pid int, how string) Session {
	if pid <= 0 { // of another PID namespace
		return Session{Who: "a process of another container (" + how + ")"}
	}
	name := program(pid)
	return Session{Who: fmt.Sprintf("pid %d %s (%s)", pid, name, how), Process: strconv.Itoa(pid), Application: name}
}

// program names what a process runs, without its arguments, which may hold anything: "node n8n". The kernel's own short
// name is that of a thread, which Node.js calls MainThread.
func program(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // another user's in a /proc with hidepid
	argv := strings.Split(string(line), "\x00")
	first := strings.Fields(argv[0]) // a process may have written a title there
	if len(first) == 0 {
		return "of another user"
	}
	name := filepath.Base(first[0])
	if (name == "node" || name == "nodejs") && len(argv) > 1 && argv[1] != "" && argv[1][0] != '-' {
		name += " " + filepath.Base(argv[1])
	}
	return name
}

// stat returns the files' identities, nil for one that is not there.
func stat(paths ...string) ([]os.FileInfo, error) {
	files := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			files[i] = info
		}
	}
	return files, nil
}

func processes() (pids []int) {
	entries, _ := os.ReadDir("/proc") // without /proc the locks are left
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holds reports whether a process has one of the files open, as far as this user may know.
func holds(pid int, files []os.FileInfo) bool {
	_, found := descriptor(fmt.Sprintf("/proc/%d/fd", pid), files)
	return found
}

// descriptor finds an open descriptor of one of the files in a folder of /proc.
func descriptor(dir string, files []os.FileInfo) (fd uintptr, found bool) {
	entries, _ := os.ReadDir(dir) // a process that has ended, or is another user's
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(dir, entry.Name()))
		if err != nil || !slices.ContainsFunc(files, func(f os.FileInfo) bool {
			return f != nil && os.SameFile(f, info)
		}) {
			continue
		}
		n, err := strconv.ParseUint(entry.Name(), 10, 32)
		return uintptr(n), err == nil
	}
	return 0, false
}

// lockHolders asks who holds a lock on the file or its -shm: up to one process for each.
func lockHolders(files []os.FileInfo) (pids []int, err error) {
	for i, bytes := range [][2]int64{{fileLocks, fileLocksLen}, {shmLocks, shmLocksLen}} {
		if files[i] == nil {
			continue
		}
		fd, found := descriptor("/proc/self/fd", files[i:i+1])
		if !found {
			continue // no -shm of ours: not WAL
		}
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: bytes[0], Len: bytes[1]}
		if err := syscall.FcntlFlock(fd, syscall.F_GETLK, &lock); err != nil {
			return nil, fmt.Errorf("asking for locks: %w", err)
		}
		if lock.Type != syscall.F_UNLCK {
			pids = append(pids, int(lock.Pid))
		}
	}
	return pids, nil
}
