// Package wire reads HTTP/1.1 message heads with as little work as possible, for the two ends of a measurement: the
// load generator and the stand-in API. It is no parser for hostile input: both ends are ours, and what stands between
// them is what is measured.
package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// Head is what the two ends look at in a message head.
type Head struct {
	First         string // the request line or the status line
	ContentLength int64  // -1: not said
	Chunked       bool
	Close         bool // Connection: close
}

// ReadHead reads up to and including the empty line. each, if not nil, sees every field line, without its CRLF; the
// bytes are valid during the call only. An error before the first byte is io.EOF alone.
func ReadHead(r *bufio.Reader, each func(line []byte)) (Head, error) {
	head := Head{ContentLength: -1}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			if head.First == "" && len(line) == 0 {
				return head, io.EOF
			}
			return head, fmt.Errorf("reading a message head: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			return head, nil
		case head.First == "":
			head.First = string(line)
			continue
		case each != nil:
			each(line)
		}
		if err := head.field(line); err != nil {
			return head, err
		}
	}
}

func (h *Head) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("content-length")):
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return fmt.Errorf("reading a content length: %w", err)
		}
		h.ContentLength = n
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		h.Chunked = true
	case bytes.EqualFold(name, []byte("connection")):
		h.Close = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// SkipBody reads the body that the head announces and returns its length. Without a length there is none.
func SkipBody(r *bufio.Reader, head Head) (int64, error) {
	if head.Chunked {
		return skipChunks(r)
	}
	return discard(r, max(head.ContentLength, 0))
}

func skipChunks(r *bufio.Reader) (int64, error) {
	var total int64
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return total, fmt.Errorf("reading a chunk's size: %w", err)
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return total, fmt.Errorf("reading a chunk's size: %w", err)
		}
		n, err := discard(r, size)
		total += n
		if err != nil {
			return total, err
		}
		if _, err := r.ReadSlice('\n'); err != nil {
			return total, fmt.Errorf("reading a chunk's end: %w", err)
		}
		if size == 0 {
			return total, nil
		}
	}
}

// discard drops n bytes without an allocation.
func discard(r *bufio.Reader, n int64) (int64, error) {
	var done int64
	for done < n {
		step, err := r.Discard(int(min(n-done, 1<<20)))
		done += int64(step)
		if err != nil {
			return done, fmt.Errorf("reading a body: %w", err)
		}
	}
	return done, nil
}
