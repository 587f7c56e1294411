package vault

import (
	"context"
	_ "embed" // the page
	"fmt"
	"net/url"
	"strings"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind vault.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "vault", Summary: "HashiCorp Vault or OpenBao, with a KV engine of either version.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Withhold: []string{"VAULT_*", "BAO_*"},
	}
}

// Settings are the keys of a store of kind vault.
type Settings struct {
	Address   *url.URL `yaml:"address" eg:"https://vault.internal:8200" needed:"write address: https://HOST:8200" meant:"vault_url endpoint" doc:"Where it is."`
	Namespace string   `yaml:"namespace" eg:"n8n" doc:"The namespace."`
	CAFile    string   `yaml:"ca_file" path:"file" eg:"./vault-ca.pem" backend:"same" doc:"PEM certificates to trust instead of the system's."`
	KV        int      `yaml:"kv" eg:"2" min:"1" max:"2" doc:"The version of the KV engine. Default: ask Vault."`
	Auth      *Auth    `yaml:"auth" needed:"write auth: {token_file: FILE}, or approle, kubernetes, jwt, cert" backend:"same" doc:"How to log in; exactly one way."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Certificates("ca_file", s.CAFile)
	r.Plain("address", s.Address)
	if s.Address != nil && strings.Contains(s.Address.Path, "/v1") {
		r.Warn("address", "has /v1 in its path, which is added by itself", "write scheme, host and port alone")
	}
	if s.Auth != nil {
		s.Auth.check(r)
	}
}

// Files implements secret.Settings.
func (s *Settings) Files() []string {
	list := []string{s.CAFile}
	if s.Auth != nil && s.Auth.Cert != nil {
		list = append(list, s.Auth.Cert.CertFile, s.Auth.Cert.KeyFile)
	}
	return list
}

// Variables implements secret.Settings.
func (s *Settings) Variables([]string) []string {
	if s.Auth == nil {
		return nil
	}
	names := []string{s.Auth.TokenEnv}
	if s.Auth.AppRole != nil {
		names = append(names, s.Auth.AppRole.SecretIDEnv)
	}
	return names
}

// Open implements secret.Settings.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	pool, err := localfile.CertPool(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	o := Options{Address: s.Address.String(), Namespace: s.Namespace, CAPool: pool, KV: s.KV}
	if err := s.Auth.into(&o); err != nil {
		return nil, err
	}
	return New(o)
}

// Servers implements secret.Remote.
func (s *Settings) Servers() []secret.Server {
	return []secret.Server{{URL: s.Address, CAFile: s.CAFile}}
}
