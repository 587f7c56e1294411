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
	keep := st.set.hold(buf)
	last, count := st.set.mask(buf, keep, span{0, st.carry})
	st.count += count
	st.held = append(st.held[:0], buf[keep:]...)
	st.carry = max(0, last.to-keep)
	last.stars(buf[:keep])
	if n := len(st.held); n > 0 && n <= st.lend && st.carry == 0 {
		out := buf[st.sent:]
		st.sent = n
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
	last, count := st.set.mask(tail, len(tail), span{0, st.carry})
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

// hold returns where the longest tail of text begins that is a proper prefix of a form; len(text) when there is none. It is
// paid for every chunk, however small: a tail that is long enough shows in the same samples as a whole occurrence, and only
// the last few bytes are looked at one by one.
func (s *Set) hold(text []byte) int {
	from := max(0, len(text)-s.longest+1)
	sampled := s.stride + block - 1 // a tail of this length has a sample in its first stride blocks
	for at := from; at <= len(text)-block; at += s.stride {
		bit := hash(binary.LittleEndian.Uint32(text[at:])) >> s.shift
		if s.filter[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		if first, ok := s.tailAt(text, at, bit>>s.fan); ok && first >= from {
			return first
		}
	}
	for at := max(from, len(text)-sampled+1); at < len(text); at++ {
		if s.reach[text[at]] > len(text)-at && s.begins(text[at:]) {
			return at
		}
	}
	return len(text)
}

// tailAt returns the first place from which a form goes on to the end of text and beyond, by the entries of one sample.
func (s *Set) tailAt(text []byte, at int, bucket uint32) (first int, ok bool) {
	key := folded(binary.LittleEndian.Uint32(text[at:]))
	for _, e := range s.entries[s.heads[bucket]:s.heads[bucket+1]] { // the earliest start first
		from, f := at-int(e.off), &s.forms[e.form]
		if e.key == key && from >= 0 && len(text)-from < len(f.text) && f.prefixed(text[from:]) {
			return from, true
		}
	}
	return 0, false
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
