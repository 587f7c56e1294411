package scrub

import (
	"encoding/binary"
	"errors"
)

// ErrFrames means that what a WebSocket server sends is not frames (RFC 6455 section 5.2) without extensions.
var ErrFrames = errors.New("malformed WebSocket frames")

// maxQueue is how many bytes of frame headers and control frames may wait behind a tail that is held back.
const maxQueue = 64 << 10

const (
	maxFrameHead = 10 // a server's frames have no mask
	maxControl   = 125

	opContinuation, opText, opBinary = 0x0, 0x1, 0x2
	opClose, opPing, opPong          = 0x8, 0x9, 0xa
)

// Frames scrubs what a WebSocket server sends. A message is one text, however it is cut into frames and whatever
// control frames stand between them; so is each control frame. Frames keep their lengths. It is for one goroutine.
type Frames struct {
	set    *Set
	head   []byte // of the frame, as far as it has come
	inside bool   // the head is complete
	left   uint64 // bytes of the frame's payload that are still to come
	op     byte
	final  bool

	message *Stream // nil between messages
	control []byte

	in, out uint64   // bytes of messages that came, and that were emitted
	waiting []waiter // frames' heads and control frames between bytes of messages that are held back
	queued  int
	scratch []byte
	count   int
}

// waiter is what comes behind the first at bytes of messages.
type waiter struct {
	at  uint64
	raw []byte
}

// Frames starts scrubbing what one WebSocket server sends.
func (s *Set) Frames() *Frames { return &Frames{set: s} }

// Count returns the number of places masked so far.
func (f *Frames) Count() int {
	if f.message != nil {
		return f.count + f.message.Count()
	}
	return f.count
}

// Write appends to dst what may be emitted after chunk has arrived, and returns the extended slice. Of a message that
// goes on only a tail is held back that may be the beginning of a secret, save for its first bytes ([Stream.Release]).
// With an error nothing more can be passed on; dst is good.
func (f *Frames) Write(dst, chunk []byte) ([]byte, error) {
	for len(chunk) > 0 {
		var err error
		if !f.inside {
			dst, err = f.headByte(dst, chunk[0])
			chunk = chunk[1:]
		} else {
			n := int(min(f.left, uint64(len(chunk)))) //nolint:gosec // no more than the chunk is long
			dst = f.payload(dst, chunk[:n])
			chunk = chunk[n:]
		}
		if err == nil && f.inside && f.left == 0 {
			dst, err = f.end(dst)
		}
		if err != nil {
			return dst, err
		}
	}
	if f.message != nil {
		f.scratch = f.message.Release(f.scratch[:0])
		dst = f.emit(dst, f.scratch)
	}
	return dst, nil
}

// Flush appends what is held back at the end of the connection.
func (f *Frames) Flush(dst []byte) []byte {
	if f.message == nil {
		return dst
	}
	f.scratch = f.message.Flush(f.scratch[:0])
	return f.emit(dst, f.scratch)
}

// headByte takes one byte of a frame's head.
func (f *Frames) headByte(dst []byte, b byte) ([]byte, error) {
	f.head = append(f.head, b)
	if len(f.head) < 2 {
		return dst, nil
	}
	size := 2
	switch f.head[1] & 0x7f {
	case 126:
		size = 4
	case 127:
		size = maxFrameHead
	}
	if len(f.head) < size {
		return dst, nil
	}
	if err := f.begin(); err != nil {
		return dst, err
	}
	if f.op >= opClose {
		f.control = append(f.control[:0], f.head...)
	} else if dst = f.push(dst, f.head); f.queued > maxQueue {
		return dst, ErrFrames
	}
	f.head = f.head[:0]
	return dst, nil
}

// begin reads a complete head.
func (f *Frames) begin() error {
	first, second := f.head[0], f.head[1]
	f.final, f.op, f.inside = first&0x80 != 0, first&0x0f, true
	switch len(f.head) {
	case 2:
		f.left = uint64(second & 0x7f)
	case 4:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	default:
		f.left = binary.BigEndian.Uint64(f.head[2:])
	}
	inOrder := false
	switch f.op {
	case opContinuation:
		inOrder = f.message != nil
	case opText, opBinary:
		inOrder = f.message == nil
		if inOrder {
			f.message = f.set.Stream()
		}
	case opClose, opPing, opPong:
		inOrder = f.final && f.left <= maxControl
	}
	if reserved, masked := first&0x70, second&0x80; !inOrder || reserved != 0 || masked != 0 || f.left>>63 != 0 {
		return ErrFrames
	}
	return nil
}

func (f *Frames) payload(dst, part []byte) []byte {
	f.left -= uint64(len(part))
	if f.op >= opClose {
		f.control = append(f.control, part...)
		return dst
	}
	f.in += uint64(len(part))
	f.scratch = f.message.Write(f.scratch[:0], part)
	return f.emit(dst, f.scratch)
}

// end is behind the last byte of a frame.
func (f *Frames) end(dst []byte) ([]byte, error) {
	f.inside = false
	switch {
	case f.op >= opClose:
		f.count += f.set.Bytes(f.control[2:]) // its head has two bytes
		if dst = f.push(dst, f.control); f.queued > maxQueue {
			return dst, ErrFrames
		}
	case f.final:
		dst = f.Flush(dst)
		f.count += f.message.Count()
		f.message = nil
	}
	return dst, nil
}

// push appends raw, or keeps it until what comes before it may be emitted.
func (f *Frames) push(dst, raw []byte) []byte {
	if f.out == f.in {
		return append(dst, raw...)
	}
	f.waiting = append(f.waiting, waiter{f.in, append([]byte(nil), raw...)})
	f.queued += len(raw)
	return dst
}

// emit appends bytes of messages, with what waits between them.
func (f *Frames) emit(dst, masked []byte) []byte {
	for len(f.waiting) > 0 && f.waiting[0].at <= f.out+uint64(len(masked)) {
		n := f.waiting[0].at - f.out
		dst = append(append(dst, masked[:n]...), f.waiting[0].raw...)
		masked, f.out = masked[n:], f.out+n
		f.queued -= len(f.waiting[0].raw)
		f.waiting = f.waiting[1:]
	}
	f.out += uint64(len(masked))
	return append(dst, masked...)
}
