package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/config/preset"
)

func (k *checker) service(name string) {
	s, key := k.cfg.Services[name], "services."+name
	k.upstream(s, key)
	k.credential(s, key)
	k.caFile(key+".ca_file", s.CAFile)
	if s.ServerName != "" && !isHost(s.ServerName) {
		k.fail(key+".server_name", "is not a host name", "write the name alone, such as api.internal")
	}
	if s.Limits.Burst > 0 && s.Limits.Rate.IsZero() {
		k.fail(key+".limits.burst", "has no rate beside it", "add rate, such as rate: 50/s")
	}
	k.allow(s, key)
	k.private(s, key+".allow_private")
	k.fixedHeaders(s, key)
	k.test(s, key+".test")
}

func (k *checker) upstream(s *Service, key string) {
	if s.Upstream == nil {
		p, known := preset.Lookup(s.Preset)
		switch {
		case s.Preset == "":
			k.missing(key, "has neither preset nor upstream", "write upstream: https://…, or preset: NAME (docs/presets.md)")
		case known:
			k.missing(key, "needs an upstream, because each customer of "+p.Title+" has one of their own", "write upstream: "+p.UpstreamEg)
		}
		return
	}
	host := s.Upstream.Hostname()
	if s.Upstream.Scheme == "http" && !isInternal(host) {
		k.warn(key+".upstream", "is plain HTTP to a public host: the credential can be read on the way", "use https if the API offers it")
	}
	if s.Upstream.Scheme == "http" && (s.CAFile != "" || s.ServerName != "") {
		k.warn(key+".upstream", "is plain HTTP, so ca_file and server_name have no effect", "")
	}
	if addr, err := netip.ParseAddr(host); err == nil && !isPublic(addr) && !covers(s.AllowPrivate, addr) {
		k.warn(key+".upstream", "is an address that is not public, and allow_private does not name it: every call will be refused", fmt.Sprintf("add allow_private: [%s]", netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())))
	}
}

// isInternal tells hosts that are plainly not on the internet: addresses that are not public, names without a dot, and the
// top-level domains that are never delegated.
func isInternal(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return !isPublic(addr)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc([]string{".internal", ".local", ".localhost", ".lan", ".home.arpa", ".test"}, func(tld string) bool { return strings.HasSuffix(host, tld) })
}

// isPublic is a rough answer for warnings only; the dialer has the exact one.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !netip.MustParsePrefix("100.64.0.0/10").Contains(addr)
}

func covers(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// kindFields is what each kind of credential takes beside kind.
func kindFields(kind string) (allowed, required []string) {
	switch kind {
	case KindBearer:
		return []string{"secret", "format"}, []string{"secret"}
	case KindHeader:
		return []string{"secret", "header", "format"}, []string{"secret", "header"}
	case KindBasic:
		return []string{"secret", "username", "username_secret"}, []string{"secret"}
	case KindQuery:
		return []string{"secret", "param", "format"}, []string{"secret", "param"}
	}
	return nil, nil
}

func (k *checker) credential(s *Service, owner string) {
	key, cred := owner+".credential", &s.Credential
	if cred.Kind == "" {
		k.missing(owner, "has no credential", "write secret: ref+builtin://NAME, or credential: {kind: none} if the API wants none")
		return
	}
	allowed, required := kindFields(cred.Kind)
	for _, f := range []string{"secret", "header", "param", "username", "username_secret", "format"} {
		fromFile := k.cfg.has(key+"."+f) && k.cfg.places[key+"."+f].from == ""
		if fromFile && !slices.Contains(allowed, f) {
			k.fail(key+"."+f, "does not go with kind "+cred.Kind, kindHint(cred.Kind, allowed))
		}
	}
	for _, f := range required {
		if !k.cfg.has(key + "." + f) {
			k.missing(owner, "has a credential of kind "+cred.Kind+" without "+f, requiredHint(f))
		}
	}
	k.username(s, owner)
	k.placement(cred, key)
	k.ref(key+".secret", cred.Secret.Store)
	k.ref(key+".username_secret", cred.UsernameSecret.Store)
}

func kindHint(kind string, allowed []string) string {
	if len(allowed) == 0 {
		return "kind " + kind + " takes no other keys"
	}
	return "kind " + kind + " takes " + strings.Join(allowed, ", ")
}

func requiredHint(f string) string {
	return map[string]string{
		"secret": "write secret: ref+builtin://NAME",
		"header": "name the header, such as header: X-API-Key",
		"param":  "name the query parameter, such as param: key",
	}[f]
}

func (k *checker) username(s *Service, owner string) {
	cred, key := &s.Credential, owner+".credential"
	if cred.Kind != KindBasic {
		return
	}
	switch {
	case cred.Username != "" && !cred.UsernameSecret.IsZero():
		k.fail(key+".username", "stands beside username_secret", "keep one")
	case strings.Contains(cred.Username, ":"):
		k.fail(key+".username", "has a colon, which basic authentication cannot carry (RFC 7617)", "")
	case cred.Username == "" && cred.UsernameSecret.IsZero():
		hint := "write username: NAME, or username_secret: ref+…"
		if p, ok := preset.Lookup(s.Preset); ok && p.UsernameNeeds != "" {
			hint = "write credential: {username: …}: " + p.UsernameNeeds
		}
		k.missing(owner, "has a credential of kind basic without a user", hint)
	}
}

// placement checks the header, the parameter and the format.
func (k *checker) placement(cred *Credential, key string) {
	if cred.Header != "" {
		if problem := headerProblem(cred.Header); problem != "" {
			k.fail(key+".header", problem, "name the header that the API's documentation names for the key")
		}
	}
	if cred.Param != "" && strings.ContainsFunc(cred.Param, func(r rune) bool { return !isAlnum(r) && !strings.ContainsRune("._~-[]$", r) }) {
		k.fail(key+".param", "is not a plain parameter name", "write the name alone, such as param: key")
	}
	if cred.Format == "" {
		return
	}
	rest := strings.Replace(cred.Format, "{secret}", "", 1)
	switch {
	case rest == cred.Format:
		k.fail(key+".format", "has no {secret} in it", `write it as "Token {secret}"`)
	case strings.ContainsAny(rest, "{}"):
		k.fail(key+".format", "has braces beside the one {secret}", `write it as "Token {secret}"`)
	}
}

// headerProblem says why a header cannot be set by a service.
func headerProblem(name string) string {
	lower := strings.ToLower(name)
	switch {
	case !headerName.MatchString(name):
		return "is not a header name"
	case strings.HasPrefix(lower, "x-sallyport-"), strings.HasPrefix(lower, "proxy-"):
		return "is a header between the caller and Sallyport, which never goes to an API"
	case slices.Contains([]string{"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}, lower):
		return "is a header of the connection (hop-by-hop), not of the request"
	case slices.Contains([]string{"host", "content-length", "content-type", "content-encoding", "expect", "date", "via", "forwarded", "accept-encoding"}, lower):
		return "is a header that HTTP itself gives a meaning, not one for a service to set"
	case slices.Contains([]string{"cookie", "set-cookie"}, lower):
		return "is the cookie header; credentials in cookies come with a later version"
	}
	return ""
}

// fixedHeaders keeps credentials and nonsense out of headers.
func (k *checker) fixedHeaders(s *Service, owner string) {
	for _, name := range sortedKeys(s.Headers) {
		key := owner + ".headers." + name
		if problem := headerProblem(name); problem != "" {
			k.fail(key, problem, "")
			continue
		}
		if carriesCredential(name) || strings.EqualFold(name, s.Credential.Header) {
			k.fail(key, "is where a credential goes", "use credential, with the secret by reference")
		}
	}
}

func carriesCredential(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{"authorization", "api-key", "apikey", "token", "secret", "password"}, func(part string) bool { return strings.Contains(lower, part) })
}

// allow warns of rules that stand twice.
func (k *checker) allow(s *Service, owner string) {
	key := owner + ".allow"
	seen := map[string]bool{}
	for i, rule := range s.Allow {
		if text := rule.String(); seen[text] {
			k.warn(fmt.Sprintf("%s.%d", key, i), "stands there already", "")
		} else {
			seen[text] = true
		}
	}
}

func (k *checker) private(s *Service, key string) {
	for i, p := range s.AllowPrivate {
		at := fmt.Sprintf("%s.%d", key, i)
		switch {
		case p.Bits() == 0:
			k.fail(at, "is every address there is", "name the networks that the service needs")
		case p.Addr().Is4() && p.Bits() < 8, p.Addr().Is6() && p.Bits() < 32:
			k.warn(at, "is a very wide network", "name the hosts that the service needs")
		case p.Overlaps(netip.MustParsePrefix("169.254.169.254/32")), p.Overlaps(netip.MustParsePrefix("fd00:ec2::254/128")):
			k.warn(at, "holds the address of the cloud's metadata service, which gives out credentials", "name the hosts that the service needs")
		}
	}
}

func (k *checker) test(s *Service, key string) {
	if s.Test == nil {
		return
	}
	if !isMethod(s.Test.Method) {
		k.fail(key+".method", "is not a method", "write it in capitals, such as GET")
	}
	if s.Test.Path == "" {
		k.missing(key, "has no path", "write a path below the upstream's, such as path: /v1/models")
		return
	}
	if !strings.HasPrefix(s.Test.Path, "/") || !isPrintable(s.Test.Path) || strings.Contains(s.Test.Path, "#") {
		k.fail(key+".path", "is not a path", "write it as /models or /models?limit=1")
	}
}
