// Package awssigv4 is the kind aws_sigv4 of credential: its settings, their check, and what it puts onto requests.
package awssigv4

import (
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind aws_sigv4.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name:    "aws_sigv4",
		Summary: "Signature Version 4 of AWS, which others (S3-compatible stores) take as well.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
	}
}

// Settings are the keys of a credential of kind aws_sigv4.
type Settings struct {
	credential.Signed

	AccessKey     config.Text `yaml:"access_key" needed:"write access_key: ref+builtin://aws#access_key" eg:"ref+builtin://aws#access_key" doc:"The access key's ID."`
	SecretKey     secret.Ref  `yaml:"secret_key" needed:"write secret_key: ref+builtin://aws#secret_key" eg:"ref+builtin://aws#secret_key" doc:"The secret access key."`
	SessionToken  secret.Ref  `yaml:"session_token" eg:"ref+builtin://aws#session_token" doc:"The session token of temporary credentials."`
	Region        string      `yaml:"region" eg:"eu-central-1" doc:"The region. Default: from the upstream's host."`
	Service       string      `yaml:"service" eg:"s3" doc:"The service's signing name. Default: from the upstream's host."`
	UnsignedLarge bool        `yaml:"unsigned_large" eg:"true" doc:"S3 over https: send a body that is too large to be kept as UNSIGNED-PAYLOAD instead of refusing it."`
}

// Spec implements credential.Settings.
func (*Settings) Spec() credential.Spec { return credential.Spec{Kind: "aws_sigv4"} }

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Headers implements credential.Beside.
func (*Settings) Headers() []string { return sign.SigV4Headers() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	if s.UnsignedLarge && s.Service != "s3" && s.Service != "" {
		r.Fail("unsigned_large", "goes with S3 alone", "leave it out, or write service: s3")
	}
}

// Build implements credential.Building.
func (s *Settings) Build(in *credential.Reader, p *credential.Part) error {
	o := sign.SigV4Options{
		AccessKey: in.Plain(s.AccessKey), HideAccessKey: len(s.AccessKey.Refs()) > 0, SecretKey: in.Value(s.SecretKey),
		SessionToken: in.Value(s.SessionToken), Region: s.Region, Service: s.Service, UnsignedLarge: s.UnsignedLarge,
	}
	return credential.Signer(in, p, func() (sign.Signer, error) { return sign.NewSigV4(o) })
}
