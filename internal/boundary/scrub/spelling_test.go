package scrub_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"
)

// each writes every byte of s by a format.
func each(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

// eachRune writes every character of s by a format.
func eachRune(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func jsonAll(s, format string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, format, u)
	}
	return b.String()
}

func wrapped(s string, n int, with string) string {
	var lines []string
	for len(s) > n {
		lines = append(lines, s[:n])
		s = s[n:]
	}
	return strings.Join(append(lines, s), with)
}

// named writes what has a name in HTML by it.
func named(s, end string) string {
	return strings.NewReplacer("&", "&amp"+end, "<", "&lt"+end, ">", "&gt"+end, `"`, "&quot"+end, "'", "&apos"+end, "@",
		"&commat"+end, "/", "&sol"+end, "+", "&plus"+end,
		"=", "&equals"+end, "\\", "&bsol"+end, "%", "&percnt"+end, "_", "&lowbar"+end, "-", "-", " ", " ").Replace(s)
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

// writers are spellings that an encoder, or a person, may write.
var writers = map[string]func(string) string{
	"HTML decimal":              func(s string) string { return eachRune(s, "&#%d;") },
	"HTML decimal, padded":      func(s string) string { return eachRune(s, "&#%010d;") },
	"HTML decimal, far padded":  func(s string) string { return eachRune(s, "&#%0100d;") },
	"HTML decimal, bare":        func(s string) string { return eachRune(s, "&#%d") },
	"HTML hex":                  func(s string) string { return eachRune(s, "&#x%x;") },
	"HTML hex, upper":           func(s string) string { return eachRune(s, "&#X%X;") },
	"HTML hex, padded and bare": func(s string) string { return eachRune(s, "&#x%06x") },
	"HTML names":                func(s string) string { return named(s, ";") },
	"HTML, twice":               func(s string) string { return html.EscapeString(html.EscapeString(s)) },
	"HTML, thrice": func(s string) string {
		return html.EscapeString(html.EscapeString(html.EscapeString(s)))
	},
	"HTML decimal, twice": func(s string) string { return html.EscapeString(eachRune(s, "&#%d;")) },
	"JSON":                quoted,
	"JSON, twice":         func(s string) string { return quoted(quoted(s)) },
	"JSON, thrice":        func(s string) string { return quoted(quoted(quoted(s))) },
	"JSON all":            func(s string) string { return jsonAll(s, `\u%04x`) },
	"JSON all, upper":     func(s string) string { return jsonAll(s, `\u%04X`) },
	"JSON all, twice":     func(s string) string { return quoted(jsonAll(s, `\u%04x`)) },
	"JSON slashes":        func(s string) string { return strings.ReplaceAll(quoted(s), "/", `\/`) },
	"JSON slashes in a URL": func(s string) string {
		return url.QueryEscape(strings.ReplaceAll(quoted(s), "/", `\/`))
	},
	"JSON all in a URL":         func(s string) string { return url.QueryEscape(jsonAll(s, `\u%04x`)) },
	"JSON in HTML":              func(s string) string { return html.EscapeString(quoted(s)) },
	"HTML in JSON":              func(s string) string { return quoted(html.EscapeString(s)) },
	"JavaScript bytes":          func(s string) string { return each(s, `\x%02x`) },
	"JavaScript braces":         func(s string) string { return eachRune(s, `\u{%x}`) },
	"JavaScript braces, padded": func(s string) string { return eachRune(s, `\u{%08X}`) },
	"JavaScript escape":         func(s string) string { return jsonAll(s, "%%u%04X") },
	"Python":                    func(s string) string { return eachRune(s, `\U%08x`) },
	"octal":                     func(s string) string { return each(s, `\%03o`) },
	"shell": func(s string) string {
		return regexp.MustCompile(`[^A-Za-z0-9]`).ReplaceAllStringFunc(s, func(c string) string { return `\` + c })
	},
	"percent all":            func(s string) string { return each(s, "%%%02x") },
	"percent all, upper":     func(s string) string { return each(s, "%%%02X") },
	"percent all, twice":     func(s string) string { return url.QueryEscape(each(s, "%%%02x")) },
	"percent of percent all": func(s string) string { return each(each(s, "%%%02x"), "%%%02x") },
	"URL, twice":             func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"URL, four times": func(s string) string {
		return url.QueryEscape(url.QueryEscape(url.QueryEscape(url.QueryEscape(s))))
	},
	"URL in HTML":      func(s string) string { return html.EscapeString(url.PathEscape(s)) },
	"URL in JSON all":  func(s string) string { return jsonAll(url.QueryEscape(s), `\u%04x`) },
	"quoted-printable": func(s string) string { return each(s, "=%02X") },
	"quoted-printable, soft breaks": func(s string) string {
		return strings.NewReplacer("=", "=3D", "\x00", "=\r\n").Replace(wrapped(s, 5, "\x00"))
	},
	"base64, cut": func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	"base64, lines": func(s string) string {
		return wrapped(base64.StdEncoding.EncodeToString([]byte(s)), 7, "\n")
	},
	"base64, CRLF": func(s string) string {
		return wrapped(base64.StdEncoding.EncodeToString([]byte(s)), 7, "\r\n")
	},
	"base64, indented": func(s string) string {
		return wrapped(base64.StdEncoding.EncodeToString([]byte(s)), 7, "\n    ")
	},
	"base64, lines in JSON": func(s string) string {
		return wrapped(base64.StdEncoding.EncodeToString([]byte(s)), 7, `\n`)
	},
	"base64, lines in URL": func(s string) string {
		return wrapped(base64.RawURLEncoding.EncodeToString([]byte(s)), 7, `%0D%0A`)
	},
	"base64 in JSON all": func(s string) string {
		return jsonAll(base64.StdEncoding.EncodeToString([]byte(s)), `\u%04x`)
	},
	"base64 in HTML": func(s string) string { return named(base64.StdEncoding.EncodeToString([]byte(s)), ";") },
	"base64 of JSON": func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(quoted(s))) },
	"base64 of URL": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(s)))
	},
	"hex, lines":      func(s string) string { return wrapped(hex.EncodeToString([]byte(s)), 8, "\n") },
	"hex in JSON all": func(s string) string { return jsonAll(fmt.Sprintf("%X", s), `\u%04x`) },
}

var spelledSecrets = []string{
	awkward, "sk-live_51H8xAbCdEf+/0=", "pass", "k%41y&amp;x\\n=3D%",
	"line one\nline \"two\"\n",
}

// TestSpellings has every spelling of awkward secrets masked whole, cut at every place.
func TestSpellings(t *testing.T) {
	for _, secret := range spelledSecrets {
		set := compile(secret)
		for name, write := range writers {
			spelled := write(secret)
			text := "<" + spelled + ">"
			want := "<" + strings.Repeat("*", len(spelled)) + ">"
			if got, n := set.String(text); got != want || n != 1 {
				t.Errorf("%s of %q: %q comes out as %q, %d", name, secret, text, got, n)
				continue
			}
			every := make([]int, len(text))
			for cut := range len(text) {
				every[cut] = cut
				if got, n := streamed(set, text, cut%2 == 0, cut); n != 1 || differs(got, want, text) > 3 {
					t.Fatalf("%s of %q cut at %d: %q comes out as %q, %d", name, secret, cut, text, got, n)
				}
			}
			if got, n := streamed(set, text, true, every...); n != 1 || differs(got, want, text) > 3 {
				t.Errorf("%s of %q byte by byte: %q comes out as %q, %d", name, secret, text, got, n)
			}
		}
	}
}

// spell writes each character of s in a way of its own, and some of that again.
func spell(s string, rng *rand.Rand) string {
	ways := []string{
		"%c", "%c", "%c", "&#%d;", "&#x%x;", "&#X%04X;", `\u%04x`, `\u%04X`, `\x%02x`, `\u{%x}`, "%%%02x",
		"%%%02X", "%%25%02x", "&amp;#%d;", `\\u%04x`, "&percnt;%02x", `%%5Cu%04x`,
	}
	var b strings.Builder
	for _, r := range s {
		way := ways[rng.IntN(len(ways))]
		if r >= 0x80 {
			way = "%c"
		}
		fmt.Fprintf(&b, way, r)
	}
	return b.String()
}

var (
	jsonEscape    = regexp.MustCompile(`\\(u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|x[0-9a-fA-F]{2}|["\\/bfnrt])`)
	percentEscape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
)

// decodeAll decodes a text once, twice and three times, by each kind of decoder and by all of them.
func decodeAll(text string) []string {
	decoders := []func(string) string{
		html.UnescapeString,
		func(s string) string {
			return percentEscape.ReplaceAllStringFunc(s, func(e string) string {
				d, _ := url.PathUnescape(e)
				return d
			})
		},
		func(s string) string {
			return jsonEscape.ReplaceAllStringFunc(s, func(e string) string {
				e = strings.NewReplacer("{", "", "}", "").Replace(e)
				var d string
				if e[1] == 'x' || e[1] == 'u' {
					for len(e) < 6 {
						e = e[:2] + "0" + e[2:]
					}
					e = `\u` + e[len(e)-4:]
				}
				_ = json.Unmarshal([]byte(`"`+e+`"`), &d)
				return d
			})
		},
	}
	all := []string{text}
	for from, round := 0, 0; round < 3; round++ {
		to := len(all)
		for _, s := range all[from:to] {
			for _, d := range decoders {
				if decoded := d(s); decoded != s {
					all = append(all, decoded)
				}
			}
		}
		from = to
	}
	return all
}

// TestMaskKeepsJSON: a JSON text with masks in it is one.
func TestMaskKeepsJSON(t *testing.T) {
	for _, secret := range append(spelledSecrets, "nabcdefg", "u0041bcde") {
		set := compile(secret)
		for _, text := range []string{
			`{"a":"\n` + quoted(secret) + `\n"}`, `{"a":"\` + quoted(secret) + `"}`,
			`{"a":"\\` + quoted(secret) + `\\"}`, `{"a":` + `"{\"b\":\"` + quoted(quoted(secret)) + `\"}"}`,
			`{"a":"` + jsonAll(secret, `\u%04x`) + `"}`,
		} {
			if !json.Valid([]byte(text)) {
				continue
			}
			for cut := range len(text) {
				if got, _ := streamed(set, text, false, cut); !json.Valid([]byte(got)) {
					t.Errorf("cut at %d: %s comes out as %s", cut, text, got)
				}
			}
		}
	}
}

// TestUnmatched has one case for each item of the threat model's list of disguises that are not found: what is found
// after all has to leave that list, and what the list names has to be here.
func TestUnmatched(t *testing.T) {
	const secret = "sk-live_51H8xAbCdEf"
	set := compile(secret)
	reversed := []byte(secret)
	for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
		reversed[i], reversed[j] = reversed[j], reversed[i]
	}
	rot13 := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case 'A' <= r && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, secret)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	w, err := z.Create("key.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, strings.Repeat(secret+"\n", 50))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(secret))
	cases := map[string][]string{ // by the words of the list: the texts, each an answer, message or range of its own
		"its case changed elsewhere": {strings.ToUpper(secret)},
		"reversed":                   {string(reversed)},
		"spaced out":                 {wrapped(secret, 1, " ")},
		"in ROT13 or another cipher": {rot13},
		"hashed":                     {hex.EncodeToString(digest[:]), b64(string(digest[:]))},
		"split over two responses, messages or ranges": {secret[:9], secret[9:]},
		"compressed inside a file":                     {zipped.String()},
		"in base64 three times":                        {b64(b64(b64(secret)))},
		"spelled in more than 256 bytes":               {"&#" + strings.Repeat("0", 300) + "115;" + secret[1:]},
	}
	model, err := os.ReadFile("../../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(strings.Join(strings.Fields(string(model)), " "), "It does not find it with ")
	list, _, found := strings.Cut(list, ". The mask")
	if !found {
		t.Fatal("the threat model has no list of disguises")
	}
	for name, texts := range cases {
		for _, text := range texts {
			if set.Finds(text) {
				t.Errorf("%s is found: the threat model says it is not", name)
			}
		}
		before, after, named := strings.Cut(list, name)
		if !named {
			t.Errorf("the threat model does not name %q", name)
		}
		list = before + after
	}
	if rest := strings.NewReplacer("(a zip in the body)", "", "or with one character", "", ",", "", " ",
		"").Replace(list); rest != "" {
		t.Errorf("the threat model names what has no case here: %q", rest)
	}
	if !set.FindsFolded("X-" + strings.ToUpper(secret)) {
		t.Error("the secret is not found in a header's name, of which the case says nothing")
	}
}

// TestHeldIsBounded: what cannot go on as a secret is not held, and what can is no longer than its spelling.
func TestHeldIsBounded(t *testing.T) {
	set := compile("sk-live_51H8xAbCdEf")
	for _, text := range []string{
		"data: a\n\n", "line\n", "s\n", "c\n", "c=\n", "c=\n\n", "7=\r\n\r\n", `{"a":"b"}`,
		"x=1&y=2 ", "100% ", "a\\nb", strings.Repeat("&#00000", 1000) + " ",
	} {
		st := set.Stream()
		if got := st.Write(nil, []byte(text)); string(got) != text {
			t.Errorf("%.40q: got %.40q at once", text, got)
		}
	}
	for _, endless := range []string{
		"&#" + strings.Repeat("0", 100_000), strings.Repeat("%25", 100_000),
		strings.Repeat(`\`, 100_000), "&" + strings.Repeat("a", 100_000),
	} {
		st := set.Stream()
		st.Write(nil, []byte(endless))
		if st.Held() > 1024 {
			t.Errorf("%.10q: %d bytes are held", endless, st.Held())
		}
	}
}
