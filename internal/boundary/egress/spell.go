package egress

import "net/http"

// Spell gives the field of that canonical name in h the name as it is written, for APIs that compare the letters:
// net/http writes keys as they stand on HTTP/1.1, and HTTP/2 has only small letters. Written differs from canonical in
// case alone. It is the last step before [Transport.RoundTrip]: nothing finds the field by its canonical name any more.
func Spell(h http.Header, canonical, written string) {
	values, ok := h[canonical]
	if !ok || len(values) == 0 || written == canonical {
		return
	}
	delete(h, canonical)
	switch canonical {
	case "User-Agent": // of which net/http sends one, its own where there is no such key
		h[canonical], values = nil, values[:1]
	case "Idempotency-Key", "X-Idempotency-Key": // by which net/http tells what may be sent once more
		h[canonical] = nil
	// which net/http acts on
	case "Upgrade", "Connection", "Transfer-Encoding", "Content-Length", "Trailer", "Te", "Expect", "Host":
		written = canonical
	}
	h[written] = values
}
