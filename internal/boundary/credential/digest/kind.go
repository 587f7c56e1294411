// Package digest is the kind digest of credential: its settings, their check, and what it puts onto requests.
package digest

import (
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind digest.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "digest", Summary: "Digest authentication (RFC 7616): the answer to what a server asks.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
	}
}

// Settings are the keys of a credential of kind digest.
type Settings struct {
	credential.Static
	credential.User
}

// Spec implements credential.Settings.
func (*Settings) Spec() credential.Spec { return credential.Spec{Kind: "digest"} }

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Class implements config.CredentialSettings.
func (*Settings) Class() config.Class { return config.Signing }

// Replays says that a request may have to be sent twice: to answer what a server asks.
func (*Settings) Replays() bool { return true }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) { s.CheckUser(r, false) }

// Build implements credential.Building.
func (s *Settings) Build(in *credential.Reader, p *credential.Part) error {
	o := sign.DigestOptions{Secret: in.Value(s.Secret)}
	o.Username, o.HideUser = s.Name(in)
	return credential.Signer(in, p, func() (sign.Signer, error) { return sign.NewDigest(o) })
}
