package azurekv

import (
	"context"
	_ "embed" // the page
	"fmt"
	"net/url"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind azurekv.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "azurekv", Summary: "Azure Key Vault.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Withhold: []string{
			"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH",
			"AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD",
			"AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_HEADER", "MSI_SECRET", "ARM_CLIENT_SECRET",
		},
	}
}

// Settings are the keys of a store of kind azurekv.
type Settings struct {
	VaultURL *url.URL `yaml:"vault_url" eg:"https://n8n-prod.vault.azure.net" needed:"write vault_url: https://NAME.vault.azure.net" doc:"The vault."`
	TenantID string   `yaml:"tenant_id" eg:"3fa8…" doc:"The identity's tenant. Default: AZURE_TENANT_ID."`
	ClientID string   `yaml:"client_id" eg:"9b1c…" doc:"The client id of a user-assigned or workload identity. Default: AZURE_CLIENT_ID."`
	CAFile   string   `yaml:"ca_file" path:"file" eg:"./ca.pem" backend:"same" doc:"PEM certificates to trust instead of the system's."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Certificates("ca_file", s.CAFile)
	r.Plain("vault_url", s.VaultURL)
}

// Files implements secret.Settings.
func (s *Settings) Files() []string { return []string{s.CAFile} }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	pool, err := localfile.CertPool(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	return New(Options{VaultURL: s.VaultURL.String(), TenantID: s.TenantID, ClientID: s.ClientID, CAPool: pool})
}

// Servers implements secret.Remote.
func (s *Settings) Servers() []secret.Server {
	return []secret.Server{{URL: s.VaultURL, CAFile: s.CAFile}}
}
