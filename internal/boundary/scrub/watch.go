package scrub

// Watch looks for the forms of a set in a stream that must not have any: it does not mask, it says so. It is for one
// goroutine.
type Watch struct{ st Stream }

// Watch starts watching one stream. lend is how many bytes of what may be the beginning of a form may pass before it is
// known how it goes on: a peer may wait for them.
func (s *Set) Watch(lend int) *Watch { return &Watch{Stream{set: s, lend: lend}} }

// Held returns how many bytes the watch holds. That much room at the front of its buffer Pass wants.
func (w *Watch) Held() int { return w.st.Held() }

// Pass takes a chunk as [Stream.InPlace] does, and returns the part of buf that may pass. With found the stream has a
// form in it, of which no more than the first lend bytes have passed, and nothing may follow them.
func (w *Watch) Pass(buf []byte) (out []byte, found bool) {
	out = w.st.InPlace(buf)
	if w.st.Count() > 0 {
		return nil, true
	}
	return out, false
}

// End returns what is held at the end of the stream, as Pass does.
func (w *Watch) End() (out []byte, found bool) {
	out = w.st.Flush(nil)
	if w.st.Count() > 0 {
		return nil, true
	}
	return out, false
}

// unsent is how many bytes have not been passed on.
func (w *Watch) unsent() int { return len(w.st.held) - w.st.sent }
