package config

import (
	"net/netip"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/preset"
	"sallyport/internal/config/wording"
	"sallyport/internal/jsonpointer"
)

// CredentialReport takes what is wrong with the settings of a credential, as secret.Report does: a key is dotted and
// counts from the settings, a message goes on after the key's name, and neither ever quotes a value that may be a
// secret. The other methods check what many kinds have, and leave out what is empty.
type CredentialReport struct {
	settingsReport

	Service *Service // whose credential it is
	Kind    string   // of the credential

	preset *preset.Preset
}

// Missing reports what the credential lacks: the message goes on after the service's name.
func (r *CredentialReport) Missing(message, hint string) {
	r.missing(r.ownerOf(r.owner), message, hint)
}

// Lacks reports a key that has to be there, with what the declaration and the preset say of it.
func (r *CredentialReport) Lacks(key string) { r.LacksOr(key, "") }

// LacksOr is Lacks for a key beside which there is another way, which or says.
func (r *CredentialReport) LacksOr(key, or string) {
	r.Missing("has a credential of kind "+r.Kind+" without "+key, r.hint(key)+or)
}

func (r *CredentialReport) hint(key string) string {
	m, _ := r.cfg.kinds.familyOf(reflect.TypeFor[Credential]()).Named(r.Kind)
	keys := m.Keys()
	hint := ""
	if i := declare.IndexOf(keys, key); i >= 0 {
		if hint = keys[i].Needed; hint == "" {
			hint = "write " + key + ": " + keys[i].Eg
		}
	}
	if what := r.preset.Needs[key]; what != "" {
		hint += ": " + what
	}
	return hint
}

// Needs is what the preset says of a key that the user has to give; "" where it says nothing.
func (r *CredentialReport) Needs(key string) string { return r.preset.Needs[key] }

// UsernameNeeds is what the preset says of the user's name.
func (r *CredentialReport) UsernameNeeds() string { return r.preset.UsernameNeeds }

// Written tells whether a person has set a key, and not a preset or a default.
func (r *CredentialReport) Written(key string) bool { return r.written[r.at(key)] }

// Set tells whether a key is set, by whatever means.
func (r *CredentialReport) Set(key string) bool { return r.set[r.at(key)] }

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
	r.methodsOf(r.at(key), method)
}

// Headers wants the headers of a call of the gate's own, which may be any but those of the connection.
func (r *CredentialReport) Headers(key string, headers map[string]notation.Text) {
	seen := map[string]bool{}
	for _, name := range sortedKeys(headers) {
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
func (*CredentialReport) Names(m map[string]notation.Text) []string { return sortedKeys(m) }

// Shown is a text for a message, if it cannot be a secret; "…" else.
func (*CredentialReport) Shown(text string) string { return strings.Trim(wording.Show(text), `"`) }

// Endpoint wants a URL that a secret may be sent to.
func (r *CredentialReport) Endpoint(key, text string) {
	if text == "" || r.rep.Broken[r.at(key)] {
		return
	}
	u, err := url.Parse(text)
	switch {
	case strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && r.Service.Upstream == nil:
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
	case u.Scheme == "http" && !mayBePlain(r.Service, u.Hostname()):
		r.Fail(key, "is plain HTTP: what is sent there can be read on the way",
			"use https; plain HTTP is for loopback, and for hosts of your own whose addresses allow_private names")
	}
}

// mayBePlain tells the hosts that may be talked to without TLS.
func mayBePlain(s *Service, host string) bool {
	if isLoopback(host) {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return covers(s.AllowPrivate, addr)
	}
	return len(s.AllowPrivate) > 0 && isInternal(host)
}
