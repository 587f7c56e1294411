// Package held keeps secrets out of what is recorded of a request before anybody knows whose it is.
//
// On the first day behind the gate a node still sends its real key: in the path (Telegram), in the query, in a header
// that was meant for a name. Such a request has no valid token, or names no service, so that no service's own
// [scrub.Set] is asked. An [Index] knows the secrets of all services, in memory that grows with their number alone
// (about 1 KiB for each). What a record costs does not: about half a microsecond of CPU time for an ordinary one (84
// bytes in four texts) with 50 secrets as with 1,000, and one and a half where something in it is escaped
// (BenchmarkRecord, 2 shared virtual cores). A [Memory] has the Index of the services of the moment. [LookAlikes] cuts
// what only looks like a key.
//
// It is for short texts that are shown to people. It is not for responses: those are masked by package scrub, in place.
package held

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math/bits"
	"strings"

	"sallyport/internal/boundary/scrub"
)

// mark stands in the place of what was cut.
const mark = "…"

// rounds is how often a text is looked at: as it is, and spelled out once and twice.
const rounds = 3

// The lengths of a key, in bytes. Of each form of a secret the last bytes are looked up: keys of one kind begin alike.
const (
	long  = 8
	short = scrub.MinLength
)

// Index finds any of many secrets in a text. It is immutable and safe for concurrent use; the nil Index is empty.
type Index struct {
	secrets [][]byte
	blanks  bool // one of them has a blank in it
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
		x.blanks = x.blanks || bytes.IndexByte(s, ' ') >= 0
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

// fill builds the filter: two bits for each key, both in one word, of which there is one for two keys. So one text
// position in a hundred is looked up in vain.
func (t *tails) fill() {
	width := max(4, bits.Len(uint(len(t.forms)/2)))
	t.shift = uint(64 - width)
	t.filter = make([]uint64, 1<<width)
	for key := range t.forms {
		word, pair := t.bitsOf(key)
		t.filter[word] |= pair
	}
}

// bitsOf is where the filter has the bits of a key.
func (t *tails) bitsOf(key uint64) (word, pair uint64) {
	h := key * 0x9e3779b97f4a7c15
	return h >> t.shift, 1<<(h>>(t.shift-6)&63) | 1<<(h>>(t.shift-12)&63)
}

// may tells whether there can be forms of a key.
func (t *tails) may(key uint64) bool {
	word, pair := t.bitsOf(key)
	return t.filter[word]&pair == pair
}

// fold reads up to 8 bytes with letters in lower case, and some other bytes mapped onto each other.
func fold(s string) (key uint64) {
	for i := range len(s) {
		key |= uint64(s[i]|0x20) << (8 * i)
	}
	return key
}

// Empty tells that there is nothing to look for.
func (x *Index) Empty() bool { return x == nil || len(x.secrets) == 0 }

// Cut returns s without any of the secrets: as they are, in hexadecimal or base64, escaped as in URLs, HTML or JSON or
// not, and with a plus for a blank as in forms. Where one was found only after decoding, the decoded text comes back. s
// itself comes back, without allocation, when there is none in it.
func (x *Index) Cut(s string) string {
	if x.Empty() {
		return s
	}
	clean, found := x.cutSpelled(s)
	if !found && x.blanks && strings.IndexByte(s, '+') >= 0 {
		clean, found = x.cutSpelled(strings.ReplaceAll(s, "+", " "))
	}
	if found {
		return x.Cut(clean)
	}
	return s
}

// cutSpelled looks at the text as it is, and as it is spelled out.
func (x *Index) cutSpelled(text string) (clean string, found bool) {
	for range rounds {
		if clean, found = x.cut(text); found {
			return clean, true
		}
		plain := scrub.Unescape(text)
		if plain == text {
			break
		}
		text = plain
	}
	return "", false
}

func (x *Index) cut(s string) (clean string, found bool) {
	for end := short; ; {
		from, end2 := x.next(s, end)
		if from < 0 {
			return s, found
		}
		s, found = s[:from]+mark+s[end2:], true
		end = from + len(mark) + short
	}
}

// next finds where the first secret that ends at end or behind it does, and where the longest that ends there begins;
// from is -1 when there is none. It is what each byte of each record costs: a multiplication and a look into the
// filter.
func (x *Index) next(s string, end int) (from, at int) {
	var key uint64 // the 8 bytes before end, folded
	for i := max(0, end-long); i < min(end-1, len(s)); i++ {
		key = key>>8 | uint64(s[i]|0x20)<<56
	}
	shorts := len(x.short.forms) > 0
	for ; end <= len(s); end++ {
		key = key>>8 | uint64(s[end-1]|0x20)<<56
		from := end
		if end >= long && x.long.may(key) {
			from = x.match(&x.long, key, s, end)
		}
		if shorts && x.short.may(key>>32) {
			from = min(from, x.match(&x.short, key>>32, s, end))
		}
		if from < end {
			return from, end
		}
	}
	return -1, 0
}

func (x *Index) match(t *tails, key uint64, s string, end int) int {
	from := end
	for _, f := range t.forms[key] {
		text := x.text(f)
		at := end - len(text)
		if at >= 0 && at < from && (s[at:end] == text || f.kind == 1 && strings.EqualFold(s[at:end], text)) {
			from = at
		}
	}
	return from
}
