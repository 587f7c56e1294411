package scrub

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// filterLoad is how many bits of the filter there are per entry: with 64, a
// sample of random text passes by chance in less than 2 of 100 cases.
const filterLoad = 64

const (
	minFilterBits = 12 // 512 bytes
	maxFilterBits = 20 // 128 KiB: beyond that the cache costs more than a false hit
)

// leadShift leaves 12 bits of a hash: leads is 512 bytes.
const leadShift = 32 - 12

// Compile builds the matcher for the values. Empty values and those shorter than
// [MinLength] are left out. The Set keeps copies.
func Compile(values ...[]byte) *Set { return compile(forms(values)) }

func compile(forms []form) *Set {
	s := &Set{forms: forms}
	if len(s.forms) == 0 {
		return s
	}
	s.shortest = len(s.forms[0].text)
	for i := range s.forms {
		f := &s.forms[i]
		s.shortest = min(s.shortest, len(f.text))
		s.longest = max(s.longest, len(f.text))
		for j := range len(f.text) {
			f.marked = f.marked || s.marked(f.text[j])
			s.needs[f.text[j]] = true
			s.needs[f.text[j]&^f.foldsAt(j)] = true
		}
	}
	s.needs['+'] = s.needs['+'] || s.needs[' ']
	s.stride = min(s.shortest-block+1, maxStride)
	s.index()
	s.indexStarts()
	s.indexPairs()
	return s
}

// indexPairs fills pairs and pairAt: for the places at which a sample has not been hit yet.
func (s *Set) indexPairs() {
	at := func(f *form, i int) uint32 { return pairHash(f.text[i-1], f.text[i]) + 1 }
	last := s.stride + block - 1
	for i := range s.forms {
		f := &s.forms[i]
		for j := 1; j < min(len(f.text), last+1); j++ {
			s.pairAt[at(f, j)]++
		}
	}
	for h := range len(s.pairAt) - 1 {
		s.pairAt[h+1] += s.pairAt[h]
	}
	s.pairs = make([]formOffset, s.pairAt[len(s.pairAt)-1])
	free := s.pairAt
	for i := range s.forms {
		f := &s.forms[i]
		for j := 1; j < min(len(f.text), last+1); j++ {
			h := at(f, j) - 1
			s.pairs[free[h]] = formOffset{int32(i), int32(j)}
			free[h]++
		}
	}
}

// foldedForms are forms in any case.
func foldedForms(all []form) []form {
	folded := make([]form, len(all))
	for i, f := range all {
		folds := make([]byte, len(f.text))
		text := []byte(f.text)
		for j, c := range text {
			if c|fold >= 'a' && c|fold <= 'z' {
				text[j], folds[j] = c|fold, fold
			}
		}
		folded[i] = form{text: string(text), folds: string(folds), wraps: f.wraps}
	}
	return folded
}

// index fills filter, heads and entries.
func (s *Set) index() {
	for i, f := range s.forms {
		for off := range s.stride {
			key := folded(binary.LittleEndian.Uint32([]byte(f.text[off : off+block])))
			s.entries = append(s.entries, entry{key: key, off: int32(off), form: int32(i)})
		}
	}
	width := min(max(bits.Len(uint(len(s.entries)*filterLoad)), minFilterBits), maxFilterBits)
	s.shift = uint(32 - width)
	s.fan = uint(bits.Len(filterLoad) - 1)
	s.filter = make([]uint64, 1<<width/64)
	s.heads = make([]uint32, 1<<(width-int(s.fan))+1)

	bit := func(e entry) uint32 { return hash(e.key) >> s.shift }
	slices.SortFunc(s.entries, func(a, b entry) int {
		// Within one sample the greater offset is the earlier start; search.next
		// promises that order.
		return cmp.Or(cmp.Compare(bit(a)>>s.fan, bit(b)>>s.fan), cmp.Compare(b.off, a.off), cmp.Compare(a.form, b.form))
	})
	for _, e := range s.entries {
		s.filter[bit(e)/64] |= 1 << (bit(e) % 64)
		s.heads[bit(e)>>s.fan+1]++
	}
	for b := range s.heads[1:] {
		s.heads[b+1] += s.heads[b]
	}
}

// indexStarts fills the tables that hold reads.
func (s *Set) indexStarts() {
	for i, f := range s.forms {
		first := f.text[0]
		s.startWith(first, i)
		if f.foldsAt(0) != 0 {
			s.startWith(first&^fold, i)
		}
		lead := hash(binary.LittleEndian.Uint32([]byte(f.text))) >> leadShift
		s.leads[lead/64] |= 1 << (lead % 64)
	}
}

func (s *Set) startWith(first byte, form int) {
	s.starts[first] = append(s.starts[first], int32(form)) //nolint:gosec // an index into forms
	s.reach[first] = max(s.reach[first], len(s.forms[form].text))
}
