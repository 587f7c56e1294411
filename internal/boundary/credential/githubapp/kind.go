// Package githubapp is the kind github_app of credential: its settings, their check, and what it puts onto requests.
package githubapp

import (
	_ "embed" // the page
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind github_app.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "github_app", Summary: "An app of GitHub, as one of its installations.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return text("api_url") },
	}
}

// Settings are the keys of a credential of kind github_app.
type Settings struct {
	AppID          config.Text            `yaml:"app_id" needed:"write app_id: 123456" eg:"123456" doc:"The app's ID, or its client ID."`
	InstallationID config.Text            `yaml:"installation_id" needed:"write installation_id: 12345678" eg:"12345678" doc:"The installation's ID."`
	Key            secret.Ref             `yaml:"key" needed:"write key: ref+builtin://crm#private_key" eg:"ref+builtin://github#private_key" doc:"The app's private key, PEM."`
	APIURL         string                 `yaml:"api_url" default:"https://api.github.com" inputs:"url" eg:"https://github.example.com/api/v3" doc:"The API."`
	TokenHeaders   map[string]config.Text `yaml:"token_headers" free:"true" keys:"header" eg:"{X-Tenant: acme}" doc:"Further headers for the call that obtains a token."`

	credential.Token
}

// Imply implements config.Implying.
func (s *Settings) Imply(i config.Implied) {
	i.Agent("token_headers", &s.TokenHeaders)
	s.ImplyPlace(i)
}

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Endpoint("api_url", s.APIURL)
	r.Headers("token_headers", s.TokenHeaders)
	s.CheckToken(r)
	if id, plain := s.InstallationID.Plain(); plain && strings.Trim(id, "0123456789") != "" {
		r.Fail("installation_id", "is not a number", "it is the last part of the URL of the installation's settings")
	}
}

// Minter implements credential.Minting.
func (s *Settings) Minter(m *credential.Mint) (derive.Minter, error) {
	o := derive.GitHubAppOptions{
		Endpoint: m.Endpoint(s.APIURL, m.Texts(s.TokenHeaders), nil), AppID: m.Plain(s.AppID),
		InstallationID: m.Plain(s.InstallationID),
		Key:            credential.KeyOf(m, s.Key, nil, ""),
	}
	return credential.Minted(m, func() (derive.Minter, error) { return derive.NewGitHubApp(o) })
}
