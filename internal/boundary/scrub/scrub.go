// Package scrub keeps held secrets out of what an API answers.
//
// A [Set] is compiled once per credential from the secrets in use and knows the
// forms they can come back in: as they are, base64 at every alignment,
// percent-encoded, JSON- and HTML-escaped, hexadecimal (see forms.go for the
// exact list). A [Stream] overwrites every occurrence with asterisks of the
// same length while the bytes pass, so that Content-Length, ranges and WebSocket
// frame lengths stay true.
//
// It is not a detector of unknown secrets, and no defence against an upstream
// that means to hand its own key to the caller: that one can always invent an
// encoding. Not recognised: a form encoded twice (other than base64 inside a
// URL or JSON), base64 broken over lines, escapes that one encoder would not
// mix, and secrets shorter than [MinLength].
//
// Invariant: of every occurrence of every form in the text, also one that
// overlaps another or spans any number of chunks, no byte is emitted.
package scrub

import (
	"encoding/binary"
	"strings"
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
	forms   []form
	longest int
	stride  int

	shift   uint // hash >> shift is the bit in filter
	fan     uint // bit >> fan is the bucket in heads
	filter  []uint64
	heads   []uint32 // bucket b is entries[heads[b]:heads[b+1]]
	entries []entry

	starts [256][]int32                       // forms by first byte
	reach  [256]int                           // length of the longest of them
	leads  [1 << (32 - leadShift) / 64]uint64 // filter of the forms' first blocks
}

// entry says: a block that hashes here and equals key stands at offset off of
// the form.
type entry struct {
	key  uint32
	off  int32
	form int32
}

// Empty tells that there is nothing to look for.
func (s *Set) Empty() bool { return s == nil || len(s.forms) == 0 }

// Stream starts scrubbing one stream of bytes.
func (s *Set) Stream() *Stream { return &Stream{set: s} }

// Bytes masks b, which is a whole text, in place and returns the number of
// places that it masked. Overlapping occurrences count as one.
func (s *Set) Bytes(b []byte) int {
	if s.Empty() {
		return 0
	}
	last, count := s.mask(b, len(b), span{})
	last.stars(b)
	return count
}

// String masks v, which is a whole text such as a header's value. It returns v
// itself, without allocating, when there is nothing to mask.
func (s *Set) String(v string) (masked string, count int) {
	if s.Empty() || len(v) < s.stride+block-1 {
		return v, 0
	}
	view := unsafe.Slice(unsafe.StringData(v), len(v)) //nolint:gosec // read only, and not kept
	if _, found := (&search{set: s, text: view, at: -1}).next(); !found {
		return v, 0
	}
	b := []byte(v)
	count = s.Bytes(b)
	return string(b), count
}

// Finds tells whether text, which is whole, has any form in it. It does not allocate.
func (s *Set) Finds(text string) bool {
	if s.Empty() || len(text) < s.stride+block-1 {
		return false
	}
	view := unsafe.Slice(unsafe.StringData(text), len(text)) //nolint:gosec // read only, and not kept
	_, found := (&search{set: s, text: view, at: -1}).next()
	return found
}

// FindsFolded is Finds for a text of which the case says nothing, such as a header's name.
func (s *Set) FindsFolded(text string) bool {
	if s.Empty() || len(text) < s.stride+block-1 {
		return false
	}
	text = strings.ToLower(text)
	for i := range s.forms {
		if strings.Contains(text, strings.ToLower(s.forms[i].text)) {
			return true
		}
	}
	return false
}

// span is the half-open range [from, to) of a text.
type span struct{ from, to int }

func (p span) stars(text []byte) {
	masked := text[p.from:min(p.to, len(text))]
	for i := range masked {
		masked[i] = '*'
	}
}

// mask overwrites all occurrences that start before limit, but for the last run
// of them, which it returns: its end may reach beyond limit, and the caller may
// have to save what is there first. The run open at the beginning, which has
// been counted, is passed as open.
func (s *Set) mask(text []byte, limit int, open span) (last span, count int) {
	found := search{set: s, text: text, at: -1}
	for {
		hit, ok := found.next()
		switch {
		case !ok || hit.from >= limit:
			return open, count
		case hit.from < open.to:
			open.to = max(open.to, hit.to)
		default:
			// Hits come in the order of their starts: no later one needs these bytes.
			open.stars(text)
			open = hit
			count++
		}
	}
}

// search walks over all occurrences in text, ordered by where they start.
type search struct {
	set   *Set
	text  []byte
	at    int // the sample being looked at; -1 before the first
	queue []entry
}

func (f *search) next() (span, bool) {
	for {
		for len(f.queue) > 0 {
			e := f.queue[0]
			f.queue = f.queue[1:]
			if hit, ok := f.compare(e); ok {
				return hit, true
			}
		}
		bit, ok := f.sample()
		if !ok {
			return span{}, false
		}
		bucket := bit >> f.set.fan
		f.queue = f.set.entries[f.set.heads[bucket]:f.set.heads[bucket+1]]
	}
}

// sample moves on to the next sample whose bit is set in the filter.
func (f *search) sample() (bit uint32, ok bool) {
	text, filter, stride, shift := f.text, f.set.filter, f.set.stride, f.set.shift
	for f.at += stride; f.at <= len(text)-block; f.at += stride {
		bit := hash(binary.LittleEndian.Uint32(text[f.at:])) >> shift
		if filter[bit/64]&(1<<(bit%64)) != 0 {
			return bit, true
		}
	}
	return 0, false
}

func (f *search) compare(e entry) (span, bool) {
	if folded(binary.LittleEndian.Uint32(f.text[f.at:])) != e.key {
		return span{}, false
	}
	form := &f.set.forms[e.form]
	from := f.at - int(e.off)
	to := from + len(form.text)
	if from < 0 || to > len(f.text) || !form.prefixed(f.text[from:to]) {
		return span{}, false
	}
	return span{from, to}, true
}

// folded maps letters to lower case (and some other bytes onto each other, which
// the full comparison sorts out), so that a form which is matched in any case
// needs only one entry per block.
func folded(b uint32) uint32 { return b | 0x20202020 }

// hash spreads a block over 32 bits; the high ones are the good ones (Knuth's
// multiplicative hashing).
func hash(b uint32) uint32 { return folded(b) * 2654435761 }
