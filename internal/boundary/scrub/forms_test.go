package scrub_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// awkward has every kind of character that some encoder escapes.
const awkward = "p@ss w/rd+\"<ü&'>\\=%~é€😀`"

func TestRealEncoders(t *testing.T) {
	marshal := func(v string, escapeHTML bool) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escapeHTML)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
	}
	encoders := map[string]func(string) string{
		"raw":              func(s string) string { return s },
		"url query":        url.QueryEscape,
		"url path":         url.PathEscape,
		"url query, lower": func(s string) string { return lowerHex(url.QueryEscape(s)) },
		"url query, %20":   func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") },
		"json":             func(s string) string { return marshal(s, true) },
		"json, html as is": func(s string) string { return marshal(s, false) },
		"json, slashes":    func(s string) string { return strings.ReplaceAll(marshal(s, false), "/", `\/`) },
		"html":             html.EscapeString,
		"html template":    template.HTMLEscapeString,
		"hex":              func(s string) string { return hex.EncodeToString([]byte(s)) },
		"hex, upper":       func(s string) string { return fmt.Sprintf("%X", s) },
		"UTF-16LE": func(s string) string {
			b, _ := binary.Append(nil, binary.LittleEndian, utf16.Encode([]rune(s)))
			return string(b)
		},
		"UTF-16BE": func(s string) string {
			b, _ := binary.Append(nil, binary.BigEndian, utf16.Encode([]rune(s)))
			return string(b)
		},
		"base64":           func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64, unpadded": func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
		"base64url":        func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
		"base64url, plain": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		"base64 in a query": func(s string) string {
			return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s)))
		},
		"base64 in PHP JSON": func(s string) string {
			return strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(s)), "/", `\/`)
		},
	}
	for _, secret := range []string{awkward, "sk-live_51H8x", "????>>>>~~~~ü", "pass", "\x01\x02line\ttab"} {
		set := compile(secret)
		for name, encode := range encoders {
			form := encode(secret)
			if got, _ := set.String("<" + form + ">"); got != "<"+strings.Repeat("*", len(form))+">" {
				t.Errorf("%s of %q: %q comes out as %q", name, secret, form, got)
			}
		}
	}
}

// TestFullyEscaped has every character escaped, in both cases of the digits.
func TestFullyEscaped(t *testing.T) {
	const secret = "key/öZ9"
	set := compile(secret)
	var percent, unicode strings.Builder
	for i := range len(secret) {
		fmt.Fprintf(&percent, "%%%02x", secret[i])
	}
	for _, r := range secret {
		fmt.Fprintf(&unicode, `\u%04x`, r)
	}
	for _, form := range []string{percent.String(), unicode.String()} {
		for _, s := range []string{form, upperHex(form)} {
			if got, n := set.String(s); strings.Trim(got, "*") != "" || n != 1 {
				t.Errorf("%s comes out as %s", s, got)
			}
		}
	}
}

// TestBase64Inside encodes the secret between others' bytes, as in Basic
// credentials, at every alignment: of its characters only one at either border may
// remain, and that one must not be decided by the secret.
func TestBase64Inside(t *testing.T) {
	for _, secret := range []string{"sk-live_51H8xA", "sk-live_51H8xAb", "sk-live_51H8xAbC", awkward} {
		set := compile(secret)
		for _, enc := range []*base64.Encoding{
			base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding,
			base64.RawURLEncoding,
		} {
			for before := range 4 {
				for after := range 4 {
					checkInside(t, set.String, enc, [3]string{"user"[:before], secret, "\xff\xff\xff"[:after]})
				}
			}
		}
	}
}

func checkInside(t *testing.T, mask func(string) (string, int), enc *base64.Encoding, parts [3]string) {
	t.Helper()
	text := enc.EncodeToString([]byte(parts[0] + parts[1] + parts[2]))
	got, _ := mask(text)
	from, to := len(parts[0])*8, (len(parts[0])+len(parts[1]))*8 // bits that belong to the secret
	for i := range len(text) {
		bits := min(i*6+6, to) - max(i*6, from)
		if got[i] != '*' &&
			(bits > 4 || bits > 0 && parts[0] == "" && i == 0 || bits > 0 && parts[2] == "" && i*6+6 > to) {
			t.Errorf("%q comes out as %q: character %d tells %d bits", text, got, i, bits)
		}
	}
}

func lowerHex(s string) string { return mapHex(s, strings.ToLower) }
func upperHex(s string) string { return mapHex(s, strings.ToUpper) }

// mapHex changes the case of the digits that follow a percent sign or "\u".
func mapHex(s string, change func(string) string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		digits := 0
		switch {
		case s[i] == '%':
			digits = 2
		case strings.HasPrefix(s[i:], `\u`):
			b.WriteByte(s[i])
			i++
			digits = 4
		}
		b.WriteByte(s[i])
		b.WriteString(change(s[i+1 : i+1+digits]))
		i += digits
	}
	return b.String()
}
