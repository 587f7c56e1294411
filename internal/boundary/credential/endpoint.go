package credential

import (
	"strings"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
	"sallyport/internal/secret"
)

// Endpoint is embedded by kinds with a token endpoint of OAuth 2.0: the client, and what the call has beside it. The
// endpoint's URL and the client's id are the kind's own, which says whether they have to be there.
type Endpoint struct {
	ClientSecret secret.Ref             `yaml:"client_secret" eg:"ref+builtin://crm#client_secret" doc:"The client's secret, for auth basic and post."`
	Auth         string                 `yaml:"auth" enum:"basic post private_key_jwt mtls none" doc:"How the client shows who it is: basic (header), post (form), private_key_jwt (an assertion that it signs with key), mtls (the service's tls), none (a public client). Default: basic with a client_secret, private_key_jwt with a key, mtls with the service's tls, else none."`
	Key          secret.Ref             `yaml:"key" eg:"ref+builtin://crm#private_key" doc:"The private key that signs assertions, PEM."`
	KeyID        config.Text            `yaml:"key_id" eg:"2026-01" doc:"Its id (kid), where the API asks for one."`
	Alg          string                 `yaml:"alg" enum:"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA" doc:"The algorithm. Default: RS256 for an RSA key, that of its curve for another."`
	Audience     config.Text            `yaml:"audience" eg:"https://login.example.com" doc:"To whom an assertion is (aud). Default: token_url."`
	Scopes       []string               `yaml:"scopes" inputs:"plain" eg:"[contacts.read]" doc:"The scopes to ask for."`
	Params       map[string]config.Text `yaml:"params" free:"true" keys:"text" eg:"{audience: https://api.example.com}" doc:"Further parameters for the token endpoint."`
	TokenHeaders map[string]config.Text `yaml:"token_headers" free:"true" keys:"header" eg:"{X-Tenant: acme}" doc:"Further headers for the token endpoint."`
	Lifetime     string                 `yaml:"lifetime" eg:"2h" doc:"How long a token lives where the answer says nothing of it."`
	TokenAt      string                 `yaml:"token" eg:"/authed_user/access_token" doc:"Where the answer has the token, as a JSON pointer; refresh_token, expires_in and scope are read from beside it. Default: /access_token."`
}

// ByCertificate tells whether the token endpoint knows the client by the service's certificate.
func (e *Endpoint) ByCertificate() bool { return e.Auth == derive.AuthMTLS }

// ImplyAuth says how the client shows who it is. Where the grant itself is signed, key does not count.
func (e *Endpoint) ImplyAuth(i config.Implied, signedGrant bool) {
	auth := derive.AuthNone
	switch {
	case !e.ClientSecret.IsZero():
		auth = derive.AuthBasic
	case !signedGrant && !e.Key.IsZero():
		auth = derive.AuthPrivateKeyJWT
	case i.Around.ClientTLS:
		auth = derive.AuthMTLS
	}
	i.Text("auth", &e.Auth, auth)
}

// CheckEndpoint checks the call, but not the client.
func (e *Endpoint) CheckEndpoint(r *config.CredentialReport) {
	if e.TokenAt != "" {
		if problem := r.PointerProblem(e.TokenAt); problem != "" {
			r.Fail("token", problem, "write it as /access_token, or /authed_user/access_token for one inside a member")
		} else if strings.HasSuffix(e.TokenAt, "/") {
			r.Fail("token", "ends in a slash, and so names no member", "write it as /access_token")
		}
	}
	r.Headers("token_headers", e.TokenHeaders)
	for _, scope := range e.Scopes {
		if strings.ContainsAny(scope, " \"\\") {
			r.Fail("scopes", "has a scope with a blank or a quote in it", "write each as an entry of its own: [a, b]")
			break
		}
	}
	if strings.HasPrefix(e.Lifetime, "/") {
		r.Fail("lifetime", "is a JSON pointer, which goes with kind exchange alone",
			"leave it out: the answer's expires_in is read by itself; or write a duration, such as 2h")
	} else {
		CheckLifetime(r, e.Lifetime)
	}
}

// CheckLifetime wants a duration, or a JSON pointer.
func CheckLifetime(r *config.CredentialReport, text string) {
	if text == "" {
		return
	}
	if strings.HasPrefix(text, "/") {
		r.Pointer("lifetime", text, "write it as /expires_in")
		return
	}
	if d, err := notation.ParseDuration(text); err != nil || d < time.Second {
		r.Fail("lifetime", "is neither a duration nor a JSON pointer",
			"write it as 2h, or as /expires_in for a field of the answer")
	}
}

// CheckClient wants what the way of showing who the client is needs, and nothing that it does not use.
func (e *Endpoint) CheckClient(r *config.CredentialReport, signedGrant bool) {
	secretly, signs := e.Auth == derive.AuthBasic || e.Auth == derive.AuthPost, e.Auth == derive.AuthPrivateKeyJWT
	switch {
	case secretly && e.ClientSecret.IsZero():
		r.Missing("has auth "+e.Auth+" without client_secret", "write client_secret: ref+builtin://NAME#client_secret")
	case signs && e.Key.IsZero():
		r.Missing("has auth private_key_jwt without key", "write key: ref+builtin://NAME, a private key in PEM")
	case e.Auth == derive.AuthMTLS && !r.Around.ClientTLS:
		r.Missing("has auth mtls without a client certificate",
			"write tls: {cert: ref+…, key: ref+…} beside the credential")
	}
	if !secretly && !e.ClientSecret.IsZero() {
		r.Fail("client_secret", "does not go with auth "+e.Auth, "write auth: basic or auth: post")
	}
	for _, key := range []string{"key", "key_id", "alg", "audience"} {
		if !signedGrant && !signs && r.Written(key) {
			r.Fail(key, "does not go with auth "+e.Auth, "write auth: private_key_jwt")
		}
	}
}

// Call is the token endpoint.
func (e *Endpoint) Call(m *Mint, target string) derive.Endpoint {
	call := m.Endpoint(target, m.Texts(e.TokenHeaders), m.Texts(e.Params))
	call.Token = e.TokenAt
	call.Lifetime = Duration(e.Lifetime)
	return call
}

// Duration is how long a token lives whose answer names no time; 0 where nothing is said, or a JSON pointer is.
func Duration(lifetime string) time.Duration {
	d, err := notation.ParseDuration(lifetime)
	if err != nil {
		return 0
	}
	return d
}

// Client is the client, which may sign assertions of its own unless the grant is signed.
func (e *Endpoint) Client(m *Mint, id config.Text, signedGrant bool) derive.ClientAuth {
	a := derive.ClientAuth{Method: e.Auth, ID: m.Plain(id), Secret: m.Value(e.ClientSecret)}
	if !signedGrant {
		a.Audience = m.Plain(e.Audience)
	}
	if e.Auth == derive.AuthPrivateKeyJWT || e.Auth == "" && !e.Key.IsZero() && !signedGrant {
		a.Key = KeyOf(m, e.Key, e.KeyID, e.Alg)
	}
	return a
}

// KeyOf is what signs with a private key; nil after an error, which stays in m.
func KeyOf(m *Mint, key secret.Ref, id config.Text, alg string) *derive.Signer {
	pem, kid := m.Value(key), m.Plain(id)
	if m.Err != nil {
		return nil
	}
	var s *derive.Signer
	s, m.Err = derive.NewSigner(pem, alg, kid)
	return s
}
