package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TokenLife takes lifetime apart: a JSON pointer into the answer, or how long a token lives whose answer names no time. Both are
// zero where nothing is said.
func (c *Credential) TokenLife() (pointer string, fallback time.Duration) {
	if strings.HasPrefix(c.Lifetime, "/") {
		return c.Lifetime, 0
	}
	fallback, _ = ParseDuration(c.Lifetime)
	return "", fallback
}

// derived checks how a token is obtained.
func (k *checker) derived(s *Service, cred *Credential, key string) {
	if !cred.Derived() {
		return
	}
	k.endpoint(s, key+".token_url", cred.TokenURL)
	k.endpoint(s, key+".authorize_url", cred.AuthorizeURL)
	k.endpoint(s, key+".refresh_url", cred.RefreshURL)
	k.tokenPointer(cred, key)
	k.endpoint(s, key+".api_url", cred.APIURL)
	k.headersOf(key+".token_headers", cred.TokenHeaders)
	k.scopes(cred, key)
	k.lifetime(cred, key)
	k.expiry(cred, key)
	switch cred.Kind {
	case KindClientCredentials:
		k.clientAuth(s, cred, key)
	case KindRefreshToken:
		k.clientAuth(s, cred, key)
		k.providerIssuer(s, cred, key)
		k.pkce(cred, key)
		if cred.RefreshToken.IsZero() && cred.AuthorizeURL == "" {
			k.missing(k.ownerOf(key), "has a credential of kind "+cred.Kind+" with neither refresh_token nor authorize_url", "write authorize_url: https://… and run `sallyport service connect`, or refresh_token: ref+…")
		}
	case KindJWTBearer:
		k.jwtBearer(s, cred, key)
	case KindGitHubApp:
		if id, plain := cred.InstallationID.Plain(); plain && strings.Trim(id, "0123456789") != "" {
			k.fail(key+".installation_id", "is not a number", "it is the last part of the URL of the installation's settings")
		}
	case KindExchange:
		k.exchange(s, cred, key)
	}
}

// providerIssuer wants an issuer as providers have them (RFC 8414 section 2): nothing that iss could never be equal to.
func (k *checker) providerIssuer(s *Service, cred *Credential, key string) {
	issuer, plain := cred.Issuer.Plain()
	if !plain || issuer == "" {
		return
	}
	if strings.HasPrefix(issuer, "/") || strings.ContainsAny(issuer, "?#") {
		k.fail(key+".issuer", "is not an issuer, which is a URL without query and fragment", "write it as the provider's metadata has it, such as https://auth.example.com")
		return
	}
	k.endpoint(s, key+".issuer", issuer)
}

// tokenPointer wants a place within the JSON of a token answer (RFC 6749 section 5.1).
func (k *checker) tokenPointer(cred *Credential, key string) {
	if cred.Token == "" || cred.Kind == KindExchange || cred.Kind == KindGitHubApp {
		return
	}
	if problem := pointerProblem(cred.Token); problem != "" {
		k.fail(key+".token", problem, "write it as /access_token, or /authed_user/access_token for one inside a member")
	} else if strings.HasSuffix(cred.Token, "/") {
		k.fail(key+".token", "ends in a slash, and so names no member", "write it as /access_token")
	}
}

// pkce wants something else to protect the code where PKCE does not (RFC 9700 section 2.1.1).
func (k *checker) pkce(cred *Credential, key string) {
	if cred.PKCE == "off" && cred.Auth == "none" {
		k.fail(key+".pkce", "is off for a client that shows nothing of who it is: whoever sees the code could use it", "leave it out, or write client_secret: ref+builtin://NAME#client_secret")
	}
}

// endpoint wants a URL that a secret may be sent to.
func (k *checker) endpoint(s *Service, key, text string) {
	if text == "" || k.rep.broken[key] {
		return
	}
	u, err := url.Parse(text)
	switch {
	case strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && s.Upstream == nil:
		return // a path of an upstream that is missing
	case inputName.MatchString(text):
		return // an input that is missing
	case err != nil || u.Opaque != "" || u.Host == "" || !isPrintable(text) || u.Scheme != "https" && u.Scheme != "http":
		k.fail(key, "is not a URL", "write https://HOST/PATH, or /PATH for one on the upstream's host")
	case u.User != nil:
		k.fail(key, "holds a user or password", "write them with their own keys, by reference")
	case strings.Contains(text, "#"):
		k.fail(key, "holds a fragment, which is never sent", "")
	case checkHostPort(u) != nil:
		k.fail(key, "has no good host: "+checkHostPort(u).Error(), "")
	case u.Scheme == "http" && !mayBePlain(s, u.Hostname()):
		k.fail(key, "is plain HTTP: what is sent there can be read on the way", "use https; plain HTTP is for loopback, and for hosts of your own whose addresses allow_private names")
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

func (k *checker) scopes(cred *Credential, key string) {
	for _, scope := range cred.Scopes {
		if strings.ContainsAny(scope, " \"\\") {
			k.fail(key+".scopes", "has a scope with a blank or a quote in it", "write each as an entry of its own: [a, b]")
			return
		}
	}
}

func (k *checker) lifetime(cred *Credential, key string) {
	if cred.Lifetime != "" {
		d, err := ParseDuration(cred.Lifetime)
		switch isPointer := strings.HasPrefix(cred.Lifetime, "/"); {
		case isPointer && cred.Kind != KindExchange:
			k.fail(key+".lifetime", "is a JSON pointer, which goes with kind exchange alone", "leave it out: the answer's expires_in is read by itself; or write a duration, such as 2h")
		case isPointer && pointerProblem(cred.Lifetime) != "":
			k.fail(key+".lifetime", pointerProblem(cred.Lifetime), "write it as /expires_in")
		case !isPointer && (err != nil || d < time.Second):
			k.fail(key+".lifetime", "is neither a duration nor a JSON pointer", "write it as 2h, or as /expires_in for a field of the answer")
		}
	}
	if cred.ExpiresAt != "" {
		if problem := pointerProblem(cred.ExpiresAt); problem != "" {
			k.fail(key+".expires_at", problem, "write it as /expires_at")
		} else if strings.HasPrefix(cred.Lifetime, "/") {
			k.fail(key+".expires_at", "stands beside lifetime", "keep the one that the answer has; a duration in lifetime may stay")
		}
	}
}

func (k *checker) expiry(cred *Credential, key string) {
	if cred.ExpiredWhen == nil {
		return
	}
	key += ".expired_when"
	if slices.Contains(cred.ExpiredWhen.Status, 429) {
		k.fail(key+".status", "has 429, which says that there were too many requests: another token does not help", "leave it out")
	}
	if slices.Contains(cred.ExpiredWhen.Status, 403) && cred.ExpiredWhen.Body == nil && k.written[key+".status"] {
		k.warn(key+".status", "has 403: every request that is forbidden for another reason is sent twice", "name the code in the body, if the API sends one: body: {pointer: /code, in: [expired]}")
	}
	body := cred.ExpiredWhen.Body
	if body == nil {
		return
	}
	if problem := pointerProblem(body.Pointer); problem != "" {
		k.missing(key+".body", "has a pointer that "+problem, "write pointer: /code")
	}
	if len(body.In) == 0 {
		k.missing(key+".body", "has no values", "write in: [99991663]")
	}
}

// clientAuth wants what the way of showing who the client is needs, and nothing that it does not use.
func (k *checker) clientAuth(s *Service, cred *Credential, key string) {
	owner := k.ownerOf(key)
	secret, signs := cred.Auth == "basic" || cred.Auth == "post", cred.Auth == "private_key_jwt"
	switch {
	case secret && cred.ClientSecret.IsZero():
		k.missing(owner, "has auth "+cred.Auth+" without client_secret", "write client_secret: ref+builtin://NAME#client_secret")
	case signs && cred.Key.IsZero():
		k.missing(owner, "has auth private_key_jwt without key", "write key: ref+builtin://NAME, a private key in PEM")
	case cred.Auth == "mtls" && s.TLS == nil:
		k.missing(owner, "has auth mtls without a client certificate", "write tls: {cert: ref+…, key: ref+…} beside the credential")
	case cred.Auth == "none" && cred.Kind == KindClientCredentials:
		k.missing(owner, "has a credential of kind "+cred.Kind+" without client_secret or key", "write client_secret: ref+builtin://NAME#client_secret")
	}
	if !secret && !cred.ClientSecret.IsZero() {
		k.fail(key+".client_secret", "does not go with auth "+cred.Auth, "write auth: basic or auth: post")
	}
	for _, f := range []string{"key", "key_id", "alg", "audience"} {
		if cred.Kind != KindJWTBearer && !signs && k.written[key+"."+f] {
			k.fail(key+"."+f, "does not go with auth "+cred.Auth, "write auth: private_key_jwt")
		}
	}
}

func (k *checker) jwtBearer(s *Service, cred *Credential, key string) {
	owner := k.ownerOf(key)
	if cred.ServiceAccount.IsZero() {
		for _, f := range []string{"token_url", "issuer", "key"} {
			if !k.set[key+"."+f] {
				k.missing(owner, "has a credential of kind jwt_bearer without "+f, requiredHint(f, k.cfg.preset(s))+"; or service_account for Google's file")
			}
		}
	} else {
		for _, f := range []string{"key", "key_id", "alg", "issuer"} {
			if k.written[key+"."+f] {
				k.fail(key+"."+f, "stands beside service_account, which holds it", "keep one")
			}
		}
		if len(cred.Scopes) == 0 && len(cred.Claims) == 0 {
			k.missing(owner, "has a service_account without scopes", "write scopes: [https://www.googleapis.com/auth/…], as the API's documentation names them")
		}
	}
	if need := k.cfg.preset(s).Needs["subject"]; need != "" && cred.Subject.IsZero() {
		k.missing(owner, "has a credential of kind jwt_bearer without subject", "write subject: …: "+need)
	}
	switch {
	case cred.Auth == "private_key_jwt":
		k.fail(key+".auth", "is private_key_jwt, and the grant is signed already", "leave it out")
	case !cred.ClientID.IsZero():
		k.clientAuth(s, cred, key)
	case !cred.ClientSecret.IsZero() || cred.Auth != "":
		k.missing(owner, "has a client_secret or auth without client_id", "write client_id, or leave them out")
	}
	for _, name := range sortedKeys(cred.Claims) {
		if slices.Contains([]string{"iss", "sub", "aud", "iat", "exp", "jti", "scope"}, name) {
			k.fail(key+".claims."+name, "is a claim of the grant's own", "write "+map[string]string{"iss": "issuer", "sub": "subject", "aud": "audience", "scope": "scopes"}[name]+" instead, or leave it out")
		}
	}
}

func (k *checker) exchange(s *Service, cred *Credential, key string) {
	switch name, _ := strings.CutPrefix(strings.TrimPrefix(cred.Token, "cookie:"), "header:"); {
	case cred.Token == "", cred.Token == "body":
	case strings.HasPrefix(cred.Token, "header:"), strings.HasPrefix(cred.Token, "cookie:"):
		if !headerName.MatchString(name) {
			k.fail(key+".token", "names no header or cookie", "write it as header:X-Auth-Token")
		}
	default:
		if problem := pointerProblem(cred.Token); problem != "" {
			k.fail(key+".token", problem, "write /access_token for a field of the answer, header:NAME, cookie:NAME, or body for the whole of it")
		}
	}
	r := cred.Request
	if r == nil {
		return
	}
	key += ".request"
	if r.URL == "" {
		k.missing(key, "has no url", "write url: /login, or https://…")
	}
	k.endpoint(s, key+".url", r.URL)
	if r.Method != "" && !isMethod(r.Method) {
		k.fail(key+".method", "is not a method", "write it in capitals, such as POST")
	}
	if r.Method != "" {
		k.methodsOf(key+".method", r.Method)
	}
	if r.JSON != nil && len(r.Form) > 0 {
		k.fail(key+".form", "stands beside json", "a login call has one body")
	}
	if (r.JSON != nil || len(r.Form) > 0) && r.Method == "GET" {
		k.fail(key+".method", "is GET, which has no body", "write method: POST, or query instead of json or form")
	}
	k.headersOf(key+".headers", r.Headers)
	if r.Basic != nil {
		if r.Basic.Username.IsZero() {
			k.missing(key+".basic", "has no username", "write basic: {username: …, password: ref+…}")
		}
		if _, twice := r.Headers["Authorization"]; twice {
			k.fail(key+".basic", "stands beside the header Authorization", "keep one")
		}
	}
}
