package credential

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"sallyport/internal/fault"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/secret"
)

// bodyValue dresses the secret for a field of a body, which is text: UTF-8.
func bodyValue(format string, value secret.Value) (string, error) {
	dressed := dress(format, value)
	if !utf8.ValidString(dressed) {
		return "", errors.New("the secret is no UTF-8, which the field of a body has to be")
	}
	return dressed, nil
}

// jsonField sets the member that the steps of a pointer lead to, to a string, and leaves every other byte of the body
// as it is. A member that is there is replaced, one that is missing is put first in its object, with the objects that
// lead to it; an element of an array must be there. An empty body counts as an empty object. A body that is not JSON,
// or in which a name on the way stands twice, so that two readers may read two bodies, is malformed. body is not
// changed.
func jsonField(body []byte, steps jsonpointer.Pointer, value string) ([]byte, *fault.Fault) {
	if len(bytes.Trim(body, jsonBlanks)) == 0 {
		body = []byte("{}")
	}
	if !json.Valid(body) {
		return nil, notThere("is not JSON")
	}
	at := skipBlanks(body, 0)
	for depth, step := range steps {
		var next spot
		var f *fault.Fault
		switch body[at] {
		case '{':
			next, f = findMember(body, at, step)
		case '[':
			next, f = findElement(body, at, step)
		default:
			f = notThere("has neither an object nor an array where the credential's field goes")
		}
		switch {
		case f != nil:
			return nil, f
		case next.missing:
			return splice(body, next.start, next.start, missing(steps[depth:], value, next.alone)), nil
		case depth == len(steps)-1:
			return splice(body, next.start, next.end, quoteJSON(nil, value)), nil
		}
		at = next.start
	}
	return nil, fault.New(fault.Internal, "the credential has no pointer to its field")
}

// notThere is a body that the credential cannot go into. What it says of the body quotes nothing of it.
func notThere(why string) *fault.Fault {
	return fault.New(fault.RequestMalformed, "the request body "+why+", and the credential goes into it")
}

// spot is where a value stands, or where one that is missing goes.
type spot struct {
	start, end int
	missing    bool
	alone      bool // nothing else is in the object
}

// findMember looks for a member of the object that begins at at.
func findMember(body []byte, at int, name string) (spot, *fault.Fault) {
	found := spot{start: at + 1, missing: true, alone: true}
	for i := skipBlanks(body, at+1); body[i] != '}'; {
		found.alone = false
		keyEnd := skipString(body, i)
		isName := sameKey(body[i:keyEnd], name)
		start := skipBlanks(body, skipBlanks(body, keyEnd)+1)
		end := skipValue(body, start)
		if isName {
			if !found.missing {
				return spot{}, notThere("has a name twice on the way to the credential's field")
			}
			found.start, found.end, found.missing = start, end, false
		}
		i = afterComma(body, end)
	}
	return found, nil
}

// sameKey tells whether a quoted key is the name.
func sameKey(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	var key string
	return json.Unmarshal(quoted, &key) == nil && key == name
}

// findElement looks for an element of the array that begins at at.
func findElement(body []byte, at int, index string) (spot, *fault.Fault) {
	n, ok := jsonpointer.Index(index)
	if !ok {
		return spot{}, notThere("has an array where the credential's pointer names a member")
	}
	for i := skipBlanks(body, at+1); body[i] != ']'; n-- {
		end := skipValue(body, i)
		if n == 0 {
			return spot{start: i, end: end}, nil
		}
		i = afterComma(body, end)
	}
	return spot{}, notThere("has an array that is too short for the credential's pointer")
}

// The functions below run over a body that json.Valid has found to be JSON.

const jsonBlanks = " \t\r\n"

func skipBlanks(b []byte, i int) int {
	for i < len(b) && strings.IndexByte(jsonBlanks, b[i]) >= 0 {
		i++
	}
	return i
}

// afterComma is the next member or element, or the bracket at the end.
func afterComma(b []byte, i int) int {
	i = skipBlanks(b, i)
	if b[i] == ',' {
		i = skipBlanks(b, i+1)
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i = skipPlain(b, i)
		}
		if depth == 0 {
			return i
		}
	}
}

// skipPlain passes over a number or a word, or over one character between values.
func skipPlain(b []byte, i int) int {
	if strings.IndexByte(",:"+jsonBlanks, b[i]) >= 0 {
		return i + 1
	}
	for i < len(b) && strings.IndexByte(",:]}"+jsonBlanks, b[i]) < 0 {
		i++
	}
	return i
}

// missing writes the member that is not there, and the objects that lead to the field; a comma if something follows.
func missing(steps []string, value string, alone bool) []byte {
	var b []byte
	for i, step := range steps {
		if i > 0 {
			b = append(b, '{')
		}
		b = append(quoteJSON(b, step), ':')
	}
	b = quoteJSON(b, value)
	b = append(b, strings.Repeat("}", len(steps)-1)...)
	if !alone {
		b = append(b, ',')
	}
	return b
}

// quoteJSON appends a JSON string. Bytes that are no UTF-8 stay as they are: they may be a key's.
func quoteJSON(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func splice(body []byte, start, end int, with []byte) []byte {
	out := make([]byte, 0, len(body)-(end-start)+len(with))
	out = append(out, body[:start]...)
	out = append(out, with...)
	return append(out, body[end:]...)
}

// formField sets a field of a form (application/x-www-form-urlencoded): it takes the place of the first of that name,
// further ones are gone, and where there is none it is appended. Every other byte stays. body is not changed.
func formField(body []byte, name, value string) []byte {
	field := url.QueryEscape(name) + "=" + url.QueryEscape(value)
	if len(body) == 0 {
		return []byte(field)
	}
	out := make([]byte, 0, len(body)+len(field)+1)
	written, first := false, true
	put := func(pair []byte) {
		if !first {
			out = append(out, '&')
		}
		first = false
		out = append(out, pair...)
	}
	for pair := range bytes.SplitSeq(body, []byte("&")) {
		key, _, _ := bytes.Cut(pair, []byte("="))
		decoded, err := url.QueryUnescape(string(key))
		switch isOurs := err == nil && decoded == name; {
		case !isOurs:
			put(pair)
		case !written:
			put([]byte(field))
			written = true
		}
	}
	if !written {
		put([]byte(field))
	}
	return out
}
