package scrub

import "encoding/binary"

// Stream scrubs one stream of bytes, chunk by chunk. What it emits is as long as
// what it is given. It is for one goroutine.
type Stream struct {
	set *Set
	// held is the end of what was given so far, unmasked: the longest tail that
	// a form could go on from. Its first carry bytes belong to an occurrence that
	// started before it, and its first sent bytes have been emitted (Release).
	held  []byte
	carry int
	sent  int
	count int
	lend  int // a held tail of no more bytes is emitted at once (Watch)
}

// Write appends to dst what may be emitted after chunk has arrived, and returns
// the extended slice. Held back is only a tail that some form starts with, so
// that an event stream flushes at once. chunk is not changed and not kept.
func (st *Stream) Write(dst, chunk []byte) []byte {
	start := len(dst)
	dst = append(dst, st.held...)
	dst = append(dst, chunk...)
	return st.emit(dst, start, st.InPlace(dst[start:]))
}

// Held returns how many bytes the stream holds back. That much room at the front
// of its buffer [Stream.InPlace] wants.
func (st *Stream) Held() int { return len(st.held) }

// InPlace is [Stream.Write] without a copy of the chunk: the caller leaves
// [Stream.Held] bytes free at the front of buf, has the chunk behind them, and may
// emit the part of buf that is returned.
func (st *Stream) InPlace(buf []byte) []byte {
	if st.set.Empty() {
		return buf
	}
	copy(buf, st.held)
	var f finding
	f.run(st.set, buf, false)
	keep := escapedAt(buf, min(f.open, f.faint), 0)
	last, count := mask(buf, f.spans, keep, span{0, st.carry})
	st.count += count
	st.held = append(st.held[:0], buf[keep:]...)
	st.carry = max(0, last.to-keep)
	last.stars(buf[:keep])
	lend := escapedAt(buf, f.open, 0) - keep
	if len(st.held) <= st.lend {
		lend = len(st.held)
	}
	if lend > 0 && st.carry == 0 {
		out := buf[min(st.sent, keep+lend) : keep+lend]
		st.sent = max(lend, st.sent-keep)
		return out
	}
	return st.unsent(buf[:keep])
}

// Flush appends the held tail at the end of the stream, by when it is known to
// be the beginning of nothing. The stream can't be used afterwards.
func (st *Stream) Flush(dst []byte) []byte {
	if len(st.held) == 0 {
		return dst
	}
	start := len(dst)
	dst = append(dst, st.held...)
	tail := dst[start:]
	var f finding
	f.run(st.set, tail, false)
	last, count := mask(tail, f.spans, len(tail), span{0, st.carry})
	last.stars(tail)
	st.count += count
	st.held, st.carry = nil, 0
	return st.emit(dst, start, st.unsent(tail))
}

// releasable is how long a held tail may be for Release to let it go.
const releasable = 3

// Release appends the held tail before it is known what follows. It is for a
// peer that waits for the end of a message while the stream is silent (WebSocket:
// a message that happens to end with the first byte of a secret). The stream
// remembers it, and should a form complete after all, masks the rest: Release can
// give away no more than the first three bytes of a form, and emits nothing
// when more is held.
func (st *Stream) Release(dst []byte) []byte {
	if len(st.held) > releasable || st.carry > 0 {
		return dst
	}
	dst = append(dst, st.held[st.sent:]...)
	st.sent = len(st.held)
	return dst
}

// Count returns the number of places masked so far. Overlapping occurrences count
// as one.
func (st *Stream) Count() int { return st.count }

// unsent cuts off what Release has emitted already.
func (st *Stream) unsent(out []byte) []byte {
	gone := min(st.sent, len(out))
	st.sent -= gone
	return out[gone:]
}

// emit moves out, which lies within dst[start:], to start.
func (st *Stream) emit(dst []byte, start int, out []byte) []byte {
	return dst[:start+copy(dst[start:], out)]
}

// tail returns where the longest tail of text begins that is the beginning of a form as it is, and too short for a
// sample; len(text) when there is none. It is paid for every chunk, however small.
func (s *Set) tail(text []byte) int {
	for at := max(0, len(text)-s.stride-block+2); at < len(text); at++ {
		if s.reach[text[at]] > len(text)-at && s.begins(text[at:]) {
			return at
		}
	}
	return len(text)
}

// begins tells whether tail is a proper prefix of a form.
func (s *Set) begins(tail []byte) bool {
	if len(tail) >= block {
		lead := hash(binary.LittleEndian.Uint32(tail)) >> leadShift
		if s.leads[lead/64]&(1<<(lead%64)) == 0 {
			return false
		}
	}
	for _, i := range s.starts[tail[0]] {
		if f := &s.forms[i]; len(tail) < len(f.text) && f.prefixed(tail) {
			return true
		}
	}
	return false
}
