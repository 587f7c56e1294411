// Package oauth1 is the kind oauth1 of credential: its settings, their check, and what it puts onto requests.
package oauth1

import (
	_ "embed" // the page
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind oauth1.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "oauth1", Summary: "OAuth 1.0a (RFC 5849): each request is signed.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
	}
}

// Settings are the keys of a credential of kind oauth1.
type Settings struct {
	credential.Signed

	ConsumerKey     config.Text `yaml:"consumer_key" needed:"write consumer_key: ref+builtin://x#consumer_key" eg:"ref+builtin://x#consumer_key" doc:"The consumer's key."`
	ConsumerSecret  secret.Ref  `yaml:"consumer_secret" needed:"write consumer_secret: ref+builtin://x#consumer_secret" eg:"ref+builtin://x#consumer_secret" doc:"Its secret."`
	AccessToken     secret.Ref  `yaml:"access_token" eg:"ref+builtin://x#access_token" doc:"The token."`
	TokenSecret     secret.Ref  `yaml:"token_secret" eg:"ref+builtin://x#token_secret" doc:"Its secret."`
	SignatureMethod string      `yaml:"signature_method" default:"HMAC-SHA1" enum:"HMAC-SHA1 HMAC-SHA256 PLAINTEXT" doc:"The method."`
	Realm           string      `yaml:"realm" eg:"Photos" doc:"The realm, where the API asks for one."`
}

// Spec implements credential.Settings.
func (*Settings) Spec() credential.Spec { return credential.Spec{Kind: "oauth1"} }

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	if s.AccessToken.IsZero() != s.TokenSecret.IsZero() {
		r.Missing("has only one of access_token and token_secret",
			"write both, or none for calls in the consumer's own name")
	}
	if strings.ContainsAny(s.Realm, `"\`) {
		r.Fail("realm", "has a quote or a backslash in it", "")
	}
}

// Build implements credential.Building.
func (s *Settings) Build(in *credential.Reader, p *credential.Part) error {
	o := sign.OAuth1Options{
		ConsumerKey: in.Plain(s.ConsumerKey), HideConsumerKey: len(s.ConsumerKey.Refs()) > 0,
		ConsumerSecret: in.Value(s.ConsumerSecret), Token: in.Value(s.AccessToken),
		TokenSecret: in.Value(s.TokenSecret),
		Method:      s.SignatureMethod, Realm: s.Realm,
	}
	return credential.Signer(in, p, func() (sign.Signer, error) { return sign.NewOAuth1(o) })
}
