// Package oauth2refreshtoken is the kind oauth2_refresh_token of credential: its settings, their check, and what it
// puts onto requests.
package oauth2refreshtoken

import (
	"cmp"
	_ "embed" // the page
	"strings"
	"time"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/config/preset"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind oauth2_refresh_token.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name:     "oauth2_refresh_token",
		Summary:  "OAuth 2.0, in the name of a user: a person gives consent once, and refresh tokens keep it up.",
		Page:     page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return text("token_url") },
	}
}

// Settings are the keys of a credential of kind oauth2_refresh_token.
type Settings struct {
	TokenURL        string                 `yaml:"token_url" needed:"write token_url: https://auth.example.com/oauth/token" inputs:"url" eg:"https://auth.example.com/oauth/token" doc:"The token endpoint. A path, such as /oauth/token, is one on the upstream's host."`
	ClientID        config.Text            `yaml:"client_id" needed:"write client_id: sallyport" eg:"sallyport" doc:"The client."`
	AuthorizeURL    string                 `yaml:"authorize_url" inputs:"url" eg:"https://auth.example.com/oauth/authorize" doc:"The page of consent that service connect opens."`
	AuthorizeParams map[string]config.Text `yaml:"authorize_params" free:"true" keys:"text" eg:"{access_type: offline}" doc:"Further parameters of the page of consent."`
	RefreshURL      string                 `yaml:"refresh_url" inputs:"url" yields:"token_url" eg:"https://auth.example.com/oauth/refresh" doc:"Where refresh tokens are sent, if that is not token_url, which then takes the codes of service connect alone."`
	PKCE            string                 `yaml:"pkce" enum:"on off" doc:"Whether service connect sends a code_challenge and a code_verifier (RFC 7636). off is for providers that refuse them, such as LinkedIn; then the client needs a secret or a key. Default: on."`
	RefreshToken    secret.Ref             `yaml:"refresh_token" eg:"ref+builtin://crm#refresh_token" doc:"The first refresh token. Absent: service connect brings it. Later ones are kept in the database, sealed."`
	ReuseGrace      time.Duration          `yaml:"reuse_grace" eg:"30s" max:"24h" doc:"How long the provider takes a refresh token once more after its use, so that a lost answer can be made up for, once. Absent: a second use counts as theft, and there is none."`
	Rotates         bool                   `yaml:"rotates" eg:"false" doc:"Whether the use of a refresh token ends it, as far as is known. false: the provider takes it again, however often; a lost answer, or a 5xx, costs nothing but another call. true: a refresh token is sent once, until the provider has shown that it does not rotate them. Default: true, and false at the token endpoints of docs/credentials.md that are known for it."`
	Issuer          config.Text            `yaml:"issuer" eg:"https://auth.example.com" doc:"The provider's issuer (RFC 9207), where it sends iss with the answer of the page of consent; an answer without it, or with another, is refused. Absent: an iss that comes must be on the host of authorize_url."`

	credential.Endpoint
	credential.Token
}

// Imply implements config.Implying.
func (s *Settings) Imply(i config.Implied) {
	s.ImplyAuth(i, false)
	if !i.Has("rotates") {
		// another address may be a proxy of the provider's
		s.Rotates = !preset.Reusable(cmp.Or(i.Preset("token_url"), s.TokenURL))
		i.Note("rotates")
	}
	i.Agent("token_headers", &s.TokenHeaders)
	s.ImplyPlace(i)
}

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Endpoint("token_url", s.TokenURL)
	r.Endpoint("authorize_url", s.AuthorizeURL)
	r.Endpoint("refresh_url", s.RefreshURL)
	s.CheckEndpoint(r)
	s.CheckToken(r)
	s.CheckClient(r, false)
	s.checkIssuer(r)
	if s.PKCE == "off" && s.Auth == derive.AuthNone { // RFC 9700 section 2.1.1
		r.Fail("pkce", "is off for a client that shows nothing of who it is: whoever sees the code could use it",
			"leave it out, or write client_secret: ref+builtin://NAME#client_secret")
	}
	if s.RefreshToken.IsZero() && s.AuthorizeURL == "" {
		r.Missing("has a credential of kind "+r.Kind+" with neither refresh_token nor authorize_url",
			"write authorize_url: https://… and run `sallyport service connect`, or refresh_token: ref+…")
	}
}

// checkIssuer wants an issuer as providers have them (RFC 8414 section 2): nothing that iss could never be equal to.
func (s *Settings) checkIssuer(r *config.CredentialReport) {
	issuer, plain := s.Issuer.Plain()
	if !plain || issuer == "" {
		return
	}
	if strings.HasPrefix(issuer, "/") || strings.ContainsAny(issuer, "?#") {
		r.Fail("issuer", "is not an issuer, which is a URL without query and fragment",
			"write it as the provider's metadata has it, such as https://auth.example.com")
		return
	}
	r.Endpoint("issuer", issuer)
}

// Minter implements credential.Minting.
func (s *Settings) Minter(m *credential.Mint) (derive.Minter, error) {
	return credential.Minted(m, func() (*derive.RefreshToken, error) { return s.refresher(m) })
}

func (s *Settings) refresher(m *credential.Mint) (*derive.RefreshToken, error) {
	o := derive.RefreshTokenOptions{
		Endpoint: s.Call(m, s.TokenURL), Client: s.Client(m, s.ClientID, false), Scopes: s.Scopes,
		Refresh: m.Value(s.RefreshToken), ReuseGrace: s.ReuseGrace, Reusable: !s.Rotates,
	}
	if s.RefreshURL != "" {
		o.RefreshAt = s.Call(m, s.RefreshURL)
	}
	if m.Err != nil {
		return nil, m.Err
	}
	return derive.NewRefreshToken(o)
}

// HasPage implements credential.Consenting.
func (s *Settings) HasPage() bool { return s.AuthorizeURL != "" }

// Consent implements credential.Consenting.
func (s *Settings) Consent(m *credential.Mint) (credential.Consent, error) {
	refresher, err := s.refresher(m)
	if err != nil {
		return credential.Consent{}, err
	}
	params := make(map[string]string, len(s.AuthorizeParams))
	for name, text := range s.AuthorizeParams {
		params[name] = m.Plain(text)
	}
	return credential.Consent{
		AuthorizeURL: s.AuthorizeURL, Issuer: m.Plain(s.Issuer), Params: params,
		WithoutPKCE: s.PKCE == "off", For: refresher,
	}, m.Err
}
