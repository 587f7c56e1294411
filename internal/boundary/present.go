package boundary

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

// Header names that are Sallyport's own. Everything that begins with headerPrefix is removed in both directions.
const (
	headerPrefix    = "X-Sallyport-"
	HeaderToken     = "X-Sallyport-Token"
	HeaderWorkflow  = "X-Sallyport-Workflow"
	HeaderExecution = "X-Sallyport-Execution"
	HeaderNode      = "X-Sallyport-Node"
	headerRequestID = "X-Sallyport-Request-Id"
	tokenPrefix     = "spt_"
)

// finder is what find saw of a request.
type finder struct {
	token   string
	rest    string // the path without the token
	clash   bool   // more than one token, or something that cannot be read as one
	foreign bool   // a credential that is no proxy token stands in a slot
	slot    bool   // a token does
	proxied bool   // the token stands in Proxy-Authorization
}

// find looks for the one proxy token of a request: in X-Sallyport-Token, in Proxy-Authorization, or in the slot where
// the service's own credential goes (Authorization is always looked at). A value in the first two is a token whatever
// it looks like; elsewhere only what begins with spt_ is. Two different tokens in one request are refused.
func find(v *View, slots []credential.Slot) finder {
	var f finder
	f.token, f.rest = tokenInPath(v.Path, slots)
	f.slot = f.token != ""
	f.own(v.Header, HeaderToken)
	f.proxied = f.own(v.Header, "Proxy-Authorization")
	f.header(v.Header, "Authorization")
	for i := range slots {
		f.in(v, &slots[i])
	}
	return f
}

// findAnywhere is find for a service that is unknown, of which nobody can say where its credential goes: a token counts
// wherever it stands in the header or the query. A client of some API that has the wrong name of its service is told
// so, and not something about a proxy.
func findAnywhere(v *View) finder {
	f := find(v, defaultSlots)
	if f.token != "" || f.clash {
		return f
	}
	for name, values := range v.Header.All() {
		switch {
		case strings.HasPrefix(name, headerPrefix):
		case slices.ContainsFunc(values, func(value string) bool {
			return strings.HasPrefix(undress(value), tokenPrefix)
		}):
			f.header(v.Header, name)
		default:
			f.foreign = f.foreign || namesCredential(name)
		}
	}
	for part := range strings.SplitSeq(v.RawQuery, "&") {
		if _, value, _ := strings.Cut(part, "="); strings.HasPrefix(value, tokenPrefix) {
			f.value(value)
		}
	}
	return f
}

// namesCredential tells the headers in which APIs want their keys from others: X-Api-Key, X-Goog-Api-Key, X-Auth-Token,
// …
func namesCredential(header string) bool {
	name := strings.ToLower(header)
	return strings.HasSuffix(name, "key") || strings.HasSuffix(name, "token") || strings.HasSuffix(name, "secret")
}

// verdict is nil when there is one token to verify.
func (f *finder) verdict() *fault.Fault {
	switch {
	case f.clash:
		return fault.New(fault.TokenInvalid,
			"the request carries more than one proxy token, or a token header that cannot be read as one")
	case f.token != "":
		return nil
	case f.foreign:
		return fault.New(fault.TokenMissing,
			"the request carries a credential, but it is not a Sallyport proxy token (spt_…)")
	}
	return fault.New(fault.TokenMissing, "the request carries no proxy token")
}

// inSlot tells whether the request comes from a client of the API and not of a proxy: it fills the place of the API's
// own key, with a token or with anything else, and does not speak to a proxy. Such a client knows 401 and not 407.
func (f *finder) inSlot() bool { return (f.slot || f.foreign) && !f.proxied }

// defaultSlots are where a token is looked for when the service is unknown.
//
//nolint:gochecknoglobals // a constant table
var defaultSlots = []credential.Slot{service.DefaultSlot}

// tokenInPath finds a token where a service's credential stands in the path (/botspt_…/getMe), and returns the path
// without.
func tokenInPath(path string, slots []credential.Slot) (token, rest string) {
	for i := range slots {
		before, after, _ := strings.Cut(slots[i].Path, "{secret}")
		if slots[i].Path == "" || !strings.HasPrefix(path, before+tokenPrefix) {
			continue
		}
		end := len(before)
		for end < len(path) && isTokenByte(path[end]) {
			end++
		}
		rest, ok := strings.CutPrefix(path[end:], after)
		if ok && rest == "" {
			rest = "/"
		}
		if ok && rest[0] == '/' {
			return path[len(before):end], rest
		}
	}
	return "", path
}

func (f *finder) add(token string) {
	if f.token != "" && f.token != token {
		f.clash = true
	}
	f.token = token
}

// own looks at a header that carries nothing but proxy tokens, and tells whether it is there.
func (f *finder) own(h Header, name string) bool {
	values := h.Values(name)
	if len(values) == 0 {
		return false
	}
	if f.clash = f.clash || len(values) > 1; f.clash {
		return true
	}
	if t := undress(values[0]); t != "" {
		f.add(t)
	} else {
		f.clash = true
	}
	return true
}

// header looks at a header that may carry the caller's own credential instead.
func (f *finder) header(h Header, name string) {
	values := h.Values(name)
	for _, v := range values {
		switch t := undress(v); {
		case strings.HasPrefix(t, tokenPrefix):
			f.clash = f.clash || len(values) > 1
			f.slot = true
			f.add(t)
		case mentionsToken(v):
			f.slot, f.clash = true, true
		case v != "":
			f.foreign = true
		}
	}
}

// value looks at a value of a place other than a header.
func (f *finder) value(v string) {
	switch {
	case strings.HasPrefix(v, tokenPrefix):
		f.slot = true
		f.add(v)
	case v != "":
		f.foreign = true
	}
}

// in looks where one of the service's credentials goes.
func (f *finder) in(v *View, slot *credential.Slot) {
	if slot.Header != "" && slot.Header != "Authorization" {
		f.header(v.Header, slot.Header)
	}
	if slot.Param != "" {
		for part := range strings.SplitSeq(v.RawQuery, "&") {
			if key, value, _ := strings.Cut(part, "="); paramIs(key, slot.Param) {
				f.value(value)
			}
		}
	}
	if slot.Cookie != "" {
		for _, value := range credential.Cookies(v.Header.Values("Cookie"), slot.Cookie) {
			f.value(value)
		}
	}
	if before, _, _ := strings.Cut(slot.Path, "{secret}"); before != "" && f.rest == v.Path {
		after, below := strings.CutPrefix(v.Path, before)
		f.foreign = f.foreign || below && before != "/" && after != "" // /bot123456:AAE…/getMe: the API's own key
	}
}

// paramIs compares an escaped parameter name with a plain one.
func paramIs(escaped, name string) bool {
	if escaped == name {
		return true
	}
	if !strings.ContainsAny(escaped, "%+") {
		return false
	}
	plain, err := url.QueryUnescape(escaped)
	return err == nil && plain == name
}

// undress takes the token out of "Bearer t", "Token t", "Token token=t", "Basic base64(t:)" or "Basic base64(user:t)",
// or "t" itself. It returns "" for what cannot be one token: a list ("a, b") must not be read as its last member.
func undress(value string) string {
	scheme, rest, dressed := strings.Cut(value, " ")
	if !dressed {
		return value
	}
	rest = strings.Trim(rest, " \t")
	switch {
	case !isScheme(scheme):
		return ""
	case strings.EqualFold(scheme, "Basic"):
		return undressBasic(rest)
	case strings.ContainsAny(rest, " \t,"):
		return ""
	}
	if t, named := strings.CutPrefix(rest, "token="); named { // PagerDuty's way
		return strings.Trim(t, `"`)
	}
	return rest
}

// isScheme wants the name of an authentication scheme, which no token is.
func isScheme(s string) bool {
	for _, c := range []byte(s) {
		if !isTokenByte(c) && c != '-' {
			return false
		}
	}
	return s != "" && !strings.HasPrefix(s, tokenPrefix)
}

// undressBasic takes the token out of either half of a pair; two that differ come back as no token can look like.
func undressBasic(encoded string) string {
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	user, password, _ := strings.Cut(string(plain), ":")
	switch {
	case password == "" || user == password:
		return user
	case strings.HasPrefix(user, tokenPrefix) && strings.HasPrefix(password, tokenPrefix):
		return user + ":" + password
	case strings.HasPrefix(user, tokenPrefix):
		return user
	}
	return password
}

// mentionsToken tells whether something that begins like a token stands anywhere in s.
func mentionsToken(s string) bool {
	for from := 0; ; {
		i := strings.Index(s[from:], tokenPrefix)
		if i < 0 {
			return false
		}
		if i += from; i == 0 || !isTokenByte(s[i-1]) {
			return true
		}
		from = i + len(tokenPrefix)
	}
}

// hideTokens cuts whatever looks like a proxy token out of what a caller sent, before it is recorded.
func hideTokens(s string) string {
	for from := 0; ; {
		i := strings.Index(s[from:], tokenPrefix)
		if i < 0 {
			return s
		}
		i += from + len(tokenPrefix)
		end := i
		for end < len(s) && isTokenByte(s[end]) {
			end++
		}
		s, from = s[:i]+"…"+s[end:], i
	}
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}
