package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"sallyport/internal/fault"
)

// store is bytes in order: the first in memory, then in a file, and in tail what must not get lost although neither
// takes it.
type store struct {
	memory  int64
	expect  int64 // the size the caller declared; 0: not known
	dir     string
	first   []byte
	file    *os.File
	inFile  int64
	tail    []byte
	failure error // why the file takes no more
	budget  *Budget
	taken   int64 // of the budget's memory
	written int64 // of the budget's disk
}

func (s *store) size() int64 { return int64(len(s.first)) + s.inFile + int64(len(s.tail)) }

// keep appends p; it always succeeds. What the file did not take is in tail, and failure says why.
func (s *store) keep(p []byte) {
	if room := s.memory - int64(len(s.first)); room > 0 && s.inFile == 0 && len(s.tail) == 0 {
		n := s.grow(min(room, int64(len(p))))
		s.first = append(s.first, p[:n]...)
		p = p[n:]
	}
	if len(p) > 0 && len(s.tail) == 0 {
		n := s.write(p)
		p = p[n:]
	}
	s.tail = append(s.tail, p...)
}

// grow makes room in memory for n bytes more, and returns n; or 0 where the budget has none: the rest goes into the
// file.
func (s *store) grow(n int64) int64 {
	size := int64(len(s.first))
	if size+n <= s.taken {
		return n
	}
	want := max(2*s.taken, size+n)
	if size > 0 {
		want = max(want, s.expect) // some of it has come, so the rest is believed to
	}
	want = min(want, s.memory)
	if !s.budget.inMemory(want - s.taken) {
		if want = size + n; !s.budget.inMemory(want - s.taken) {
			s.memory = size
			return 0
		}
	}
	s.taken = want
	s.first = slices.Grow(s.first, int(want-size))
	return n
}

// write appends to the file and returns how many bytes it took.
func (s *store) write(p []byte) int {
	if s.failure != nil {
		return 0
	}
	if s.file == nil {
		file, err := unnamed(systemDir(s.dir))
		if err != nil {
			s.fail(err)
			return 0
		}
		s.file = file
	}
	if !s.budget.onDisk(int64(len(p))) {
		s.failure = noRoom()
		return 0
	}
	s.written += int64(len(p))
	n, err := s.file.WriteAt(p, s.inFile)
	s.inFile += int64(n)
	if err != nil {
		s.fail(err)
	}
	return n
}

func (s *store) fail(err error) {
	// A *PathError names the file: the directory is what a person knows.
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err
	}
	s.failure = diskFault("cannot keep request bodies in", systemDir(s.dir), err)
}

// diskFault is the fault of a folder that does not take, or give back, what is kept in it: never the caller's, the
// API's or the credential's.
func diskFault(what, dir string, err error) *fault.Fault {
	text := fmt.Sprintf("%s %q: %v", what, dir, err)
	if f := fault.Machine(err); f != nil {
		return fault.Short(text, f.Details, f.Hint+", or let TMPDIR name another directory").Wrap(err)
	}
	return fault.Short(text, "temporary folder",
		"Sallyport needs a temporary folder that it can write to: mend it, or let TMPDIR name another one").Wrap(err)
}

// readAt copies what is kept at off; less than asked for at a border between the places, io.EOF at the end.
func (s *store) readAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := s.readPlace(p[n:], off+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *store) readPlace(p []byte, off int64) (int, error) {
	first := int64(len(s.first))
	switch {
	case off < first:
		return copy(p, s.first[off:]), nil
	case off < first+s.inFile:
		p = p[:min(int64(len(p)), first+s.inFile-off)]
		n, err := s.file.ReadAt(p, off-first)
		if n == len(p) {
			return n, nil
		}
		return n, diskFault("cannot read back a request body from", systemDir(s.dir), err)
	case off < s.size():
		return copy(p, s.tail[off-first-s.inFile:]), nil
	}
	return 0, io.EOF
}

// release gives everything back.
func (s *store) release() error {
	file := s.file
	s.budget.giveBack(s.taken, s.written)
	s.first, s.tail, s.file, s.inFile, s.taken, s.written = nil, nil, nil, 0, 0, 0
	if file == nil {
		return nil
	}
	return file.Close()
}
