// Package held keeps secrets out of what is recorded of a request before anybody knows whose it is.
//
// On the first day behind the gate a node still sends its real key: in the path (Telegram), in the query, in a header that was
// meant for a name. Such a request has no valid token, or names no service, so that no service's own [scrub.Set] is asked. An
// [Index] knows the secrets of all services, in memory that grows with their number alone (about 1 KiB for each), and costs
// about a nanosecond for each byte of a text without any. [LookAlikes] cuts what only looks like a key.
//
// It is for short texts that are shown to people. It is not for answers: those are masked by package scrub, in place.
package held

import (
	"encoding/base64"
	"encoding/hex"
	"math/bits"
	"net/url"
	"strings"

	"sallyport/internal/boundary/scrub"
)

// mark stands in the place of what was cut.
const mark = "…"

// rounds is how often a text is percent-decoded to look for a secret in it.
const rounds = 3

// The lengths of a key, in bytes. Of each form of a secret the last bytes are looked up: keys of one kind begin alike.
const (
	long  = 8
	short = scrub.MinLength
)

// Index finds any of many secrets in a text. It is immutable and safe for concurrent use; the nil Index is empty.
type Index struct {
	secrets [][]byte
	long    tails
	short   tails // of forms under 8 bytes
}

// tails looks forms up by their last bytes.
type tails struct {
	filter []uint64
	shift  uint
	forms  map[uint64][]form
}

// form is one way in which a secret can be written.
type form struct {
	secret int32
	kind   int8 // 0: as it is; 1: hexadecimal; 2 to 7: base64 at three alignments in two alphabets
}

const kinds = 8

// Compile builds the Index. It refers to the secrets and keeps no copy.
func Compile(secrets [][]byte) *Index {
	x := &Index{long: tails{forms: make(map[uint64][]form)}, short: tails{forms: make(map[uint64][]form)}}
	seen := make(map[string]bool, len(secrets))
	for _, s := range secrets {
		if len(s) < scrub.MinLength || seen[string(s)] {
			continue
		}
		seen[string(s)] = true
		x.secrets = append(x.secrets, s)
		for kind := range int8(kinds) {
			f := form{int32(len(x.secrets) - 1), kind} //nolint:gosec // an index
			switch text := x.text(f); {
			case len(text) >= long:
				key := fold(text[len(text)-long:])
				x.long.forms[key] = append(x.long.forms[key], f)
			case len(text) >= short:
				key := fold(text[len(text)-short:])
				x.short.forms[key] = append(x.short.forms[key], f)
			}
		}
	}
	x.long.fill()
	x.short.fill()
	return x
}

// text is the form written out. Of base64 it is what the secret determines alone.
func (x *Index) text(f form) string {
	s := x.secrets[f.secret]
	switch f.kind {
	case 0:
		return string(s)
	case 1:
		return hex.EncodeToString(s)
	}
	before := int(f.kind-2) / 2
	alphabet := base64.RawStdEncoding
	if f.kind%2 == 1 {
		alphabet = base64.RawURLEncoding
	}
	coded := alphabet.EncodeToString(append(make([]byte, before, before+len(s)), s...))
	return coded[(before*8+5)/6 : (before+len(s))*8/6]
}

// fill builds the filter: 16 bits for each key, so that about one text position in 16 is looked up in vain at most.
func (t *tails) fill() {
	width := max(10, bits.Len(uint(16*len(t.forms))))
	t.shift = uint(64 - width)
	t.filter = make([]uint64, 1<<width/64)
	for key := range t.forms {
		bit := key * 0x9e3779b97f4a7c15 >> t.shift
		t.filter[bit/64] |= 1 << (bit % 64)
	}
}

// fold reads up to 8 bytes with letters in lower case, and some other bytes mapped onto each other.
func fold(s string) uint64 {
	key := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
	if len(s) < long {
		return key | 0x20202020
	}
	return key | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56 | 0x2020202020202020
}

// Empty tells that there is nothing to look for.
func (x *Index) Empty() bool { return x == nil || len(x.secrets) == 0 }

// Cut returns s without any of the secrets: as they are, in hexadecimal or base64, percent-encoded or not. Where one was found
// only after decoding, the decoded text comes back. s itself comes back, without allocation, when there is none in it.
func (x *Index) Cut(s string) string {
	if x.Empty() {
		return s
	}
	text := s
	for range rounds {
		if clean, found := x.cut(text); found {
			return x.Cut(clean)
		}
		if strings.IndexByte(text, '%') < 0 {
			break
		}
		plain := unescape(text)
		if plain == text {
			break
		}
		text = plain
	}
	return s
}

func (x *Index) cut(s string) (clean string, found bool) {
	for end := short; end <= len(s); end++ {
		from, ok := x.endsAt(s, end)
		if !ok {
			continue
		}
		s, found = s[:from]+mark+s[end:], true
		end = from + len(mark) + short - 1
	}
	return s, found
}

// endsAt tells whether a secret ends right before end, and where the longest begins.
func (x *Index) endsAt(s string, end int) (from int, ok bool) {
	from = end
	if end >= long {
		from = x.match(&x.long, s, end, long)
	}
	if len(x.short.forms) > 0 {
		from = min(from, x.match(&x.short, s, end, short))
	}
	return from, from < end
}

func (x *Index) match(t *tails, s string, end, length int) int {
	from := end
	key := fold(s[end-length : end])
	bit := key * 0x9e3779b97f4a7c15 >> t.shift
	if t.filter[bit/64]&(1<<(bit%64)) == 0 {
		return from
	}
	for _, f := range t.forms[key] {
		text := x.text(f)
		at := end - len(text)
		if at >= 0 && at < from && (s[at:end] == text || f.kind == 1 && strings.EqualFold(s[at:end], text)) {
			from = at
		}
	}
	return from
}

// unescape decodes every valid escape and leaves the rest.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.Write(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
