package sign

import (
	"net/http"
	"strings"
)

// maxParams is how many parameters of a challenge are read; no scheme has as many.
const maxParams = 32

// challenge is one way to authenticate that a server offers (RFC 9110 section 11.6.1).
type challenge struct {
	scheme string            // in lower case
	params map[string]string // by names in lower case; of a name that stands twice, the first
}

// challenges reads every WWW-Authenticate field. What cannot be read ends the field; what came before it counts.
func challenges(h http.Header) []challenge {
	var all []challenge
	for _, line := range h["Www-Authenticate"] {
		all = append(all, readChallenges(line)...)
	}
	return all
}

// reader is a field that is being read.
type reader struct{ rest string }

func readChallenges(line string) []challenge {
	var all []challenge
	r := reader{line}
	for {
		r.skip(" \t,")
		name := r.token()
		if name == "" {
			return all
		}
		r.skip(" \t")
		if len(all) == 0 || !strings.HasPrefix(r.rest, "=") {
			all = append(all, challenge{strings.ToLower(name), map[string]string{}})
			r.token68()
			continue
		}
		r.rest = r.rest[1:]
		r.skip(" \t")
		value, ok := r.value()
		if !ok {
			return all[:len(all)-1]
		}
		params := all[len(all)-1].params
		if _, twice := params[strings.ToLower(name)]; !twice && len(params) < maxParams {
			params[strings.ToLower(name)] = value
		}
	}
}

func (r *reader) skip(set string) { r.rest = strings.TrimLeft(r.rest, set) }

// token reads RFC 9110's token, or "".
func (r *reader) token() string {
	n := 0
	for n < len(r.rest) && isToken(r.rest[n:n+1]) {
		n++
	}
	token := r.rest[:n]
	r.rest = r.rest[n:]
	return token
}

// token68 passes over what some schemes have in place of parameters: Negotiate YII…==. It ends at a comma or the end,
// where a parameter would go on with its value.
func (r *reader) token68() {
	n := 0
	for n < len(r.rest) && (unreserved(r.rest[n]) || r.rest[n] == '+' || r.rest[n] == '/') {
		n++
	}
	for n < len(r.rest) && r.rest[n] == '=' {
		n++
	}
	if after := strings.TrimLeft(r.rest[n:], " \t"); n > 0 && (after == "" || after[0] == ',') {
		r.rest = after
	}
}

// value reads a token or a quoted-string.
func (r *reader) value() (string, bool) {
	if !strings.HasPrefix(r.rest, `"`) {
		v := r.token()
		return v, v != ""
	}
	var b strings.Builder
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			r.rest = r.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(r.rest):
			i++
			b.WriteByte(r.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
