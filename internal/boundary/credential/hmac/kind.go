// Package hmac is the kind hmac of credential: its settings, their check, and what it puts onto requests.
package hmac

import (
	_ "embed" // the page
	"maps"
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind hmac.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "hmac", Summary: "Each request is signed with an HMAC over a text that a template describes.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return "`" + text("header") + ": {signature}`" },
	}
}

// Settings are the keys of a credential of kind hmac.
type Settings struct {
	credential.Static

	Algorithm      string            `yaml:"algorithm" default:"sha256" enum:"sha256 sha512 sha384 sha1" doc:"The hash."`
	Encoding       string            `yaml:"encoding" default:"hex" enum:"hex base64 base64url" doc:"How the signature is written."`
	Message        string            `yaml:"message" free:"true" lines:"true" needed:"write message: \"{timestamp}.{body}\"" eg:"\"{timestamp}.{body}\"" doc:"What is signed: text with {method} {scheme} {host} {path} {query} {target} {body} {body_sha256} {timestamp} {timestamp_ms} {nonce} {header:NAME}; other braces are doubled."`
	Header         string            `yaml:"header" eg:"X-Signature" doc:"The header that the signature goes into."`
	Param          string            `yaml:"param" eg:"sig" doc:"The query parameter that it goes into, instead of header."`
	Format         string            `yaml:"format" free:"true" default:"{signature}" eg:"\"t={timestamp},v1={signature}\"" doc:"How the value is written; {signature} stands for the signature, beside {timestamp}, {timestamp_ms} and {nonce}."`
	SetHeaders     map[string]string `yaml:"set_headers" free:"true" keys:"header" eg:"{X-Timestamp: \"{timestamp}\"}" doc:"Headers that are set beside the signature: text with {timestamp}, {timestamp_ms} and {nonce}."`
	SecretEncoding string            `yaml:"secret_encoding" enum:"hex base64" doc:"How the secret's bytes are written. Default: as they are."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: "hmac", Header: s.Header, Param: s.Param}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Class implements config.CredentialSettings.
func (*Settings) Class() config.Class { return config.Signing }

// Headers implements credential.Beside.
func (s *Settings) Headers() []string { return slices.Sorted(maps.Keys(s.SetHeaders)) }

// Build implements credential.Building.
func (s *Settings) Build(in *credential.Reader, p *credential.Part) error {
	o := sign.HMACOptions{
		Secret: in.Value(s.Secret), SecretEncoding: s.SecretEncoding, Algorithm: s.Algorithm, Encoding: s.Encoding,
		Message: s.Message, Header: s.Header, Param: s.Param, Format: s.Format, Headers: s.SetHeaders,
	}
	return credential.Signer(in, p, func() (sign.Signer, error) { return sign.NewHMAC(o) })
}
