package scrub

import (
	"encoding/binary"
	"errors"
)

// ErrFound means that there is a form in what is watched.
var ErrFound = errors.New("what must not pass is in the stream")

// maxHeld is how many bytes of frames may wait behind a payload that is not known to be clean.
const maxHeld = maxQueue + 1<<20

// ClientFrames watches what a WebSocket client sends (RFC 6455 section 5): its payloads are masked, so nothing can be
// found in the bytes as they are. A message is one text, and so is each control frame. What passes is unchanged. It is
// for one goroutine.
type ClientFrames struct {
	set  *Set
	lend int

	head   []byte // of the frame, as far as it has come
	inside bool   // the head is complete
	left   uint64 // bytes of the frame's payload that are still to come
	op     byte
	final  bool
	key    [4]byte
	turn   int // of the key

	message *Watch // nil between messages
	control []byte

	raw     []byte  // what has come and not passed
	pieces  []piece // the payloads of the message in raw
	scratch []byte
}

// piece is n bytes of payload at raw[from:].
type piece struct{ from, n int }

// ClientFrames starts watching what one WebSocket client sends. lend is as of [Set.Watch].
func (s *Set) ClientFrames(lend int) *ClientFrames { return &ClientFrames{set: s, lend: lend} }

// Write takes a chunk and appends to dst what may pass. With an error nothing more may: ErrFound, or ErrFrames when
// what comes is not a client's frames without extensions. dst is good.
func (f *ClientFrames) Write(dst, chunk []byte) ([]byte, error) {
	for len(chunk) > 0 {
		n, err := 1, error(nil)
		if f.inside {
			n = int(min(f.left, uint64(len(chunk)))) //nolint:gosec // no more than the chunk is long
			err = f.payload(chunk[:n])
		} else {
			err = f.headByte(chunk[0])
		}
		chunk = chunk[n:]
		if err == nil && f.inside && f.left == 0 {
			err = f.end()
		}
		if err != nil {
			return dst, err
		}
	}
	if len(f.raw) > maxHeld {
		return dst, ErrFrames
	}
	return f.release(dst), nil
}

// release appends all but what is not known to be clean.
func (f *ClientFrames) release(dst []byte) []byte {
	passes := len(f.raw)
	if f.inside && f.op >= opClose {
		passes -= len(f.control)
	}
	if f.message != nil {
		held := f.message.unsent()
		for i := len(f.pieces) - 1; i >= 0 && held > 0; i-- {
			n := min(held, f.pieces[i].n)
			passes = min(passes, f.pieces[i].from+f.pieces[i].n-n)
			held -= n
		}
	}
	dst = append(dst, f.raw[:passes]...)
	f.raw = f.raw[:copy(f.raw, f.raw[passes:])]
	kept := f.pieces[:0]
	for _, p := range f.pieces {
		if gone := max(0, passes-p.from); gone < p.n {
			kept = append(kept, piece{max(0, p.from-passes), p.n - gone})
		}
	}
	f.pieces = kept
	return dst
}

// headByte takes one byte of a frame's head.
func (f *ClientFrames) headByte(b byte) error {
	f.head = append(f.head, b)
	f.raw = append(f.raw, b)
	if len(f.head) < 2 {
		return nil
	}
	if f.head[0]&0x70 != 0 || f.head[1]&0x80 == 0 {
		return ErrFrames
	}
	size := 2
	switch f.head[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if len(f.head) < size+len(f.key) {
		return nil
	}
	switch f.left = uint64(f.head[1] & 0x7f); f.left {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.head[2:])
	}
	copy(f.key[:], f.head[size:])
	f.final, f.op, f.inside, f.turn = f.head[0]&0x80 != 0, f.head[0]&0x0f, true, 0
	f.head = f.head[:0]
	return f.begin()
}

// begin checks that the frame may come now.
func (f *ClientFrames) begin() error {
	inOrder := false
	switch f.op {
	case opContinuation:
		inOrder = f.message != nil
	case opText, opBinary:
		inOrder = f.message == nil
		if inOrder {
			f.message = f.set.Watch(f.lend)
		}
	case opClose, opPing, opPong:
		inOrder = f.final && f.left <= maxControl
		f.control = f.control[:0]
	}
	if !inOrder || f.left>>63 != 0 {
		return ErrFrames
	}
	return nil
}

func (f *ClientFrames) payload(part []byte) error {
	f.left -= uint64(len(part))
	from := len(f.raw)
	f.raw = append(f.raw, part...)
	if f.op >= opClose {
		f.control = f.unmask(f.control, part)
		return nil
	}
	f.pieces = append(f.pieces, piece{from, len(part)})
	held := f.message.Held()
	if cap(f.scratch) < held {
		f.scratch = make([]byte, held, held+len(part))
	}
	f.scratch = f.unmask(f.scratch[:held], part)
	if _, found := f.message.Pass(f.scratch); found {
		return ErrFound
	}
	return nil
}

func (f *ClientFrames) unmask(dst, part []byte) []byte {
	for _, b := range part {
		dst = append(dst, b^f.key[f.turn&3])
		f.turn++
	}
	return dst
}

// end is behind the last byte of a frame.
func (f *ClientFrames) end() error {
	f.inside = false
	switch {
	case f.op >= opClose:
		if f.set.Bytes(f.control) > 0 {
			return ErrFound
		}
	case f.final:
		if _, found := f.message.End(); found {
			return ErrFound
		}
		f.message, f.pieces = nil, f.pieces[:0]
	}
	return nil
}
