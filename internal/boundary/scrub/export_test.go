package scrub

// Matchers returns one function per form, which tells whether text starts with
// that form, beside the form's length: what the naive reference of the tests
// works with.
func (s *Set) Matchers() []Matcher {
	var all []Matcher
	for _, f := range s.forms {
		all = append(all, Matcher{Text: f.text, folds: f.folds})
	}
	return all
}

// Matcher is one form, compared byte by byte.
type Matcher struct{ Text, folds string }

// At tells whether text has the form's byte number i at the same place.
func (m Matcher) At(text string, i int) bool {
	c := text[i]
	if m.folds != "" && m.folds[i] != 0 && 'A' <= c && c <= 'F' {
		c += 'a' - 'A'
	}
	return c == m.Text[i]
}
