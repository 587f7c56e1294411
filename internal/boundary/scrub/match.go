package scrub

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// formOffset is a position within a form: behind its first i bytes.
type formOffset struct{ form, i int32 }

// finding is one look through a text for all occurrences of all forms, in any spelling.
//
// There are two kinds. One begins with enough bytes of a form as they are for a sample to hit it (see [Set]). In any
// other one, before so much of the form has come, there is an escape or the break of a line: so at each of those, and
// only there, the forms are tried that go on from the few bytes before it.
type finding struct {
	set   *Set
	text  []byte
	spans []span // merged where they overlap, but for those found out of order
	open  int    // where the first occurrence begins that may be complete behind the text's end
	faint int    // the same for one of which no more than the first bytes stand before the break of a line
	first bool   // one is enough
	paths []path
	spell speller
}

// path is how far a form has been followed.
type path struct{ at, i int }

func (f *finding) done() bool { return f.first && len(f.spans) > 0 }

// run looks through a whole text, or, with first, up to the first occurrence.
func (f *finding) run(set *Set, text []byte, first bool) {
	f.set, f.text, f.first, f.open, f.faint = set, text, first, len(text), len(text)
	f.samples()
	if !f.done() {
		f.marks()
	}
	if !f.done() {
		f.open = min(f.open, f.set.tail(f.text))
	}
}

func (f *finding) add(from, to int) {
	if n := len(f.spans); n > 0 && f.spans[n-1].from <= from && from < f.spans[n-1].to {
		f.spans[n-1].to = max(f.spans[n-1].to, to)
		return
	}
	f.spans = append(f.spans, span{from, to})
}

// samples looks up every stride-th block.
func (f *finding) samples() {
	s, text := f.set, f.text
	filter, stride, shift := s.filter, s.stride, s.shift
	for at := 0; at <= len(text)-block; at += stride {
		bit := hash(binary.LittleEndian.Uint32(text[at:])) >> shift
		if filter[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		key := folded(binary.LittleEndian.Uint32(text[at:]))
		for _, e := range s.entries[s.heads[bit>>s.fan]:s.heads[bit>>s.fan+1]] {
			if e.key == key && at >= int(e.off) {
				f.try(&s.forms[e.form], at-int(e.off), int(e.off))
			}
		}
		if f.done() {
			return
		}
	}
}

// try follows a form from its beginning, of which the bytes up to known are likely there as they are.
func (f *finding) try(form *form, from, known int) {
	n := 0
	for limit := min(len(form.text), len(f.text)-from); n < limit && form.at(n, f.text[from+n]); n++ {
	}
	switch {
	case n < known:
	case n == len(form.text):
		f.add(from, from+n)
		fallthrough // its last byte may be the first of how it is spelled
	default:
		if n < len(form.text) && from+n < len(f.text) && !f.set.marked(f.text[from+n]) && !form.marked {
			return
		}
		if n == len(form.text) && !form.marked {
			return
		}
		f.follow(form, from, path{from, 0})
	}
}

// follow finds the ends of the form that begins at from, of which a path has been gone already.
func (f *finding) follow(form *form, from int, start path) {
	f.paths = append(f.paths[:0], start)
	for next := 0; next < len(f.paths); next++ {
		p := f.paths[next]
		for p.i < len(form.text) && p.at < len(f.text) && !f.set.marked(f.text[p.at]) && form.at(p.i, f.text[p.at]) {
			p.at++
			p.i++
		}
		switch {
		case p.i == len(form.text):
			f.add(from, p.at)
		case p.at == len(f.text):
			f.open = min(f.open, from)
		case f.set.marked(f.text[p.at]):
			f.fork(form, from, p)
		}
	}
}

// fork goes on from a path in every way that what stands there can be read.
func (f *finding) fork(form *form, from int, p path) {
	c := f.text[p.at]
	if form.at(p.i, c) {
		f.branch(path{p.at + 1, p.i + 1})
	}
	if !isIntroducer(c) {
		if end, open := f.lineEnd(p.at); form.wraps && p.i > 0 && (p.at == 0 || f.text[p.at-1] != '\n') {
			f.branch(path{end, p.i})
			if open {
				f.open = min(f.open, from)
			}
		}
		return
	}
	f.spell.read(f.text, p.at)
	for i := range f.spell.count {
		u := &f.spell.units[i]
		switch {
		case u.n > 0 && form.spells(p.i, u):
			f.branch(path{u.end, p.i + int(u.n)})
		case p.i > 0 && (u.n == 0 || form.wraps && u.blank()):
			f.branch(path{u.end, p.i})
		}
	}
	if f.spell.open {
		f.open = min(f.open, from)
	}
}

const maxPaths = 256

func (f *finding) branch(p path) {
	if len(f.paths) < maxPaths && !slices.Contains(f.paths, p) {
		f.paths = append(f.paths, p)
	}
}

// lineEnd is behind the one break of a line at at, and the blanks that the next line begins with. Behind an empty line
// nothing goes on.
func (f *finding) lineEnd(at int) (end int, open bool) {
	end = at + 1
	if f.text[at] == '\r' && end < len(f.text) && f.text[end] == '\n' {
		end++
	}
	for end < len(f.text) && (f.text[end] == ' ' || f.text[end] == '\t') {
		end++
	}
	return end, end == len(f.text)
}

// marks goes over everything in the text at which a spelling may leave the bytes of a form.
func (f *finding) marks() {
	next := [...]int{-1, -1, -1, -1, -1}
	const kinds = "%&\\=\n"
	for k := range next {
		next[k] = f.after(kinds[k], 0)
	}
	for {
		k := 0
		for i := range next {
			if next[i] < next[k] {
				k = i
			}
		}
		at := next[k]
		if at == len(f.text) || f.done() {
			break
		}
		if kinds[k] == '\n' {
			f.line(at)
		} else {
			f.introduced(at)
		}
		next[k] = f.after(kinds[k], at+1)
	}
	if n := len(f.text); n > 0 && f.text[n-1] == '\r' && !f.done() {
		f.line(n - 1)
	}
}

func (f *finding) after(c byte, from int) int {
	if i := bytes.IndexByte(f.text[from:], c); i >= 0 {
		return from + i
	}
	return len(f.text)
}

// line is marks at the break of a line: a form that wraps may go on behind it.
func (f *finding) line(at int) {
	if at > 0 && f.text[at-1] == '\r' {
		at--
	}
	if at == 0 {
		return
	}
	end, open := f.lineEnd(at)
	switch {
	case open:
		f.resume(at, end, true)
	case f.text[end] == '\n' || f.text[end] == '\r':
	case f.set.marked(f.text[end]):
		f.resume(at, end, true)
	default:
		f.resumeWith(at, end, f.text[end], true)
	}
}

// introduced is marks at an introducer.
func (f *finding) introduced(at int) {
	if !f.plausible(at) {
		return
	}
	f.spell.read(f.text, at)
	if f.spell.open {
		f.open = min(f.open, at)
		whole := f.spell // follow reads others
		f.resume(at, at, false)
		f.spell = whole
	}
	if f.spell.count == 0 {
		return
	}
	units, count := f.spell.units, f.spell.count
	for i := range count {
		u := &units[i]
		if u.n == 0 || u.blank() {
			f.resume(at, u.end, u.n > 0)
		}
		if u.n == 0 || !f.set.needs[u.val[0]] {
			continue
		}
		for _, form := range f.set.starts[u.val[0]] {
			if f.set.forms[form].spells(0, u) {
				f.follow(&f.set.forms[form], at, path{u.end, int(u.n)})
			}
		}
		f.resumeUnit(at, u)
	}
}

// plausible tells whether an escape of use may begin at at, by the byte behind: most that looks like an introducer is
// none.
func (f *finding) plausible(at int) bool {
	if at+1 == len(f.text) {
		return true
	}
	next := f.text[at+1]
	if isIntroducer(next) {
		return true
	}
	switch f.text[at] {
	case '%':
		return isHex(next) || next|fold == 'u'
	case '=':
		return isHex(next) || next == '\r' || next == '\n'
	case '&':
		return next == '#' || alphanumeric(next)
	}
	if alphanumeric(next) {
		return isOctal(next) || strings.IndexByte("abtnvfreuxU", next) >= 0
	}
	return f.set.needs[next] || next <= ' '
}

// resumeUnit follows the forms that stand before at up to where u goes on.
func (f *finding) resumeUnit(at int, u *unit) {
	if at == 0 {
		return
	}
	for _, p := range f.set.through(f.text[at-1], u.val[0]) {
		form := &f.set.forms[p.form]
		if form.spells(int(p.i), u) && f.stands(form, at, int(p.i)) {
			f.follow(form, at-int(p.i), path{u.end, int(p.i) + int(u.n)})
		}
	}
}

// resumeWith follows the forms that stand before at and go on with c at end.
func (f *finding) resumeWith(at, end int, c byte, wraps bool) {
	for _, p := range f.set.through(f.text[at-1], c) {
		form := &f.set.forms[p.form]
		if (!wraps || form.wraps) && form.at(int(p.i), c) && f.stands(form, at, int(p.i)) {
			f.follow(form, at-int(p.i), path{end, int(p.i)})
		}
	}
}

// resume follows all forms that stand before at and may go on at end.
func (f *finding) resume(at, end int, wraps bool) {
	if at == 0 || !f.set.needs[f.text[at-1]] {
		return
	}
	if at < end && end < len(f.text) && !f.set.marked(f.text[end]) {
		f.resumeWith(at, end, f.text[end], wraps)
		return
	}
	for i := range f.set.forms {
		form := &f.set.forms[i]
		if wraps && !form.wraps {
			continue
		}
		for n := 1; n < min(f.set.stride+block, len(form.text)); n++ {
			switch {
			case !form.at(n-1, f.text[at-1]) || !f.stands(form, at, n):
			case at < end && n < block && end == len(f.text):
				f.faint = min(f.faint, at-n)
			default:
				f.follow(form, at-n, path{end, n})
			}
		}
	}
}

// stands tells whether the first n bytes of the form stand before at.
func (f *finding) stands(form *form, at, n int) bool {
	if at < n {
		return false
	}
	for i := range n {
		if !form.at(i, f.text[at-n+i]) {
			return false
		}
	}
	return true
}
