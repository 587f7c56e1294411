package boundary

import (
	"encoding/base64"
	"net/url"
	"strings"

	"sallyport/internal/boundary/credential"
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
func Presented(h Header, rawQuery string, slot credential.Slot) (string, *fault.Fault) {
	var found finder
	found.own(h, headerToken)
	found.own(h, "Proxy-Authorization")
	found.slot(h, "Authorization")
	if slot.Header != "" && slot.Header != "Authorization" {
		found.slot(h, slot.Header)
	}
	if slot.Param != "" {
		found.param(rawQuery, slot.Param)
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
