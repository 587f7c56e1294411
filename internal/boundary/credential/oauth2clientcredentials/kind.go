// Package oauth2clientcredentials is the kind oauth2_client_credentials of credential: its settings, their check, and
// what it puts onto requests.
package oauth2clientcredentials

import (
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind oauth2_client_credentials.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name:     "oauth2_client_credentials",
		Summary:  "OAuth 2.0, client credentials (RFC 6749 section 4.4): the client obtains a token in its own name.",
		Page:     page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return text("token_url") },
	}
}

// Settings are the keys of a credential of kind oauth2_client_credentials.
type Settings struct {
	TokenURL string      `yaml:"token_url" needed:"write token_url: https://auth.example.com/oauth/token" inputs:"url" eg:"https://auth.example.com/oauth/token" doc:"The token endpoint. A path, such as /oauth/token, is one on the upstream's host."`
	ClientID config.Text `yaml:"client_id" needed:"write client_id: sallyport" eg:"sallyport" doc:"The client."`

	credential.Endpoint
	credential.Token
}

// Imply implements config.Implying.
func (s *Settings) Imply(i config.Implied) {
	s.ImplyAuth(i, false)
	i.Agent("token_headers", &s.TokenHeaders)
	s.ImplyPlace(i)
}

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Endpoint("token_url", s.TokenURL)
	s.CheckEndpoint(r)
	s.CheckToken(r)
	s.CheckClient(r, false)
	if s.Auth == derive.AuthNone {
		r.Missing("has a credential of kind "+r.Kind+" without client_secret or key",
			"write client_secret: ref+builtin://NAME#client_secret")
	}
}

// Minter implements credential.Minting.
func (s *Settings) Minter(m *credential.Mint) (derive.Minter, error) {
	o := derive.ClientCredentialsOptions{
		Endpoint: s.Call(m, s.TokenURL),
		Client:   s.Client(m, s.ClientID, false), Scopes: s.Scopes,
	}
	return credential.Minted(m, func() (derive.Minter, error) { return derive.NewClientCredentials(o) })
}
