package config

import (
	"maps"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
	"sallyport/internal/jsonpointer"
)

// Header wants the name of a header that a credential can go into.
func (r *CredentialReport) Header(key, name string) {
	if problem := headerProblem(name); name != "" && problem != "" {
		r.Fail(key, problem, "name the header that the API's documentation names for the key")
	}
}

// HeaderProblem says why a header cannot be set, or "".
func (*CredentialReport) HeaderProblem(name string) string { return headerProblem(name) }

// IsToken tells names of headers and cookies (RFC 9110 section 5.6.2).
func (*CredentialReport) IsToken(name string) bool { return notation.IsToken(name) }

// Param wants the name of a query parameter.
func (r *CredentialReport) Param(key, name string) {
	if name != "" && strings.ContainsFunc(name, func(c rune) bool {
		return !notation.IsAlnum(c) && !strings.ContainsRune("._~-[]$", c)
	}) {
		r.Fail(key, "is not a plain parameter name", "write the name alone, such as param: key")
	}
}

// Cookie wants the name of a cookie.
func (r *CredentialReport) Cookie(key, name string) {
	if name != "" && !notation.IsToken(name) {
		r.Fail(key, "is not the name of a cookie", "write the name alone, such as cookie: session")
	}
}

// Format wants one {secret} and no other braces.
func (r *CredentialReport) Format(key, format, example string) {
	rest := strings.Replace(format, "{secret}", "", 1)
	switch {
	case format == "":
	case rest == format:
		r.Fail(key, "has no {secret} in it", "write it as "+example)
	case strings.ContainsAny(rest, "{}"):
		r.Fail(key, "has braces beside the one {secret}", "write it as "+example)
	}
}

// PointerProblem says why a JSON pointer is none to a member, or "".
func (*CredentialReport) PointerProblem(pointer string) string {
	switch _, err := jsonpointer.Parse(pointer); {
	case err != nil:
		return err.Error()
	case pointer == "/":
		return "leads to no member"
	}
	return ""
}

// Pointer wants a JSON pointer to a member.
func (r *CredentialReport) Pointer(key, pointer, hint string) (good bool) {
	if pointer == "" {
		return true
	}
	problem := r.PointerProblem(pointer)
	if problem != "" {
		r.Fail(key, problem, hint)
	}
	return problem == ""
}

// Method wants the method of a call of the gate's own.
func (r *CredentialReport) Method(key, method string) {
	if method == "" {
		return
	}
	if !notation.IsMethod(method) {
		r.Fail(key, "is not a method", "write it in capitals, such as POST")
	}
	if doubt, hint := notation.MethodDoubt(method); doubt != "" && notation.IsMethod(method) {
		r.Warn(key, doubt, hint)
	}
}

// Headers wants the headers of a call of the gate's own, which may be any but those of the connection.
func (r *CredentialReport) Headers(key string, headers map[string]Text) {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !notation.IsToken(name):
			r.Fail(key+"."+name, "is not a header name", "")
		case slices.Contains([]string{
			"Connection", "Content-Length", "Host", "Transfer-Encoding", "Upgrade", "Te",
			"Trailer",
		}, canonical):
			r.Fail(key+"."+name, "is a header of the connection, which is not set by hand", "leave it out")
		case seen[canonical]:
			r.Fail(key+"."+name, "stands there twice, in another case", "keep one")
		}
		seen[canonical] = true
	}
}

// Names are the names of a map, sorted.
func (*CredentialReport) Names(m map[string]Text) []string { return slices.Sorted(maps.Keys(m)) }

// Shown is a text for a message, if it cannot be a secret; "…" else.
func (*CredentialReport) Shown(text string) string { return strings.Trim(wording.Show(text), `"`) }

// Endpoint wants a URL that a secret may be sent to.
func (r *CredentialReport) Endpoint(key, text string) {
	if text == "" || r.ground.broken(key) {
		return
	}
	u, err := url.Parse(text)
	switch {
	case strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && r.Around.Upstream == nil:
		return // a path of an upstream that is missing
	case inputName.MatchString(text):
		return // an input that is missing
	case err != nil || u.Opaque != "" || u.Host == "" || !notation.IsPrintable(text) || u.Scheme != "https" &&
		u.Scheme != "http":
		r.Fail(key, "is not a URL", "write https://HOST/PATH, or /PATH for one on the upstream's host")
	case u.User != nil:
		r.Fail(key, "holds a user or password", "write them with their own keys, by reference")
	case strings.Contains(text, "#"):
		r.Fail(key, "holds a fragment, which is never sent", "")
	case notation.CheckHostPort(u) != nil:
		r.Fail(key, "has no good host: "+notation.CheckHostPort(u).Error(), "")
	case u.Scheme == "http" && !mayBePlain(r.Around.AllowPrivate, u.Hostname()):
		r.Fail(key, "is plain HTTP: what is sent there can be read on the way",
			"use https; plain HTTP is for loopback, and for hosts of your own whose addresses allow_private names")
	}
}

// mayBePlain tells the hosts that may be talked to without TLS.
func mayBePlain(private []netip.Prefix, host string) bool {
	if isLoopback(host) {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return covers(private, addr)
	}
	return len(private) > 0 && isInternal(host)
}
