package boundary

import (
	"encoding/base64"
	"net/url"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

// Header names that are Sallyport's own. Everything that begins with headerPrefix is removed in both directions.
const (
	headerPrefix    = "X-Sallyport-"
	headerToken     = "X-Sallyport-Token"
	headerWorkflow  = "X-Sallyport-Workflow"
	headerExecution = "X-Sallyport-Execution"
	headerNode      = "X-Sallyport-Node"
	headerRequestID = "X-Sallyport-Request-Id"
	tokenPrefix     = "spt_"
)

// Presented finds the one proxy token of a request: in X-Sallyport-Token, in Proxy-Authorization, or in the slot where the
// service's own credential goes (Authorization is always looked at). A value in the first two is a token whatever it looks
// like; elsewhere only what begins with spt_ is. Two different tokens in one request are refused.
func Presented(h Header, rawQuery string, slots []credential.Slot) (string, *fault.Fault) {
	return presented(h, rawQuery, slots, "")
}

// presented is Presented with what was found in the path already.
func presented(h Header, rawQuery string, slots []credential.Slot, inPath string) (string, *fault.Fault) {
	found := finder{token: inPath}
	found.own(h, headerToken)
	found.own(h, "Proxy-Authorization")
	found.slot(h, "Authorization")
	for i := range slots {
		found.in(h, rawQuery, &slots[i])
	}
	switch {
	case found.clash:
		return "", fault.New(fault.TokenInvalid, "the request carries more than one proxy token, or a doubled token header")
	case found.token != "":
		return found.token, nil
	case found.foreign:
		return "", fault.New(fault.TokenMissing, "the request carries a credential, but it is not a Sallyport proxy token (spt_…)")
	}
	return "", fault.New(fault.TokenMissing, "the request carries no proxy token")
}

// defaultSlots are where a token is looked for when the service is unknown.
//
//nolint:gochecknoglobals // a constant table
var defaultSlots = []credential.Slot{service.DefaultSlot}

// tokenInPath finds a token where a service's credential stands in the path (/botspt_…/getMe), and returns the path without.
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

type finder struct {
	token          string
	foreign, clash bool
}

func (f *finder) add(token string) {
	if f.token != "" && f.token != token {
		f.clash = true
	}
	f.token = token
}

// own looks at a header that carries nothing but proxy tokens.
func (f *finder) own(h Header, name string) {
	values := h.Values(name)
	if len(values) == 0 {
		return
	}
	if f.clash = f.clash || len(values) > 1; f.clash {
		return
	}
	if t := undress(values[0]); t != "" {
		f.add(t)
	} else {
		f.clash = true
	}
}

// slot looks at a header that may carry the caller's own credential instead.
func (f *finder) slot(h Header, name string) {
	values := h.Values(name)
	for _, v := range values {
		if t := undress(v); strings.HasPrefix(t, tokenPrefix) {
			f.clash = f.clash || len(values) > 1
			f.add(t)
		} else if v != "" {
			f.foreign = true
		}
	}
}

// in looks where one of the service's credentials goes.
func (f *finder) in(h Header, rawQuery string, slot *credential.Slot) {
	if slot.Header != "" && slot.Header != "Authorization" {
		f.slot(h, slot.Header)
	}
	if slot.Param != "" {
		f.param(rawQuery, slot.Param)
	}
	if slot.Cookie == "" {
		return
	}
	for _, value := range credential.Cookies(h.Values("Cookie"), slot.Cookie) {
		if strings.HasPrefix(value, tokenPrefix) {
			f.add(value)
		}
	}
}

func (f *finder) param(rawQuery, name string) {
	for part := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(part, "=")
		if paramIs(key, name) && strings.HasPrefix(value, tokenPrefix) {
			f.add(value)
		}
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

// undress takes the token out of "Bearer t", "Token t", "Basic base64(t:)" or "Basic base64(user:t)", or "t" itself.
func undress(value string) string {
	scheme, rest, dressed := strings.Cut(value, " ")
	if !dressed {
		return value
	}
	if !strings.EqualFold(scheme, "Basic") {
		return value[strings.LastIndexByte(value, ' ')+1:]
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return ""
	}
	user, password, _ := strings.Cut(string(plain), ":")
	if strings.HasPrefix(user, tokenPrefix) || password == "" {
		return user
	}
	return password
}
