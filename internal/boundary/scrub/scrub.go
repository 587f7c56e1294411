// Package scrub keeps held secrets out of what an API answers.
//
// A [Set] is compiled once per credential from the secrets in use and knows the
// forms they can come back in: as they are, base64 at every alignment, hexadecimal,
// UTF-16 (forms.go). Escapes are not listed: wherever one begins it is read, in
// whatever spelling, and the forms are followed through what it says (spelling.go,
// match.go). A [Stream] overwrites every occurrence with asterisks of the
// same length while the bytes pass, so that Content-Length, ranges and WebSocket
// frame lengths stay true.
//
// It is not a detector of unknown secrets, and no defence against an upstream
// that means to hand its own key to the caller: that one can always invent an
// encoding. Not recognised: what docs/threat-model.md lists, and secrets shorter
// than [MinLength].
//
// Invariant: of every occurrence of every form in the text, in any spelling, also one
// that overlaps another or spans any number of chunks, no byte is emitted, but for the
// first three where a line breaks behind them or [Stream.Release] was asked for them.
package scrub

import (
	"slices"
	"sync"
	"unsafe"
)

// MinLength is the length in bytes under which a value is not looked for: it
// would be found by chance in any text.
const MinLength = 4

// block is how many bytes one sample of the text looks at.
const block = 4

// maxStride bounds the distance of two samples, and with it the size of the
// tables for long secrets.
const maxStride = 32

// Set is the compiled matcher of every form that the given secrets can take.
// It is immutable and safe for concurrent use. The nil Set is empty.
//
// How it searches: every form is at least stride+block-1 bytes long, so that
// of any occurrence one of its first stride blocks lies on a multiple of stride
// in the text. Only those samples are looked up, in a bit filter small enough
// for the first-level cache; a hit is looked up among the entries and compared
// in full. No sample depends on the one before, which keeps the processor busy
// where a shift table (Wu–Manber) would make it wait.
type Set struct {
	forms    []form
	longest  int
	stride   int
	shortest int

	shift   uint // hash >> shift is the bit in filter
	fan     uint // bit >> fan is the bucket in heads
	filter  []uint64
	heads   []uint32 // bucket b is entries[heads[b]:heads[b+1]]
	entries []entry

	starts [256][]int32                       // forms by first byte
	reach  [256]int                           // length of the longest of them
	leads  [1 << (32 - leadShift) / 64]uint64 // filter of the forms' first blocks

	needs  [256]bool    // the bytes of all forms
	pairs  []formOffset // positions within the first bytes of the forms, by the bytes on either side of them
	pairAt [1<<pairBits + 1]int32

	folding sync.Once
	anyCase *Set // the forms in any case
}

// entry says: a block that hashes here and equals key stands at offset off of
// the form.
type entry struct {
	key  uint32
	off  int32
	form int32
}

// marked tells whether c is where a spelling may leave the bytes of a form.
func (s *Set) marked(c byte) bool { return isIntroducer(c) || c == '\n' || c == '\r' }

// through returns the positions in forms between bytes like before and after.
func (s *Set) through(before, after byte) []formOffset {
	h := pairHash(before, after)
	return s.pairs[s.pairAt[h]:s.pairAt[h+1]]
}

// Empty tells that there is nothing to look for.
func (s *Set) Empty() bool { return s == nil || len(s.forms) == 0 }

// Stream starts scrubbing one stream of bytes.
func (s *Set) Stream() *Stream { return &Stream{set: s} }

// Bytes masks b, which is a whole text, in place and returns the number of
// places that it masked. Overlapping occurrences count as one.
func (s *Set) Bytes(b []byte) int {
	if s.tooShort(len(b)) {
		return 0
	}
	var f finding
	f.run(s, b, false)
	last, count := mask(b, f.spans, len(b), span{})
	last.stars(b)
	return count
}

// String masks v, which is a whole text such as a header's value. It returns v
// itself, without allocating, when there is nothing to mask.
func (s *Set) String(v string) (masked string, count int) {
	if !s.Finds(v) {
		return v, 0
	}
	b := []byte(v)
	count = s.Bytes(b)
	return string(b), count
}

// Finds tells whether text, which is whole, has any form in it. It does not allocate.
func (s *Set) Finds(text string) bool {
	if s.tooShort(len(text)) {
		return false
	}
	var f finding
	f.run(s, unsafe.Slice(unsafe.StringData(text), len(text)), true) //nolint:gosec // read only, and not kept
	return len(f.spans) > 0
}

// FindsFolded is Finds for a text of which the case says nothing, such as a header's name.
func (s *Set) FindsFolded(text string) bool {
	if s.tooShort(len(text)) {
		return false
	}
	s.folding.Do(func() { s.anyCase = compile(foldedForms(s.forms)) })
	return s.anyCase.Finds(text)
}

// tooShort tells whether no text of n bytes has a form in it: no spelling is shorter than what is spelled.
func (s *Set) tooShort(n int) bool { return s.Empty() || n < s.shortest }

// span is the half-open range [from, to) of a text.
type span struct{ from, to int }

func (p span) stars(text []byte) {
	masked := text[p.from:min(p.to, len(text))]
	for i := range masked {
		masked[i] = '*'
	}
}

// mask overwrites all spans that start before limit, but for the last run of them, which it returns: its end may reach
// beyond limit, and the caller may have to save what is there first. The run open at the beginning, which has been
// counted, is passed as open.
func mask(text []byte, spans []span, limit int, open span) (last span, count int) {
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	for _, hit := range spans {
		switch {
		case hit.from >= limit:
			return open, count
		case hit.from < open.to:
			open.to = max(open.to, hit.to)
		default:
			open.stars(text)
			open = span{escapedAt(text, hit.from, open.to), hit.to}
			count++
		}
	}
	return open, count
}

// escapedAt moves a mask's beginning before the backslash that would otherwise escape an asterisk, and make a JSON text
// none.
func escapedAt(text []byte, at, from int) int {
	n := 0
	for at-n > from && text[at-n-1] == '\\' {
		n++
	}
	return at - n%2
}

// folded maps letters to lower case (and some other bytes onto each other, which
// the full comparison sorts out), so that a form which is matched in any case
// needs only one entry per block.
func folded(b uint32) uint32 { return b | 0x20202020 }

// hash spreads a block over 32 bits; the high ones are the good ones (Knuth's
// multiplicative hashing).
func hash(b uint32) uint32 { return folded(b) * 2654435761 }

const pairBits = 10

// pairHash is the same for bytes that fold to the same.
func pairHash(a, b byte) uint32 {
	return (uint32(a|fold)<<8 | uint32(b|fold)) * 2654435761 >> (32 - pairBits)
}
