package audit

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// appendBody writes the members of a record between "seq" and "mac", without braces.
// It allocates nothing but what dst needs to grow.
func appendBody(dst []byte, kind Kind, ev *Event, now time.Time) []byte {
	if !ev.Time.IsZero() {
		now = ev.Time
	}
	dst = append(dst, `"time":"`...)
	dst = appendTime(dst, now)
	dst = append(dst, `","event":"`...)
	dst = append(dst, kind...)
	dst = append(dst, '"')
	dst = appendWho(dst, ev)
	dst = appendWhat(dst, ev)
	return appendOutcome(dst, ev)
}

func appendWho(dst []byte, ev *Event) []byte {
	dst = appendText(dst, `,"id":"`, ev.ID, maxText)
	dst = appendText(dst, `,"trace":"`, ev.Trace, maxText)
	dst = appendText(dst, `,"token":"`, ev.Token, maxText)
	dst = appendText(dst, `,"label":"`, ev.Label, maxText)
	dst = appendInt(dst, `,"generation":`, int64(ev.Generation))
	dst = appendText(dst, `,"source":"`, ev.Source, maxText)
	dst = appendText(dst, `,"workflow":"`, ev.Workflow, maxText)
	dst = appendText(dst, `,"execution":"`, ev.Execution, maxText)
	dst = appendText(dst, `,"node":"`, ev.Node, maxText)
	dst = appendText(dst, `,"actor":"`, ev.Actor, maxText)
	dst = appendText(dst, `,"action":"`, ev.Action, maxText)
	return appendText(dst, `,"subject":"`, ev.Subject, maxText)
}

func appendWhat(dst []byte, ev *Event) []byte {
	dst = appendText(dst, `,"service":"`, ev.Service, maxText)
	dst = appendText(dst, `,"method":"`, ev.Method, maxText)
	dst = appendText(dst, `,"host":"`, ev.Host, maxHost)
	dst = appendText(dst, `,"path":"`, ev.Path, maxPath)
	dst = appendText(dst, `,"rule":"`, ev.Rule, maxText)
	return appendSecrets(dst, ev.Secrets)
}

func appendOutcome(dst []byte, ev *Event) []byte {
	dst = appendInt(dst, `,"status":`, int64(ev.Status))
	dst = appendText(dst, `,"code":"`, ev.Code, maxText)
	dst = appendText(dst, `,"blame":"`, ev.Blame, maxText)
	dst = appendText(dst, `,"detail":"`, ev.Detail, maxDetail)
	dst = appendInt(dst, `,"bytes_in":`, ev.BytesIn)
	dst = appendInt(dst, `,"bytes_out":`, ev.BytesOut)
	dst = appendInt(dst, `,"gate_us":`, ev.Gate.Microseconds())
	dst = appendInt(dst, `,"upstream_us":`, ev.Upstream.Microseconds())
	dst = appendInt(dst, `,"scrubbed":`, int64(ev.Scrubbed))
	return appendInt(dst, `,"suppressed":`, int64(ev.Suppressed))
}

func appendSecrets(dst []byte, names []string) []byte {
	if len(names) == 0 {
		return dst
	}
	more := len(names) > maxSecrets
	if more {
		names = names[:maxSecrets]
	}
	dst = append(dst, `,"secrets":[`...)
	for i, name := range names {
		open := `,"`
		if i == 0 {
			open = `"`
		}
		dst = append(dst, open...)
		dst = appendClipped(dst, name, maxText)
		dst = append(dst, '"')
	}
	if more {
		dst = append(dst, `,"…"`...)
	}
	return append(dst, ']')
}

// appendText writes one string member; key carries the comma, the name and the opening quote.
func appendText(dst []byte, key, s string, limit int) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, key...)
	dst = appendClipped(dst, s, limit)
	return append(dst, '"')
}

func appendInt(dst []byte, key string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, key...), n, 10)
}

func appendClipped(dst []byte, s string, limit int) []byte {
	if len(s) <= limit {
		return appendEscaped(dst, s)
	}
	cut := limit
	for cut > limit-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return append(appendEscaped(dst, s[:cut]), "…"...)
}

const hexDigits = "0123456789abcdef"

// appendEscaped escapes as encoding/json does without HTML escaping, and beyond it DEL and
// the C1 controls: a line may be shown on a terminal. Invalid UTF-8 becomes U+FFFD.
func appendEscaped(dst []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendEscapedByte(dst, c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if mustEscape(r, size) {
			dst = append(dst, s[from:i]...)
			if r > 0xffff {
				high, low := utf16.EncodeRune(r)
				dst, r = appendUnit(dst, high), low
			}
			dst = appendUnit(dst, r)
			from = i + size
		}
		i += size
	}
	return append(dst, s[from:]...)
}

func appendUnit(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}

// mustEscape: invalid bytes, the C1 controls, the two separators that end a line in JavaScript, and what turns text
// around or hides in it: bidirectional marks, zero-width characters, tags.
func mustEscape(r rune, size int) bool {
	return r == utf8.RuneError && size == 1 || r <= 0x9f || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Cf, r)
}

func appendEscapedByte(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}

// timeWidth is how long the text of a time is, in bytes.
const timeWidth = len("2006-01-02T15:04:05.000000Z")

// appendTime writes 2006-01-02T15:04:05.000000Z, always as wide, so that lines align and sort.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendDigits(dst, year, 4)
	dst = append(dst, '-')
	dst = appendDigits(dst, int(month), 2)
	dst = append(dst, '-')
	dst = appendDigits(dst, day, 2)
	dst = append(dst, 'T')
	dst = appendDigits(dst, hour, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, minute, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, second, 2)
	dst = append(dst, '.')
	dst = appendDigits(dst, t.Nanosecond()/1000, 6)
	return append(dst, 'Z')
}

const zeros = "000000"

func appendDigits(dst []byte, n, width int) []byte {
	start := len(dst)
	dst = append(dst, zeros[:width]...)
	n = max(n, 0) // a year before our era is nobody's request
	for i := start + width - 1; i >= start; i-- {
		dst[i] += byte(n % 10)
		n /= 10
	}
	return dst
}
