package cli

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// visible is what commands print through. Names come from n8n, from a database or from an API: they are a stranger's
// text, and the reader's terminal obeys what stands in them. Every character that commands a terminal, turns text
// around or hides in it is written as an escape, newline and tab apart; see isHostile.
//
// The escapes are those of JSON (\u202e, and two of them past U+FFFF), so that JSON stays JSON and means the same:
// there, such a character stands in strings only. Bytes that are no UTF-8 become U+FFFD, for 0x9b begins a command in
// some terminals.
//
// Values that were asked for do not pass here: see env.values.
type visible struct {
	to io.Writer

	mu   sync.Mutex
	held []byte // the beginning of a character whose rest has not come yet
}

// Write implements io.Writer. It reports all of p as written unless there is an error.
func (v *visible) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	text := append(v.held, p...)
	whole := len(text)
	for i := len(text) - 1; i >= 0 && i >= len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				whole = i
			}
			break
		}
	}
	v.held = append([]byte(nil), text[whole:]...)
	if whole == 0 {
		return len(p), nil
	}
	if _, err := io.WriteString(v.to, escaped(string(text[:whole]), "\n\t")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// end writes what was held: nothing more comes.
func (v *visible) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.held) > 0 {
		_, _ = io.WriteString(v.to, escaped(string(v.held), ""))
		v.held = nil
	}
}

// escaped returns s with its hostile characters as escapes, but for those in keep.
func escaped(s, keep string) string {
	if !strings.ContainsFunc(s, isHostile) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // an invalid byte is U+FFFD
		switch {
		case !isHostile(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			_, _ = fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			_, _ = fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// isHostile tells the characters that do something else than to show: the controls (C0, DEL, C1), the separators of
// lines and paragraphs, bidirectional and zero-width characters and tags (Cf), and others that show nothing. The two
// selectors between text and emoji are left: names have them, and they move nothing.
func isHostile(r rune) bool {
	if r == '\ufe0e' || r == '\ufe0f' || r >= ' ' && r < 0x7f {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point,
		unicode.Variation_Selector)
}

// cells is fmt.Fprintf for a row of a table, and for a sentence in which others chose a name: a newline or tab inside
// of a text of args would make rows and columns, or lines that Sallyport has not said.
func cells(w io.Writer, format string, args ...any) (int, error) {
	for i, arg := range args {
		switch a := arg.(type) {
		case string:
			args[i] = escaped(a, "")
		case error:
			args[i] = escaped(a.Error(), "")
		case fmt.Stringer:
			args[i] = escaped(a.String(), "")
		default:
			if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
				args[i] = escaped(v.String(), "")
			}
		}
	}
	return fmt.Fprintf(w, format, args...)
}

// unwrapped is the stream below a visible one: for what a person asked for as it is, and for what needs the file.
func unwrapped(w io.Writer) io.Writer {
	if v, ok := w.(*visible); ok {
		return v.to
	}
	return w
}

// values is where values go that a person or a program asked for: they are not changed.
func (e *env) values() io.Writer { return unwrapped(e.Out) }

// orDash is s, or what stands in a cell of a table for nothing.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
