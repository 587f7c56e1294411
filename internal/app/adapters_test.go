package app_test

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/boundary/ca"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: one
clusters: [{name: one, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: one, context: {cluster: one, user: one, namespace: n8n}}]
users: [{name: one, user: {token: none}}]
`

// TestEveryKindOpens: each kind that the configuration takes is a store in this build, set up without contacting anybody.
func TestEveryKindOpens(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"vault":      `address: "https://127.0.0.1:1", auth: {approle: {role_id: r, secret_id_env: NONE}}`,
		"awssm":      `region: eu-central-1, assume_role: {arn: "arn:aws:iam::123456789012:role/sallyport"}`,
		"azurekv":    `vault_url: "https://n8n.vault.azure.net"`,
		"gcpsm":      `project: n8n`,
		"kubernetes": `kubeconfig: kubeconfig`,
		"file":       `dir: .`,
		"env":        `prefix: N8N_`,
		"exec":       `command: [echo, "{path}"]`,
		"swarm":      `dir: .`,
	}
	for _, kind := range kinds(t) {
		if kind == secret.Builtin {
			continue
		}
		c, _, err := config.Parse(app.Kinds(), filepath.Join(dir, "sallyport.yaml"), []byte("stores: {one: {kind: "+kind+", "+texts[kind]+"}}"), nil)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		stores, err := app.OpenStores(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stores.Store(t.Context(), "one"); err != nil {
			t.Errorf("%s: %v, hint %q", kind, err, fault.HintOf(err))
		}
		if err := stores.Close(); err != nil {
			t.Errorf("closing %s: %v", kind, err)
		}
	}
}

// kinds are those that the schema allows.
func kinds(t *testing.T) []string {
	t.Helper()
	var schema struct {
		Properties struct {
			Stores struct {
				AdditionalProperties struct {
					Properties struct {
						Kind struct{ Enum []string }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(config.Schema(app.Kinds()), &schema); err != nil {
		t.Fatal(err)
	}
	list := schema.Properties.Stores.AdditionalProperties.Properties.Kind.Enum
	if len(list) < 2 {
		t.Fatalf("kinds %q", list)
	}
	return list
}

// TestEachVaultLogin: each way to log in is handed on, and what it reads from files is looked at when the store is opened.
func TestEachVaultLogin(t *testing.T) {
	dir := t.TempDir()
	_, certFile, keyFile := issuedBy(t, "client")
	for auth, want := range map[string]string{
		"token_file: token":                        "",
		"token_env: NONE":                          "",
		"kubernetes: {role: r}":                    "",
		"jwt: {role: r, jwt_file: j}":              "",
		"approle: {role_id: r, secret_id_file: s}": "",
		"cert: {cert_file: " + certFile + ", key_file: " + keyFile + "}": "",
		"cert: {cert_file: none, key_file: none}":                        "reading auth.cert",
	} {
		src := `stores: {one: {kind: vault, address: "https://127.0.0.1:1", auth: {` + auth + `}}}`
		c, _, err := config.Parse(app.Kinds(), filepath.Join(dir, "sallyport.yaml"), []byte(src), nil)
		if err != nil {
			t.Fatal(err)
		}
		stores, err := app.OpenStores(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = stores.Store(t.Context(), "one")
		if (err == nil) != (want == "") || !contains(err, want) {
			t.Errorf("%s: %v", auth, err)
		}
		results, _ := stores.Resolve(t.Context(), []secret.Ref{{Store: "one", Path: "secret/x"}})
		if results[0].Err == nil {
			t.Errorf("%s: a value from nowhere", auth)
		}
		if err := stores.Close(); err != nil {
			t.Error(err)
		}
	}
}

func contains(err error, text string) bool {
	return text == "" || err != nil && strings.Contains(err.Error(), text)
}

// issuedBy writes a certificate of a CA made for it.
func issuedBy(t *testing.T, name string) (pool *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	authority := t.TempDir()
	if err := ca.Create(authority); err != nil {
		t.Fatal(err)
	}
	return issued(t, authority, name)
}
