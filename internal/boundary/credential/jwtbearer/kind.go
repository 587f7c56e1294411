// Package jwtbearer is the kind jwt_bearer of credential: its settings, their check, and what it puts onto requests.
package jwtbearer

import (
	_ "embed" // the page
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind jwt_bearer.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "jwt_bearer", Summary: "JWT bearer grant (RFC 7523): an assertion is exchanged for a token, as " +
			"Google's service accounts do.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return text("token_url") },
	}
}

// Settings are the keys of a credential of kind jwt_bearer.
type Settings struct {
	TokenURL       string                 `yaml:"token_url" inputs:"url" yields:"service_account" eg:"https://auth.example.com/oauth/token" doc:"The token endpoint. A path, such as /oauth/token, is one on the upstream's host."`
	ClientID       config.Text            `yaml:"client_id" eg:"sallyport" doc:"The client."`
	ServiceAccount secret.Ref             `yaml:"service_account" eg:"ref+builtin://google-service-account" doc:"Google's JSON file of a service account, as it comes; instead of token_url, issuer and key."`
	Issuer         config.Text            `yaml:"issuer" eg:"3MVG9…" doc:"Who signs (iss)."`
	Subject        config.Text            `yaml:"subject" eg:"n8n@example.com" doc:"For whom (sub)."`
	Claims         map[string]config.Text `yaml:"claims" free:"true" keys:"text" eg:"{tenant: acme}" doc:"Further claims, as strings."`

	credential.Endpoint
	credential.Token
}

// Imply implements config.Implying. A grant without a client needs no way of showing who that is.
func (s *Settings) Imply(i config.Implied) {
	if !s.ClientID.IsZero() {
		s.ImplyAuth(i, true)
	}
	i.Agent("token_headers", &s.TokenHeaders)
	s.ImplyPlace(i)
}

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Endpoint("token_url", s.TokenURL)
	s.CheckEndpoint(r)
	s.CheckToken(r)
	s.checkSigner(r)
	if need := r.Needs("subject"); need != "" && s.Subject.IsZero() {
		r.Missing("has a credential of kind jwt_bearer without subject", "write subject: …: "+need)
	}
	switch {
	case s.Auth == derive.AuthPrivateKeyJWT:
		r.Fail("auth", "is private_key_jwt, and the grant is signed already", "leave it out")
	case !s.ClientID.IsZero():
		s.CheckClient(r, true)
	case !s.ClientSecret.IsZero() || s.Auth != "":
		r.Missing("has a client_secret or auth without client_id", "write client_id, or leave them out")
	}
	for _, name := range r.Names(s.Claims) {
		if slices.Contains([]string{"iss", "sub", "aud", "iat", "exp", "jti", "scope"}, name) {
			key := map[string]string{"iss": "issuer", "sub": "subject", "aud": "audience", "scope": "scopes"}[name]
			r.Fail("claims."+name, "is a claim of the grant's own", "write "+key+" instead, or leave it out")
		}
	}
}

// checkSigner wants the file of a service account, or what stands in it.
func (s *Settings) checkSigner(r *config.CredentialReport) {
	if s.ServiceAccount.IsZero() {
		for _, key := range []string{"token_url", "issuer", "key"} {
			if !r.Set(key) {
				r.LacksOr(key, "; or service_account for Google's file")
			}
		}
		return
	}
	for _, key := range []string{"key", "key_id", "alg", "issuer"} {
		if r.Written(key) {
			r.Fail(key, "stands beside service_account, which holds it", "keep one")
		}
	}
	if len(s.Scopes) == 0 && len(s.Claims) == 0 {
		r.Missing("has a service_account without scopes",
			"write scopes: [https://www.googleapis.com/auth/…], as the API's documentation names them")
	}
}

// Minter implements credential.Minting.
func (s *Settings) Minter(m *credential.Mint) (derive.Minter, error) {
	o := derive.JWTBearerOptions{
		Endpoint: derive.Endpoint{URL: s.TokenURL},
		Issuer:   m.Plain(s.Issuer), Subject: m.Plain(s.Subject), Audience: m.Plain(s.Audience), Scopes: s.Scopes,
	}
	if len(s.Claims) > 0 {
		o.Claims = make(map[string]any, len(s.Claims))
		for name, t := range s.Claims {
			o.Claims[name] = m.Plain(t)
		}
	}
	if !s.ClientID.IsZero() {
		client := s.Client(m, s.ClientID, true)
		o.Client = &client
	}
	if s.ServiceAccount.IsZero() {
		o.Key = credential.KeyOf(m, s.Key, s.KeyID, s.Alg)
	} else if file := m.Value(s.ServiceAccount); m.Err == nil {
		o, m.Err = o.ServiceAccount(file)
	}
	o.Endpoint = s.Call(m, o.Endpoint.URL)
	return credential.Minted(m, func() (derive.Minter, error) { return derive.NewJWTBearer(o) })
}
